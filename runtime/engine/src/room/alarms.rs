//! Alarms: the thread that wakes for them, and a run inside its room (spec 2.11).
//!
//! Alarms rest in the store; this side holds nothing for one that is not due. The thread sleeps until the next, takes what
//! is due and sends it to the rooms' workers, never more than `alarms_running_max` at a time. A run ends when the handler
//! has settled, when it took longer than `alarm_time_max`, or when its room was reset; what follows is the store's decision
//! and part of the turn's writes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use partyrun_store::{AlarmEnd, AlarmOutcome, DueAlarm};

use crate::Level;
use crate::engine::{Inner, StartError};
use crate::room::actor::Actor;
use crate::room::event::Event;
use crate::worker::Message;

/// Alarms that are taken from the store at once.
const TAKEN_AT_ONCE: usize = 256;
/// The clock may jump, so that the thread looks at least so often (threat 24).
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How soon it looks again when as many run as may.
const FULL_LOOK_EVERY: Duration = Duration::from_millis(10);
/// A run that takes longer no longer keeps others waiting: the bound is for many that are due at once.
const COUNTED_FOR: Duration = Duration::from_secs(5);
/// How long an alarm waits whose room could not take it.
const REFUSED_WAIT_MS: i64 = 2000;

/// A run that has not ended.
pub(crate) struct RunningAlarm {
    due: DueAlarm,
    since: Instant,
    // It counts against `alarms_running_max`.
    counted: Cell<bool>,
}

/// Starts the thread. It ends with its engine.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), StartError> {
    let (wake, woken) = std::sync::mpsc::channel::<()>();
    inner.store.on_earlier_alarm(Arc::new(move |_| {
        let _gone = wake.send(());
    }));
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

impl Actor {
    /// Takes a due alarm: its handler's event waits in the inbox, unless the alarm was moved meanwhile.
    pub(crate) fn start_alarm(self: &Rc<Self>, token: u32, due: DueAlarm) {
        let Some(storage) = &self.storage else { return };
        let started = storage.borrow_mut().start_alarm(&due);
        match started {
            Ok(true) => {
                self.gate.wrote();
                let running =
                    RunningAlarm { due: due.clone(), since: Instant::now(), counted: Cell::new(true) };
                self.alarms.borrow_mut().insert(token, running);
                self.push(Event::Alarm(token, Box::new(due)));
            }
            // It was changed or deleted meanwhile.
            Ok(false) => {
                self.gate.wrote();
                self.alarm_left();
            }
            Err(_) => {
                self.shared.release_alarm(&due.room, partyrun_store::now_ms() + REFUSED_WAIT_MS);
                self.alarm_left();
            }
        }
        self.wake();
    }

    /// An alarm's handler has ended.
    pub(crate) fn alarm_done(&self, token: u32, succeeded: bool) {
        let Some(RunningAlarm { due, counted, .. }) = self.alarms.borrow_mut().remove(&token) else { return };
        if counted.get() {
            self.alarm_left();
        }
        let Some(storage) = &self.storage else { return };
        let outcome = if succeeded { AlarmOutcome::Succeeded } else { AlarmOutcome::Failed };
        let now = partyrun_store::now_ms();
        let ended = storage.borrow_mut().end_alarm(outcome, now, jitter());
        self.gate.wrote();
        match ended {
            Err(_) => self.shared.release_alarm(&due.room, now + REFUSED_WAIT_MS),
            Ok(AlarmEnd::GivenUp) => {
                let runs = due.attempt + 1;
                self.tell(&format!(
                    "The alarm failed {runs} times and is dropped. Set it again with `storage.setAlarm`."
                ));
            }
            Ok(_) => {}
        }
    }

    /// Takes runs that never settle for failed ones.
    pub(crate) fn end_overdue_alarms(&self, now: Instant) {
        for running in self.alarms.borrow().values() {
            if now.saturating_duration_since(running.since) > COUNTED_FOR && running.counted.replace(false) {
                self.alarm_left();
            }
        }
        let max = self.shared.limits.alarm_time_max;
        let late = |running: &RunningAlarm| now.saturating_duration_since(running.since) > max;
        let overdue: Vec<u32> =
            self.alarms.borrow().iter().filter(|(_, run)| late(run)).map(|(token, _)| *token).collect();
        for token in overdue {
            self.tell(&format!("`onAlarm` did not end within {max:?}; the run counts as failed."));
            self.alarm_done(token, false);
            self.wake();
        }
    }

    /// Takes all runs for failed ones: their isolate is gone.
    pub(crate) fn fail_alarms(&self) {
        let tokens: Vec<u32> = self.alarms.borrow().keys().copied().collect();
        for token in tokens {
            self.alarm_done(token, false);
        }
    }

    fn alarm_left(&self) {
        if let Ok(engine) = self.shared.engine() {
            engine.alarms_running.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn tell(&self, text: &str) {
        self.shared.observer.console(&self.source, Level::Error, &format!("{text}\n"));
    }
}

// Up to a quarter of the delay (spec 2.11), from the clock: alarms need to be spread, not to be secret.
fn jitter() -> f64 {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    f64::from(nanos % 1000) / 1000.0
}
