//! What the header fields of a WebSocket handshake must say (RFC 6455, 4.2), and what proves that they were understood.
//!
//! A request that asks for a WebSocket in the wrong way is answered here, with the words of the mistake.

use base64::Engine;
use http::{HeaderMap, Method, Version, header};
use sha1::{Digest, Sha1};

use crate::message::Response;

/// What the handshake's header fields say.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// No WebSocket is asked for.
    None,
    /// A valid handshake with the value for `Sec-WebSocket-Accept`.
    Valid([u8; 28]),
    /// An invalid one with its answer.
    Invalid(Box<Response>),
}

/// Checks a request for a WebSocket handshake (RFC 6455, 4.2.1).
pub(crate) fn handshake(method: &Method, version: Version, headers: &HeaderMap) -> Handshake {
    let Some(upgrade) = headers.get(header::UPGRADE) else {
        return Handshake::None;
    };
    if !has_token(upgrade.as_bytes(), b"websocket") {
        return Handshake::None;
    }
    let refuse = |status, text: &str| Handshake::Invalid(Box::new(Response::text(status, text)));
    if method != Method::GET {
        let mut response = Response::text(405, "A WebSocket handshake must be a GET request.");
        response.headers.insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        return Handshake::Invalid(Box::new(response));
    }
    let connection = headers.get_all(header::CONNECTION);
    if version != Version::HTTP_11 || !connection.iter().any(|value| has_token(value.as_bytes(), b"upgrade"))
    {
        return refuse(400, "A WebSocket handshake needs HTTP/1.1 and \"Connection: Upgrade\".");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = Response::text(426, "Only version 13 of the WebSocket protocol is spoken here.");
        response.headers.insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
        return Handshake::Invalid(Box::new(response));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => Handshake::Valid(accept_value(key.as_bytes())),
        _ => refuse(400, "The \"Sec-WebSocket-Key\" of the handshake is missing or malformed."),
    }
}

/// Whether a comma-separated list has a token, in any case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// A key is 16 bytes in base64 (RFC 6455, 4.1).
fn is_key(key: &[u8]) -> bool {
    let mut decoded = [0; 18];
    key.len() == 24
        && base64::engine::general_purpose::STANDARD
            .decode_slice_unchecked(key, &mut decoded)
            .is_ok_and(|length| length == 16)
}

/// The proof that the handshake was understood (RFC 6455, 4.2.2).
pub(crate) fn accept_value(key: &[u8]) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [b'='; 28];
    // 20 bytes always make 28 characters, so the slice is never too short.
    let _written = base64::engine::general_purpose::STANDARD.encode_slice(hash.finalize(), &mut accept);
    accept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, header::HeaderValue::from_static(value));
        }
        headers
    }

    const GOOD: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn status(method: Method, version: Version, headers: &HeaderMap) -> u16 {
        match handshake(&method, version, headers) {
            Handshake::None => 0,
            Handshake::Valid(_) => 101,
            Handshake::Invalid(response) => response.status,
        }
    }

    #[test]
    fn the_example_of_the_standard() {
        match handshake(&Method::GET, Version::HTTP_11, &headers(&GOOD)) {
            Handshake::Valid(accept) => assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bad_handshakes() {
        let with = |index: usize, value: &'static str| {
            let mut list = GOOD;
            list[index].1 = value;
            headers(&list)
        };
        assert_eq!(status(Method::GET, Version::HTTP_11, &headers(&[])), 0);
        assert_eq!(status(Method::GET, Version::HTTP_11, &with(0, "h2c")), 0);
        assert_eq!(status(Method::POST, Version::HTTP_11, &headers(&GOOD)), 405);
        assert_eq!(status(Method::GET, Version::HTTP_10, &headers(&GOOD)), 400);
        assert_eq!(status(Method::GET, Version::HTTP_11, &with(1, "close")), 400);
        assert_eq!(status(Method::GET, Version::HTTP_11, &with(2, "8")), 426);
        assert_eq!(status(Method::GET, Version::HTTP_11, &with(3, "short")), 400);
        assert_eq!(status(Method::GET, Version::HTTP_11, &with(3, "!GhlIHNhbXBsZSBub25jZQ==")), 400);
        assert_eq!(status(Method::GET, Version::HTTP_11, &headers(&GOOD[..3])), 400);
    }
}
