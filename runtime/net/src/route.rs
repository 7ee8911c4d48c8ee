//! Which room a path means (spec 1.2).
//!
//! `/party/ROOM` is a room of the party `main`, `/parties/PARTY/ROOM` one of that party. The room segment is taken as it
//! is: never decoded, never case-folded. An empty room segment means no room. What follows the room belongs to the
//! project.

use std::fmt;

use thiserror::Error;

/// What the path of a request names (spec 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'path> {
    /// A room. The party may be unknown, or even empty: that is for the caller to answer.
    Room {
        /// The party's name.
        party: &'path str,
        /// The room's id as it is written in the URL, not decoded.
        room: &'path str,
    },
    /// No room: static files, `onFetch`, 404.
    Other,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RouteError {
    /// The room id has this many bytes, more than `room_id_bytes_max`. Answer 414.
    #[error("the room id is {0} bytes long")]
    RoomIdTooLong(usize),
}

impl<'path> Route<'path> {
    /// Reads a normalized path ([`crate::RequestUrl::path`]).
    pub fn parse(path: &'path str, room_id_bytes_max: usize) -> Result<Self, RouteError> {
        let (party, rest) = if let Some(rest) = path.strip_prefix("/party/") {
            ("main", rest)
        } else if let Some(rest) = path.strip_prefix("/parties/") {
            match rest.split_once('/') {
                Some(split) => split,
                None => return Ok(Self::Other),
            }
        } else {
            return Ok(Self::Other);
        };
        let room = rest.split_once('/').map_or(rest, |(room, _)| room);
        if room.is_empty() {
            return Ok(Self::Other);
        }
        if room.len() > room_id_bytes_max {
            return Err(RouteError::RoomIdTooLong(room.len()));
        }
        Ok(Self::Room { party, room })
    }
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { party, room } => write!(formatter, "{party}/{room}"),
            Self::Other => formatter.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        let room = |party, room| Ok(Route::Room { party, room });
        let cases = [
            ("/party/a", room("main", "a")),
            ("/party/a/sub/path", room("main", "a")),
            ("/party/foo%20bar", room("main", "foo%20bar")),
            ("/party/f%2Fo", room("main", "f%2Fo")),
            ("/party/A", room("main", "A")),
            ("/parties/main/x", room("main", "x")),
            ("/parties/chat/x/", room("chat", "x")),
            ("/parties//x", room("", "x")),
            ("/parties/MAIN/x", room("MAIN", "x")),
            ("/party", Ok(Route::Other)),
            ("/party/", Ok(Route::Other)),
            ("/party//x", Ok(Route::Other)),
            ("/parties", Ok(Route::Other)),
            ("/parties/main", Ok(Route::Other)),
            ("/parties/main/", Ok(Route::Other)),
            ("/parties/main//x", Ok(Route::Other)),
            ("/partyx/a", Ok(Route::Other)),
            ("/", Ok(Route::Other)),
            ("", Ok(Route::Other)),
        ];
        for (path, expected) in cases {
            assert_eq!(Route::parse(path, 100), expected, "{path}");
        }
    }

    #[test]
    fn a_long_room_id_is_refused() {
        assert!(Route::parse("/party/abcd", 4).is_ok());
        assert_eq!(Route::parse("/party/abcde/x", 4), Err(RouteError::RoomIdTooLong(5)));
    }
}
