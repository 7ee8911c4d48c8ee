//! A room's alarm: one per room, committed with the turn's writes, rolled back with its transaction (spec 2.11, 3.5).
//!
//! A due alarm is started, runs, and ends. While it runs `getAlarm` is null unless the handler set a new one; setting or
//! deleting it then replaces the retry. The start is written too, so that a run which took the whole process down is
//! found again, and counted.

use super::RoomStorage;
use crate::alarms::retry_delay_ms;
use crate::store::{AlarmWrite, DueAlarm, StoredAlarm};
use crate::{StorageError, StoreError};

/// How a run of `onAlarm` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmOutcome {
    /// It returned, or its promise was fulfilled.
    Succeeded,
    /// It threw, took too long, or its room was reset.
    Failed,
}

/// What follows the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmEnd {
    /// The alarm is done.
    Done,
    /// The handler set a new alarm or deleted this one; nothing is retried.
    Replaced,
    /// It will be tried again.
    Retry {
        /// When, as wall-clock time in milliseconds.
        at_ms: i64,
        /// Failed runs so far.
        attempt: u32,
    },
    /// It failed too often and is dropped.
    GivenUp,
}

#[derive(Clone, Copy)]
pub(super) struct RunningAlarm {
    attempt: u32,
    /// The start is not yet part of a batch.
    unwritten: bool,
}

/// The latest date that JavaScript knows.
const DATE_MS_MAX: f64 = 8.64e15;

impl RoomStorage {
    /// The time of the alarm, `None` while it runs.
    pub fn get_alarm(&mut self) -> Result<Option<i64>, StorageError> {
        Ok(self.current_alarm()?.filter(|alarm| !alarm.running).map(|alarm| alarm.at_ms))
    }

    /// Sets the alarm; a time in the past becomes `now_ms` (spec 3.5).
    pub fn set_alarm(&mut self, at_ms: f64, now_ms: i64) -> Result<(), StorageError> {
        self.check_alive()?;
        // NaN lies in no range.
        if !(-DATE_MS_MAX..=DATE_MS_MAX).contains(&at_ms) {
            return Err(StorageError::AlarmNotADate);
        }
        if at_ms <= 0.0 {
            return Err(StorageError::AlarmNotPositive);
        }
        let at_ms = (at_ms as i64).max(now_ms);
        self.top().alarm = Some(AlarmWrite::Set { at_ms, attempt: 0 });
        Ok(())
    }

    /// Removes the alarm with the turn's other writes. Does nothing if none is set.
    pub fn delete_alarm(&mut self) -> Result<(), StorageError> {
        self.check_alive()?;
        if self.current_alarm()?.is_some() {
            self.top().alarm = Some(AlarmWrite::Clear);
        }
        Ok(())
    }

    /// Starts a due alarm's run, in the same turn as its handler. `false` if it was moved or deleted meanwhile: then
    /// nothing runs, and the next batch gives it back to the scheduler.
    pub fn start_alarm(&mut self, due: &DueAlarm) -> Result<bool, StorageError> {
        let current = self.current_alarm()?;
        let valid = current.is_some_and(|alarm| !alarm.running && alarm.at_ms == due.scheduled_ms);
        if valid {
            self.running = Some(RunningAlarm { attempt: due.attempt, unwritten: true });
            self.turn.alarm = Some(AlarmWrite::Start);
        } else {
            self.alarm_ended = true;
        }
        Ok(valid)
    }

    /// Ends the run; `jitter` is a random number from 0 to 1. The outcome is part of the current turn's batch.
    pub fn end_alarm(
        &mut self,
        outcome: AlarmOutcome,
        now_ms: i64,
        jitter: f64,
    ) -> Result<AlarmEnd, StorageError> {
        let Some(running) = self.running.take() else { return Ok(AlarmEnd::Replaced) };
        if self.handle.failed() {
            return Err(StoreError::EarlierFailed.into());
        }
        self.alarm_ended = true;
        if !self.current_alarm()?.is_some_and(|alarm| alarm.running) {
            return Ok(AlarmEnd::Replaced);
        }
        let (write, end) = match outcome {
            AlarmOutcome::Succeeded => (AlarmWrite::Clear, AlarmEnd::Done),
            AlarmOutcome::Failed if running.attempt >= self.limits.alarm_retries_max => {
                (AlarmWrite::Clear, AlarmEnd::GivenUp)
            }
            AlarmOutcome::Failed => {
                let at_ms = now_ms.saturating_add(retry_delay_ms(running.attempt, jitter));
                let attempt = running.attempt + 1;
                (AlarmWrite::Set { at_ms, attempt }, AlarmEnd::Retry { at_ms, attempt })
            }
        };
        self.turn.alarm = Some(write);
        Ok(end)
    }

    /// Whether a run was started and has not ended.
    pub fn alarm_running(&self) -> bool {
        self.running.is_some()
    }

    /// The start of the run, if it belongs to the current turn.
    pub(super) fn unwritten_start(&self) -> Option<AlarmWrite> {
        self.running.filter(|running| running.unwritten).map(|_| AlarmWrite::Start)
    }

    /// Keeps what the batch that is being taken does to the alarm.
    pub(super) fn note_alarm(&mut self, write: Option<AlarmWrite>) {
        if let Some(running) = &mut self.running {
            running.unwritten = false;
        }
        if let Some(write) = write {
            let known = self.alarm.flatten();
            self.alarm = Some(apply(known, write));
        }
    }

    fn current_alarm(&mut self) -> Result<Option<StoredAlarm>, StorageError> {
        self.check_alive()?;
        // The newest decisive write wins; `Start` needs the alarm that it starts.
        let mut started = false;
        for write in self.layers().filter_map(|layer| layer.alarm) {
            match write {
                AlarmWrite::Start => started = true,
                decisive => return Ok(mark(apply(None, decisive), started)),
            }
        }
        if self.alarm.is_none() {
            self.load()?;
        }
        Ok(mark(self.alarm.flatten(), started))
    }
}

fn apply(known: Option<StoredAlarm>, write: AlarmWrite) -> Option<StoredAlarm> {
    match write {
        AlarmWrite::Set { at_ms, attempt } => Some(StoredAlarm { at_ms, attempt, running: false }),
        AlarmWrite::Clear => None,
        AlarmWrite::Start => mark(known, true),
    }
}

fn mark(alarm: Option<StoredAlarm>, started: bool) -> Option<StoredAlarm> {
    alarm.map(|alarm| StoredAlarm { running: alarm.running || started, ..alarm })
}
