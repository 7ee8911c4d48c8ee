//! Where messages end in the bytes of an HTTP connection: the same ends and notes however the bytes arrive.

#[path = "../../runtime/net/src/front/framing.rs"]
mod framing;

use std::collections::VecDeque;

use framing::{Framing, HeadNote};

/// The first byte says how long the pieces are in which the others arrive.
pub fn run(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let whole = heads(stream, stream.len().max(1));
    assert_eq!(whole, heads(stream, usize::from(piece).max(1)));
}

fn heads(stream: &[u8], piece: usize) -> VecDeque<HeadNote> {
    let (mut framing, mut heads) = (Framing::default(), VecDeque::new());
    for mut piece in stream.chunks(piece) {
        while !piece.is_empty() {
            let count = framing.advance(piece, &mut heads);
            assert!(count > 0 && count <= piece.len());
            piece = &piece[count..];
        }
    }
    heads
}
