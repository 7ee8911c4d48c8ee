//! The alarm clock: the thread that wakes for alarms (spec 2.11).
//!
//! It sleeps until the next is due, takes what is due from the store and sends it to the rooms' workers, never more than
//! `alarms_running_max` at a time. What a run is, `room/alarms.rs` says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::api::StartError;
use crate::engine::inner::Inner;
use crate::room::alarms::REFUSED_WAIT_MS;
use crate::worker::message::Message;

/// Alarms that are taken from the store at once.
const TAKEN_AT_ONCE: usize = 256;
/// The clock may jump, so that the thread looks at least so often (threat 24).
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How soon it looks again when as many run as may.
const FULL_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Starts the thread. It ends with its engine.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), StartError> {
    let (wake, woken) = std::sync::mpsc::channel::<()>();
    let moved = wake.clone();
    inner.store.on_earlier_alarm(Arc::new(move |_| {
        let _gone = wake.send(());
    }));
    partyrun_clock::on_move(move || {
        let _gone = moved.send(());
    });
    let engine = Arc::downgrade(inner);
    let watch = move || {
        loop {
            let running = engine.upgrade().filter(|engine| !engine.stopping.load(Ordering::Acquire));
            let Some(engine) = running else { return };
            let sleep = fire_due(&engine);
            drop(engine);
            if woken.recv_timeout(sleep) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("alarms".to_string())
        .spawn(watch)
        .map_err(|error| StartError::Machine(format!("the alarm thread could not be started: {error}")))?;
    Ok(())
}

// Sends what is due to its rooms and answers how long nothing will be.
fn fire_due(engine: &Inner) -> Duration {
    if engine.alarms_held.load(Ordering::Acquire) {
        return FULL_LOOK_EVERY;
    }
    let running = engine.alarms_running.load(Ordering::Acquire);
    let room = engine.options.limits.alarms_running_max.saturating_sub(running).min(TAKEN_AT_ONCE);
    if room == 0 {
        return FULL_LOOK_EVERY;
    }
    let now = partyrun_store::now_ms();
    let Ok(due) = engine.store.alarms_due(now, room) else { return Duration::from_secs(1) };
    let more = due.len() == room;
    for alarm in due {
        let key = alarm.room.clone();
        engine.alarms_running.fetch_add(1, Ordering::AcqRel);
        if engine.send_to_room(&key, Message::Alarm(alarm)).is_err() {
            engine.alarms_running.fetch_sub(1, Ordering::AcqRel);
            engine.store.release_alarm(&key, now + REFUSED_WAIT_MS);
        }
    }
    if more {
        return Duration::ZERO;
    }
    match engine.store.next_alarm() {
        Ok(Some(at_ms)) => {
            Duration::from_millis(u64::try_from(at_ms - partyrun_store::now_ms()).unwrap_or(0))
                .clamp(Duration::from_millis(1), LOOK_EVERY)
        }
        _ => LOOK_EVERY,
    }
}
