//! The last hour in numbers, for charts: a sample every ten seconds, in a ring that never grows beyond an hour.
//!
//! It is filled as long as the listener exists, whether somebody looks or not: whoever opens the dashboard because something
//! is wrong wants to see what was before. A sample takes some sums (`partyrun_telemetry::Glance`) and asks no room.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use partyrun_telemetry::Glance;
use serde_json::{Map, Value, json};
use tokio::time::MissedTickBehavior;

use crate::answer::{Answer, Problem, json};
use crate::names::Query;
use crate::process;

const EVERY: Duration = Duration::from_secs(10);
/// An hour.
const SAMPLES_MAX: usize = 360;
/// What hardly any transaction and hardly any delay exceeds.
const NEARLY_ALL: f64 = 0.99;

/// The parameters of [`History::answer`].
pub(crate) const PARAMETERS: &[&str] = &["after"];

// What happened between one look and the next; none where nothing did that could be measured.
type Row = [Option<f64>; NAMES.len()];

const NAMES: [&str; 10] = [
    "messages_in_per_second",
    "messages_out_per_second",
    "requests_per_second",
    "sockets",
    "cpus",
    "memory_bytes",
    "event_loop_delay_ms",
    "event_loop_delay_p99_ms",
    "commit_ms",
    "commit_p99_ms",
];

/// The samples of the last hour.
#[derive(Default)]
pub(crate) struct History(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    last: Option<(Instant, Glance)>,
    samples: VecDeque<(i64, Row)>,
}

impl Ring {
    fn add(&mut self, at: Instant, at_ms: i64, glance: Glance, memory_bytes: Option<u64>) {
        if let Some((before, earlier)) = &self.last {
            let row = row(at.duration_since(*before), earlier, &glance, memory_bytes);
            self.samples.push_back((at_ms, row));
            while self.samples.len() > SAMPLES_MAX {
                self.samples.pop_front();
            }
        }
        self.last = Some((at, glance));
    }

    // Columns, as charts want them.
    fn columns(&self, after_ms: i64) -> Map<String, Value> {
        let rows = || self.samples.iter().filter(move |(at_ms, _)| *at_ms > after_ms);
        let mut columns = Map::new();
        columns.insert("at_ms".to_string(), rows().map(|(at_ms, _)| *at_ms).collect());
        for (index, name) in NAMES.into_iter().enumerate() {
            let column: Vec<Option<f64>> =
                rows().map(|(_, row)| row.get(index).copied().flatten().map(short)).collect();
            columns.insert(name.to_string(), json!(column));
        }
        columns
    }
}

// Three digits behind the point: more would only be bytes.
fn short(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn row(took: Duration, earlier: &Glance, now: &Glance, memory_bytes: Option<u64>) -> Row {
    let seconds = took.as_secs_f64().max(f64::MIN_POSITIVE);
    let rate = |before: u64, after: u64| Some(after.saturating_sub(before) as f64 / seconds);
    let (delays, commits) = (now.delays.since(&earlier.delays), now.commits.since(&earlier.commits));
    let ms = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
    [
        rate(earlier.messages_in, now.messages_in),
        rate(earlier.messages_out, now.messages_out),
        rate(earlier.requests, now.requests),
        Some(now.sockets as f64),
        Some(now.cpu.saturating_sub(earlier.cpu).as_secs_f64() / seconds),
        memory_bytes.map(|bytes| bytes as f64),
        ms(delays.mean()),
        ms(delays.quantile(NEARLY_ALL)),
        ms(commits.mean()),
        ms(commits.quantile(NEARLY_ALL)),
    ]
}

impl History {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes samples for ever.
    pub(crate) async fn follow(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        // A process that was stopped for a while has one sample for it, not many.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let at_ms = chrono::Utc::now().timestamp_millis();
            self.ring().add(Instant::now(), at_ms, Glance::now(), process::resident_bytes());
        }
    }

    /// The samples, those after a moment if one is named.
    pub(crate) fn answer(&self, query: &Query) -> Result<Answer, Problem> {
        let after_ms = match query.get("after").map(str::parse) {
            None => i64::MIN,
            Some(Ok(after_ms)) => after_ms,
            Some(Err(_)) => {
                return Err(Problem::bad("`after` is a number of milliseconds since 1970: an `at_ms`."));
            }
        };
        let mut answer = self.ring().columns(after_ms);
        answer.insert("every_ms".to_string(), json!(process::milliseconds(EVERY)));
        Ok(json(&answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_rates_are_those_of_the_time_between() {
        let begun = Instant::now();
        let mut ring = Ring::default();
        for number in 0..5000_u64 {
            let glance = Glance {
                messages_in: 20 * number,
                sockets: 7,
                cpu: Duration::from_secs(5 * number),
                ..Glance::default()
            };
            let at_ms = 10_000 * i64::try_from(number).unwrap();
            ring.add(begun + EVERY * u32::try_from(number).unwrap(), at_ms, glance, Some(1 << 20));
        }
        assert_eq!(ring.samples.len(), SAMPLES_MAX);
        assert!(ring.samples.capacity() <= 2 * SAMPLES_MAX, "{}", ring.samples.capacity());
        let columns = ring.columns(49_970_000);
        assert_eq!(columns["at_ms"], json!([49_980_000, 49_990_000]));
        assert_eq!(columns["messages_in_per_second"], json!([2.0, 2.0]));
        assert_eq!((&columns["cpus"], &columns["sockets"]), (&json!([0.5, 0.5]), &json!([7.0, 7.0])));
        assert_eq!(columns["commit_ms"], json!([null, null]), "nothing was committed");
        assert_eq!(ring.columns(i64::MAX)["at_ms"], json!([]));
    }
}
