//! Which room a connection asks, as far as that shows before hyper reads the request, and when the connection is to move.
//!
//! Every request's target is looked at as it comes. A connection of the front that asks one room again moves to the
//! thread of that room; a guest there moves back when it asks for anything else. Targets that a URL parser would change
//! are nobody's room here, and a connection that has moved back needs more patience the next time.

use std::sync::Arc;

use super::guests::Seat;
use crate::Route;

/// After so many requests to one room, more than one in a row, a connection moves to it; twice as many each time.
const PATIENCE: u32 = 1;
const PATIENCE_MAX: u32 = 64;
/// No method of a room's request is longer; other methods do not move.
const METHOD_BYTES_MAX: usize = 16;

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

/// Whether a request is for this room and no other.
fn asks(request: &[u8], room: &str) -> bool {
    room_of(request) == Some(room)
}

/// The target of a request up to the end of its room, if it is certain.
fn room_of(request: &[u8]) -> Option<&str> {
    let method = request.iter().take(METHOD_BYTES_MAX).position(|&byte| byte == b' ')?;
    let rest = request.get(method + 1..)?;
    // hyper reads over line breaks before a request.
    if !request.iter().take(method).all(u8::is_ascii_alphabetic) || !rest.starts_with(b"/part") {
        return None;
    }
    let target = rest.get(..rest.iter().position(|&byte| matches!(byte, b' ' | b'\r' | b'\n'))?)?;
    let end = target.iter().position(|&byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    let path = std::str::from_utf8(target.get(..end)?).ok().filter(|path| is_plain(path))?;
    // The length of a room's name is judged where the request is answered.
    let Ok(Route::Room { room, .. }) = Route::parse(path, usize::MAX) else { return None };
    let from = room.as_ptr() as usize - path.as_ptr() as usize;
    path.get(..from + room.len())
}

/// Whether a URL parser leaves this path as it is: nothing in it means a folder above, and nothing is rewritten.
fn is_plain(path: &str) -> bool {
    let mut bytes = path.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        match byte {
            b'/' if matches!(next, Some(b'.' | b'%')) => return false,
            b'\\' | b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'^' => return false,
            0x21..=0x7e => {}
            _ => return false,
        }
    }
    true
}

/// The party and the id in a target that ends with its room.
pub(super) fn names(room: &str) -> Option<(&str, &str)> {
    match Route::parse(room, usize::MAX) {
        Ok(Route::Room { party, room }) => Some((party, room)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(target: &str) -> Option<String> {
        room_of(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).map(str::to_string)
    }

    #[test]
    fn rooms_are_known_by_their_targets() {
        for target in ["/party/a", "/party/a/", "/party/a/b?c=/d", "/party/a?x=..", "/party/a/b/c"] {
            assert_eq!(room(target).as_deref(), Some("/party/a"), "{target}");
        }
        assert_eq!(room("/parties/chat/a%20b/c").as_deref(), Some("/parties/chat/a%20b"));
    }

    #[test]
    fn what_may_mean_another_room_is_none() {
        let targets = [
            "/",
            "*",
            "/party/",
            "/parties/x",
            "http://h/party/a",
            "/party/a/../b",
            "/party/a/%2e%2e/b",
            "/party/a\\..\\b",
            "/party/./a",
            "/party/a/%2E./b",
            "/party/\u{e9}",
            "/party/a\"b",
        ];
        for target in targets {
            assert_eq!(room(target), None, "{target}");
        }
        for request in
            ["", "GET", "GET /party/a", "\r\nGET /party/a HTTP/1.1", "ABCDEFGHIJKLMNOPQR /party/a HTTP/1.1"]
        {
            assert_eq!(room_of(request.as_bytes()), None, "{request:?}");
        }
    }

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
