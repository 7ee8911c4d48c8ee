//! Messages packed and unpacked (RFC 7692, 7.2), with one compressor and one decompressor of the thread.

use std::cell::RefCell;

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use super::agreed::Agreed;
use crate::close::Violation;

/// The largest window, as a power of two.
const BITS_MAX: u8 = 15;
/// The smallest window of the compressor. For a smaller one it packs only messages that fit into that.
const BITS_MIN: u8 = 9;
/// What a sender leaves out at the end of each message.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The end of a whole stream, given after a message: only where the message ended between two blocks is it understood.
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// How many streams one message may be made of; each costs a new start.
const STREAMS_MAX: usize = 64;
/// What an unpacked message gets at first, if it is that long.
const FIRST_RESERVE_BYTES: usize = 1024;
/// A longer buffer of packed bytes is not kept.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static PACKERS: RefCell<Packers> = const { RefCell::new(Packers { made: Vec::new(), scratch: Vec::new() }) };
    static UNPACKER: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

struct Packers {
    /// One for each window and level that was needed; almost always one.
    made: Vec<(u8, u8, Compress)>,
    scratch: Vec<u8>,
}

/// Packs a message and gives it to `take`; nothing, where that makes it no shorter. `history` is what was sent before, if the
/// message may refer to it.
pub(crate) fn with_packed<T>(
    agreed: &Agreed,
    message: &[u8],
    history: &[u8],
    take: impl FnOnce(Option<&[u8]>) -> T,
) -> T {
    if message.len() < agreed.compression.message_bytes_min {
        return take(None);
    }
    PACKERS.with_borrow_mut(|packers| {
        let mut scratch = std::mem::take(&mut packers.scratch);
        scratch.clear();
        let packed = packers.pack(agreed, message, history, &mut scratch);
        let result = take(if packed { Some(&scratch) } else { None });
        if scratch.capacity() <= SCRATCH_BYTES_MAX {
            packers.scratch = scratch;
        }
        result
    })
}

impl Packers {
    /// Whether the message became shorter.
    fn pack(&mut self, agreed: &Agreed, message: &[u8], history: &[u8], packed: &mut Vec<u8>) -> bool {
        // Nothing can lie farther back than there is.
        let fits = message.len() + history.len() <= 1 << agreed.out_bits;
        let bits = if fits { BITS_MAX } else { agreed.out_bits };
        if bits < BITS_MIN {
            return false;
        }
        let level = agreed.compression.level;
        let known =
            self.made.iter().position(|(has_bits, has_level, _)| (*has_bits, *has_level) == (bits, level));
        let index = known.unwrap_or_else(|| {
            let compress = Compress::new_with_window_bits(Level::new(level.into()), false, bits);
            self.made.push((bits, level, compress));
            self.made.len() - 1
        });
        let Some((.., compress)) = self.made.get_mut(index) else { return false };
        compress.reset();
        if !history.is_empty() && compress.set_dictionary(history).is_err() {
            return false;
        }
        packed.reserve_exact(message.len() + TAIL.len());
        let room = message.len().saturating_add(TAIL.len());
        let done = compress.compress_vec(message, packed, FlushCompress::Sync);
        // Where the buffer is full there may be more to come.
        let whole = done.is_ok() && compress.total_in() == message.len() as u64 && packed.len() < room;
        if whole && packed.ends_with(&TAIL) {
            packed.truncate(packed.len() - TAIL.len());
        }
        whole && packed.len() < message.len()
    }
}

/// The length that a packed message may have if its content may have so many bytes: what cannot be made shorter becomes a little
/// longer.
pub(crate) fn packed_bytes_max(bytes_max: usize) -> usize {
    bytes_max.saturating_add(bytes_max / 16).saturating_add(64)
}

/// Unpacks a message, which is an error beyond `bytes_max`. `history` is what came before, if the message may refer to it.
pub(crate) fn unpack(packed: &[u8], history: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
    // An empty message should have one byte (RFC 7692, 7.2.3.6); some senders leave that out, too.
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    UNPACKER.with_borrow_mut(|kept| {
        let unpacker = kept.get_or_insert_with(|| Decompress::new_with_window_bits(false, BITS_MAX));
        unpacker.reset(false);
        if !history.is_empty() && unpacker.set_dictionary(history).is_err() {
            return Err(malformed());
        }
        let first = packed.len().saturating_mul(4).clamp(FIRST_RESERVE_BYTES, 16 * FIRST_RESERVE_BYTES);
        let mut unpacking = Unpacking { unpacker, bytes: Vec::new(), bytes_max, streams: 1 };
        unpacking.bytes.reserve_exact(first.min(bytes_max.saturating_add(1)));
        // Some senders end a stream with the message, and leave nothing out.
        if unpacking.push(packed)? || unpacking.push(&TAIL)? || unpacking.push(&END)? {
            Ok(unpacking.bytes)
        } else {
            Err(malformed())
        }
    })
}

fn malformed() -> Violation {
    Violation { code: 1007, reason: "Invalid compressed data".into() }
}

struct Unpacking<'a> {
    unpacker: &'a mut Decompress,
    bytes: Vec<u8>,
    bytes_max: usize,
    streams: usize,
}

impl Unpacking<'_> {
    /// Takes a part; whether a stream ended with it.
    fn push(&mut self, mut part: &[u8]) -> Result<bool, Violation> {
        loop {
            if self.bytes.len() > self.bytes_max {
                return Err(Violation::too_large_unpacked(self.bytes_max));
            }
            if self.bytes.len() == self.bytes.capacity() {
                // One byte beyond the limit shows that there is more.
                let most = self.bytes_max.saturating_add(1) - self.bytes.len();
                self.bytes.reserve_exact(self.bytes.len().max(FIRST_RESERVE_BYTES).min(most));
            }
            let before = (self.unpacker.total_in(), self.bytes.len());
            let status = self.unpacker.decompress_vec(part, &mut self.bytes, FlushDecompress::None);
            let used = self.unpacker.total_in().saturating_sub(before.0);
            part = part.get(usize::try_from(used).unwrap_or(usize::MAX)..).unwrap_or_default();
            match status {
                Ok(Status::StreamEnd) if part.is_empty() => return Ok(true),
                Ok(Status::StreamEnd) if self.streams < STREAMS_MAX => {
                    self.streams += 1;
                    self.unpacker.reset(false);
                }
                Ok(Status::Ok | Status::BufError) => {
                    if self.bytes.len() == self.bytes.capacity() {
                        continue;
                    }
                    if part.is_empty() {
                        return Ok(false);
                    }
                    if (used, self.bytes.len()) == (0, before.1) {
                        return Err(malformed());
                    }
                }
                Ok(Status::StreamEnd) | Err(_) => return Err(malformed()),
            }
        }
    }
}

/// Adds a message to a history, of which the last 32 KiB are kept, or `1 << bits` bytes.
pub(crate) fn remember(history: &mut Vec<u8>, message: &[u8], bits: u8) {
    let most = 1_usize << bits.min(BITS_MAX);
    let kept = message.get(message.len().saturating_sub(most)..).unwrap_or(message);
    let less = (history.len() + kept.len()).saturating_sub(most);
    history.drain(..less.min(history.len()));
    history.reserve_exact(kept.len());
    history.extend_from_slice(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::agreed::Compression;

    fn agreed(out_bits: u8, level: u8) -> Agreed {
        let compression = Compression { message_bytes_min: 0, level, context_takeover: true };
        Agreed { out_bits, keeps_out: true, keeps_in: true, compression }
    }

    fn packed(agreed: &Agreed, message: &[u8], history: &[u8]) -> Option<Vec<u8>> {
        with_packed(agreed, message, history, |packed| packed.map(<[u8]>::to_vec))
    }

    // Text whose repetitions lie as far back as they can.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut words = Vec::new();
        while words.len() < length.min(40_000) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            words.extend_from_slice(format!("{:02} and ", state >> 26).as_bytes());
        }
        words.iter().copied().cycle().take(length).collect()
    }

    /// The farthest that a packed message refers back to, by a decompressor with that window.
    fn fits_window(packed: &[u8], bits: u8, length: usize) -> bool {
        let mut unpacker = Decompress::new_with_window_bits(false, bits.max(9));
        let mut whole = Vec::new();
        let stream = [packed, &TAIL, &END].concat();
        // Small buffers, so that the window itself is what is referred to.
        let (mut rest, mut piece) = (&stream[..], Vec::with_capacity(64));
        loop {
            piece.clear();
            let before = unpacker.total_in();
            let status = unpacker.decompress_vec(rest, &mut piece, FlushDecompress::None);
            rest = &rest[(unpacker.total_in() - before) as usize..];
            whole.extend_from_slice(&piece);
            match status {
                Ok(Status::StreamEnd) => return whole.len() == length,
                Ok(_) if !piece.is_empty() || !rest.is_empty() => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn every_window_and_level_can_be_read_again() {
        for bits in 8..=15 {
            for level in 1..=9 {
                let agreed = agreed(bits, level);
                for length in [1, 100, 256, 257, 512, 1000, 4096, 32_768, 32_769, 200_000] {
                    let message = text(length);
                    let Some(packed) = packed(&agreed, &message, &[]) else {
                        assert!(length < 100 || bits == 8 && length > 256, "{bits} {level} {length}");
                        continue;
                    };
                    assert!(fits_window(&packed, bits, length), "{bits} {level} {length}");
                    assert_eq!(unpack(&packed, &[], length).unwrap(), message, "{bits} {level} {length}");
                    assert_eq!(unpack(&packed, &[], length - 1).unwrap_err().code, 1009);
                }
            }
        }
    }

    #[test]
    fn what_does_not_become_shorter_is_left() {
        let mut state = 7_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(100_000)
        .collect();
        assert_eq!(packed(&agreed(15, 6), &noise, &[]), None);
        assert_eq!(packed(&agreed(15, 6), b"", &[]), None);
        let min = Compression { message_bytes_min: 11, level: 1, context_takeover: false };
        let agreed = Agreed { compression: min, ..agreed(15, 1) };
        assert_eq!(packed(&agreed, b"aaaaaaaaaa", &[]), None);
        assert!(packed(&agreed, b"aaaaaaaaaaa", &[]).is_some());
    }

    #[test]
    fn a_history_makes_a_message_shorter_and_is_needed_to_read_it() {
        for bits in [9, 10, 15] {
            let agreed = agreed(bits, 6);
            let (mut sent, mut read) = (Vec::new(), Vec::new());
            for round in 0..200 {
                let message =
                    format!("{{\"round\":{round},\"who\":\"somebody with a name\",\"x\":[1,2,3,4]}}");
                if round > 0 {
                    let packed = packed(&agreed, message.as_bytes(), &sent).unwrap();
                    assert_eq!(unpack(&packed, &read, 1000).unwrap(), message.as_bytes());
                    assert!(packed.len() < message.len() / 2, "{round}: {}", packed.len());
                    let alone = unpack(&packed, &[], 1000).unwrap_err();
                    assert_eq!(alone.code, 1007, "nothing is left of others");
                }
                remember(&mut sent, message.as_bytes(), bits);
                remember(&mut read, message.as_bytes(), 15);
                assert!(sent.len() <= 1 << bits && read.len() <= 1 << 15);
            }
        }
        let mut history = b"abc".to_vec();
        remember(&mut history, &text(100_000), 15);
        assert_eq!(history, text(100_000)[100_000 - 32_768..]);
    }

    #[test]
    fn the_examples_of_the_standard() {
        let hello = |packed: &[u8]| unpack(packed, &[], 100).map(|bytes| String::from_utf8(bytes).unwrap());
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        let ended = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        for packed in [&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &stored, &two_blocks, &ended] {
            assert_eq!(hello(packed).unwrap(), "Hello", "{packed:?}");
        }
        assert_eq!(unpack(&[0xf2, 0x00, 0x11, 0x00, 0x00], b"Hello", 100).unwrap(), b"Hello");
        assert_eq!(hello(&[0x00]).unwrap(), "");
        assert_eq!(hello(&[]).unwrap(), "", "nothing at all, too");
        assert_eq!(hello(&ended[..7]).unwrap(), "Hello", "a stream may end with the message");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let whole = packed(&agreed(15, 6), &text(3000), &[]).unwrap();
        for length in 1..whole.len() {
            assert_eq!(unpack(&whole[..length], &[], 5000).unwrap_err().code, 1007, "{length}");
        }
        for packed in [&[0xff; 10][..], &[0x06], &[0x00, 0x01, 0x00, 0x00, 0x00, 0x61]] {
            assert_eq!(unpack(packed, &[], 1000).unwrap_err().code, 1007, "{packed:?}");
        }
        let streams = [0x03, 0x00].repeat(STREAMS_MAX - 1);
        assert_eq!(unpack(&streams, &[], 10).unwrap(), b"");
        assert_eq!(unpack(&[0x03, 0x00].repeat(STREAMS_MAX + 1), &[], 10).unwrap_err().code, 1007);
    }

    #[test]
    fn a_bomb_takes_no_more_than_it_may() {
        let zeros = vec![0; 30 << 20];
        let bomb = packed(&agreed(15, 9), &zeros, &[]).unwrap();
        assert!(bomb.len() < 40_000, "{}", bomb.len());
        assert_eq!(unpack(&bomb, &[], 1 << 20).unwrap_err().code, 1009);
        let fits = unpack(&bomb, &[], zeros.len()).unwrap();
        assert!(fits == zeros && fits.capacity() <= zeros.len() + 1);
    }
}
