//! How fast a socket is read: not at all for a while, once its client has sent more than it may.
//!
//! The clock is looked at only when an allowance is used up, so that a socket that keeps within it costs two subtractions for
//! each read. In return a client that was silent for long may send twice what it can save up.

use std::time::{Duration, Instant};

/// What one socket may still send.
#[derive(Debug)]
pub(crate) struct Pace {
    messages: Bucket,
    bytes: Bucket,
}

#[derive(Debug)]
struct Bucket {
    /// How much comes back in a second; zero where nothing is limited.
    rate: f64,
    most: f64,
    left: f64,
    filled_at: Instant,
}

/// Which of a socket's limits is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    Messages,
    Bytes,
}

impl Pace {
    pub(super) fn new(messages_per_second: usize, bytes_per_second: usize, burst: Duration) -> Self {
        let now = Instant::now();
        let bucket = |rate: usize| {
            let rate = rate as f64;
            let most = (rate * burst.as_secs_f64()).max(1.0);
            Bucket { rate, most, left: most, filled_at: now }
        };
        Self { messages: bucket(messages_per_second), bytes: bucket(bytes_per_second) }
    }

    /// Counts what came. Where that was too much, says how long nothing more is to be read, and why.
    pub(crate) fn spend(&mut self, messages: usize, bytes: usize) -> Option<(Duration, Used)> {
        let waits = [(self.messages.spend(messages), Used::Messages), (self.bytes.spend(bytes), Used::Bytes)];
        waits.into_iter().filter_map(|(wait, used)| Some((wait?, used))).max_by_key(|(wait, _)| *wait)
    }
}

impl Bucket {
    fn spend(&mut self, amount: usize) -> Option<Duration> {
        self.left -= amount as f64;
        if self.left >= 0.0 || self.rate == 0.0 { None } else { self.refill(Instant::now()) }
    }

    #[cold]
    fn refill(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = now;
        self.left = (self.left + passed.as_secs_f64() * self.rate).min(self.most);
        (self.left < 0.0)
            .then(|| Duration::try_from_secs_f64(-self.left / self.rate).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_too_fast_is_waited_for() {
        let mut bucket = Pace::new(100, 0, Duration::from_secs(2)).messages;
        let begun = bucket.filled_at;
        bucket.left -= 200.0;
        assert_eq!(bucket.spend(0), None, "it may save up two seconds");
        bucket.left -= 50.0;
        assert_eq!(bucket.refill(begun), Some(Duration::from_millis(500)));
        assert_eq!(bucket.refill(begun + Duration::from_millis(250)), Some(Duration::from_millis(250)));
        assert_eq!(bucket.refill(begun + Duration::from_secs(1)), None);
        assert_eq!(bucket.refill(begun + Duration::from_secs(100)), None);
        assert_eq!(bucket.left, 200.0);
    }

    #[test]
    fn the_longer_wait_counts_and_nothing_is_limited_by_zero() {
        let mut pace = Pace::new(10, 1000, Duration::from_secs(1));
        assert_eq!(pace.spend(10, 1000), None);
        let (wait, used) = pace.spend(1, 10_000).unwrap();
        assert!(used == Used::Bytes && wait > Duration::from_secs(9), "{used:?} {wait:?}");
        let mut free = Pace::new(0, 0, Duration::from_secs(1));
        assert!((0..100).all(|_| free.spend(1000, usize::MAX).is_none()));
    }
}
