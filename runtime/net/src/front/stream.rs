//! One stream of an HTTP/2 connection: a request with its answer, or a WebSocket (RFC 8441).
//!
//! A stream has a task and a [`State`] of its own, under the same limits as a request over HTTP/1.1. Its request goes through
//! the same service; a client that resets the stream is one that has gone away. Of an answer h2 is given no more than the client
//! has opened its window for: so a client that never does holds nothing, and its stream is reset when `body_idle_max` is over.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, request, uri};
use partyrun_limits::Limits;
use partyrun_telemetry::limit_hit;

use super::body::{OutBody, Pieces};
use super::date;
use super::linger::{LINGER_BYTES_MAX, LINGER_TIME};
use super::listen::Ends;
use super::service::{After, Connection, KnownOrigin};
use super::state::State;
use super::trunk::{Handler, Shared};
use crate::BodyError;
use crate::message::Response;
use crate::upgrade::Place;

/// The content of a frame that fits into one record of TLS together with its head.
const PIECE_BYTES_MAX: usize = 16 * 1024 - 9;

type Answer = http::Response<OutBody>;

/// What the streams of one connection share.
pub(super) struct Common<H> {
    pub(super) shared: Rc<Shared<H>>,
    pub(super) ends: Ends,
    pub(super) front: usize,
    pub(super) origin: KnownOrigin,
}

impl<H> Clone for Common<H> {
    fn clone(&self) -> Self {
        let (shared, origin) = (Rc::clone(&self.shared), Rc::clone(&self.origin));
        Self { shared, origin, ends: self.ends, front: self.front }
    }
}

/// Serves one stream to its end. One whose limits of time are over is reset.
pub(super) async fn serve<H: Handler>(
    common: Common<H>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let state = common.shared.roster.join_stream();
    let mut serving = pin!(answer(common, Rc::clone(&state), request, respond));
    std::future::poll_fn(|context| {
        state.park(context.waker());
        if state.is_killed() {
            return Poll::Ready(());
        }
        let ended = serving.as_mut().poll(context);
        state.carry_body(context);
        ended
    })
    .await;
    // Whoever still reads the request's body learns that it has ended.
    state.pump.take();
}

/// What a stream is for.
enum Purpose {
    Request,
    Socket(Place),
    /// It is refused with this answer.
    Nothing(Box<Response>),
}

async fn answer<H: Handler>(
    common: Common<H>,
    state: Rc<State>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (mut parts, stream) = request.into_parts();
    let purpose = purpose(&common, &mut parts).await;
    let head_only = parts.method == Method::HEAD;
    let Common { shared, ends, origin, .. } = common;
    let unread = Rc::default();
    let body = Streamed { length: length_of(&parts.headers), stream: Some(stream), left: Rc::clone(&unread) };
    let connection = Connection { shared, state: Rc::clone(&state), ends, origin };
    let (after, place) = match purpose {
        Purpose::Request => {
            expect(&parts.headers, &body, &connection.shared.trunk.limits, &mut respond);
            (After::Body(body), None)
        }
        Purpose::Socket(place) => {
            drop(body);
            (After::Frames, Some(place))
        }
        Purpose::Nothing(response) => {
            drop(body);
            let response = connection.refuse(*response, head_only);
            send(&state, respond, response, head_only).await;
            return linger(&unread).await;
        }
    };
    let mut asking = pin!(connection.answer(parts, after));
    let response = std::future::poll_fn(|context| {
        // Whoever takes a request back has no use for its answer.
        match respond.poll_reset(context) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => asking.as_mut().poll(context).map(Some),
        }
    });
    let Some(mut response) = response.await else { return };
    let (offer, is_socket) = (state.upgrade.take(), place.is_some());
    if let (Some(offer), Some(place)) = (offer, place)
        && let Some(receiver) = unread.take()
    {
        if let Ok(sender) = respond.send_response(head(response, None).0, false) {
            offer.complete_stream(sender, receiver, place);
        }
        return;
    }
    if is_socket && response.status().is_success() {
        // To the client, any of these would say that the WebSocket is open (RFC 9113, 8.5).
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    send(&state, respond, response, head_only).await;
    linger(&unread).await;
}

/// Reads on for a moment where the answer came before the whole body: a client that is still sending, and finds its stream reset,
/// may throw the answer away.
async fn linger(unread: &RefCell<Option<RecvStream>>) {
    let Some(mut stream) = unread.take().filter(|stream| !stream.is_end_stream()) else { return };
    let drain = async {
        let mut left = LINGER_BYTES_MAX;
        while let Some(Ok(piece)) = stream.data().await {
            // A stream that has ended has no window.
            let _ended = stream.flow_control().release_capacity(piece.len());
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whoever goes on sending after that is cut off.
    let _timeout = tokio::time::timeout(LINGER_TIME, drain).await;
}

/// Makes a request like one over HTTP/1.1 of what h2 gives: with a `Host`, one `Cookie`, and, for a WebSocket, with the fields
/// that name it.
async fn purpose<H: Handler>(common: &Common<H>, parts: &mut request::Parts) -> Purpose {
    let limits = &common.shared.trunk.limits;
    if parts.headers.len() > limits.header_count_max {
        limit_hit!(header_count_max);
        let limit = limits.cite("header_count_max");
        return refusal(431, &format!("The request has too many header fields ({limit})."));
    }
    if !take_authority(parts) {
        return refusal(400, "The \"Host\" of the request differs from its \":authority\".");
    }
    if parts.method == Method::CONNECT && parts.extensions.get::<Protocol>().is_none() {
        return refusal(400, "Tunnels are not made here.");
    }
    join_cookies(&mut parts.headers);
    let Some(protocol) = parts.extensions.remove::<Protocol>() else { return Purpose::Request };
    if protocol.as_str() != "websocket" {
        return refusal(501, "The only protocol that can be asked for with CONNECT here is \"websocket\".");
    }
    if parts.headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = Response::text(400, "Only version 13 of the WebSocket protocol is spoken here.");
        response.headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Purpose::Nothing(Box::new(response));
    }
    let Some(place) = place(common).await else {
        limit_hit!(connections_max);
        let limit = limits.cite("connections_max");
        return refusal(503, &format!("There are too many connections ({limit})."));
    };
    parts.method = Method::GET;
    parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    Purpose::Socket(place)
}

fn refusal(status: u16, text: &str) -> Purpose {
    Purpose::Nothing(Box::new(Response::text(status, text)))
}

/// A socket counts like a connection of its own, although it has no descriptor.
async fn place<H: Handler>(common: &Common<H>) -> Option<Place> {
    let trunk = &common.shared.trunk;
    let open = trunk.connections.fetch_add(1, Ordering::Relaxed);
    let place = Place::new(Arc::clone(&trunk.connections), None);
    (open < trunk.connections_max || common.shared.make_way(common.front).await).then_some(place)
}

/// Moves the authority into `Host`. False if that is there already, and another one (RFC 9113, 8.3.1).
fn take_authority(parts: &mut request::Parts) -> bool {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    let mut rest = uri::Parts::default();
    rest.path_and_query = uri.path_and_query;
    let authority = uri.authority.map(|authority| HeaderValue::from_str(authority.as_str()));
    // Without a path it is a request for a tunnel.
    parts.uri = uri::Uri::from_parts(rest).unwrap_or_default();
    match authority {
        None => true,
        Some(Err(_)) => false,
        Some(Ok(authority)) => {
            let same = parts.headers.get(header::HOST).is_none_or(|host| *host == authority);
            parts.headers.insert(header::HOST, authority);
            same
        }
    }
}

/// Joins the parts into which clients may cut the field (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    if (cookies.next(), cookies.next()).1.is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // What was made of values is one.
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Lets a client that waits for permission send its body, unless that is too long anyway.
fn expect(headers: &HeaderMap, body: &Streamed, limits: &Limits, respond: &mut SendResponse<Bytes>) {
    let waits = headers.get(header::EXPECT).is_some_and(|value| value == "100-continue");
    if waits && body.length.is_none_or(|length| length <= limits.body_bytes_max as u64) {
        let mut go = http::Response::new(());
        *go.status_mut() = StatusCode::CONTINUE;
        // A stream that has ended needs no permission.
        let _gone = respond.send_informational(go);
    }
}

/// A request's body.
struct Streamed {
    stream: Option<RecvStream>,
    length: Option<u64>,
    /// Where the stream goes when nobody reads it any more.
    left: Rc<RefCell<Option<RecvStream>>>,
}

impl Drop for Streamed {
    fn drop(&mut self) {
        *self.left.borrow_mut() = self.stream.take();
    }
}

impl Pieces for Streamed {
    fn is_over(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn length(&self) -> Option<u64> {
        self.length
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        loop {
            match ready!(stream.poll_data(context)) {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    // What is taken counts in other budgets from here on. A stream that has ended has no window.
                    let _ended = stream.flow_control().release_capacity(piece.len());
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Err(error)) => {
                    let ours = !error.is_remote() && error.reason() == Some(Reason::PROTOCOL_ERROR);
                    return Poll::Ready(Some(Err(if ours { BodyError::Malformed } else { BodyError::Gone })));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The head of a response as h2 takes it, with the body.
fn head(response: Answer, length: Option<u64>) -> (http::Response<()>, OutBody) {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONNECTION);
    parts.headers.entry(header::DATE).or_insert_with(date::now);
    if let Some(length) = length {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    parts.extensions.clear();
    (http::Response::from_parts(parts, ()), body)
}

/// Sends a response as fast as the client takes it.
async fn send(state: &State, mut respond: SendResponse<Bytes>, response: Answer, head_only: bool) {
    let status = response.status();
    let bodiless = head_only || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let length = match response.body() {
        _ if bodiless => None,
        OutBody::Empty => Some(0),
        OutBody::Full(bytes) => Some(bytes.len() as u64),
        OutBody::Stream(out) => out.stream.length(),
    };
    let (head, body) = head(response, length);
    let ends = matches!(&body, OutBody::Empty) || length == Some(0);
    // A stream that has ended meanwhile takes nothing more, and nobody misses it.
    let Ok(mut stream) = respond.send_response(head, ends) else { return };
    match body {
        _ if ends => {}
        OutBody::Empty => {}
        OutBody::Full(bytes) => {
            let _gone = write(state, &mut stream, bytes, true).await;
        }
        OutBody::Stream(mut out) => loop {
            let next = std::future::poll_fn(|context| match stream.poll_reset(context) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => out.stream.poll_next(context).map(Some),
            });
            let piece = match next.await {
                None => return,
                Some(None) => {
                    let _gone = stream.send_data(Bytes::new(), true);
                    return;
                }
                Some(Some(Err(_))) => return stream.send_reset(Reason::INTERNAL_ERROR),
                Some(Some(Ok(piece))) => piece,
            };
            if write(state, &mut stream, piece, false).await.is_err() {
                return;
            }
        },
    }
}

/// The client has gone.
struct Gone;

/// Writes bytes, each when the client has opened its window for it.
async fn write(
    state: &State,
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    last: bool,
) -> Result<(), Gone> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = stream.capacity();
        if capacity == 0 {
            state.note_write(true);
            let room = std::future::poll_fn(|context| match stream.poll_reset(context) {
                Poll::Ready(_) => Poll::Ready(false),
                Poll::Pending => stream.poll_capacity(context).map(|room| matches!(room, Some(Ok(_)))),
            });
            if !room.await {
                return Err(Gone);
            }
            continue;
        }
        state.note_write(false);
        let piece = bytes.split_to(capacity.min(bytes.len()).min(PIECE_BYTES_MAX));
        stream.send_data(piece, last && bytes.is_empty()).map_err(|_| Gone)?;
    }
    state.note_write(false);
    Ok(())
}
