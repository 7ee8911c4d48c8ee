//! All metrics at one moment: what was counted is added up, and whoever has something to tell is asked.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Instant;

use partyrun_limits::TABLE;

use crate::catalogue::{CATALOGUE, Metric};
use crate::cell::{Counter, Histogram, Spread};
use crate::everywhere::{EVERYWHERE, Lateness};
use crate::meters::{CLASSES, Console, Eviction, Meters, Reset, lock};
use crate::{meters, process};

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
    /// Durations.
    Spread(Box<Spread>),
}

/// One series of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The values of its labels, in the order of the catalogue.
    pub labels: Vec<String>,
    /// Its value.
    pub value: Value,
}

/// Something that knows numbers which nobody counts: they are asked for when somebody looks.
pub trait Source: Send + Sync {
    /// Adds what it knows. Must not wait for anything.
    fn collect(&self, metrics: &mut Metrics);
}

static SOURCES: Mutex<Vec<Weak<dyn Source>>> = Mutex::new(Vec::new());

/// Asks `source` whenever somebody looks, as long as it is there.
pub fn add_source(source: &Arc<impl Source + 'static>) {
    let source: Weak<dyn Source> = Arc::downgrade(&(source.clone() as Arc<dyn Source>));
    let mut sources = lock(&SOURCES);
    sources.retain(|source| source.strong_count() > 0);
    sources.push(source);
}

/// All metrics at one moment.
#[derive(Debug)]
pub struct Metrics {
    // In the order of the catalogue.
    points: Vec<Vec<Point>>,
}

impl Metrics {
    /// What is so now. `version` is that of the program.
    pub fn now(version: &str) -> Self {
        let mut metrics = Self { points: CATALOGUE.iter().map(|_| Vec::new()).collect() };
        metrics.put("partyrun_build_info", &[version], Value::Count(1));
        metrics.put("partyrun_uptime_seconds", &[], Value::Number(uptime()));
        let sets = meters::all();
        let mut parties: Vec<&str> = sets.iter().map(|set| &*set.party).collect();
        parties.sort_unstable();
        parties.dedup();
        for party in parties {
            let sets: Vec<&Meters> = sets.iter().copied().filter(|set| &*set.party == party).collect();
            metrics.party(party, &sets);
        }
        metrics.everywhere();
        for (name, value) in process::values() {
            metrics.put(name, &[], Value::Number(value));
        }
        let sources: Vec<Arc<dyn Source>> = lock(&SOURCES).iter().filter_map(Weak::upgrade).collect();
        sources.iter().for_each(|source| source.collect(&mut metrics));
        metrics
    }

    /// Adds a value. Two of the same labels are added up: a process may have several engines.
    pub fn put(&mut self, name: &str, labels: &[&str], value: Value) {
        let found = CATALOGUE.iter().zip(&mut self.points).find(|(metric, _)| metric.name == name);
        let Some((metric, points)) = found else {
            debug_assert!(false, "`{name}` is not in the catalogue");
            return;
        };
        debug_assert_eq!(metric.labels.len(), labels.len(), "the labels of `{name}`");
        let is_same = |point: &&mut Point| point.labels.iter().zip(labels).all(|(one, other)| one == other);
        match (points.iter_mut().find(is_same), value) {
            (Some(Point { value: Value::Count(sum), .. }), Value::Count(more)) => {
                *sum = sum.wrapping_add(more);
            }
            (Some(Point { value, .. }), more) => *value = more,
            (None, value) => {
                let labels = labels.iter().map(ToString::to_string).collect();
                points.push(Point { labels, value });
            }
        }
    }

    /// Each metric with its series; those without any are left out.
    pub fn families(&self) -> impl Iterator<Item = (&'static Metric, &[Point])> {
        let points = self.points.iter().map(Vec::as_slice);
        CATALOGUE.iter().zip(points).filter(|(_, points)| !points.is_empty())
    }

    fn party(&mut self, party: &str, sets: &[&Meters]) {
        let sum = |of: fn(&Meters) -> u64| {
            Value::Count(sets.iter().fold(0, |sum: u64, set| sum.wrapping_add(of(set))))
        };
        let spread = |of: fn(&Meters) -> &Histogram| {
            let mut spread = Spread::default();
            sets.iter().for_each(|set| spread.add(of(set)));
            spread
        };
        for (index, class) in CLASSES.into_iter().enumerate() {
            self.count("partyrun_requests_total", party, class, index, sets, |set| &set.requests);
        }
        let name = "partyrun_request_duration_seconds";
        self.durations(name, &[party], spread(|set| &set.request_time));
        if party == meters::NO_PARTY {
            for (index, (_, level)) in Console::ALL.into_iter().enumerate() {
                self.count("partyrun_console_lines_total", party, level, index, sets, |set| &set.console);
            }
            self.durations("partyrun_turn_cpu_seconds", &[party], spread(|set| &set.turn_cpu));
            self.put("partyrun_spares", &[], sum(|set| set.spares.get()));
            return;
        }
        self.put("partyrun_messages_received_total", &[party], sum(|set| set.messages_in.get()));
        self.put("partyrun_received_bytes_total", &[party], sum(|set| set.bytes_in.get()));
        self.put("partyrun_messages_sent_total", &[party], sum(|set| set.messages_out.get()));
        self.put("partyrun_sent_bytes_total", &[party], sum(|set| set.bytes_out.get()));
        self.put("partyrun_sockets", &[party], sum(|set| set.sockets.get()));
        self.put("partyrun_sockets_opened_total", &[party], sum(|set| set.sockets_opened.get()));
        self.put("partyrun_rooms", &[party, "live"], sum(|set| set.live.get()));
        let hibernated = sum(|set| set.rooms.get().wrapping_sub(set.live.get()));
        self.put("partyrun_rooms", &[party, "hibernated"], hibernated);
        let name = "partyrun_room_start_duration_seconds";
        self.durations(name, &[party, "new"], spread(|set| &set.new_rooms));
        self.durations(name, &[party, "wake"], spread(|set| &set.wake_ups));
        self.durations("partyrun_turn_cpu_seconds", &[party], spread(|set| &set.turn_cpu));
        for (index, outcome) in OUTCOMES.into_iter().enumerate() {
            self.count("partyrun_alarms_total", party, outcome, index, sets, |set| &set.alarms);
        }
        for (index, (_, reason)) in Reset::ALL.into_iter().enumerate() {
            self.count("partyrun_room_resets_total", party, reason, index, sets, |set| &set.resets);
        }
        for (index, (_, reason)) in Eviction::ALL.into_iter().enumerate() {
            self.count("partyrun_evictions_total", party, reason, index, sets, |set| &set.evictions);
        }
        for (index, (_, level)) in Console::ALL.into_iter().enumerate() {
            self.count("partyrun_console_lines_total", party, level, index, sets, |set| &set.console);
        }
    }

    fn count(
        &mut self,
        name: &str,
        party: &str,
        label: &str,
        index: usize,
        sets: &[&Meters],
        of: for<'a> fn(&'a Meters) -> &'a [Counter],
    ) {
        let counts = sets.iter().filter_map(|set| of(set).get(index)).map(Counter::get);
        self.put(name, &[party, label], Value::Count(counts.sum()));
    }

    fn durations(&mut self, name: &str, labels: &[&str], spread: Spread) {
        self.put(name, labels, Value::Spread(Box::new(spread)));
    }

    fn everywhere(&mut self) {
        let counted = |counter: &Counter| Value::Count(counter.get());
        let all = &EVERYWHERE;
        for (count, outcome) in all.crons.iter().zip(OUTCOMES) {
            self.put("partyrun_crons_total", &[outcome], counted(count));
        }
        for (limit, count) in TABLE.iter().zip(&all.limits).filter(|(_, count)| count.get() > 0) {
            self.put("partyrun_limit_hits_total", &[limit.name], counted(count));
        }
        self.put("partyrun_log_lines_dropped_total", &[], counted(&all.lines_dropped));
        self.put("partyrun_export_failures_total", &[], counted(&all.export_failures));
        self.put("partyrun_export_dropped_total", &[], counted(&all.export_dropped));
        self.durations("partyrun_commit_duration_seconds", &[], Spread::of(&all.commits));
        for (count, outcome) in [&all.batches, &all.batches_failed].into_iter().zip(OUTCOMES) {
            self.put("partyrun_commit_batches_total", &[outcome], counted(count));
        }
        for worker in Lateness::all() {
            let delays = Spread::of(&worker.delay);
            self.durations("partyrun_event_loop_delay_seconds", &[&worker.worker], delays);
        }
    }
}

const OUTCOMES: [&str; 2] = ["succeeded", "failed"];

static STARTED: OnceLock<Instant> = OnceLock::new();

/// The process starts now, as far as `partyrun_uptime_seconds` tells.
pub fn begin() {
    let _before = STARTED.set(Instant::now());
}

fn uptime() -> f64 {
    STARTED.get_or_init(Instant::now).elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl Source for Two {
        fn collect(&self, metrics: &mut Metrics) {
            metrics.put("partyrun_workers", &["share"], Value::Count(2));
        }
    }

    fn workers() -> Option<Value> {
        let metrics = Metrics::now("1");
        let mut families = metrics.families();
        let found = families.find(|(metric, _)| metric.name == "partyrun_workers");
        found.and_then(|(_, points)| points.first().map(|point| point.value.clone()))
    }

    #[test]
    fn sources_are_asked_as_long_as_they_are_there() {
        let (one, other) = (Arc::new(Two), Arc::new(Two));
        add_source(&one);
        add_source(&other);
        assert_eq!(workers(), Some(Value::Count(4)));
        drop(one);
        assert_eq!(workers(), Some(Value::Count(2)));
        drop(other);
        assert_eq!(workers(), None);
    }
}
