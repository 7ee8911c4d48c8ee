//! The wall clock that rooms, alarms, crons and bindings go by, and that a test can move forward.
//!
//! It is the machine's clock, unless the process was started for a test ([`make_movable`]); then [`advance`] adds to it, for all
//! who ask, at once. Whoever sleeps until a time asks [`moved`] to be woken. Limits of time are not concerned: they measure
//! what really passes.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

static MOVABLE: AtomicBool = AtomicBool::new(false);
static OFFSET_MS: AtomicI64 = AtomicI64::new(0);
static MOVES: LazyLock<watch::Sender<i64>> = LazyLock::new(|| watch::Sender::new(0));
static HOOKS: Mutex<Vec<Hook>> = Mutex::new(Vec::new());

type Hook = Box<dyn Fn() + Send>;

/// So far the clock can be moved in all; JavaScript's dates end a little later.
const OFFSET_MS_MAX: i64 = 8_000_000_000_000_000;

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(offset_ms())
}

/// How far the clock is ahead of the machine's, in milliseconds.
pub fn offset_ms() -> i64 {
    OFFSET_MS.load(Ordering::Acquire)
}

/// Lets the clock be moved, for the rest of the process. For tests only.
pub fn make_movable() {
    MOVABLE.store(true, Ordering::Release);
}

/// Whether the clock may be moved.
pub fn is_movable() -> bool {
    MOVABLE.load(Ordering::Acquire)
}

/// Moves the clock forward by so many milliseconds and answers how far it is ahead now; `None` if it may not be moved, or not
/// so far.
pub fn advance(ms: u64) -> Option<i64> {
    let more = i64::try_from(ms).ok().filter(|_| is_movable())?;
    let mut ahead = None;
    MOVES.send_modify(|seen| {
        ahead = offset_ms().checked_add(more).filter(|ahead| *ahead <= OFFSET_MS_MAX);
        if let Some(ahead) = ahead {
            OFFSET_MS.store(ahead, Ordering::Release);
            *seen = ahead;
        }
    });
    if ahead.is_some() {
        HOOKS.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|hook| hook());
    }
    ahead
}

/// Calls `hook` after every move, on the thread that moves the clock. Where it may not be moved, that is never.
pub fn on_move(hook: impl Fn() + Send + 'static) {
    if is_movable() {
        HOOKS.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }
}

/// Hears of every move: the value is how far the clock is ahead.
pub fn moved() -> watch::Receiver<i64> {
    MOVES.subscribe()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_where_it_may_and_tells_of_it() {
        assert_eq!((advance(1), offset_ms()), (None, 0));
        make_movable();
        let heard = moved();
        let before = now_ms();
        assert_eq!(advance(3_600_000), Some(3_600_000));
        assert!(now_ms() >= before + 3_600_000 && *heard.borrow() == 3_600_000);
        assert_eq!(advance(u64::MAX), None);
        assert_eq!(advance(9_000_000_000_000_000), None);
        assert_eq!(offset_ms(), 3_600_000);
    }
}
