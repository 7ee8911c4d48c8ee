//! The line in which the rooms of one isolate wait for its next turn, and the task that it wakes.
//!
//! A room rings when it has something to do; the turn that comes then takes all that rang. What a room's ops did while
//! others had their events makes the turn one of that room, too: it is touched, and its end of turn comes with theirs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

/// The line of one isolate. Rooms stand in it by their serial numbers.
#[derive(Default)]
pub(crate) struct Line {
    rang: RefCell<Vec<Rc<Bell>>>,
    touched: RefCell<Vec<Rc<Bell>>>,
    waker: RefCell<Option<Waker>>,
}

/// One room's way into the line.
pub(crate) struct Bell {
    line: Rc<Line>,
    room: u64,
    rings: Cell<bool>,
    is_touched: Cell<bool>,
}

impl Bell {
    /// The bell of the room with this serial number.
    pub(crate) fn new(line: &Rc<Line>, room: u64) -> Rc<Self> {
        Rc::new(Self { line: line.clone(), room, rings: Cell::new(false), is_touched: Cell::new(false) })
    }

    /// The room has something to do.
    pub(crate) fn ring(self: &Rc<Self>) {
        self.stay();
        self.line.wake();
    }

    /// The room stands in line, but its turn need not come for that.
    pub(crate) fn stay(self: &Rc<Self>) {
        if !self.rings.replace(true) {
            self.line.rang.borrow_mut().push(self.clone());
        }
    }

    /// The turn that runs is one of this room, too.
    pub(crate) fn touch(self: &Rc<Self>) {
        if !self.is_touched.replace(true) {
            self.line.touched.borrow_mut().push(self.clone());
        }
    }
}

impl Line {
    /// Whom to wake when a room rings.
    pub(crate) fn park(&self, waker: &Waker) {
        let mut parked = self.waker.borrow_mut();
        if !parked.as_ref().is_some_and(|parked| parked.will_wake(waker)) {
            *parked = Some(waker.clone());
        }
    }

    /// Makes a turn come.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The rooms that rang, in their order. All of them are touched by that.
    pub(crate) fn take_rang<T>(&self, find: impl Fn(u64) -> Option<T>) -> Vec<T> {
        let mut rang = self.rang.borrow_mut();
        let left = |bell: Rc<Bell>| {
            bell.rings.set(false);
            bell.touch();
            find(bell.room)
        };
        rang.drain(..).filter_map(left).collect()
    }

    /// The rooms that had a part in the turn.
    pub(crate) fn take_touched<T>(&self, find: impl Fn(u64) -> Option<T>) -> Vec<T> {
        let mut touched = self.touched.borrow_mut();
        let left = |bell: Rc<Bell>| {
            bell.is_touched.set(false);
            find(bell.room)
        };
        touched.drain(..).filter_map(left).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_stands_in_line_once_and_its_turn_ends_once() {
        let line = Rc::new(Line::default());
        let (one, two) = (Bell::new(&line, 1), Bell::new(&line, 2));
        two.ring();
        one.ring();
        two.ring();
        assert_eq!(line.take_rang(Some), [2, 1]);
        assert!(line.take_rang(Some).is_empty());
        one.touch();
        assert_eq!(line.take_touched(Some), [2, 1]);
        assert!(line.take_touched(Some).is_empty());
        one.touch();
        one.ring();
        assert_eq!((line.take_touched(Some), line.take_rang(Some)), (vec![1], vec![1]));
        assert_eq!(line.take_touched(Some), [1]);
    }
}
