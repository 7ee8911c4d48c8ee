//! The URL of a request, and the room that it means: the table that most URLs are looked up in agrees with the parser.

#[path = "../../runtime/net/src/url.rs"]
mod request_url;
#[path = "../../runtime/net/src/route.rs"]
mod route;

use request_url::RequestUrl;
use route::Route;

const ORIGIN: &str = "http://127.0.0.1:1999";
const ROOM_ID_BYTES_MAX: usize = 64;

/// The bytes are the target of a request.
pub fn run(bytes: &[u8]) {
    let Ok(target) = std::str::from_utf8(bytes) else { return };
    let Some(joined) = RequestUrl::join(ORIGIN, target) else { return };
    let parsed = RequestUrl::parse(&format!("{ORIGIN}{target}"));
    assert_eq!(Some(&joined), parsed.as_ref());
    assert!(joined.path().starts_with('/') && joined.origin() == ORIGIN, "{joined:?}");
    if let Ok(Route::Room { room, party }) = Route::parse(joined.path(), ROOM_ID_BYTES_MAX) {
        assert!(!room.is_empty() && room.len() <= ROOM_ID_BYTES_MAX, "{room}");
        assert!(!room.contains('/') && !party.contains('/'), "{party} {room}");
    }
}
