//! The frames of an HTTP/2 client as they are counted: the same verdict however the bytes arrive.

#[path = "../../runtime/net/src/front/ledger.rs"]
mod ledger;

use ledger::Ledger;
use partyrun_limits::Limits;

/// The first byte says how long the pieces are in which the others arrive.
pub fn run(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let whole = judged(stream, stream.len().max(1));
    assert_eq!(whole, judged(stream, usize::from(piece).max(1)));
}

// Whether it is a flood, and whether something has begun and not ended.
fn judged(stream: &[u8], piece: usize) -> (bool, bool) {
    let limits = Limits {
        http2_control_frames_per_second_max: 4,
        http2_resets_per_second_max: 2,
        ..Limits::default()
    };
    let mut ledger = Ledger::new(&limits);
    ledger.note_written(2048);
    let mut flood = false;
    for piece in stream.chunks(piece) {
        flood |= !ledger.advance(piece, 7);
    }
    (flood, ledger.is_midway())
}
