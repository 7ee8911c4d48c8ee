//! What is counted, as plainly as it can be: numbers in memory that one thread writes and any thread reads.
//!
//! A count is one load and one store without a locked instruction, so that counting costs about as much as adding to a
//! local variable. That is right only where one thread writes; what several threads write is counted by the functions
//! whose names end with `_shared`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds, where no other thread does.
    #[inline]
    pub fn add(&self, more: usize) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(more as u64);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// Adds, whoever else does.
    pub fn add_shared(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// How much it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// A number that grows and shrinks, written by one thread. Of several threads only the sum is the number that is meant.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// One more.
    #[inline]
    pub fn rise(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// So many fewer.
    #[inline]
    pub fn sink(&self, by: usize) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(by as u64), Ordering::Relaxed);
    }

    /// As much as `value`.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// What this thread has counted; a number below zero is a large one, until it is added to the others.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of all histograms, in nanoseconds; above the last there is one more bucket.
const BOUNDS: [u64; 19] = {
    const US: u64 = 1_000;
    const MS: u64 = 1_000_000;
    [
        10 * US,
        25 * US,
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        MS,
        2 * MS + 500 * US,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1000 * MS,
        2500 * MS,
        5000 * MS,
        10_000 * MS,
    ]
};
/// Buckets of a histogram, the last without a bound.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

/// How long something took, how often.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Nothing was measured yet.
    pub const fn new() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], nanoseconds: AtomicU64::new(0) }
    }

    /// Adds a duration, where no other thread does.
    #[inline]
    pub fn record(&self, took: Duration) {
        let nanoseconds = nanoseconds(took);
        if let Some(count) = self.counts.get(bucket(nanoseconds)) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        let sum = self.nanoseconds.load(Ordering::Relaxed).wrapping_add(nanoseconds);
        self.nanoseconds.store(sum, Ordering::Relaxed);
    }

    /// Adds a duration, whoever else does.
    pub fn record_shared(&self, took: Duration) {
        let nanoseconds = nanoseconds(took);
        if let Some(count) = self.counts.get(bucket(nanoseconds)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

fn bucket(nanoseconds: u64) -> usize {
    BOUNDS.partition_point(|bound| *bound < nanoseconds)
}

/// Histograms of several threads, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    counts: [u64; BUCKETS],
    nanoseconds: u64,
}

impl Spread {
    /// Adds what one has counted by now.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, count) in self.counts.iter_mut().zip(&histogram.counts) {
            *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
        }
        self.nanoseconds = self.nanoseconds.wrapping_add(histogram.nanoseconds.load(Ordering::Relaxed));
    }

    /// One histogram alone.
    pub(crate) fn of(histogram: &Histogram) -> Self {
        let mut spread = Self::default();
        spread.add(histogram);
        spread
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    pub fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }

    /// What came after an earlier look at the same.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (count, before) in since.counts.iter_mut().zip(earlier.counts) {
            *count = count.wrapping_sub(before);
        }
        since.nanoseconds = since.nanoseconds.wrapping_sub(earlier.nanoseconds);
        since
    }

    /// Their mean in seconds; none where there are none.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.seconds() / count as f64)
    }

    /// How long this share of them took at most, in seconds, as far as buckets tell: within one it is taken to be even.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = share * self.count() as f64;
        let (mut below, mut from) = (0.0, 0.0);
        for (bound, count) in self.buckets().filter(|_| self.count() > 0) {
            let count = count as f64;
            if count > 0.0 && below + count >= wanted {
                let bound = if bound.is_finite() { bound } else { from };
                return Some(from + (bound - from) * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            (below, from) = (below + count, if bound.is_finite() { bound } else { from });
        }
        None
    }

    /// Each bucket's upper bound in seconds with how many are in it, not in those below. The last has no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e9).chain([f64::INFINITY]);
        bounds.zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let histogram = Histogram::new();
        for took in [0, 10_000, 10_001, 99_000_000, 11_000_000_000] {
            histogram.record(Duration::from_nanos(took));
        }
        histogram.record_shared(Duration::from_millis(100));
        let spread = Spread::of(&histogram);
        let filled: Vec<(f64, u64)> = spread.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1e-5, 2), (2.5e-5, 1), (0.1, 2), (f64::INFINITY, 1)]);
        assert_eq!(spread.count(), 6);
        assert!((spread.seconds() - 11.199_020_001).abs() < 1e-9, "{}", spread.seconds());
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let histogram = Histogram::new();
        assert_eq!((Spread::of(&histogram).mean(), Spread::of(&histogram).quantile(0.5)), (None, None));
        let earlier = Spread::of(&histogram);
        for took in [1, 1, 1, 80] {
            histogram.record(Duration::from_millis(took));
        }
        let spread = Spread::of(&histogram).since(&earlier);
        assert!((spread.mean().unwrap() - 0.020_75).abs() < 1e-9);
        let (median, last) = (spread.quantile(0.5).unwrap(), spread.quantile(0.99).unwrap());
        assert!(median > 0.0005 && median <= 0.001 && last > 0.05 && last <= 0.1, "{median} {last}");
        assert_eq!(spread.since(&spread).quantile(0.5), None);
        let endless = Histogram::new();
        endless.record(Duration::from_secs(60));
        assert_eq!(Spread::of(&endless).quantile(0.99), Some(10.0), "longer than the last bound");
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn a_level_that_one_thread_raised_another_may_sink() {
        let (one, other) = (Level::default(), Level::default());
        one.rise();
        one.rise();
        other.sink(1);
        assert_eq!(one.get().wrapping_add(other.get()), 1);
    }
}
