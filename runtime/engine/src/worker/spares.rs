//! Spares: isolates that a worker has prepared for rooms which nobody has asked for yet. A room must not pay for the modules
//! of other parties, so that a spare has evaluated those of one party or of none. One of none serves every party, and what
//! most parties import is evaluated in no time. Where that takes long, spares have it evaluated: those for the parties that
//! were asked for last.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::isolate::{Isolate, Loaded};

/// A party whose modules take longer gets spares of its own.
const QUICK_MAX: Duration = Duration::from_millis(4);

/// The spares of a worker.
pub(crate) struct Spares {
    ready: Vec<Isolate>,
    max: usize,
    // The parties of the last rooms, the newest first, as many as there may be spares.
    asked: VecDeque<Loaded>,
    // Parties whose modules take long.
    slow: HashMap<Loaded, bool>,
}

impl Spares {
    /// None yet, and at most `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { ready: Vec::new(), max, asked: VecDeque::new(), slow: HashMap::new() }
    }

    /// A spare for a room, if there is one that can serve it.
    pub(crate) fn take(&mut self, wanted: &Loaded) -> Option<Isolate> {
        self.asked.push_front(wanted.clone());
        self.asked.truncate(self.max);
        let having = |loaded: &Loaded| self.ready.iter().position(|spare| spare.loaded() == loaded);
        let found = having(wanted).or_else(|| having(&Loaded::Nothing))?;
        Some(self.ready.swap_remove(found))
    }

    /// How long modules took to be evaluated, but for what they waited for.
    pub(crate) fn note_time(&mut self, loaded: &Loaded, took: Duration) {
        self.slow.insert(loaded.clone(), took > QUICK_MAX);
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
    pub(crate) fn begin(&mut self) -> (Option<Isolate>, Loaded) {
        let (lacking, surplus) = self.plan();
        let wanted = lacking.into_iter().next().unwrap_or(Loaded::Nothing);
        if self.ready.len() < self.max {
            return (None, wanted);
        }
        let is_blank =
            |index: &usize| self.ready.get(*index).is_some_and(|spare| *spare.loaded() == Loaded::Nothing);
        let blank = surplus.iter().copied().find(is_blank);
        match blank.or_else(|| surplus.first().copied()) {
            Some(index) => {
                let spare = self.ready.swap_remove(index);
                (blank.map(|_| spare), wanted)
            }
            None => (None, wanted),
        }
    }

    /// Adds one.
    pub(crate) fn put(&mut self, spare: Isolate) {
        self.ready.push(spare);
    }

    /// Drops all, and what was known of the program's parties.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.max);
    }

    fn plan(&self) -> (Vec<Loaded>, Vec<usize>) {
        let ready: Vec<&Loaded> = self.ready.iter().map(Isolate::loaded).collect();
        compare(&ready, wishes(&self.asked, &self.slow, self.max))
    }
}

// What the spares should have evaluated.
fn wishes(asked: &VecDeque<Loaded>, slow: &HashMap<Loaded, bool>, max: usize) -> Vec<Loaded> {
    let of_slow = asked.iter().map(|party| match slow.get(party) {
        Some(true) => party.clone(),
        _ => Loaded::Nothing,
    });
    of_slow.chain(std::iter::repeat(Loaded::Nothing)).take(max).collect()
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

    #[test]
    fn only_slow_parties_have_spares_of_their_own() {
        let slow = HashMap::from([(party("slow"), true), (party("quick"), false)]);
        let wish = |asked: &[&str]| wishes(&asked.iter().map(|name| party(name)).collect(), &slow, 2);
        assert_eq!(wish(&[]), [Loaded::Nothing, Loaded::Nothing]);
        assert_eq!(wish(&["quick", "unknown"]), [Loaded::Nothing, Loaded::Nothing]);
        assert_eq!(wish(&["quick", "slow"]), [Loaded::Nothing, party("slow")]);
        assert_eq!(wish(&["slow", "slow"]), [party("slow"), party("slow")]);
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
