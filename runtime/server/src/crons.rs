//! The clock of the configured crons (spec 2.12): calls the main party's `onCron` when an expression says so, in UTC.
//!
//! What is due is decided by [`Schedule`], which only sees the times that it is told; the loop around it reads a [`Clock`].
//! Rules, where the original has none because its development server never runs a cron by itself:
//! - A time that was missed while the process or the machine slept is not made up for, unless it is less than a minute ago.
//! - Runs of one cron do not overlap: while one is going, the next is left out, and a line says so. Different crons do.
//! - A run that fails is tried again after 2, 4 and 8 seconds, unless the handler called `noRetry()`. The schedule goes on.

use std::collections::HashSet;
use std::future::Future;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;
use partyrun_engine::{CronOutcome, Engine};

use crate::Reporter;

/// The clock may jump, so that it is looked at least so often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How late a run may begin.
const LATE_MAX: TimeDelta = TimeDelta::minutes(1);
const RETRY_AFTER: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// The time of day, and waiting for it.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> DateTime<Utc>;

    /// Waits for about `duration`; waking early does no harm.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// What runs a cron: the engine, or a test.
pub trait CronRunner: Clone + Send + Sync + 'static {
    /// Whether the main party has a handler.
    fn has_handler(&self) -> bool;

    /// Calls the handler once.
    fn run(&self, name: String, expression: String, at_ms: i64) -> impl Future<Output = CronOutcome> + Send;
}

impl CronRunner for Engine {
    fn has_handler(&self) -> bool {
        self.parties().iter().any(|party| party.name == "main" && party.cron)
    }

    async fn run(&self, name: String, expression: String, at_ms: i64) -> CronOutcome {
        self.cron(name, expression, at_ms).await
    }
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Due {
    name: String,
    expression: String,
    at: DateTime<Utc>,
}

/// When which cron is due. Several may have the same expression: each keeps its name.
struct Schedule {
    crons: Vec<(String, String, Cron)>,
    looked: DateTime<Utc>,
}

impl Schedule {
    /// Expressions were checked when the configuration was read.
    fn new(crons: Vec<(String, String)>, now: DateTime<Utc>) -> Self {
        let parsed = crons.into_iter().filter_map(|(name, expression)| {
            Cron::from_str(&expression).ok().map(|cron| (name, expression, cron))
        });
        Self { crons: parsed.collect(), looked: now }
    }

    /// How long nothing is due.
    fn sleep(&self, now: DateTime<Utc>) -> Duration {
        let next =
            self.crons.iter().filter_map(|(.., cron)| cron.find_next_occurrence(&now, false).ok()).min();
        let until = next.and_then(|next| (next - now).to_std().ok()).unwrap_or(LOOK_EVERY);
        until.clamp(Duration::from_millis(10), LOOK_EVERY)
    }

    /// What has become due since the last look. A clock that was set back starts anew from where it is.
    fn due(&mut self, now: DateTime<Utc>) -> Vec<Due> {
        let looked = std::mem::replace(&mut self.looked, now);
        let from = looked.max(now - LATE_MAX);
        let due = |cron: &Cron| cron.find_next_occurrence(&from, false).ok().filter(|at| *at <= now);
        let crons = self.crons.iter().filter_map(|(name, expression, cron)| {
            due(cron).map(|at| Due { name: name.clone(), expression: expression.clone(), at })
        });
        crons.collect()
    }
}

/// Runs the crons until the future is dropped.
pub async fn run_crons(
    runner: impl CronRunner,
    crons: Vec<(String, String)>,
    clock: impl Clock,
    reporter: Arc<dyn Reporter>,
) {
    let clock = Arc::new(clock);
    let mut schedule = Schedule::new(crons, clock.now());
    let running: Arc<Mutex<HashSet<String>>> = Arc::default();
    loop {
        clock.sleep(schedule.sleep(clock.now())).await;
        for due in schedule.due(clock.now()) {
            if !runner.has_handler() {
                let name = &due.name;
                reporter
                    .warn(&format!("The cron `{name}` is due, but the main party has no static `onCron`."));
                continue;
            }
            if !lock(&running).insert(due.name.clone()) {
                reporter.warn(&format!("The cron `{}` is still running, so this run is skipped.", due.name));
                continue;
            }
            let (runner, clock, reporter, running) =
                (runner.clone(), clock.clone(), reporter.clone(), running.clone());
            tokio::spawn(async move {
                fire(&runner, &*clock, &*reporter, &due).await;
                lock(&running).remove(&due.name);
            });
        }
    }
}

async fn fire(runner: &impl CronRunner, clock: &impl Clock, reporter: &dyn Reporter, due: &Due) {
    let Due { name, expression, at } = due;
    let mut waits = RETRY_AFTER.into_iter();
    loop {
        let outcome = runner.run(name.clone(), expression.clone(), at.timestamp_millis()).await;
        if outcome.response.status < 400 {
            return;
        }
        let Some(wait) = waits.next().filter(|_| outcome.may_retry) else {
            reporter.warn(&format!("The cron `{name}` failed; the lines above say why."));
            return;
        };
        reporter.warn(&format!("The cron `{name}` failed and is tried again in {} s.", wait.as_secs()));
        clock.sleep(wait).await;
    }
}

fn lock(running: &Mutex<HashSet<String>>) -> std::sync::MutexGuard<'_, HashSet<String>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
