//! A few sums over the whole process, for charts of the last hour: cheap enough to be taken every few seconds, and nobody is
//! asked for them.

use std::time::Duration;

use crate::cell::{Counter, Spread};
use crate::everywhere::{EVERYWHERE, Lateness};
use crate::meters::{self, Meters};
use crate::process;

/// What was counted until one moment. What grows is compared with an earlier glance.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    /// Messages that rooms were given.
    pub messages_in: u64,
    /// Messages that were queued for sockets.
    pub messages_out: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Open sockets of rooms.
    pub sockets: u64,
    /// CPU time of the process.
    pub cpu: Duration,
    /// How long transactions took.
    pub commits: Spread,
    /// How late the event loops of all workers were.
    pub delays: Spread,
}

impl Glance {
    /// What is so now.
    pub fn now() -> Self {
        let sets = meters::all();
        let sum = |of: fn(&Meters) -> u64| sets.iter().fold(0, |sum: u64, set| sum.wrapping_add(of(set)));
        let mut delays = Spread::default();
        Lateness::all().iter().for_each(|worker| delays.add(&worker.delay));
        Self {
            messages_in: sum(|set| set.messages_in.get()),
            messages_out: sum(|set| set.messages_out.get()),
            requests: sum(|set| set.requests.iter().map(Counter::get).sum()),
            sockets: sum(|set| set.sockets.get()),
            cpu: process::cpu_seconds().map_or(Duration::ZERO, Duration::from_secs_f64),
            commits: Spread::of(&EVERYWHERE.commits),
            delays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_grows_with_what_is_counted() {
        let before = Glance::now();
        meters::meters("glanced", 1000).sent(3, 30);
        EVERYWHERE.commits.record_shared(Duration::from_millis(3));
        Lateness::of("glanced").record(Duration::from_millis(70));
        let after = Glance::now();
        assert!(after.messages_out >= before.messages_out + 3);
        assert!(after.commits.since(&before.commits).count() >= 1);
        assert!(after.delays.since(&before.delays).count() >= 1);
        assert!(after.cpu >= before.cpu && after.cpu > Duration::ZERO);
    }
}
