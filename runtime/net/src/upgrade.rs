//! The WebSocket handshake, and how a connection gets from the front to its room's thread.
//!
//! The front checks the handshake ([`handshake`]) before any handler sees it and puts an [`Upgrade`] into the request.
//! The handler carries that to the room's thread, which answers with status 101 and waits on [`Upgrade::transport`].
//! Once the 101 is on its way the front takes the TCP stream out of HTTP and sends it through the [`UpgradeOffer`],
//! bytes read too far included. Any other answer drops the offer. Within the process the offer is completed with a
//! [`PipeEnd`] instead.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};
use sha1::{Digest, Sha1};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::Response;
use crate::pipe::{self, PipeEnd};
use crate::socket::LOST;

/// What carries the messages of a WebSocket.
#[derive(Debug)]
pub enum Transport {
    /// A TCP connection after its handshake. It is non-blocking and belongs to no reactor.
    Tcp {
        /// The connection.
        stream: TcpStream,
        /// What was read beyond the handshake.
        read: Bytes,
        /// Its place among the connections of the process, if it came through a front.
        place: Option<Place>,
    },
    /// The other end is in this process.
    Pipe(PipeEnd),
}

/// Hears with which code a WebSocket ended; 1006 where it broke. Called once, when the connection is gone.
pub type Witness = Box<dyn FnOnce(u16) + Send + Sync>;

/// A place among the connections of the process (`connections_max`), given back when dropped.
pub struct Place {
    taken: Arc<AtomicUsize>,
    witness: Option<Witness>,
}

impl Place {
    /// Takes the place that `taken` counts already.
    pub(crate) fn new(taken: Arc<AtomicUsize>) -> Self {
        Self { taken, witness: None }
    }

    /// Tells the witness, if there is one.
    pub(crate) fn ended(&mut self, code: u16) {
        if let Some(witness) = self.witness.take() {
            witness(code);
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ended(LOST);
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a handshake did not become a connection.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum UpgradeError {
    /// The peer left during the handshake, or the answer was not 101.
    #[error("the handshake was not completed")]
    NotCompleted,
}

/// A handshake that waits for its answer; the handler's side.
pub struct Upgrade {
    receiver: oneshot::Receiver<Transport>,
    witness: Option<Witness>,
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// The side that has the connection. Dropping it refuses the handshake.
#[derive(Debug)]
pub struct UpgradeOffer {
    sender: oneshot::Sender<Transport>,
}

impl Upgrade {
    /// Both sides of a handshake, for a call from one room to another.
    pub fn offer() -> (Self, UpgradeOffer) {
        let (sender, receiver) = oneshot::channel();
        (Self { receiver, witness: None }, UpgradeOffer { sender })
    }

    /// Has the end of the connection told to `witness`, if it becomes one.
    pub fn witnessed(&mut self, witness: Witness) {
        self.witness = Some(witness);
    }

    /// The connection, once the answer 101 was sent.
    pub async fn transport(self) -> Result<Transport, UpgradeError> {
        let mut transport = self.receiver.await.map_err(|_| UpgradeError::NotCompleted)?;
        if let Transport::Tcp { place: Some(place), .. } = &mut transport {
            place.witness = self.witness;
        }
        Ok(transport)
    }
}

impl UpgradeOffer {
    /// Completes the handshake with a TCP connection.
    pub(crate) fn complete_tcp(self, stream: TcpStream, read: Bytes, place: Place) {
        // If the room died meanwhile the stream is dropped here, which closes the connection.
        let _gone = self.sender.send(Transport::Tcp { stream, read, place: Some(place) });
    }

    /// Completes the handshake inside the process and returns the caller's end.
    pub fn accept(self) -> PipeEnd {
        let (ours, theirs) = pipe::pair();
        // If the room died meanwhile its end is dropped here, and ours reports the loss.
        let _gone = self.sender.send(Transport::Pipe(theirs));
        ours
    }
}

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
