//! What a project uses, counted since it was last written down.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::registry::Usage;

/// The counts.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) requests: AtomicI64,
    pub(crate) sockets: AtomicI64,
    pub(crate) bytes_in: AtomicI64,
    pub(crate) bytes_out: AtomicI64,
    pub(crate) cpu_ms: AtomicI64,
    pub(crate) storage: AtomicI64,
    /// Whether the storage is another one since then.
    measured: AtomicBool,
}

impl Meter {
    /// Adds to a count.
    pub(crate) fn add(count: &AtomicI64, number: usize) {
        count.fetch_add(i64::try_from(number).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Keeps what is stored.
    pub(crate) fn keep_storage(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.storage.swap(bytes, Ordering::Relaxed) != bytes {
            self.measured.store(true, Ordering::Relaxed);
        }
    }

    /// What was counted, which begins anew; none if nothing was. What is stored is no count, and stays.
    pub(crate) fn take(&self) -> Option<Usage> {
        let take = |count: &AtomicI64| count.swap(0, Ordering::Relaxed);
        let usage = Usage {
            requests: take(&self.requests),
            sockets: take(&self.sockets),
            bytes_in: take(&self.bytes_in),
            bytes_out: take(&self.bytes_out),
            cpu_ms: take(&self.cpu_ms),
            storage: self.storage.load(Ordering::Relaxed),
        };
        let is_new = self.measured.swap(false, Ordering::Relaxed);
        (is_new || usage != Usage { storage: usage.storage, ..Usage::default() }).then_some(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_stays_and_is_told_again_when_it_changes() {
        let meter = Meter::default();
        assert!(meter.take().is_none());
        meter.keep_storage(7);
        assert_eq!(meter.take().unwrap().storage, 7);
        meter.keep_storage(7);
        assert!(meter.take().is_none());
        assert_eq!(meter.storage.load(Ordering::Relaxed), 7);
        Meter::add(&meter.requests, 1);
        let usage = meter.take().unwrap();
        assert_eq!((usage.requests, usage.storage), (1, 7));
    }
}
