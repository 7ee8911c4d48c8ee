//! Counting bytes against a limit: for the whole process ([`Total`]) and for one room's part of it ([`Budget`]).
//!
//! A [`Budget`] belongs to one thread and tells its [`Total`] only of whole steps, so that counting a small message costs no
//! atomic operation. What may be freed on any thread carries its [`Charge`] with it. Nothing here refuses by itself: code
//! asks [`Budget::is_full`] before it takes more in, and says what happens then.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a budget may have taken without its total knowing of it.
const STEP_BYTES: usize = 16 << 10;
/// What a budget may take although its total is used up by others.
const FAIR_BYTES: usize = 256 << 10;

/// Bytes that the process, or one isolate, has for one purpose.
#[derive(Debug)]
pub struct Total {
    used: AtomicUsize,
    max: usize,
}

impl Total {
    /// A total of at most `max` bytes, of which none are taken.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }

    /// Takes `bytes` if they fit, and says whether it did. The caller gives them back with [`Self::give`].
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.max;
        if !fits {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Counts `bytes` that are there already.
    pub fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives `bytes` back. A miscount must never wrap into "nothing is left".
    pub fn give(&self, bytes: usize) {
        let less = |used: usize| Some(used.saturating_sub(bytes));
        let _always = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bytes that are taken now. It may exceed [`Self::max`], because [`Self::add`] counts without asking.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit, in bytes.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Whether nothing more should be taken in.
    pub fn is_full(&self) -> bool {
        self.used() >= self.max
    }

    /// Whether more is taken than may be.
    pub fn is_exceeded(&self) -> bool {
        self.used() > self.max
    }

    /// Takes `bytes` until the answer is dropped, if they fit.
    pub fn try_charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        self.take(bytes).then(|| Charge { totals: [Some(self.clone()), None], bytes })
    }

    /// Counts `bytes` until the answer is dropped, on whatever thread.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { totals: [Some(self.clone()), None], bytes }
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub struct Charge {
    totals: [Option<Arc<Total>>; 2],
    bytes: usize,
}

impl Charge {
    /// Counts `bytes` in two totals; none if they do not fit into the first.
    pub fn of([first, second]: [&Arc<Total>; 2], bytes: usize) -> Option<Self> {
        first.take(bytes).then(|| {
            second.add(bytes);
            Self { totals: [Some(first.clone()), Some(second.clone())], bytes }
        })
    }
}

impl Charge {
    /// Counts `bytes` that are there already in two totals.
    pub fn both([first, second]: [&Arc<Total>; 2], bytes: usize) -> Self {
        first.add(bytes);
        second.add(bytes);
        Self { totals: [Some(first.clone()), Some(second.clone())], bytes }
    }

    /// Counts other `bytes` in the same totals.
    #[must_use]
    pub fn like(&self, bytes: usize) -> Self {
        self.totals.iter().flatten().for_each(|total| total.add(bytes));
        Self { totals: self.totals.clone(), bytes }
    }

    /// Counts `bytes` from now on in place of what was counted, whether they fit or not.
    pub fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.totals.iter().flatten().for_each(|total| total.add(more)),
            None => self.totals.iter().flatten().for_each(|total| total.give(self.bytes - bytes)),
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.totals.iter().flatten().for_each(|total| total.give(self.bytes));
    }
}

/// One room's part of a total; for one thread.
#[derive(Debug)]
pub struct Budget {
    total: Arc<Total>,
    /// What is counted here, and how much of it the total knows.
    used: Cell<usize>,
    told: Cell<usize>,
    /// What may be freed on other threads; the total knows all of it.
    shared: Arc<Total>,
}

impl Budget {
    /// A part of `total` of at most `max` bytes.
    pub fn new(total: &Arc<Total>, max: usize) -> Self {
        Self { total: total.clone(), used: Cell::new(0), told: Cell::new(0), shared: Total::new(max) }
    }

    /// A budget that is never full, for tests and for what has another bound.
    pub fn unbounded() -> Self {
        Self::new(&Total::new(usize::MAX), usize::MAX)
    }

    /// Counts `bytes` more. The caller has asked [`Self::is_full`] or [`Self::refuses`] before, and calls
    /// [`Self::give`] later.
    pub fn add(&self, bytes: usize) {
        let used = self.used.get().saturating_add(bytes);
        self.used.set(used);
        if used - self.told.get() >= STEP_BYTES {
            self.tell(used);
        }
    }

    /// Gives back `bytes` that [`Self::add`] counted.
    pub fn give(&self, bytes: usize) {
        let used = self.used.get().saturating_sub(bytes);
        self.used.set(used);
        if used < self.told.get() {
            self.tell(used);
        }
    }

    // The total knows whole steps, rounded down.
    fn tell(&self, used: usize) {
        let told = used - used % STEP_BYTES;
        match told.checked_sub(self.told.get()) {
            Some(more) => self.total.add(more),
            None => self.total.give(self.told.get() - told),
        }
        self.told.set(told);
    }

    /// Counts `bytes` until the answer is dropped, on whatever thread.
    pub fn charge(&self, bytes: usize) -> Charge {
        self.shared.add(bytes);
        self.total.add(bytes);
        Charge { totals: [Some(self.shared.clone()), Some(self.total.clone())], bytes }
    }

    /// Bytes that are counted now, charges on other threads included.
    pub fn used(&self) -> usize {
        self.used.get().saturating_add(self.shared.used())
    }

    /// Whether this part has reached its own limit, whatever the process has left.
    pub fn is_used_up(&self) -> bool {
        self.used() >= self.shared.max()
    }

    /// Whether nothing more should be taken in, here or in all of the process.
    pub fn is_full(&self) -> bool {
        self.is_used_up() || self.total.is_full()
    }

    /// Whether nothing more may be taken in. Where the process has no more, a room may still have a little.
    pub fn refuses(&self) -> bool {
        self.is_used_up() || self.used() >= FAIR_BYTES && self.total.is_full()
    }

    /// How a message names what is used up, as [`crate::Limits::cite`] does: `own` is the limit of this part, `total` that of
    /// the process, which may be lower than its setting.
    pub fn cite(&self, own: &str, total: &str) -> String {
        let (name, max) = if self.is_used_up() { (own, self.max()) } else { (total, self.total.max()) };
        format!("limit `{name}`: {}", crate::shown_bytes(max as u64))
    }

    /// The limit of this part, in bytes.
    pub fn max(&self) -> usize {
        self.shared.max()
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.total.give(self.told.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let total = Total::new(100);
        assert!(total.take(60) && !total.take(60) && total.take(40));
        assert!(total.is_full() && !total.is_exceeded());
        total.add(1);
        assert!(total.is_exceeded());
        total.give(1000);
        assert_eq!(total.used(), 0, "a miscount does not wrap");
    }

    #[test]
    fn a_total_knows_what_its_parts_have_in_steps() {
        let total = Total::new(10 * STEP_BYTES);
        let (one, two) = (Budget::new(&total, 8 * STEP_BYTES), Budget::new(&total, 8 * STEP_BYTES));
        one.add(STEP_BYTES - 1);
        assert_eq!((one.used(), total.used()), (STEP_BYTES - 1, 0));
        one.add(1);
        assert_eq!(total.used(), STEP_BYTES);
        one.add(7 * STEP_BYTES);
        assert!(one.is_full() && one.is_used_up() && !two.is_full());
        two.add(2 * STEP_BYTES);
        assert!(two.is_full() && !two.is_used_up(), "the process has no more");
        one.give(8 * STEP_BYTES);
        assert_eq!((one.used(), total.used()), (0, 2 * STEP_BYTES));
        one.add(STEP_BYTES + 7);
        assert_eq!(total.used(), 3 * STEP_BYTES, "rounded down");
        one.give(STEP_BYTES + 7);
        drop(two);
        assert_eq!(total.used(), 0);
    }

    #[test]
    fn where_the_process_has_no_more_a_part_may_still_have_a_little() {
        let total = Total::new(FAIR_BYTES);
        total.add(FAIR_BYTES);
        let budget = Budget::new(&total, 2 * FAIR_BYTES);
        assert!(budget.is_full() && !budget.refuses());
        budget.add(FAIR_BYTES);
        assert!(budget.refuses() && !budget.is_used_up());
        assert_eq!(budget.cite("own", "all"), "limit `all`: 256 KiB");
        budget.add(FAIR_BYTES);
        assert_eq!(budget.cite("own", "all"), "limit `own`: 512 KiB");
    }

    #[test]
    fn a_charge_outlives_its_budget_and_its_thread() {
        let total = Total::new(1000);
        let budget = Budget::new(&total, 500);
        let charge = budget.charge(500);
        assert!(budget.is_full() && budget.used() == 500);
        drop(budget);
        assert_eq!(total.used(), 500);
        std::thread::spawn(move || drop(charge)).join().unwrap();
        assert_eq!(total.used(), 0);
        let other = Total::new(1000);
        let mut charge = Charge::both([&total, &other], 10);
        for bytes in [700, 20, 20] {
            charge.set(bytes);
            assert_eq!((total.used(), other.used()), (bytes, bytes));
        }
        drop(charge);
        assert_eq!((total.used(), other.used()), (0, 0));
    }
}
