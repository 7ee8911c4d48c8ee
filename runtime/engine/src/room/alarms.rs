//! The runs of a room's alarm (spec 2.11).
//!
//! An alarm that is not due is only in the store; `engine/alarm_clock.rs` sends the ones that are due. A run ends when the
//! handler has settled, when it took longer than `alarm_time_max`, or when its room was reset. The store decides what
//! follows, and its decision is one of the turn's writes.

use std::cell::Cell;
use std::time::{Duration, Instant};

use partyrun_store::{AlarmEnd, AlarmOutcome, DueAlarm};
use partyrun_telemetry::{Span, limit_hit};

use crate::api::Level;
use crate::room::actor::Actor;
use crate::room::event::Event;
use crate::room::state::RunningAlarm;

/// A run that takes longer no longer keeps others waiting: the bound is for many that are due at once.
const COUNTED_FOR: Duration = Duration::from_secs(5);
/// How long an alarm waits whose room could not take it.
pub(crate) const REFUSED_WAIT_MS: i64 = 2000;

impl Actor {
    /// Takes a due alarm: its handler's event waits in the inbox, unless the alarm was moved meanwhile.
    pub(crate) fn start_alarm(&self, due: DueAlarm) {
        let Some(records) = &self.records else { return };
        let started = records.storage().borrow_mut().start_alarm(&due);
        match started {
            Ok(true) => {
                self.gate.wrote();
                let token = self.alarms.tokens.next();
                let (since, counted) = (Instant::now(), Cell::new(true));
                let running = RunningAlarm { due, since, span: Cell::default(), counted };
                self.alarms.running.borrow_mut().insert(token, running);
                self.push(Event::Alarm(token));
            }
            // It was changed or deleted meanwhile.
            Ok(false) => {
                self.gate.wrote();
                self.alarm_left();
            }
            Err(_) => {
                self.release_alarm(&due, partyrun_store::now_ms());
                self.alarm_left();
            }
        }
        self.wake();
    }

    /// An alarm's handler has ended.
    pub(crate) fn alarm_done(&self, token: u32, succeeded: bool) {
        let ended = self.alarms.running.borrow_mut().remove(&token);
        let Some(RunningAlarm { due, counted, span, .. }) = ended else { return };
        if let (Some(mut span), false) = (span.take(), succeeded) {
            span.fail("the run failed");
        }
        self.meters.alarm_ended(succeeded);
        if counted.get() {
            self.alarm_left();
        }
        let Some(records) = &self.records else { return };
        let outcome = if succeeded { AlarmOutcome::Succeeded } else { AlarmOutcome::Failed };
        let now = partyrun_store::now_ms();
        let ended = records.storage().borrow_mut().end_alarm(outcome, now, jitter());
        self.gate.wrote();
        match ended {
            Err(_) => self.release_alarm(&due, now),
            Ok(AlarmEnd::GivenUp) => {
                let runs = due.attempt + 1;
                self.tell(&format!(
                    "The alarm failed {runs} times and is dropped (limit `alarm_retries_max`). \
                     Set it again with `storage.setAlarm`."
                ));
            }
            Ok(_) => {}
        }
    }

    /// Takes runs that never settle for failed ones.
    pub(crate) fn end_overdue_alarms(&self, now: Instant) {
        for running in self.alarms.running.borrow().values() {
            if now.saturating_duration_since(running.since) > COUNTED_FOR && running.counted.replace(false) {
                self.alarm_left();
            }
        }
        let max = self.shared.limits.alarm_time_max;
        let late = |running: &RunningAlarm| now.saturating_duration_since(running.since) > max;
        let overdue: Vec<u32> = self
            .alarms
            .running
            .borrow()
            .iter()
            .filter(|(_, run)| late(run))
            .map(|(token, _)| *token)
            .collect();
        for token in overdue {
            limit_hit!(alarm_time_max);
            let limit = self.shared.limits.cite("alarm_time_max");
            self.tell(&format!("`onAlarm` did not end in time ({limit}); the run counts as failed."));
            self.alarm_done(token, false);
            self.wake();
        }
    }

    /// Takes all runs for failed ones: their isolate is gone.
    pub(crate) fn fail_alarms(&self) {
        let tokens: Vec<u32> = self.alarms.running.borrow().keys().copied().collect();
        for token in tokens {
            self.alarm_done(token, false);
        }
    }

    /// The span of a run, which ends with it.
    pub(super) fn trace_alarm(&self, token: u32, span: Span) {
        if let Some(running) = self.alarms.running.borrow().get(&token) {
            running.span.set(Some(span));
        }
    }

    fn alarm_left(&self) {
        if let Ok(engine) = self.shared.neighbours() {
            engine.alarm_left();
        }
    }

    // Its run has not begun, or is not recorded: the store gives it out again.
    fn release_alarm(&self, due: &DueAlarm, now: i64) {
        if let Some(worker) = self.shared.worker.upgrade() {
            worker.release_alarm(&due.room, now + REFUSED_WAIT_MS);
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
