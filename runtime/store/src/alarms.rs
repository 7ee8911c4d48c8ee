//! Alarms between database and scheduler: which are running, which is next, and how long a failed one waits.
//!
//! Alarms are kept in the database only, so a stored alarm costs no memory. The [`AlarmBoard`] remembers just those that
//! the scheduler has taken, and the time at which it will wake up, so that a commit can announce an earlier one. After a
//! crash the board is empty, and every alarm that had not ended is found again: at least once (spec 2.11).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::{AlarmHook, AlarmWrite, Batch};
use crate::{DueAlarm, RoomKey};

/// The first wait after a failure; it doubles with every further one (spec 2.11).
const RETRY_BASE_MS: f64 = 2000.0;
/// The most that chance adds, as a share of the wait.
const RETRY_JITTER_SHARE: f64 = 0.25;

/// How long an alarm waits after `failures` earlier failures: 2, 4, 8 s ... and up to a quarter more by `jitter` (0 to 1).
pub fn retry_delay_ms(failures: u32, jitter: f64) -> i64 {
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    let delay = RETRY_BASE_MS * 2f64.powi(failures.min(16) as i32) * (1.0 + RETRY_JITTER_SHARE * jitter);
    delay as i64
}

/// An alarm that the scheduler has taken.
struct Taken {
    /// Not given out before this time; `i64::MAX` while it runs.
    until_ms: i64,
    /// An alarm that was committed during the run.
    set_ms: Option<i64>,
}

#[derive(Default)]
pub(crate) struct AlarmBoard {
    state: Mutex<BoardState>,
}

struct BoardState {
    /// The time up to which the scheduler knows to sleep.
    announced_ms: i64,
    taken: HashMap<RoomKey, Taken>,
    hook: Option<AlarmHook>,
}

impl Default for BoardState {
    fn default() -> Self {
        Self { announced_ms: i64::MAX, taken: HashMap::new(), hook: None }
    }
}

impl AlarmBoard {
    fn lock(&self) -> MutexGuard<'_, BoardState> {
        // The state is valid after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_hook(&self, hook: AlarmHook) {
        self.lock().hook = Some(hook);
    }

    /// Answers `next_alarm`: `earliest_free` finds the first stored alarm for which it is told `false` (not taken).
    /// It runs under the lock, so that a commit is either seen by it or compared with its answer.
    pub(crate) fn next<E>(
        &self,
        earliest_free: impl FnOnce(&dyn Fn(&RoomKey) -> bool) -> Result<Option<i64>, E>,
    ) -> Result<Option<i64>, E> {
        let mut state = self.lock();
        let stored = earliest_free(&|room| state.taken.contains_key(room))?;
        let deferred = state.taken.values().map(|taken| taken.until_ms).min();
        let next_ms = stored.into_iter().chain(deferred).min().filter(|&at_ms| at_ms < i64::MAX);
        state.announced_ms = next_ms.unwrap_or(i64::MAX);
        Ok(next_ms)
    }

    /// Answers `alarms_due`: `due` visits the stored alarms whose time has come until it is told to stop.
    pub(crate) fn take<E>(
        &self,
        now_ms: i64,
        limit: usize,
        due: impl FnOnce(&mut dyn FnMut(DueAlarm) -> bool) -> Result<(), E>,
    ) -> Result<Vec<DueAlarm>, E> {
        let mut state = self.lock();
        let mut out = Vec::new();
        due(&mut |alarm| {
            if out.len() < limit && state.taken.get(&alarm.room).is_none_or(|taken| taken.until_ms <= now_ms)
            {
                out.push(alarm);
            }
            out.len() < limit
        })?;
        for alarm in &out {
            state.taken.insert(alarm.room.clone(), Taken { until_ms: i64::MAX, set_ms: None });
        }
        // A deferred alarm that was deleted meanwhile would otherwise be announced for ever.
        if out.len() < limit {
            state.taken.retain(|_, taken| taken.until_ms > now_ms);
        }
        Ok(out)
    }

    pub(crate) fn release(&self, room: &RoomKey, retry_at_ms: i64) {
        let mut state = self.lock();
        if let Some(taken) = state.taken.get_mut(room) {
            taken.until_ms = retry_at_ms;
            state.announce(retry_at_ms);
        }
    }

    /// Takes note of batches that are durable.
    pub(crate) fn committed<'a>(&self, batches: impl Iterator<Item = &'a Batch>) {
        let mut state: Option<MutexGuard<'_, BoardState>> = None;
        for batch in batches.filter(|batch| batch.alarm.is_some() || batch.alarm_ended) {
            state.get_or_insert_with(|| self.lock()).committed(batch);
        }
    }
}

impl BoardState {
    fn committed(&mut self, batch: &Batch) {
        let room = batch.room.key();
        let mut free_ms = None;
        match (batch.alarm, self.taken.get_mut(room)) {
            (Some(AlarmWrite::Set { at_ms, .. }), Some(taken)) => taken.set_ms = Some(at_ms),
            (Some(AlarmWrite::Set { at_ms, .. }), None) => free_ms = Some(at_ms),
            (Some(AlarmWrite::Clear), Some(taken)) => taken.set_ms = None,
            _ => {}
        }
        if batch.alarm_ended {
            free_ms = self.taken.remove(room).and_then(|taken| taken.set_ms).or(free_ms);
        }
        if let Some(at_ms) = free_ms {
            self.announce(at_ms);
        }
    }

    /// The hook runs under the lock: it only wakes the scheduler.
    fn announce(&mut self, at_ms: i64) {
        if at_ms < self.announced_ms {
            self.announced_ms = at_ms;
            if let Some(hook) = &self.hook {
                hook(at_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_and_jitter_adds_a_quarter_at_most() {
        let delays: Vec<i64> = (0..6).map(|failures| retry_delay_ms(failures, 0.0)).collect();
        assert_eq!(delays, [2000, 4000, 8000, 16_000, 32_000, 64_000]);
        assert_eq!(retry_delay_ms(0, 1.0), 2500);
        assert_eq!(retry_delay_ms(2, 7.0), 10_000);
        assert_eq!(retry_delay_ms(2, f64::NAN), 8000);
        assert!(retry_delay_ms(u32::MAX, 1.0) > 0);
    }
}
