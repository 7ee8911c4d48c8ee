//! When a connection is to move.
//!
//! Every request's target is looked at as it comes (`target.rs`). A connection of the front that asks one room again moves
//! to the thread of that room; a guest there moves back when it asks for anything else. A connection that has moved back
//! needs more patience the next time.

use std::sync::Arc;

use super::seats::Seat;
use super::target::{asks, room_of};

/// After so many requests to one room, more than one in a row, a connection moves to it; twice as many each time.
const PATIENCE: u32 = 1;
const PATIENCE_MAX: u32 = 64;

/// Where a connection is.
#[derive(Debug)]
pub(super) enum Side {
    /// At the front, for ever.
    Fixed,
    /// At the front.
    Front,
    /// With the worker of a room.
    Guest(Arc<Seat>),
}

/// What a connection asked for lately.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) side: Side,
    /// The first part of the last target, up to the end of the room.
    pub(super) room: String,
    streak: u32,
    patience: u32,
    /// It was considered to move with the request that waits, and stays.
    stays: bool,
}

impl Way {
    pub(super) fn new(side: Side) -> Self {
        Self { side, room: String::new(), streak: 0, patience: PATIENCE, stays: false }
    }

    /// The way of a connection that comes to a room's worker.
    pub(super) fn to_room(seat: Arc<Seat>, room: String, patience: u32) -> Self {
        Self { side: Side::Guest(seat), room, streak: 0, patience, stays: false }
    }

    /// The way of a connection that has come back, and will move later the next time.
    pub(super) fn back(patience: u32) -> Self {
        let patience = patience.saturating_mul(2).min(PATIENCE_MAX);
        Self { patience, ..Self::new(Side::Front) }
    }

    /// Whether it has been with a worker.
    pub(super) fn has_moved(&self) -> bool {
        self.patience > PATIENCE
    }

    pub(super) fn patience(&self) -> u32 {
        self.patience
    }

    /// Looks at the beginning of a request; answers whether the connection may move instead of passing it on.
    pub(super) fn sees(&mut self, request: &[u8]) -> bool {
        if std::mem::take(&mut self.stays) {
            return false;
        }
        match &self.side {
            Side::Fixed => false,
            Side::Front => match room_of(request) {
                Some(room) if room == self.room => {
                    self.streak = self.streak.saturating_add(1);
                    self.streak > self.patience
                }
                Some(room) => {
                    self.room.clear();
                    self.room.push_str(room);
                    self.streak = 1;
                    false
                }
                None => {
                    self.streak = 0;
                    self.room.clear();
                    false
                }
            },
            Side::Guest(seat) => seat.is_dismissed() || !asks(request, &self.room),
        }
    }

    /// It stays after all, with the request that was seen last.
    pub(super) fn stay(&mut self) {
        self.stays = true;
        self.streak = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_moves_at_the_second_request_and_later_each_time() {
        let (a, b) = (b"GET /party/a HTTP/1.1\r\n".as_slice(), b"GET /party/b HTTP/1.1\r\n".as_slice());
        let mut way = Way::new(Side::Front);
        assert_eq!([a, b, b].map(|request| way.sees(request)), [false, false, true]);
        way.stay();
        assert_eq!([b, b, b].map(|request| way.sees(request)), [false, false, true]);
        let mut way = Way::back(way.patience());
        assert_eq!([b, b, a, a, a].map(|request| way.sees(request)), [false, false, false, false, true]);
        let mut fixed = Way::new(Side::Fixed);
        assert_eq!([a, a, a].map(|request| fixed.sees(request)), [false, false, false]);
    }
}
