//! The last resort when memory runs out although no more rooms start: the room that uses the most memory is reset, before the
//! kernel ends the whole process.
//!
//! A thread checks the tightest bound, more often the less memory is left. What a room uses is known from its last garbage
//! collection and from its memory outside the heap; both can be read from any thread. The log names the room that was reset.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::api::StartError;
use crate::engine::inner::Inner;

/// Of what new rooms may not have, live ones may have this part.
const CRITICAL_PART: f64 = 0.6;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The same when no more rooms start.
const LOOK_OFTEN_EVERY: Duration = Duration::from_millis(20);
/// How long it is waited for the memory of a room that was reset.
const RELIEF_TAKES: Duration = Duration::from_millis(500);
/// Starts the thread. It ends with its engine.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), StartError> {
    let engine = Arc::downgrade(inner);
    let share_max = inner.options.limits.memory_share_max;
    let critical = share_max + (1.0 - share_max).max(0.0) * CRITICAL_PART;
    let watch = move || {
        loop {
            let running = engine.upgrade().filter(|engine| !engine.stopping.load(Ordering::Acquire));
            let Some(engine) = running else { return };
            let share = engine.places.memory_share();
            let sleep = if share > critical && engine.registry.end_largest() {
                RELIEF_TAKES
            } else if share > share_max {
                LOOK_OFTEN_EVERY
            } else {
                LOOK_EVERY
            };
            drop(engine);
            std::thread::sleep(sleep);
        }
    };
    std::thread::Builder::new()
        .name("memory".to_string())
        .spawn(watch)
        .map_err(|error| StartError::Machine(format!("the memory thread could not be started: {error}")))?;
    Ok(())
}
