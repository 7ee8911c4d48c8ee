//! Messages about steps that took long: why a room was reset, and the warnings before that.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use partyrun_telemetry::{Reset, limit_hit};

use crate::api::Source;
use crate::ground::pulse::{Step, TimeLimit};

/// How long no second warning of the same room and handler is printed.
const WARN_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Rooms that a message names.
const NAMED_MAX: usize = 4;

/// Which warnings were printed lately.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<HashMap<(Source, Step), Instant>>);

impl Warnings {
    /// Whether this one is to be printed now.
    pub(crate) fn is_due(&self, source: &Source, step: Step, kept_max: usize, now: Instant) -> bool {
        let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Instant| now.saturating_duration_since(*at) < WARN_AGAIN_AFTER;
        let name = (source.clone(), step);
        if printed.get(&name).is_some_and(recent) {
            return false;
        }
        if printed.len() >= kept_max {
            printed.retain(|_, at| recent(at));
        }
        // With as many rooms as that, one warning more or less tells nothing new.
        if printed.len() >= kept_max {
            return false;
        }
        printed.insert(name, now);
        true
    }
}

/// A room's or the edge's name as the subject of a sentence.
pub(crate) fn name(source: &Source) -> String {
    match source {
        Source::Room(key) => format!("Room `{}/{}`", key.party(), key.id()),
        Source::Edge => "The isolate of the static handlers".to_string(),
    }
}

/// Rooms that share an isolate as the subject of a sentence that is about one of them.
pub(crate) fn one_of<'a>(sources: impl Iterator<Item = &'a Source>) -> String {
    let mut names: Vec<String> = sources
        .filter_map(|source| match source {
            Source::Room(key) => Some(format!("`{}/{}`", key.party(), key.id())),
            Source::Edge => None,
        })
        .collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("One of the rooms {}{more}", names.join(", "))
}

/// Counts that a step was ended, and by which limit.
pub(crate) fn count(step: Step, limit: TimeLimit) -> Reset {
    match (limit, step) {
        (TimeLimit::Cpu, Step::Import) => limit_hit!(start_cpu_max),
        (TimeLimit::Cpu, _) => limit_hit!(turn_cpu_max),
        (TimeLimit::Wait, _) => limit_hit!(turn_wait_max),
    }
    match limit {
        TimeLimit::Cpu => Reset::Cpu,
        TimeLimit::Wait => Reset::Wait,
    }
}

/// Why a step was ended that took too long.
pub(crate) fn time(step: Step, limit: TimeLimit, limits: &Limits) -> String {
    let subject = step.subject();
    match (limit, step) {
        (TimeLimit::Cpu, Step::Import) => {
            format!(
                "{subject} used more than {} of CPU time (limit `start_cpu_max`)",
                seconds(limits.start_cpu_max)
            )
        }
        (TimeLimit::Cpu, _) => {
            format!(
                "{subject} ran for more than {} of CPU time (limit `turn_cpu_max`)",
                seconds(limits.turn_cpu_max)
            )
        }
        (TimeLimit::Wait, _) => {
            format!(
                "{subject} held its thread for more than {} (limit `turn_wait_max`)",
                seconds(limits.turn_wait_max)
            )
        }
    }
}

/// A time as a sentence has it.
pub(crate) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use partyrun_store::RoomKey;

    use super::*;

    #[test]
    fn a_warning_is_printed_once_in_a_while() {
        let (warnings, now) = (Warnings::default(), Instant::now());
        let room = |id: &str| Source::Room(RoomKey::new("main", id));
        assert!(warnings.is_due(&room("a"), Step::Message, 3, now));
        assert!(!warnings.is_due(&room("a"), Step::Message, 3, now + WARN_AGAIN_AFTER / 2));
        assert!(warnings.is_due(&room("a"), Step::Request, 3, now));
        assert!(warnings.is_due(&room("b"), Step::Message, 3, now));
        assert!(!warnings.is_due(&room("c"), Step::Message, 3, now), "more than are kept");
        assert!(warnings.is_due(&room("c"), Step::Message, 3, now + WARN_AGAIN_AFTER));
        assert!(warnings.is_due(&room("a"), Step::Message, 3, now + WARN_AGAIN_AFTER));
    }

    #[test]
    fn rooms_that_share_an_isolate_are_named() {
        let rooms = |ids: &[&str]| -> Vec<Source> {
            ids.iter().map(|id| Source::Room(RoomKey::new("main", *id))).collect()
        };
        let said = |ids: &[&str]| one_of(rooms(ids).iter());
        assert_eq!(said(&["b", "a"]), "One of the rooms `main/a`, `main/b`");
        assert_eq!(
            said(&["f", "b", "a", "c", "d", "e"]),
            "One of the rooms `main/a`, `main/b`, `main/c`, `main/d` and 2 more"
        );
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        let written = |ms| seconds(Duration::from_millis(ms));
        assert_eq!([written(200), written(1340), written(30_000)], ["200 ms", "1.3 s", "30 s"]);
    }
}
