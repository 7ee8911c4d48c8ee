//! Which room a request asks, as far as that shows before hyper reads it.
//!
//! Targets that a URL parser would change are nobody's room here: those requests are answered where they come in.

use crate::route::Route;

/// No method of a room's request is longer; other methods do not move.
const METHOD_BYTES_MAX: usize = 16;

/// Whether a request is for this room and no other.
pub(super) fn asks(request: &[u8], room: &str) -> bool {
    room_of(request) == Some(room)
}

/// The target of a request up to the end of its room, if it is certain.
pub(super) fn room_of(request: &[u8]) -> Option<&str> {
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
}
