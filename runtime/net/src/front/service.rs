//! From hyper's request to ours, to the handler, and back.
//!
//! What can be refused without a room is refused here: bad hosts and targets (400), ambiguous lengths (400), bodies too
//! long (413) or stalled (408), bad WebSocket handshakes. Header maps are moved, never copied, and the origin of the URL
//! is normalized once per connection. Hop-by-hop fields and wrong lengths are removed from responses.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request, uri};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use partyrun_limits::Limits;
use partyrun_telemetry::limit_hit;

use super::body::{self, OutBody, OutStream, Pieces};
use super::framing::HeadNote;
use super::listen::Ends;
use super::state::{Phase, State, Verdict};
use super::trunk::{Handler, Shared};
use crate::deflate;
use crate::handshake::{self, Handshake};
use crate::message::{Body, BodyError, Request, Response};
use crate::negotiation::Wishes;
use crate::upgrade::Upgrade;
use crate::url::RequestUrl;

type HttpResponse = http::Response<OutBody>;

/// The `Host` of a connection's last request, with the origin made of it.
pub(super) type KnownOrigin = Rc<RefCell<Option<(HeaderValue, Rc<str>)>>>;

/// What the requests of one connection share.
pub(super) struct Connection<H> {
    pub(super) shared: Rc<Shared<H>>,
    pub(super) state: Rc<State>,
    pub(super) ends: Ends,
    pub(super) origin: KnownOrigin,
}

/// What proves that a WebSocket handshake was understood.
enum Proof {
    /// The value of `Sec-WebSocket-Accept`.
    Key([u8; 28]),
    /// The status alone: the request was one for a tunnel (RFC 8441, 5).
    Stream,
}

/// What comes after a request's head.
pub(super) enum After<P> {
    Body(P),
    /// Of a valid handshake over HTTP/2: the frames of a WebSocket, once that is accepted.
    Frames,
}

fn too_large(limits: &Limits) -> Response {
    Response::text(413, format!("The request body is too large ({}).", limits.cite("body_bytes_max")))
}

fn stalled(limits: &Limits) -> Response {
    let bounds = [limits.cite("body_idle_max"), limits.cite("body_bytes_per_second_min")].join(", ");
    Response::text(408, format!("The request body stopped arriving, or came too slowly ({bounds})."))
}

/// What the answer to a handshake says beside the handler's words.
struct Accept {
    /// That the handshake was understood.
    proof: Proof,
    /// What was agreed on.
    extensions: Option<HeaderValue>,
}

/// A request that is answered without a handler.
struct Refusal(Box<Response>);

impl Refusal {
    fn new(status: u16, text: &str) -> Self {
        Self(Box::new(Response::text(status, text)))
    }
}

/// Serves one request of an HTTP/1.1 connection.
pub(super) async fn serve<H: Handler>(
    connection: Rc<Connection<H>>,
    request: http::Request<Incoming>,
) -> Result<HttpResponse, Infallible> {
    let (parts, incoming) = request.into_parts();
    Ok(connection.answer(parts, After::Body(incoming)).await)
}

impl<H: Handler> Connection<H> {
    /// Answers one request.
    pub(super) async fn answer<P: Pieces + 'static>(
        &self,
        parts: request::Parts,
        after: After<P>,
    ) -> HttpResponse {
        self.state.begin_request();
        let head_only = parts.method == Method::HEAD;
        let wishes = Wishes::of(&parts.method, &parts.headers);
        match self.admit(parts, after).await {
            Ok((request, accept)) => {
                self.state.enter(Phase::Handler);
                let mut response = self.ask(request).await;
                wishes.settle(&mut response, &self.shared.trunk.terms);
                self.finish(response, head_only, accept, false)
            }
            Err(Refusal(response)) => self.finish(*response, head_only, None, true),
        }
    }

    /// Answers a request that is refused before it is looked at.
    pub(super) fn refuse(&self, response: Response, head_only: bool) -> HttpResponse {
        self.finish(response, head_only, None, true)
    }

    /// Makes our request of the network's, with the accept value if it is a handshake.
    async fn admit<P: Pieces + 'static>(
        &self,
        parts: request::Parts,
        after: After<P>,
    ) -> Result<(Request, Option<Accept>), Refusal> {
        let request::Parts { method, uri, mut headers, version, .. } = parts;
        let note = self.state.heads.borrow_mut().pop_front();
        if headers.contains_key(header::TRANSFER_ENCODING) {
            check_transfer_encoding(note, &headers)?;
        }
        let url = self.url(&uri, version, &headers)?;
        if let Some(authority) = uri.authority().filter(|_| uri.scheme().is_some()) {
            // Whatever stands in `Host` is forgotten.
            let authority = HeaderValue::from_str(authority.as_str());
            headers.insert(header::HOST, authority.map_err(|_| bad_target())?);
        }
        let limits = &self.shared.trunk.limits;
        let mut request = Request {
            method,
            url,
            headers,
            version,
            body: Body::Empty,
            peer: self.ends.peer,
            upgrade: None,
            client: None,
        };
        let After::Body(incoming) = after else {
            let accept = self.offer(&mut request, Proof::Stream);
            return Ok((request, Some(accept)));
        };
        let accept = match handshake::handshake(&request.method, version, &request.headers) {
            Handshake::None => None,
            Handshake::Valid(proof) => Some(self.offer(&mut request, Proof::Key(proof))),
            Handshake::Invalid(response) => return Err(Refusal(response)),
        };
        let eager = if accept.is_some() { 0 } else { limits.body_eager_bytes_max };
        match body::take(&self.state, &self.shared.trunk.bodies, incoming, eager, limits.body_bytes_max).await
        {
            Ok(Body::Empty) => Ok((request, accept)),
            Ok(_) if accept.is_some() => {
                self.state.pump.take();
                Err(Refusal::new(400, "A WebSocket handshake has no body."))
            }
            Ok(body) => {
                request.body = body;
                Ok((request, accept))
            }
            Err(BodyError::TooLarge(_)) => {
                limit_hit!(body_bytes_max);
                Err(Refusal(Box::new(too_large(limits))))
            }
            Err(BodyError::Idle) => {
                limit_hit!(body_idle_max);
                Err(Refusal(Box::new(stalled(limits))))
            }
            Err(error) => Err(Refusal::new(400, &error.to_string())),
        }
    }

    /// Offers the connection, or the stream, to whoever accepts the handshake, with what is agreed on if the client asks for
    /// compressed messages.
    fn offer(&self, request: &mut Request, proof: Proof) -> Accept {
        let asked = request.headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
        let compression = self.shared.trunk.options.compression;
        let agreed = compression.and_then(|compression| deflate::agree(asked, compression));
        let (agreed, extensions) = agreed.map_or((None, None), |(agreed, text)| (Some(agreed), Some(text)));
        let (upgrade, offer) = Upgrade::agreed_offer(agreed);
        request.upgrade = Some(upgrade);
        *self.state.upgrade.borrow_mut() = Some(offer);
        Accept { proof, extensions }
    }

    /// The absolute URL of a request.
    fn url(&self, uri: &uri::Uri, version: Version, headers: &HeaderMap) -> Result<RequestUrl, Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let hosts = (hosts.next(), hosts.next());
        if let Some(scheme) = uri.scheme_str() {
            // The absolute form wins over the `Host` field, which there must be all the same (RFC 9112, 3.2 and 3.2.2).
            match hosts {
                (Some(host), None)
                    if host.to_str().is_ok_and(|text| text.is_empty() || is_authority(text)) => {}
                (None, _) if version == Version::HTTP_10 => {}
                _ => return Err(bad_host()),
            }
            let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            let plain = uri.authority().is_some_and(|authority| is_authority(authority.as_str()));
            return RequestUrl::parse(&uri.to_string()).filter(|_| is_http && plain).ok_or_else(bad_target);
        }
        let target = uri.path_and_query().ok_or_else(bad_target)?.as_str();
        match hosts {
            (Some(host), None) => {
                let mut known = self.origin.borrow_mut();
                if known.as_ref().is_none_or(|(last, _)| last != host) {
                    let host = host.clone();
                    let text = host.to_str().ok().filter(|text| is_authority(text)).ok_or_else(bad_host)?;
                    let url = RequestUrl::parse(&format!("{}://{text}/", self.ends.scheme()));
                    let origin = Rc::from(url.ok_or_else(bad_host)?.origin());
                    *known = Some((host, origin));
                }
                let (_, origin) = known.as_ref().ok_or_else(bad_host)?;
                RequestUrl::join(origin, target).ok_or_else(bad_target)
            }
            // HTTP/1.0 knows no `Host`: the address that was connected to stands in for it.
            (None, _) if version == Version::HTTP_10 => {
                let local = self.ends.local.ok_or_else(bad_host)?;
                let origin = format!("{}://{local}", self.ends.scheme());
                RequestUrl::join(&origin, target).ok_or_else(bad_target)
            }
            _ => Err(bad_host()),
        }
    }

    /// Asks the handler, unless the sweep says meanwhile that it is too late.
    async fn ask(&self, request: Request) -> Response {
        let limits = &self.shared.trunk.limits;
        let mut answer = pin!(self.shared.trunk.handler.call(request));
        let late = std::future::poll_fn(|context| match self.state.verdict() {
            Verdict::None => answer.as_mut().poll(context),
            Verdict::Overdue => {
                let limit = limits.cite("request_time_max");
                Poll::Ready(Response::text(504, format!("The room did not answer in time ({limit}).")))
            }
            Verdict::BodyIdle => Poll::Ready(stalled(limits)),
            Verdict::BodyTooLarge => Poll::Ready(too_large(limits)),
            Verdict::BodyMalformed => Poll::Ready(Response::text(400, "The request body is malformed.")),
        });
        let response = late.await;
        match self.state.verdict() {
            Verdict::Overdue => limit_hit!(request_time_max),
            Verdict::BodyIdle => limit_hit!(body_idle_max),
            Verdict::BodyTooLarge => limit_hit!(body_bytes_max),
            Verdict::None | Verdict::BodyMalformed => {}
        }
        response
    }

    /// Makes the network's response of ours. A refusal ends the connection, as what follows cannot be trusted.
    fn finish(
        &self,
        response: Response,
        head_only: bool,
        accept: Option<Accept>,
        refused: bool,
    ) -> HttpResponse {
        let Response { status, reason, mut headers, body, packed: _ } = response;
        if status == 101 && accept.is_none() || !matches!(status, 101 | 200..=599) {
            let text = format!("The handler answered with the impossible status {status}.");
            return self.finish(Response::text(500, text), head_only, None, refused);
        }
        strip_hop_by_hop(&mut headers);
        let out = match body {
            // The status codes without a body; what a room gave along with them is dropped.
            _ if matches!(status, 101 | 204 | 304) => OutBody::Empty,
            Body::Empty => OutBody::Empty,
            Body::Full(bytes) => OutBody::Full(bytes),
            Body::Stream(stream) => OutBody::Stream(OutStream { stream, state: Rc::clone(&self.state) }),
        };
        let out = if head_only { describe(out, &mut headers) } else { without_length(out, &mut headers) };
        let mut status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(accept) = accept.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) {
            status = switch(&mut headers, accept);
        } else {
            self.state.upgrade.take();
        }
        if refused || self.state.verdict() != Verdict::None {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.state.enter(if matches!(out, OutBody::Stream(_)) { Phase::Response } else { Phase::Idle });
        self.state.note_answer();
        let mut response = HttpResponse::new(out);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if let Some(reason) = reason
            && response.status().canonical_reason() != Some(&reason)
            && let Ok(reason) = ReasonPhrase::try_from(reason)
        {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

fn bad_host() -> Refusal {
    Refusal::new(400, "The \"Host\" of the request is missing or malformed.")
}

fn bad_target() -> Refusal {
    Refusal::new(400, "The request target is malformed.")
}

/// A `Host` is a host and perhaps a port, nothing that would turn it into another kind of URL.
fn is_authority(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '\\', '?', '#', '@', ' ', '\t', '%'])
}

/// Refuses bodies whose end two parsers might see differently (RFC 9112, 6.1 and 6.3).
fn check_transfer_encoding(note: Option<HeadNote>, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() {
        return Err(Refusal::new(501, "The only transfer coding understood here is \"chunked\"."));
    }
    // A head that was not noted may have said anything.
    if headers.contains_key(header::CONTENT_LENGTH) || note.is_none_or(|note| note.has_length) {
        return Err(Refusal::new(400, "A request has either a length or a transfer coding."));
    }
    Ok(())
}

/// Removes what concerns one connection only (RFC 9110, 7.6.1). Most responses have none of it: one look suffices.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let hop = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        KEEP_ALIVE,
        PROXY_CONNECTION,
    ];
    if headers.keys().any(|name| hop.contains(name)) {
        for name in hop {
            headers.remove(name);
        }
    }
}

/// Leaves it to hyper to say how long a body is.
fn without_length(body: OutBody, headers: &mut HeaderMap) -> OutBody {
    if headers.contains_key(header::CONTENT_LENGTH) {
        headers.remove(header::CONTENT_LENGTH);
    }
    body
}

/// The answer to HEAD: the length that GET would give, and no body.
fn describe(body: OutBody, headers: &mut HeaderMap) -> OutBody {
    let length = match &body {
        OutBody::Empty => None,
        OutBody::Full(bytes) => Some(bytes.len() as u64),
        OutBody::Stream(out) => out.stream.length(),
    };
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    } else if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        headers.remove(header::CONTENT_LENGTH);
    }
    OutBody::Empty
}

/// Completes the answer to a handshake, and gives its status. What a handler says of extensions means nothing.
fn switch(headers: &mut HeaderMap, accept: Accept) -> StatusCode {
    let Accept { proof, extensions } = accept;
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    if let Some(extensions) = extensions {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    let Proof::Key(key) = proof else { return StatusCode::OK };
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(key) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    StatusCode::SWITCHING_PROTOCOLS
}
