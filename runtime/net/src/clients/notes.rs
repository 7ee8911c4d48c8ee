//! Lines for the log about clients that exceed a limit: one for each limit and period, whatever the clients do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often a limit is spoken of.
const PERIOD: Duration = Duration::from_secs(10);

/// Speaks of limits and rules.
pub struct Notes {
    warn: Box<dyn Fn(&str) + Send + Sync>,
    said: Mutex<BTreeMap<&'static str, Said>>,
}

/// What was said of a limit.
struct Said {
    at: Duration,
    /// How often it was exceeded since.
    since: u64,
}

impl fmt::Debug for Notes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Notes").finish_non_exhaustive()
    }
}

impl Notes {
    /// Lines go to `warn`.
    pub fn new(warn: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { warn, said: Mutex::default() }
    }

    /// Says, at `now` of any clock, that a limit was exceeded, unless that was said a moment ago. The line has no full stop.
    pub fn say(&self, limit: &'static str, now: Duration, line: impl FnOnce() -> String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let more = match said.get_mut(limit) {
            Some(said) if now.saturating_sub(said.at) < PERIOD => {
                said.since = said.since.saturating_add(1);
                return;
            }
            Some(said) => std::mem::replace(said, Said { at: now, since: 0 }).since,
            None => {
                said.insert(limit, Said { at: now, since: 0 });
                0
            }
        };
        drop(said);
        let more = if more > 0 {
            format!("; {more} times since the last line, by this or other clients")
        } else {
            String::new()
        };
        (self.warn)(&format!("{}{more}.", line()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_flood_is_one_line_in_a_period() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        let notes = Notes::new(Box::new(move |line| told.lock().unwrap().push(line.to_string())));
        for step in 0..1000 {
            notes.say("one", Duration::from_millis(step), || "One".to_string());
        }
        notes.say("other", Duration::ZERO, || "Other".to_string());
        notes.say("one", PERIOD, || "One".to_string());
        notes.say("one", 2 * PERIOD, || "One".to_string());
        let expected =
            ["One.", "Other.", "One; 999 times since the last line, by this or other clients.", "One."];
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}
