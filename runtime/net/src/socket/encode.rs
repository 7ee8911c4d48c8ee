//! Outgoing WebSocket frames of a server (RFC 6455, section 5): never masked, never fragmented.
//!
//! A [`SharedFrame`] is encoded once and sent to any number of sockets, over TCP or through pipes.

use bytes::Bytes;
use partyrun_limits::Budget;

use crate::counted;

/// Opcodes that a server sends.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Shared frames up to this length are copied: cheaper than one more slice in a vectored write.
pub(crate) const COPY_BYTES_MAX: usize = 4096;

/// A data frame that many sockets may send.
#[derive(Clone, Debug)]
pub struct SharedFrame {
    bytes: Bytes,
    head_length: usize,
    text: bool,
}

impl SharedFrame {
    /// Encodes a text message once, for any number of sockets.
    pub fn text(text: &str) -> Self {
        Self::new(TEXT, text.as_bytes())
    }

    /// Encodes a binary message once, for any number of sockets.
    pub fn binary(bytes: &[u8]) -> Self {
        Self::new(BINARY, bytes)
    }

    fn new(opcode: u8, payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(head_length(payload.len()) + payload.len());
        append_head(&mut bytes, opcode, payload.len());
        let head_length = bytes.len();
        bytes.extend_from_slice(payload);
        Self { bytes: bytes.into(), head_length, text: opcode == TEXT }
    }

    /// The same frame, counted in `budget` until nobody sends it any more. A small one is copied by every socket, which
    /// counts it there.
    pub fn counted(self, budget: &Budget) -> Self {
        if self.bytes.len() <= COPY_BYTES_MAX {
            return self;
        }
        let charge = budget.charge(self.bytes.len());
        Self { bytes: counted(self.bytes, charge), ..self }
    }

    /// The length of the message in bytes, without the head of its frame.
    pub fn payload_length(&self) -> usize {
        self.bytes.len() - self.head_length
    }

    /// The length of the frame, head included.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The frame, head included.
    pub(crate) fn frame(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it is a text message.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// The message without the head of its frame.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(self.head_length..)
    }
}

/// Appends a frame's head.
pub(crate) fn append_head(buffer: &mut Vec<u8>, opcode: u8, length: usize) {
    let first = 0x80 | opcode;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..126), _) => buffer.extend_from_slice(&[first, length]),
        (_, Ok(length)) => {
            let [high, low] = length.to_be_bytes();
            buffer.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            buffer.extend_from_slice(&[first, 127]);
            buffer.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// The length of a frame's head.
pub(crate) fn head_length(length: usize) -> usize {
    match length {
        0..126 => 2,
        126..65536 => 4,
        _ => 10,
    }
}

/// Reads the head of a frame that we made: its opcode, the length of the head and of the payload.
pub(crate) fn read_own_head(frame: &[u8]) -> Option<(u8, usize, usize)> {
    match frame {
        [first, 126, high, low, ..] => {
            Some((first & 0x0f, 4, usize::from(u16::from_be_bytes([*high, *low]))))
        }
        [first, 127, a, b, c, d, e, f, g, h, ..] => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            Some((first & 0x0f, 10, usize::try_from(length).ok()?))
        }
        [first, length, ..] => Some((first & 0x0f, 2, usize::from(*length))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            let mut head = Vec::new();
            append_head(&mut head, BINARY, length);
            assert_eq!(head.len(), head_length(length));
            assert_eq!(read_own_head(&head), Some((BINARY, head.len(), length)));
        }
        let shared = SharedFrame::text("hi");
        assert_eq!(&shared.frame()[..], b"\x81\x02hi");
        assert_eq!(&shared.payload()[..], b"hi");
        assert!(shared.is_text() && !SharedFrame::binary(b"").is_text());
    }
}
