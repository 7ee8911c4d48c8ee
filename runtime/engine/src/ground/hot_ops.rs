//! For tests only: counts how V8 calls the hot ops, as fast calls from optimized code or through the slow callback.
//!
//! A snapshot holds slow functions only (design, section 3, "Hot ops"). Without this count, nothing but lower speed would show
//! that the script which captures the fast functions has stopped working.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use deno_core::{OpMetricsEvent, OpMetricsFactoryFn, OpMetricsFn, OpMetricsSource};

/// The ops that are counted.
const COUNTED: [&str; 2] = ["op_broadcast_text", "op_socket_send_text"];

/// Fast calls so far.
pub(crate) static FAST: AtomicU64 = AtomicU64::new(0);
/// Calls of the slow callback so far.
pub(crate) static SLOW: AtomicU64 = AtomicU64::new(0);

/// What an isolate needs to count.
pub(crate) fn counter() -> OpMetricsFactoryFn {
    Box::new(|_, _, op| {
        let count: OpMetricsFn = Rc::new(|_, event, source| {
            if matches!(event, OpMetricsEvent::Dispatched) {
                let counter = if matches!(source, OpMetricsSource::Fast) { &FAST } else { &SLOW };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        COUNTED.contains(&op.name).then_some(count)
    })
}
