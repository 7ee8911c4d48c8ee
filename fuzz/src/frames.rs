//! The decoder of WebSocket frames: the same bytes give the same messages however they arrive, within the bounds.

#[path = "../../runtime/net/src/socket/decode.rs"]
mod decode;

use decode::{Bounds, Decoder, Sender};

use crate::deflate::{Agreed, Compression, packed_bytes_max};

const BOUNDS: Bounds = Bounds { message_bytes_max: 4096, fragments_max: 8 };

/// The first byte says how long the pieces are in which the others arrive, the second one whether compression was agreed on,
/// and whether messages may refer to earlier ones.
pub fn run(bytes: &[u8]) {
    let &[piece, flags, ref stream @ ..] = bytes else { return };
    let whole = decoded(stream, flags, stream.len().max(1));
    assert_eq!(whole, decoded(stream, flags, usize::from(piece).max(1)));
}

fn decoded(stream: &[u8], flags: u8, piece: usize) -> Vec<String> {
    let compression = Compression { message_bytes_min: 0, level: 1, context_takeover: flags & 2 != 0 };
    let agreed = Agreed { out_bits: 15, keeps_out: false, keeps_in: flags & 2 != 0, compression };
    let mut decoder = Decoder::new(Sender::Client, (flags & 1 != 0).then_some(agreed));
    let mut found = Vec::new();
    for piece in stream.chunks(piece) {
        let mut bytes = piece.to_vec();
        let mut left = bytes.as_mut_slice();
        loop {
            match decoder.next(&mut left, BOUNDS) {
                Ok(Some(incoming)) => found.push(format!("{incoming:?}")),
                Ok(None) => break,
                Err(violation) => {
                    assert!((1002..=1009).contains(&violation.code), "{violation:?}");
                    found.push(format!("{violation:?}"));
                    return found;
                }
            }
            assert!(
                decoder.kept() <= 2 * packed_bytes_max(BOUNDS.message_bytes_max).max(16 * 1024),
                "{} bytes",
                decoder.kept()
            );
        }
    }
    found
}
