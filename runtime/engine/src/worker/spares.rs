//! Spares: isolates that a worker has prepared for rooms which nobody has asked for yet. A room must not pay for the modules
//! of other parties, so that a spare has evaluated those of one party or of none. One of none serves every party, and what
//! most parties import is evaluated in no time. Where that takes long, a spare has it evaluated. Which parties those are the
//! edge has measured, which imports all of them; the spares that save the rooms of late the most time are made.
//!
//! How many there are follows demand: each room that finds none doubles the number, so that a burst of rooms empties them once and
//! the next one finds enough. Without new rooms for a while, or when memory is short, it is the configured number again.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use partyrun_telemetry::{Level, NO_PARTY};

use crate::ground::program::Program;
use crate::isolate::Loaded;
use crate::room::home::Prepared;

/// A party whose modules take longer gets spares of its own.
const QUICK_MAX: Duration = Duration::from_millis(4);
/// What any spare saves a room: about the time of making an isolate.
const BLANK_SAVES: Duration = Duration::from_millis(8);
/// So many rooms tell which parties are asked for.
const ASKED_MAX: usize = 16;
/// So many are dropped at once when there are too many: each takes a millisecond or two of the thread.
const DROPPED_AT_ONCE: usize = 2;

/// The spares of a worker.
pub(crate) struct Spares {
    ready: Vec<Prepared>,
    demand: Demand,
    // The parties of the last rooms, the newest first.
    asked: VecDeque<Loaded>,
    // How long the modules of a party take.
    times: HashMap<Loaded, Duration>,
    // How many are ready, for whoever looks from outside.
    seen: &'static Level,
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.seen.set(0);
    }
}

impl Spares {
    /// None yet; `least` of them when rooms are rare.
    pub(crate) fn new(least: usize, limits: &Limits, program: &Program) -> Self {
        Self::of_program(Demand::new(least, limits), program)
    }

    fn of_program(demand: Demand, program: &Program) -> Self {
        let times =
            program.import_times().map(|(party, took)| (Loaded::Party(party.clone()), took)).collect();
        let seen = &partyrun_telemetry::meters(NO_PARTY, 0).spares;
        seen.set(0);
        Self { ready: Vec::new(), demand, asked: VecDeque::new(), times, seen }
    }

    /// A spare for a room, if there is one that can serve it.
    pub(crate) fn take(&mut self, wanted: &Loaded) -> Option<Prepared> {
        self.asked.push_front(wanted.clone());
        self.asked.truncate(ASKED_MAX);
        let having = |loaded: &Loaded| self.ready.iter().position(|spare| spare.isolate.loaded() == loaded);
        let found = having(wanted).or_else(|| having(&Loaded::Nothing));
        self.demand.asked(found.is_some(), Instant::now());
        let spare = self.ready.swap_remove(found?);
        self.seen.set(self.ready.len());
        Some(spare)
    }

    /// Follows a demand that has gone down. Called now and then.
    pub(crate) fn ease(&mut self, pressed: bool) {
        self.demand.ease(pressed, Instant::now());
        for _ in 0..DROPPED_AT_ONCE {
            if self.ready.len() <= self.demand.wanted {
                return;
            }
            let surplus = self.plan().1.last().copied().unwrap_or(0);
            drop(self.ready.swap_remove(surplus));
            self.seen.set(self.ready.len());
        }
    }

    /// How long modules took to be evaluated, but for what they waited for.
    pub(crate) fn note_time(&mut self, loaded: &Loaded, took: Duration) {
        self.times.insert(loaded.clone(), took);
    }

    /// How many are ready.
    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether another one should be made.
    pub(crate) fn wants_more(&self) -> bool {
        !self.plan().0.is_empty()
    }

    /// What the next one shall have evaluated, and one of nothing that it can be made from. Makes room for it.
    pub(crate) fn begin(&mut self) -> (Option<Prepared>, Loaded) {
        let (lacking, surplus) = self.plan();
        let wanted = lacking.into_iter().next().unwrap_or(Loaded::Nothing);
        if self.ready.len() < self.demand.wanted {
            return (None, wanted);
        }
        let is_blank = |index: &usize| {
            self.ready.get(*index).is_some_and(|spare| *spare.isolate.loaded() == Loaded::Nothing)
        };
        let blank = surplus.iter().copied().find(is_blank);
        match blank.or_else(|| surplus.first().copied()) {
            Some(index) => {
                let spare = self.ready.swap_remove(index);
                self.seen.set(self.ready.len());
                (blank.map(|_| spare), wanted)
            }
            None => (None, wanted),
        }
    }

    /// Adds one.
    pub(crate) fn put(&mut self, spare: Prepared) {
        self.ready.push(spare);
        self.seen.set(self.ready.len());
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.seen.set(0);
    }

    /// Drops all: from now on they are for another program.
    pub(crate) fn begin_program(&mut self, program: &Program) {
        *self = Self::of_program(self.demand.clone(), program);
    }

    fn plan(&self) -> (Vec<Loaded>, Vec<usize>) {
        let ready: Vec<&Loaded> = self.ready.iter().map(|spare| spare.isolate.loaded()).collect();
        compare(&ready, wishes(&self.asked, &self.times, self.demand.wanted))
    }
}

// How many spares are wanted, by what rooms of late have found.
#[derive(Clone)]
struct Demand {
    least: usize,
    most: usize,
    shrink_after: Duration,
    wanted: usize,
    last_asked: Option<Instant>,
}

impl Demand {
    fn new(least: usize, limits: &Limits) -> Self {
        // A thread that is to have none keeps none.
        let most = if least == 0 { 0 } else { limits.spares_per_worker_max.max(least) };
        Self { least, most, shrink_after: limits.spares_shrink_after, wanted: least, last_asked: None }
    }

    // A room has asked for one, and has `found` one or not.
    fn asked(&mut self, found: bool, now: Instant) {
        self.last_asked = Some(now);
        if !found {
            self.wanted = self.wanted.saturating_mul(2).min(self.most);
        }
    }

    fn ease(&mut self, pressed: bool, now: Instant) {
        let quiet = |asked: Instant| now.saturating_duration_since(asked) >= self.shrink_after;
        if pressed || self.last_asked.is_none_or(quiet) {
            self.wanted = self.least;
        }
    }
}

// What the spares should have evaluated: each is the one that saves the next room the most time, as far as the last rooms
// tell. A second spare of the same kind is worth less, because the next room is of another party more often than not.
fn wishes(asked: &VecDeque<Loaded>, times: &HashMap<Loaded, Duration>, max: usize) -> Vec<Loaded> {
    let is_slow = |party: &Loaded| times.get(party).is_some_and(|took| *took > QUICK_MAX);
    // Before there was a room, any party may be asked for.
    let rooms: Vec<&Loaded> = if asked.is_empty() { times.keys().collect() } else { asked.iter().collect() };
    let mut slow: Vec<&Loaded> = rooms.iter().copied().filter(|party| is_slow(party)).collect();
    slow.sort_unstable_by_key(|party| (times.get(*party), name(party)));
    slow.dedup();
    let share = |party: &Loaded| {
        rooms.iter().filter(|room| **room == party).count() as f64 / rooms.len().max(1) as f64
    };
    let mut chosen: Vec<Loaded> = Vec::new();
    while chosen.len() < max {
        let count = |party: &Loaded| {
            i32::try_from(chosen.iter().filter(|one| *one == party).count()).unwrap_or(i32::MAX)
        };
        let others: f64 = slow.iter().filter(|party| count(party) > 0).map(|party| share(party)).sum();
        // Whoever has no spare of its own takes one of nothing. There always is one, if there may be several.
        let blanks = count(&Loaded::Nothing);
        let is_last = chosen.len() + 1 == max && max > 1 && blanks == 0 && others < 1.0;
        let blank = (1.0 - others).max(0.0).powi(blanks.saturating_add(1)) * BLANK_SAVES.as_secs_f64();
        let saved = |party: &Loaded| {
            let saves = BLANK_SAVES + times.get(party).copied().unwrap_or_default();
            share(party).powi(count(party).saturating_add(1)) * saves.as_secs_f64()
        };
        let best = slow.iter().copied().max_by(|one, other| saved(one).total_cmp(&saved(other)));
        let best = best.filter(|party| !is_last && saved(party) > blank);
        chosen.push(best.cloned().unwrap_or(Loaded::Nothing));
    }
    chosen
}

fn name(loaded: &Loaded) -> &str {
    match loaded {
        Loaded::Party(party) => party,
        Loaded::Nothing | Loaded::All => "",
    }
}

// The wishes that nothing fulfils, and what fulfils no wish.
fn compare(ready: &[&Loaded], mut wishes: Vec<Loaded>) -> (Vec<Loaded>, Vec<usize>) {
    let mut surplus = Vec::new();
    for (index, loaded) in ready.iter().enumerate() {
        match wishes.iter().position(|wish| wish == *loaded) {
            Some(found) => drop(wishes.remove(found)),
            None => surplus.push(index),
        }
    }
    (wishes, surplus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(name: &str) -> Loaded {
        Loaded::Party(name.to_string())
    }

    fn wish(known: &[(&str, u64)], asked: &[&str], max: usize) -> Vec<Loaded> {
        let times = known.iter().map(|(name, ms)| (party(name), Duration::from_millis(*ms))).collect();
        wishes(&asked.iter().map(|name| party(name)).collect(), &times, max)
    }

    #[test]
    fn only_slow_parties_have_spares_of_their_own() {
        let (slow, nothing) = (party("slow"), Loaded::Nothing);
        let known = [("slow", 130), ("quick", 0)];
        assert_eq!(wish(&[], &[], 2), [nothing.clone(), nothing.clone()]);
        assert_eq!(wish(&known, &["quick", "unknown"], 2), [nothing.clone(), nothing.clone()]);
        assert_eq!(wish(&known, &["quick", "slow"], 2), [slow.clone(), nothing.clone()]);
        assert_eq!(wish(&known, &["slow", "slow"], 2), [slow.clone(), slow.clone()]);
        assert!(wish(&known, &["slow"], 0).is_empty());
    }

    #[test]
    fn a_slow_party_keeps_its_spare_while_others_are_asked_for() {
        let (slow, nothing) = (party("slow"), Loaded::Nothing);
        let known = [("slow", 130), ("quick", 0)];
        assert_eq!(wish(&known, &["quick", "quick", "quick", "slow"], 2), [slow.clone(), nothing.clone()]);
        assert_eq!(wish(&known, &["quick", "quick", "slow"], 1), std::slice::from_ref(&slow));
        assert_eq!(wish(&known, &[], 2), [slow, nothing], "before the first room, as the edge has measured");
    }

    #[test]
    fn of_two_slow_parties_the_slower_goes_first() {
        let known = [("slow", 130), ("slower", 400), ("quick", 0)];
        assert_eq!(wish(&known, &["slow", "slower", "quick"], 2), [party("slower"), Loaded::Nothing]);
        assert_eq!(
            wish(&known, &["slow", "slower", "quick"], 3),
            [party("slower"), party("slow"), Loaded::Nothing]
        );
    }

    #[test]
    fn spares_follow_demand() {
        let limits = Limits { spares_per_worker_max: 8, ..Limits::default() };
        let mut demand = Demand::new(2, &limits);
        let begun = Instant::now();
        demand.asked(true, begun);
        assert_eq!(demand.wanted, 2, "whoever finds one needs no more");
        (0..3).for_each(|_| demand.asked(false, begun));
        assert_eq!(demand.wanted, 8, "as many as there may be");
        demand.ease(false, begun + limits.spares_shrink_after / 2);
        assert_eq!(demand.wanted, 8);
        demand.ease(false, begun + limits.spares_shrink_after);
        assert_eq!(demand.wanted, 2, "in quiet");
        demand.asked(false, begun);
        demand.ease(true, begun);
        assert_eq!(demand.wanted, 2, "when memory is short");
        let mut none = Demand::new(0, &limits);
        none.asked(false, begun);
        assert_eq!(none.wanted, 0);
    }

    #[test]
    fn what_is_lacking_and_what_is_left_over() {
        let (slow, nothing) = (party("slow"), Loaded::Nothing);
        let both = || vec![slow.clone(), nothing.clone()];
        assert_eq!(compare(&[&nothing, &nothing], both()), (vec![slow.clone()], vec![1]));
        assert_eq!(compare(&[&slow, &nothing], both()), (vec![], vec![]));
        assert_eq!(compare(&[&slow], both()), (vec![nothing.clone()], vec![]));
        assert_eq!(compare(&[&slow, &slow], both()), (vec![nothing.clone()], vec![1]));
        assert_eq!(compare(&[], Vec::new()), (vec![], vec![]));
    }
}
