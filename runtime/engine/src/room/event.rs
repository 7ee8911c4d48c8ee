//! What happens to a room or to the edge, and how each event is given to JavaScript.
//!
//! An [`Event`] waits in an actor's inbox until its turn. [`dispatch`] makes the V8 values of one event and calls the
//! function of `js/90_dispatch.js` that handles it.

use deno_core::v8;
use partyrun_extensions::{add_stream, wire};
use partyrun_net::{Body, CloseFrame, Request, SocketEvent};
use tokio::sync::oneshot;

use crate::api::admin::{AskError, Change, Claim};
use crate::ground::pulse::Step;
use crate::isolate::{CallError, Calls, call, text};
use crate::room::http::{body_stream, header_text};

/// One event. What is large is in a box: events move often, and most are messages.
pub(crate) enum Event {
    /// An HTTP request for the room.
    Request(u32, Box<Request>, Origin),
    /// A WebSocket handshake for the room; the socket exists already.
    Connect(u32, String, Box<Request>, Origin),
    /// A text message.
    Text(u32, String),
    /// A binary message.
    Binary(u32, Vec<u8>),
    /// The last event of a socket.
    End(u32, Ending),
    /// The room's alarm is due.
    Alarm(u32),
    /// A static `onBeforeConnect` or `onBeforeRequest`.
    Before(u32, Box<Before>),
    /// The static `onFetch` of the main party.
    Fetch(u32, Box<Request>),
    /// The static `onSocket` of the main party.
    Socket(u32, Box<Request>),
    /// The static `onCron` of the main party.
    Cron(u32, Box<Cron>),
    /// An operator changes the room's storage; JavaScript hears nothing of it.
    Change(Box<WantedChange>),
}

impl Event {
    /// What runs for it.
    pub(crate) fn step(&self) -> Step {
        match self {
            Self::Request(..) => Step::Request,
            Self::Connect(..) => Step::Connect,
            Self::Text(..) | Self::Binary(..) => Step::Message,
            Self::End(..) => Step::End,
            Self::Alarm(..) => Step::Alarm,
            Self::Before(_, before) if before.handler == BEFORE_CONNECT => Step::BeforeConnect,
            Self::Before(..) => Step::BeforeRequest,
            Self::Fetch(..) => Step::Fetch,
            Self::Socket(..) => Step::Socket,
            Self::Cron(..) => Step::Cron,
            Self::Change(_) => Step::Later,
        }
    }

    /// The header fields of the request that it is, if it is one.
    pub(crate) fn headers(&self) -> Option<&http::HeaderMap> {
        match self {
            Self::Request(_, request, _)
            | Self::Connect(_, _, request, _)
            | Self::Fetch(_, request)
            | Self::Socket(_, request) => Some(&request.headers),
            Self::Before(_, before) => Some(&before.request.headers),
            Self::Text(..)
            | Self::Binary(..)
            | Self::End(..)
            | Self::Alarm(..)
            | Self::Cron(..)
            | Self::Change(_) => None,
        }
    }

    /// The id of the answer that it wants, if it wants one.
    pub(crate) fn answered_by(&self) -> Option<u32> {
        match self {
            Self::Request(id, ..)
            | Self::Fetch(id, _)
            | Self::Socket(id, _)
            | Self::Before(id, _)
            | Self::Cron(id, _) => Some(*id),
            Self::Connect(..)
            | Self::Text(..)
            | Self::Binary(..)
            | Self::End(..)
            | Self::Alarm(_)
            | Self::Change(_) => None,
        }
    }

    /// What the event takes in memory while it waits, in bytes, without what every event takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(_, text) => text.len(),
            Self::Binary(_, bytes) => bytes.len(),
            Self::Request(_, request, _)
            | Self::Connect(_, _, request, _)
            | Self::Fetch(_, request)
            | Self::Socket(_, request) => bytes_of(request),
            Self::Before(_, before) => bytes_of(&before.request),
            Self::Change(wanted) => wanted.change.bytes(),
            Self::End(..) | Self::Alarm(..) | Self::Cron(..) => 0,
        }
    }

    /// The event as the socket `index` gave it, or the event itself if it is another's.
    pub(crate) fn of_socket(self, index: u32) -> Result<SocketEvent<'static>, Self> {
        match self {
            Self::Text(of, text) if of == index => Ok(SocketEvent::Text(text.into())),
            Self::Binary(of, bytes) if of == index => Ok(SocketEvent::Binary(bytes.into())),
            Self::End(of, ending) if of == index => {
                let close = CloseFrame { code: ending.code, reason: ending.reason };
                Ok(match ending.how {
                    Ending::LOST => SocketEvent::Lost,
                    Ending::FAILED => SocketEvent::Failed(close),
                    _ if close.code == 1005 => SocketEvent::Close(None),
                    _ => SocketEvent::Close(Some(close)),
                })
            }
            other => Err(other),
        }
    }
}

fn bytes_of(request: &Request) -> usize {
    let body = match &request.body {
        Body::Full(bytes) => bytes.len(),
        Body::Empty | Body::Stream(_) => 0,
    };
    let fields: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    body + fields + request.url.as_str().len()
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The network.
    Network,
    /// The network, with a request that a static handler made anew.
    Handler,
    /// Another room or a static handler, through a stub.
    Stub,
    /// The network, through a room that hands the request on with a stub.
    Forwarded,
}

impl Origin {
    /// A stub hears of errors that a client is told.
    fn is_stub(self) -> bool {
        matches!(self, Self::Stub | Self::Forwarded)
    }

    /// `request.cf` comes with what came from outside, and goes with every copy of it.
    fn keeps_cf(self) -> bool {
        matches!(self, Self::Network | Self::Forwarded)
    }
}

/// The static handler that sees a WebSocket handshake first.
pub(crate) const BEFORE_CONNECT: &str = "onBeforeConnect";

/// A request on its way to a room, with the static handler that sees it first.
pub(crate) struct Before {
    pub(crate) handler: &'static str,
    pub(crate) party: String,
    pub(crate) room: String,
    pub(crate) request: Request,
}

/// A run of a cron.
pub(crate) struct Cron {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) scheduled_ms: i64,
}

/// A change of storage that an operator wants.
pub(crate) struct WantedChange {
    pub(crate) change: Change,
    pub(crate) claim: Claim,
    pub(crate) reply: oneshot::Sender<Result<usize, AskError>>,
}

impl WantedChange {
    /// Answers without a change.
    pub(crate) fn answer(self, answer: Result<usize, AskError>) {
        let _gone = self.reply.send(answer);
    }
}

/// How a socket ended.
pub(crate) struct Ending {
    pub(crate) how: u32,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Ending {
    /// The peer closed.
    pub(crate) const BY_PEER: u32 = wire::ENDED_BY_PEER;
    /// This side closed and the peer agreed.
    pub(crate) const HERE: u32 = wire::ENDED_HERE;
    /// The connection broke.
    pub(crate) const LOST: u32 = wire::ENDED_LOST;
    /// This side closed because of what the peer did.
    pub(crate) const FAILED: u32 = wire::ENDED_FAILED;
}

type Value<'s> = v8::Local<'s, v8::Value>;

/// Gives `event` to JavaScript, for the room that has the number `room` in the isolate. Microtasks are the caller's matter.
pub(crate) fn dispatch<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    calls: &Calls,
    room: u32,
    event: Event,
) -> Result<(), CallError> {
    let room = number(scope, room);
    match event {
        Event::Text(index, message) => {
            let arguments = [room, number(scope, index), text(scope, &message)?];
            call(scope, &calls.message, &arguments)?;
        }
        Event::Binary(index, message) => {
            let store = v8::ArrayBuffer::new_backing_store_from_vec(message).make_shared();
            let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
            let arguments = [room, number(scope, index), buffer.into()];
            call(scope, &calls.message, &arguments)?;
        }
        Event::Request(id, request, origin) => {
            let stub = v8::Boolean::new(scope, origin.is_stub()).into();
            let external = v8::Boolean::new(scope, origin.keeps_cf()).into();
            let [method, url, headers, body] = request_values(scope, *request)?;
            let arguments = [room, number(scope, id), method, url, headers, body, external, stub];
            call(scope, &calls.request, &arguments)?;
        }
        Event::Connect(index, pk, request, origin) => {
            let external = v8::Boolean::new(scope, origin.keeps_cf()).into();
            let pk = text(scope, &pk)?;
            let [_, url, headers, _] = request_values(scope, *request)?;
            let arguments = [room, number(scope, index), pk, url, headers, external];
            call(scope, &calls.connect, &arguments)?;
        }
        Event::End(index, ending) => {
            let reason = text(scope, &ending.reason)?;
            let arguments = [
                room,
                number(scope, index),
                number(scope, ending.how),
                number(scope, u32::from(ending.code)),
                reason,
            ];
            call(scope, &calls.end, &arguments)?;
        }
        Event::Alarm(token) => {
            let arguments = [room, number(scope, token)];
            call(scope, &calls.alarm, &arguments)?;
        }
        Event::Before(id, before) => dispatch_before(scope, calls, id, before)?,
        Event::Fetch(id, request) => {
            let external = v8::Boolean::new(scope, true).into();
            let [method, url, headers, body] = request_values(scope, *request)?;
            let arguments = [number(scope, id), method, url, headers, body, external];
            call(scope, &calls.fetch, &arguments)?;
        }
        Event::Socket(id, request) => {
            let external = v8::Boolean::new(scope, true).into();
            let [_, url, headers, _] = request_values(scope, *request)?;
            let arguments = [number(scope, id), url, headers, external];
            call(scope, &calls.socket, &arguments)?;
        }
        Event::Cron(id, cron) => {
            let scheduled = v8::Number::new(scope, cron.scheduled_ms as f64).into();
            let arguments =
                [number(scope, id), text(scope, &cron.name)?, text(scope, &cron.expression)?, scheduled];
            call(scope, &calls.cron, &arguments)?;
        }
        // The room itself makes it.
        Event::Change(_) => {}
    }
    Ok(())
}

fn dispatch_before<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    calls: &Calls,
    id: u32,
    before: Box<Before>,
) -> Result<(), CallError> {
    let external = v8::Boolean::new(scope, true).into();
    let handler = text(scope, before.handler)?;
    let party = text(scope, &before.party)?;
    let room = text(scope, &before.room)?;
    let [method, url, headers, body] = request_values(scope, before.request)?;
    let arguments = [number(scope, id), handler, party, room, method, url, headers, body, external];
    call(scope, &calls.before, &arguments)?;
    Ok(())
}

fn number<'s>(scope: &v8::PinScope<'s, '_>, value: u32) -> Value<'s> {
    v8::Integer::new_from_unsigned(scope, value).into()
}

// Method, URL, headers, body: the arguments that `incomingRequest` of js/30_http.js takes.
fn request_values<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    request: Request,
) -> Result<[Value<'s>; 4], CallError> {
    let method = text(scope, request.method.as_str())?;
    let url = text(scope, request.url.as_str())?;
    let headers = header_text(&request.headers);
    let headers = if headers.is_ascii() {
        v8::String::new_from_one_byte(scope, &headers, v8::NewStringType::Normal)
    } else {
        v8::String::new_from_utf8(scope, &headers, v8::NewStringType::Normal)
    };
    let headers = headers.ok_or(CallError::Failed("making the headers"))?;
    let body = match request.body {
        Body::Empty => v8::undefined(scope).into(),
        Body::Full(bytes) => {
            let length = bytes.len();
            let store = v8::ArrayBuffer::new_backing_store_from_vec(Vec::from(bytes)).make_shared();
            let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
            let view = v8::Uint8Array::new(scope, buffer, 0, length);
            view.ok_or(CallError::Failed("making a body"))?.into()
        }
        Body::Stream(stream) => {
            let state = deno_core::JsRuntime::op_state_from(scope);
            let resource = add_stream(&mut state.borrow_mut(), body_stream(stream));
            number(scope, resource)
        }
    };
    Ok([method, url, headers.into(), body])
}

// `_pk` of the query, or a random UUID (spec 2.6).
pub(crate) fn connection_id(request: &Request) -> String {
    let pairs = url::form_urlencoded::parse(request.query().unwrap_or("").as_bytes());
    pairs
        .into_iter()
        .find(|(name, _)| name == "_pk")
        .map(|(_, value)| value.into_owned())
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
}
