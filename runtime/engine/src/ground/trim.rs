//! Gives memory back to the system after isolates were dropped or garbage-collected.
//!
//! glibc keeps freed memory until `malloc_trim` is called (design, section 3). The call walks the heaps of all threads under
//! their locks, so it is made once for the whole process: after many isolates were dropped, or after a few if the last call was
//! long ago. Workers record what they drop and check once a second.

use std::sync::Mutex;
use std::sync::TryLockError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// So many dropped isolates are worth a trim at the next look: some hundred MiB.
const MANY: usize = 128;
/// Fewer wait until this much time has passed since the last trim.
const FEW_AFTER: Duration = Duration::from_secs(5);

/// Tidied isolates that free as much as a dropped one.
const TIDIED_PER_DROPPED: usize = 4;

static TIDIED: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);
static LAST: Mutex<Option<Instant>> = Mutex::new(None);

/// An isolate was dropped.
pub(crate) fn note_dropped() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// An isolate's garbage was collected.
pub(crate) fn note_tidied() {
    if TIDIED.fetch_add(1, Ordering::Relaxed) % TIDIED_PER_DROPPED == TIDIED_PER_DROPPED - 1 {
        note_dropped();
    }
}

/// Trims if it is worth it.
pub(crate) fn look() {
    let dropped = DROPPED.load(Ordering::Relaxed);
    if dropped == 0 {
        return;
    }
    // Another worker that looks at this moment does the same for all.
    let mut last = match LAST.try_lock() {
        Ok(last) => last,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    if is_due(dropped, last.map(|last| last.elapsed())) {
        *last = Some(Instant::now());
        DROPPED.store(0, Ordering::Relaxed);
        trim();
    }
}

/// Trims because memory is short, unless another worker does at this moment.
pub(crate) fn now() {
    if let Ok(mut last) = LAST.try_lock() {
        *last = Some(Instant::now());
        DROPPED.store(0, Ordering::Relaxed);
        trim();
    }
}

fn is_due(dropped: usize, since_last: Option<Duration>) -> bool {
    dropped >= MANY || dropped > 0 && since_last.is_none_or(|since| since >= FEW_AFTER)
}

fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim has no precondition.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_trim_at_once_and_few_now_and_then() {
        assert!(is_due(MANY, Some(Duration::ZERO)));
        assert!(is_due(1, None) && is_due(1, Some(FEW_AFTER)));
        assert!(!is_due(1, Some(Duration::from_secs(1))) && !is_due(0, None));
    }
}
