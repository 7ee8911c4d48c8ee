//! What a project uses, counted since it was last written down.

use std::sync::atomic::{AtomicI64, Ordering};

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
}

impl Meter {
    /// Adds to a count.
    pub(crate) fn add(count: &AtomicI64, number: usize) {
        count.fetch_add(i64::try_from(number).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// What was counted, which begins anew; none if nothing was.
    pub(crate) fn take(&self) -> Option<Usage> {
        let take = |count: &AtomicI64| count.swap(0, Ordering::Relaxed);
        let usage = Usage {
            requests: take(&self.requests),
            sockets: take(&self.sockets),
            bytes_in: take(&self.bytes_in),
            bytes_out: take(&self.bytes_out),
            cpu_ms: take(&self.cpu_ms),
            storage: take(&self.storage),
        };
        (usage != Usage::default()).then_some(usage)
    }
}
