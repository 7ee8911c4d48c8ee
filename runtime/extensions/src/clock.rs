//! What `js/moved_clock.js` asks of the clock that tests move.

use deno_core::op2;

/// How far the clock is ahead of the machine's, in milliseconds.
#[op2(fast)]
pub(crate) fn op_clock_offset() -> f64 {
    partyrun_clock::offset_ms() as f64
}

/// Waits until the clock is ahead by something else than `seen`, and answers by how much.
#[op2]
pub(crate) async fn op_clock_moved(seen: f64) -> f64 {
    let mut moves = partyrun_clock::moved();
    let moved = moves.wait_for(|ahead| *ahead as f64 != seen).await;
    // The sender lives as long as the process.
    moved.map_or(seen, |ahead| *ahead as f64)
}
