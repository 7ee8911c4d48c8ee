//! Compressed messages on WebSockets: permessage-deflate (RFC 7692).
//!
//! `offer.rs` decides what both sides agree on, `codec.rs` packs and unpacks messages. Unless `contextTakeover` is asked for,
//! each message stands for itself, so that nothing of a compressor is kept for a socket: a thread has one compressor and one
//! decompressor, which all its sockets use. With context takeover a socket keeps the last messages as bytes, its *history*
//! (32 KiB at most in each direction), and the thread's compressor is told of them before each message.
//!
//! The compressor is zlib-rs by way of `flate2`: it is in the program already (for gzip and `node:zlib`), has a safe API with
//! window sizes and dictionaries, and is as fast as zlib-ng.

mod codec;
mod offer;

pub(crate) use codec::{packed_bytes_max, remember, unpack, with_packed};
pub(crate) use offer::{OFFER, Unasked, accepted, agree};

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
