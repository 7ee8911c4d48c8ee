//! The clock of the configured crons (spec 2.12): calls the main party's `onCron` when an expression says so, in UTC.
//!
//! What is due is decided by [`Schedule`], which only sees the times that it is told; the loop around it reads a [`Clock`].
//! Rules, where the original has none because its development server never runs a cron by itself:
//! - A time that was missed while the process or the machine slept is not made up for, unless it is less than a minute ago.
//! - Runs of one cron do not overlap: while one is going, the next is left out, and a line says so. Different crons do.
//! - A run that fails is tried again after 2, 4 and 8 seconds, unless the handler called `noRetry()`. The schedule goes on.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
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

    /// Whether what the clock jumps over is made up for, as when a test moves it.
    fn is_moved(&self) -> bool {
        false
    }
}

/// The machine's clock, which a test may move.
#[derive(Default)]
pub struct SystemClock {
    /// How far it was moved when it was read last: a move since then ends a sleep.
    seen_ms: AtomicI64,
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        let ahead_ms = partyrun_clock::offset_ms();
        self.seen_ms.store(ahead_ms, Ordering::Release);
        Utc::now() + TimeDelta::milliseconds(ahead_ms)
    }

    async fn sleep(&self, duration: Duration) {
        if !self.is_moved() {
            return tokio::time::sleep(duration).await;
        }
        let mut moves = partyrun_clock::moved();
        let seen_ms = self.seen_ms.load(Ordering::Acquire);
        let moved = moves.wait_for(|ahead_ms| *ahead_ms != seen_ms);
        tokio::select! {
            () = tokio::time::sleep(duration) => (),
            _ = moved => (),
        }
    }

    fn is_moved(&self) -> bool {
        partyrun_clock::is_movable()
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
    /// Whether nothing is too late.
    makes_up: bool,
}

impl Schedule {
    /// Expressions were checked when the configuration was read.
    fn new(crons: Vec<(String, String)>, now: DateTime<Utc>) -> Self {
        let parsed = crons.into_iter().filter_map(|(name, expression)| {
            Cron::from_str(&expression).ok().map(|cron| (name, expression, cron))
        });
        Self { crons: parsed.collect(), looked: now, makes_up: false }
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
        let from = if self.makes_up { looked } else { looked.max(now - LATE_MAX) };
        let due = |cron: &Cron| cron.find_next_occurrence(&from, false).ok().filter(|at| *at <= now);
        let crons = self.crons.iter().filter_map(|(name, expression, cron)| {
            due(cron).map(|at| Due { name: name.clone(), expression: expression.clone(), at })
        });
        crons.collect()
    }
}

/// A run of a cron that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CronRun {
    /// When it began, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took.
    pub took_ms: i64,
    /// Whether the handler succeeded.
    pub succeeded: bool,
}

/// A cron as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronState {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub expression: String,
    /// When it is due next, in milliseconds since 1970.
    pub next_ms: Option<i64>,
    /// Whether a run is going.
    pub running: bool,
    /// The last run of this process that has ended.
    pub last: Option<CronRun>,
}

/// Why a cron was not run by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CronRefusal {
    /// The configuration has none of this name.
    Unknown,
    /// The main party has no handler.
    NoHandler,
    /// A run is going.
    Running,
}

/// The crons of a project, with what is known of their runs.
#[derive(Default)]
pub struct Crons {
    crons: Vec<(String, String)>,
    running: Mutex<HashSet<String>>,
    last: Mutex<HashMap<String, CronRun>>,
    /// Up to when it was looked what is due, in milliseconds since 1970; 0 before the first look.
    looked_ms: AtomicI64,
}

/// A run that is going; when it is dropped, the next may begin.
struct Going<'a>(&'a Crons, &'a str);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        lock(&self.0.running).remove(self.1);
    }
}

impl Crons {
    /// The crons of a configuration: names and expressions.
    pub fn new(crons: Vec<(String, String)>) -> Arc<Self> {
        Arc::new(Self { crons, ..Self::default() })
    }

    /// The same, of which another process has run what was due up to this time, in milliseconds since 1970.
    pub fn since(crons: Vec<(String, String)>, looked_ms: i64) -> Arc<Self> {
        Arc::new(Self { crons, looked_ms: AtomicI64::new(looked_ms), ..Self::default() })
    }

    /// Up to when what was due has been run, in milliseconds since 1970; none before the first look.
    pub fn looked_ms(&self) -> Option<i64> {
        Some(self.looked_ms.load(Ordering::Acquire)).filter(|ms| *ms > 0)
    }

    /// All of them, in the order of the configuration.
    pub fn states(&self, now: DateTime<Utc>) -> Vec<CronState> {
        let state = |(name, expression): &(String, String)| CronState {
            name: name.clone(),
            expression: expression.clone(),
            next_ms: Cron::from_str(expression)
                .ok()
                .and_then(|cron| cron.find_next_occurrence(&now, false).ok())
                .map(|at| at.timestamp_millis()),
            running: lock(&self.running).contains(name),
            last: lock(&self.last).get(name).copied(),
        };
        self.crons.iter().map(state).collect()
    }

    /// Runs a cron now, once; its schedule goes on.
    pub async fn run_now(&self, runner: &impl CronRunner, name: &str) -> Result<CronOutcome, CronRefusal> {
        let known = self.crons.iter().find(|(known, _)| known == name);
        let (name, expression) = known.ok_or(CronRefusal::Unknown)?;
        if !runner.has_handler() {
            return Err(CronRefusal::NoHandler);
        }
        if !self.claim(name) {
            return Err(CronRefusal::Running);
        }
        let _going = Going(self, name);
        Ok(self.run(runner, name, expression, Utc::now()).await)
    }

    // Whether a run may begin; [`Going`] ends it.
    fn claim(&self, name: &str) -> bool {
        lock(&self.running).insert(name.to_string())
    }

    async fn run(
        &self,
        runner: &impl CronRunner,
        name: &str,
        expression: &str,
        at: DateTime<Utc>,
    ) -> CronOutcome {
        let begun = Utc::now();
        let outcome = runner.run(name.to_string(), expression.to_string(), at.timestamp_millis()).await;
        let run = CronRun {
            at_ms: begun.timestamp_millis(),
            took_ms: (Utc::now() - begun).num_milliseconds(),
            succeeded: outcome.response.status < 400,
        };
        lock(&self.last).insert(name.to_string(), run);
        outcome
    }
}

/// Runs the crons until the future is dropped.
pub async fn run_crons(
    runner: impl CronRunner,
    crons: Arc<Crons>,
    clock: impl Clock,
    reporter: Arc<dyn Reporter>,
) {
    let clock = Arc::new(clock);
    let mut schedule = Schedule::new(crons.crons.clone(), clock.now());
    schedule.makes_up = clock.is_moved();
    let mut taken_over = false;
    if let Some(looked) = crons.looked_ms().and_then(DateTime::from_timestamp_millis) {
        schedule.looked = looked.min(schedule.looked);
        taken_over = true;
    }
    crons.looked_ms.store(schedule.looked.timestamp_millis(), Ordering::Release);
    loop {
        // What became due while one process took over from another is due at once.
        if !std::mem::take(&mut taken_over) {
            clock.sleep(schedule.sleep(clock.now())).await;
        }
        let due = schedule.due(clock.now());
        crons.looked_ms.store(schedule.looked.timestamp_millis(), Ordering::Release);
        for due in due {
            if !runner.has_handler() {
                let name = &due.name;
                reporter
                    .warn(&format!("The cron `{name}` is due, but the main party has no static `onCron`."));
                continue;
            }
            let (runner, clock, reporter, crons) =
                (runner.clone(), clock.clone(), reporter.clone(), crons.clone());
            // Before the task: whoever is due next must find it going.
            if !crons.claim(&due.name) {
                reporter.warn(&format!("The cron `{}` is still running, so this run is skipped.", due.name));
                continue;
            }
            tokio::spawn(async move {
                let _going = Going(&crons, &due.name);
                fire(&runner, &crons, &*clock, &*reporter, &due).await;
            });
        }
    }
}

async fn fire(
    runner: &impl CronRunner,
    crons: &Crons,
    clock: &impl Clock,
    reporter: &dyn Reporter,
    due: &Due,
) {
    let Due { name, expression, at } = due;
    let mut waits = RETRY_AFTER.into_iter();
    loop {
        let outcome = crons.run(runner, name, expression, *at).await;
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

fn lock<T>(known: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
