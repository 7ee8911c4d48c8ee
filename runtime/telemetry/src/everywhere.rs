//! What the process counts as a whole, on whichever thread it happens: commits, crons, limits that were hit, lines of log that
//! were dropped, and how late each worker's event loop is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use partyrun_limits::TABLE;

use crate::cell::{Counter, Histogram};
use crate::meters::lock;

/// What there is once in a process.
#[derive(Debug)]
pub struct Everywhere {
    /// How long transactions took; a transaction has the writes of many rooms.
    pub commits: Histogram,
    /// Batches of writes that were made durable.
    pub batches: Counter,
    /// Batches that could not be.
    pub batches_failed: Counter,
    /// Runs of crons that succeeded, and those that failed.
    pub crons: [Counter; 2],
    /// Lines of log that nobody read in time.
    pub lines_dropped: Counter,
    /// Requests to the receiver of an export that failed.
    pub export_failures: Counter,
    /// Spans and lines of log for which the queue of the exporter had no place.
    pub export_dropped: Counter,
    pub(crate) limits: [Counter; TABLE.len()],
}

/// The counts of this process.
pub static EVERYWHERE: Everywhere = Everywhere {
    commits: Histogram::new(),
    batches: Counter::new(),
    batches_failed: Counter::new(),
    crons: [const { Counter::new() }; 2],
    lines_dropped: Counter::new(),
    export_failures: Counter::new(),
    export_dropped: Counter::new(),
    limits: [const { Counter::new() }; TABLE.len()],
};

static MEASURING: AtomicBool = AtomicBool::new(false);

/// Lets clocks be read for what only somebody who looks at metrics needs. It is never undone.
pub fn measure() {
    MEASURING.store(true, Ordering::Relaxed);
}

/// Whether somebody looks at metrics.
#[inline]
pub fn is_measuring() -> bool {
    MEASURING.load(Ordering::Relaxed)
}

/// A run of a cron has ended.
pub fn cron_ended(succeeded: bool) {
    let [good, bad] = &EVERYWHERE.crons;
    if succeeded { good } else { bad }.add_shared(1);
}

/// Something was refused or ended because of the limit in this row of the table; [`limit_hit`] finds the row.
///
/// [`limit_hit`]: crate::limit_hit
pub fn count_limit(row: usize) {
    if let Some(counter) = EVERYWHERE.limits.get(row) {
        counter.add_shared(1);
    }
}

/// The row of a limit in the table.
///
/// # Panics
/// Where there is no such limit: when the compiler evaluates it.
pub const fn row_of(name: &str) -> usize {
    let mut row = 0;
    while row < TABLE.len() {
        if is_same(TABLE[row].name.as_bytes(), name.as_bytes()) {
            return row;
        }
        row += 1;
    }
    panic!("there is no limit of this name")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Counts that something was refused or ended because of a limit, named as its field.
#[macro_export]
macro_rules! limit_hit {
    ($name:ident) => {{
        const ROW: usize = $crate::row_of(stringify!($name));
        $crate::count_limit(ROW);
    }};
}

/// How late the event loop of one worker, or of all of one kind, is.
#[derive(Debug)]
pub struct Lateness {
    pub(crate) worker: String,
    pub(crate) delay: Histogram,
}

static WORKERS: Mutex<Vec<Arc<Lateness>>> = Mutex::new(Vec::new());

impl Lateness {
    /// Of the worker that has this name in labels.
    pub fn of(worker: &str) -> Arc<Self> {
        let mut workers = lock(&WORKERS);
        if let Some(known) = workers.iter().find(|known| known.worker == worker) {
            return known.clone();
        }
        let one = Arc::new(Self { worker: worker.to_string(), delay: Histogram::new() });
        workers.push(one.clone());
        one
    }

    /// Something that was to happen by now is so late.
    pub fn record(&self, late: Duration) {
        self.delay.record_shared(late);
    }

    pub(crate) fn all() -> Vec<Arc<Self>> {
        lock(&WORKERS).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_by_their_names() {
        assert_eq!(TABLE[row_of("inbox_events_max")].name, "inbox_events_max");
        let count = || EVERYWHERE.limits[row_of("rooms_max")].get();
        let before = count();
        crate::limit_hit!(rooms_max);
        assert_eq!(count(), before + 1);
    }

    #[test]
    fn workers_of_one_name_share_their_histogram() {
        assert!(Arc::ptr_eq(&Lateness::of("slow"), &Lateness::of("slow")));
        assert!(!Arc::ptr_eq(&Lateness::of("slow"), &Lateness::of("edge")));
    }
}
