//! The decoder of WebSocket frames: the same bytes give the same messages however they arrive, within the bounds.

#[path = "../../runtime/net/src/socket/decode.rs"]
mod decode;

use decode::{Bounds, Decoder};

const BOUNDS: Bounds = Bounds { message_bytes_max: 4096, fragments_max: 8 };

/// The first byte says how long the pieces are in which the others arrive.
pub fn run(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let whole = decoded(stream, stream.len().max(1));
    assert_eq!(whole, decoded(stream, usize::from(piece).max(1)));
}

fn decoded(stream: &[u8], piece: usize) -> Vec<String> {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
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
                decoder.kept() <= 2 * BOUNDS.message_bytes_max.max(16 * 1024),
                "{} bytes",
                decoder.kept()
            );
        }
    }
    found
}
