//! Outgoing WebSocket frames of a server (RFC 6455, section 5): never masked, never fragmented.
//!
//! A [`SharedFrame`] is encoded once and sent to any number of sockets, over TCP or through pipes. It is compressed once for all
//! sockets with the same window, when the first of them sends it.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use partyrun_limits::{Budget, Charge};

use crate::counted;
use crate::deflate::{Agreed, with_packed};

/// Opcodes that a server sends.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
/// Marks a compressed message in the first byte of its first frame.
pub(crate) const PACKED: u8 = 0x40;

/// Shared frames up to this length are copied: cheaper than one more slice in a vectored write.
pub(crate) const COPY_BYTES_MAX: usize = 4096;

/// A data frame that many sockets may send.
#[derive(Clone, Debug)]
pub struct SharedFrame {
    bytes: Bytes,
    head_length: usize,
    text: bool,
    /// The same compressed, for each kind of socket that has sent it; none where that is no shorter.
    packed: RefCell<Vec<(Kind, Option<Bytes>)>>,
    /// Counts what is compressed where the plain frame was counted.
    charge: Option<Rc<Charge>>,
}

/// The window and the level, on which a compressed frame depends.
type Kind = (u8, u8);

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
        let packed = RefCell::default();
        Self { bytes: bytes.into(), head_length, text: opcode == TEXT, packed, charge: None }
    }

    /// The same frame, counted in `budget` until nobody sends it any more. A small one is copied by every socket, which
    /// counts it there.
    pub fn counted(self, budget: &Budget) -> Self {
        if self.bytes.len() <= COPY_BYTES_MAX {
            return self;
        }
        let charge = budget.charge(self.bytes.len());
        let like = Some(Rc::new(charge.like(0)));
        Self { bytes: counted(self.bytes, charge), charge: like, ..self }
    }

    /// The frame for a socket that agreed on compression: compressed, without reference to any other message, where that is
    /// shorter. Answers whether it is.
    pub(crate) fn packed(&self, agreed: &Agreed) -> (Bytes, bool) {
        let payload = self.bytes.get(self.head_length..).unwrap_or_default();
        if payload.len() < agreed.compression.message_bytes_min {
            return (self.bytes.clone(), false);
        }
        let kind = (agreed.out_bits, agreed.compression.level);
        let known =
            self.packed.borrow().iter().find(|(known, _)| *known == kind).map(|(_, bytes)| bytes.clone());
        let packed = known.unwrap_or_else(|| {
            let packed =
                with_packed(agreed, payload, &[], |packed| packed.map(|packed| self.frame_of(packed)));
            self.packed.borrow_mut().push((kind, packed.clone()));
            packed
        });
        packed.map_or_else(|| (self.bytes.clone(), false), |packed| (packed, true))
    }

    fn frame_of(&self, packed: &[u8]) -> Bytes {
        let mut bytes = Vec::with_capacity(head_length(packed.len()) + packed.len());
        append_head(&mut bytes, PACKED | if self.text { TEXT } else { BINARY }, packed.len());
        bytes.extend_from_slice(packed);
        match &self.charge {
            Some(charge) if bytes.len() > COPY_BYTES_MAX => {
                let charge = charge.like(bytes.len());
                counted(bytes.into(), charge)
            }
            _ => bytes.into(),
        }
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
    use crate::deflate::Compression;

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

    #[test]
    fn a_shared_frame_is_compressed_once_for_each_kind_of_socket() {
        let compression = Compression { message_bytes_min: 100, level: 3, context_takeover: false };
        let agreed = |out_bits| Agreed { out_bits, keeps_out: false, keeps_in: false, compression };
        let shared = SharedFrame::text(&"partyrun ".repeat(2000));
        let (first, packed) = shared.packed(&agreed(15));
        assert!(packed && first.len() < 300 && first.first() == Some(&0xc1));
        assert_eq!(shared.packed(&agreed(15)).0.as_ptr(), first.as_ptr(), "the same bytes");
        let (other, packed) = shared.packed(&agreed(9));
        assert!(packed && other.as_ptr() != first.as_ptr());
        assert_eq!(shared.packed.borrow().len(), 2);
        let short = SharedFrame::binary(&[0; 99]);
        assert!(!short.packed(&agreed(15)).1 && short.packed.borrow().is_empty());
    }

    #[test]
    fn what_is_compressed_is_counted_until_it_is_sent() {
        let (compression, budget) =
            (Compression::new(&partyrun_limits::Limits::default()), Budget::unbounded());
        let agreed = Agreed { out_bits: 15, keeps_out: false, keeps_in: false, compression };
        let mut state = 1_u32;
        let digits = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'0' + (state >> 16) as u8 % 10)
        });
        let shared = SharedFrame::text(&digits.take(100_000).collect::<String>()).counted(&budget);
        let plain = budget.used();
        let (packed, _) = shared.packed(&agreed);
        assert_eq!(budget.used(), plain + packed.len());
        drop(shared);
        assert_eq!(budget.used(), packed.len());
        drop(packed);
        assert_eq!(budget.used(), 0);
    }
}
