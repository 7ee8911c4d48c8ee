//! The queue of events that wait for a room, bounded in number and bytes.
//!
//! `push` never refuses an event. So whoever brings one must ask [`Inbox::is_full`] first: sockets are then not read, and
//! requests get 503. To bring events, one needs only the inbox, nothing else of the room.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use partyrun_limits::{Budget, Limits};
use partyrun_net::SocketEvent;
use partyrun_telemetry::limit_hit;

use crate::room::event::Event;
use crate::room::line::Bell;

/// What waits for one room, in order.
pub(crate) struct Inbox {
    events: RefCell<VecDeque<(Event, usize)>>,
    events_max: usize,
    budget: Budget,
    bell: Rc<Bell>,
    last_event: Cell<Instant>,
    // A socket was told to stop reading.
    held_back: Cell<bool>,
}

impl Inbox {
    /// An empty one of the room that `bell` wakes.
    pub(crate) fn new(limits: &Limits, budget: Budget, bell: Rc<Bell>) -> Rc<Self> {
        Rc::new(Self {
            events: RefCell::default(),
            events_max: limits.inbox_events_max,
            budget,
            bell,
            last_event: Cell::new(Instant::now()),
            held_back: Cell::new(false),
        })
    }

    /// Adds an event. [`Inbox::wake`] makes its turn come.
    pub(crate) fn push(&self, event: Event) {
        self.last_event.set(Instant::now());
        self.put(event);
    }

    fn put(&self, event: Event) {
        let bytes = event.bytes();
        self.budget.add(bytes);
        self.events.borrow_mut().push_back((event, bytes));
    }

    /// Makes the room's turn come.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    /// What waits goes on in the turn that comes anyway.
    pub(crate) fn wait(&self) {
        self.bell.stay();
    }

    /// The turn that runs is one of this room, too.
    pub(crate) fn touch(&self) {
        self.bell.touch();
    }

    /// The next event.
    pub(crate) fn pop(&self) -> Option<Event> {
        let mut events = self.events.borrow_mut();
        let (event, bytes) = events.pop_front()?;
        self.budget.give(bytes);
        if events.is_empty() {
            // A burst is no reason to keep its room for good.
            events.shrink_to(KEPT);
        }
        Some(event)
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.events.borrow().len()
    }

    /// The bytes of the events that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.budget.used()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.borrow().is_empty()
    }

    /// Whether nothing more should be brought. Where other rooms have used up what the process has, one event may wait.
    pub(crate) fn is_full(&self) -> bool {
        // Asked before each read of a socket, when nearly always nothing waits.
        let count = self.events.borrow().len();
        count > 0 && (count >= self.events_max || self.budget.is_full())
    }

    /// How a message names the limit that makes it full.
    pub(crate) fn cite(&self, limits: &Limits) -> String {
        if self.events.borrow().len() >= self.events_max {
            return limits.cite("inbox_events_max");
        }
        self.budget.cite("inbox_bytes_max", "inboxes_total_bytes_max")
    }

    /// Whether a socket must stop reading. If so, [`Inbox::lets_go_on`] says when it may go on.
    pub(crate) fn holds_back(&self) -> bool {
        let full = self.is_full();
        if full && !self.held_back.replace(true) {
            self.count_limit();
        }
        full
    }

    /// Counts that something was refused, or that senders stop, because the inbox is full.
    pub(crate) fn count_limit(&self) {
        if self.events.borrow().len() >= self.events_max {
            limit_hit!(inbox_events_max);
        } else {
            limit_hit!(inbox_bytes_max);
        }
    }

    /// Whether sockets that were told to stop reading may go on now: true once.
    pub(crate) fn lets_go_on(&self) -> bool {
        // Most turns find nobody waiting: looking at every socket of a large room after each turn would cost more than it.
        self.held_back.get() && !self.is_full() && self.held_back.replace(false)
    }

    /// When something happened to the room last.
    pub(crate) fn last_event(&self) -> Instant {
        self.last_event.get()
    }

    /// Takes all that waits.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// Takes the events that `wanted` wants.
    pub(crate) fn take_if(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (taken, kept): (Vec<Event>, Vec<Event>) = self.take().into_iter().partition(wanted);
        kept.into_iter().for_each(|event| self.put(event));
        taken
    }

    /// Takes what a socket said.
    pub(crate) fn take_of_socket(&self, index: u32) -> Vec<SocketEvent<'static>> {
        let mut taken = Vec::new();
        for event in self.take() {
            match event.of_socket(index) {
                Ok(event) => taken.push(event),
                Err(event) => self.put(event),
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
        let bell = Bell::new(&Rc::default(), 1);
        let inbox = || Inbox::new(&limits, Budget::new(&total, 100_000), bell.clone());
        let (one, two) = (inbox(), inbox());
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

    #[test]
    fn senders_stop_when_it_is_full_and_go_on_once() {
        let limits = Limits { inbox_events_max: 2, ..Limits::default() };
        let line: Rc<crate::room::line::Line> = Rc::default();
        let inbox = Inbox::new(&limits, Budget::unbounded(), Bell::new(&line, 7));
        inbox.push(text(1));
        assert!(!inbox.holds_back() && !inbox.lets_go_on());
        inbox.push(text(2));
        assert!(inbox.holds_back() && !inbox.lets_go_on());
        assert!(inbox.pop().is_some());
        assert!(inbox.lets_go_on() && !inbox.lets_go_on());
        assert!(line.take_rang(Some).is_empty(), "events wait until their sender wakes the room");
        inbox.wake();
        assert_eq!(line.take_rang(Some), [7]);
    }

    #[test]
    fn what_a_socket_said_is_taken_in_its_order() {
        let inbox = Inbox::new(&Limits::default(), Budget::unbounded(), Bell::new(&Rc::default(), 1));
        for (index, length) in [(1, 1), (2, 2), (1, 3)] {
            inbox.push(Event::Text(index, "x".repeat(length)));
        }
        let said: Vec<usize> = inbox
            .take_of_socket(1)
            .iter()
            .map(|event| match event {
                SocketEvent::Text(text) => text.len(),
                _ => 0,
            })
            .collect();
        assert_eq!(said, [1, 3]);
        assert_eq!(inbox.take().len(), 1);
    }
}
