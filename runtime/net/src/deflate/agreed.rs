//! What is configured about compression, and what the two ends of a socket agreed on.

/// What the configuration says about compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Messages that are shorter are sent as they are.
    pub message_bytes_min: usize,
    /// How hard is tried: 1 is fast, 9 is small.
    pub level: u8,
    /// Whether sockets keep what a message can refer to, if the client likes that as well.
    pub context_takeover: bool,
}

impl Compression {
    /// The level unless another is set. Higher ones make a message of JSON shorter by 1 to 4 %.
    pub const LEVEL: u8 = 3;

    /// What holds unless something else is configured.
    pub fn new(limits: &partyrun_limits::Limits) -> Self {
        Self {
            message_bytes_min: limits.message_compressed_bytes_min,
            level: Self::LEVEL,
            context_takeover: false,
        }
    }
}

/// What the two ends of a socket agreed on, as one end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The window, as a power of two, that the other end has for what this end sends.
    pub out_bits: u8,
    /// Whether what this end sends may refer to earlier messages.
    pub keeps_out: bool,
    /// Whether what the other end sends may.
    pub keeps_in: bool,
    /// What this end was configured to do.
    pub compression: Compression,
}

impl Agreed {
    /// Whether the socket has something that another thread, or another process, would need as well.
    pub fn keeps_history(&self) -> bool {
        self.keeps_out || self.keeps_in
    }
}
