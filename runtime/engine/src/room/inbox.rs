//! The events that wait for an actor, with a bound on their number and on their bytes.
//!
//! An event is never turned away here: whoever brings one asks [`Inbox::is_full`] before. Sockets then read no more, and
//! requests are answered with 503.

use std::collections::VecDeque;

use partyrun_limits::{Budget, Limits};
use partyrun_net::SocketEvent;

use crate::room::event::Event;

/// What waits for one actor, in order.
pub(crate) struct Inbox {
    events: VecDeque<(Event, usize)>,
    events_max: usize,
    budget: Budget,
}

impl Inbox {
    pub(crate) fn new(limits: &Limits, budget: Budget) -> Self {
        Self { events: VecDeque::new(), events_max: limits.inbox_events_max, budget }
    }

    pub(crate) fn push(&mut self, event: Event) {
        let bytes = event.bytes();
        self.budget.add(bytes);
        self.events.push_back((event, bytes));
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let (event, bytes) = self.events.pop_front()?;
        self.budget.give(bytes);
        if self.events.is_empty() {
            // A burst is no reason to keep its room for good.
            self.events.shrink_to(KEPT);
        }
        Some(event)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether nothing more should be brought. Where other rooms have used up what the process has, one event may wait.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= self.events_max
            || self.budget.is_used_up()
            || !self.events.is_empty() && self.budget.is_full()
    }

    /// Takes all that waits.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// Takes the events that `wanted` wants.
    pub(crate) fn take_if(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (taken, kept): (Vec<Event>, Vec<Event>) = self.take().into_iter().partition(wanted);
        kept.into_iter().for_each(|event| self.push(event));
        taken
    }

    /// Takes what a socket said.
    pub(crate) fn take_of_socket(&mut self, index: u32) -> Vec<SocketEvent<'static>> {
        let mut taken = Vec::new();
        for event in self.take() {
            match event.of_socket(index) {
                Ok(event) => taken.push(event),
                Err(event) => self.push(event),
            }
        }
        taken
    }
}

/// Places that an empty inbox keeps.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use partyrun_limits::Total;

    fn text(length: usize) -> Event {
        Event::Text(1, "x".repeat(length))
    }

    #[test]
    fn events_and_bytes_are_bounded_here_and_in_all_of_the_process() {
        let limits = Limits { inbox_events_max: 3, ..Limits::default() };
        let total = Total::new(1 << 20);
        let inbox = || Inbox::new(&limits, Budget::new(&total, 100_000));
        let (mut one, mut two) = (inbox(), inbox());
        (0..3).for_each(|_| one.push(text(1)));
        assert!(one.is_full());
        assert_eq!(one.take().len(), 3);
        one.push(text(100_000));
        assert!(one.is_full() && !two.is_full());
        one.push(text(1 << 20));
        assert!(!two.is_full(), "one event may wait");
        two.push(text(1));
        assert!(two.is_full());
        assert_eq!(one.take_if(|event| event.bytes() >= 1 << 20).len(), 1);
        assert!(!two.is_full());
        drop(one);
        assert_eq!(total.used(), 0);
    }
}
