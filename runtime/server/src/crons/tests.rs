//! Crons under a clock that the test moves: nothing here waits for real time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use partyrun_net::Response;
use tokio::sync::{Notify, watch};

use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn crons(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, expression)| ((*name).to_string(), (*expression).to_string())).collect()
}

fn names(due: &[Due]) -> Vec<&str> {
    due.iter().map(|due| due.name.as_str()).collect()
}

#[test]
fn each_is_due_at_its_time_in_utc_and_keeps_its_name() {
    let list =
        [("five", "*/5 * * * *"), ("midnight", "0 0 * * *"), ("same", "0 0 * * *"), ("bad", "nonsense")];
    let mut schedule = Schedule::new(crons(&list), time("2024-01-31T23:58:30Z"));
    assert_eq!(schedule.sleep(time("2024-01-31T23:59:50Z")), Duration::from_secs(10));
    assert!(schedule.due(time("2024-01-31T23:59:59Z")).is_empty());
    let due = schedule.due(time("2024-02-01T00:00:00Z"));
    assert_eq!(names(&due), ["five", "midnight", "same"]);
    assert!(due.iter().all(|due| due.at == time("2024-02-01T00:00:00Z")));
    assert!(schedule.due(time("2024-02-01T00:00:00.500Z")).is_empty(), "each time once");
    assert_eq!(names(&schedule.due(time("2024-02-01T00:05:01Z"))), ["five"]);
}

#[test]
fn a_clock_that_jumps_makes_up_for_nothing_older_than_a_minute() {
    let mut schedule =
        Schedule::new(crons(&[("each", "* * * * *"), ("hour", "0 * * * *")]), time("2024-01-01T10:00:30Z"));
    let due = schedule.due(time("2024-01-01T13:30:20Z"));
    assert_eq!(names(&due), ["each"]);
    assert_eq!(due[0].at, time("2024-01-01T13:30:00Z"));
    assert!(schedule.due(time("2024-01-01T09:00:30Z")).is_empty(), "set back");
    assert_eq!(names(&schedule.due(time("2024-01-01T09:01:00Z"))), ["each"]);
    assert_eq!(schedule.sleep(time("2024-01-01T09:01:00Z")), LOOK_EVERY);
}

/// A clock that stands still until the test moves it.
#[derive(Clone)]
struct TestClock(watch::Sender<DateTime<Utc>>);

impl TestClock {
    fn new(now: &str) -> Self {
        Self(watch::channel(time(now)).0)
    }

    fn set(&self, now: &str) {
        self.0.send_replace(time(now));
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now() + TimeDelta::from_std(duration).unwrap();
        let mut times = self.0.subscribe();
        while *times.borrow_and_update() < until {
            if times.changed().await.is_err() {
                return;
            }
        }
    }
}

#[derive(Default)]
struct Handler {
    runs: Mutex<Vec<(String, String, i64)>>,
    ran: Notify,
    fails: AtomicUsize,
    no_retry: AtomicBool,
    slow: AtomicBool,
    released: Notify,
}

impl CronRunner for Arc<Handler> {
    fn has_handler(&self) -> bool {
        true
    }

    async fn run(&self, name: String, expression: String, at_ms: i64) -> CronOutcome {
        self.runs.lock().unwrap().push((name, expression, at_ms));
        self.ran.notify_one();
        if self.slow.load(Ordering::SeqCst) {
            self.released.notified().await;
        }
        let fails =
            self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let status = if fails { 500 } else { 200 };
        CronOutcome { response: Response::text(status, ""), may_retry: !self.no_retry.load(Ordering::SeqCst) }
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>, Notify);

impl Reporter for Lines {
    fn request(&self, _answered: &crate::Answered<'_>) {}

    fn socket_ended(&self, _ended: &crate::Ended<'_>) {}

    fn warn(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_string());
        self.1.notify_one();
    }
}

// What does not come fails the test instead of holding it up.
async fn soon(notified: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(10), notified).await.expect("nothing came within ten seconds");
}

struct Run {
    clock: TestClock,
    handler: Arc<Handler>,
    lines: Arc<Lines>,
    task: tokio::task::JoinHandle<()>,
}

impl Run {
    // Waits until the crons have seen the clock and sleep by it: before, moving it would move their beginning.
    async fn start() -> Self {
        let (clock, handler, lines) = (
            TestClock::new("2024-01-01T10:00:30Z"),
            Arc::new(Handler::default()),
            Arc::new(Lines::default()),
        );
        let list = crons(&[("each", "* * * * *")]);
        let task = tokio::spawn(run_crons(handler.clone(), Crons::new(list), clock.clone(), lines.clone()));
        while clock.0.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        Self { clock, handler, lines, task }
    }

    // Moves the clock and waits for a run.
    async fn run_at(&self, now: &str) {
        self.clock.set(now);
        soon(self.handler.ran.notified()).await;
    }

    async fn line(&self) -> String {
        soon(self.lines.1.notified()).await;
        self.lines.0.lock().unwrap().pop().unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn the_handler_hears_name_expression_and_time() {
    let run = Run::start().await;
    run.run_at("2024-01-01T10:01:00Z").await;
    run.run_at("2024-01-01T10:02:00Z").await;
    let at = |minute: i64| 1_704_103_200_000 + minute * 60_000;
    let expected = [1, 2].map(|minute| ("each".to_string(), "* * * * *".to_string(), at(minute)));
    assert_eq!(*run.handler.runs.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_run_that_fails_is_tried_again_and_the_schedule_goes_on() {
    let run = Run::start().await;
    run.handler.fails.store(2, Ordering::SeqCst);
    run.run_at("2024-01-01T10:01:00Z").await;
    assert_eq!(run.line().await, "The cron `each` failed and is tried again in 2 s.");
    run.run_at("2024-01-01T10:01:02Z").await;
    assert_eq!(run.line().await, "The cron `each` failed and is tried again in 4 s.");
    run.run_at("2024-01-01T10:01:06Z").await;
    run.run_at("2024-01-01T10:02:00Z").await;
    assert_eq!(run.handler.runs.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn no_retry_means_no_retry() {
    let run = Run::start().await;
    run.handler.fails.store(1, Ordering::SeqCst);
    run.handler.no_retry.store(true, Ordering::SeqCst);
    run.run_at("2024-01-01T10:01:00Z").await;
    assert_eq!(run.line().await, "The cron `each` failed; the lines above say why.");
    run.run_at("2024-01-01T10:02:00Z").await;
    assert_eq!(run.handler.runs.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn runs_of_one_cron_do_not_overlap() {
    let run = Run::start().await;
    run.handler.slow.store(true, Ordering::SeqCst);
    run.run_at("2024-01-01T10:01:00Z").await;
    run.clock.set("2024-01-01T10:02:00Z");
    assert_eq!(run.line().await, "The cron `each` is still running, so this run is skipped.");
    run.handler.slow.store(false, Ordering::SeqCst);
    run.handler.released.notify_one();
    // The run has ended when its name is free again; until then a further minute may be left out, too.
    for minute in 3..59 {
        run.clock.set(&format!("2024-01-01T10:{minute:02}:00Z"));
        tokio::task::yield_now().await;
        tokio::select! {
            () = run.handler.ran.notified() => return,
            line = run.line() => assert!(line.contains("still running"), "{line}"),
        }
    }
    panic!("the cron never ran again");
}

// One process stops at `until` and another one goes on at `from`: when the runs of either were due.
async fn taken_over(until: &str, from: &str) -> Vec<i64> {
    let run = Run::start().await;
    let list = crons(&[("each", "* * * * *")]);
    let before = Crons::new(list.clone());
    let first = tokio::spawn(run_crons(
        run.handler.clone(),
        before.clone(),
        TestClock::new("2024-01-01T10:00:30Z"),
        run.lines.clone(),
    ));
    while before.looked_ms().is_none() {
        tokio::task::yield_now().await;
    }
    first.abort();
    before.looked_ms.store(time(until).timestamp_millis(), Ordering::Release);
    let after = Crons::since(list, before.looked_ms().unwrap());
    let clock = TestClock::new(from);
    let second = tokio::spawn(run_crons(run.handler.clone(), after, clock.clone(), run.lines.clone()));
    while clock.0.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    clock.set("2024-01-01T10:02:00Z");
    let last = time("2024-01-01T10:02:00Z").timestamp_millis();
    while !run.handler.runs.lock().unwrap().iter().any(|(.., at_ms)| *at_ms == last) {
        soon(run.handler.ran.notified()).await;
    }
    second.abort();
    run.handler.runs.lock().unwrap().iter().map(|(.., at_ms)| *at_ms).collect()
}

#[tokio::test]
async fn what_becomes_due_while_a_process_takes_over_runs_once() {
    let at = |minute: i64| 1_704_103_200_000 + minute * 60_000;
    let missed = taken_over("2024-01-01T10:00:59Z", "2024-01-01T10:01:02Z").await;
    assert_eq!(missed, [at(1), at(2)]);
    let done = taken_over("2024-01-01T10:01:00Z", "2024-01-01T10:01:02Z").await;
    assert_eq!(done, [at(2)]);
}
