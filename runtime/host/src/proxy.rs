//! A request goes to the project's process, and its answer back; a WebSocket becomes a pair of connections whose bytes are
//! carried both ways.
//!
//! Connections to the process are kept and used again. What they carry is parsed on both sides, so that nothing of a request's
//! framing reaches the process that the host has not understood.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::json;

use crate::carry;
use crate::meter::Meter;
use crate::site::{Down, Site, Use};

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) ip: IpAddr,
    pub(crate) secure: bool,
}

/// Answers a request of a project.
pub(crate) async fn answer(
    site: &Arc<Site>,
    client: Client,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let used = site.enter();
    let mut seen = site.live.is_read().then(|| Seen::new(site, &request, client));
    let running = match site.ensure().await {
        Ok(running) => running,
        Err(down) => {
            let response = unavailable(&down);
            seen.iter_mut().for_each(|seen| seen.tell(Some(response.status())));
            return response;
        }
    };
    prepare(&mut request, client);
    let upgrade = is_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
    Meter::add(&site.meter.bytes_in, usize::try_from(request.body().size_hint().lower()).unwrap_or(0));
    let response = match running.pool.ask(request).await {
        Ok((response, sender)) => match (response.status(), upgrade) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(upgrade)) => {
                Meter::add(&site.meter.sockets, 1);
                join(used, upgrade, response)
            }
            _ => {
                Meter::add(&site.meter.requests, 1);
                let lease = Lease { site: site.clone(), pool: running, sender: Some(sender), _used: used };
                response.map(|body| Answer { body, lease: Some(lease) }.boxed_unsync())
            }
        },
        Err(error) => broken(&error),
    };
    seen.iter_mut().for_each(|seen| seen.tell(Some(response.status())));
    response
}

fn is_upgrade(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11
        && request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

// What the process is told of the client is what the host knows of it, whatever the client says.
fn prepare(request: &mut Request<Incoming>, client: Client) {
    if let Some(path) = request.uri().path_and_query() {
        let path = Uri::from(path.clone());
        *request.uri_mut() = path;
    }
    *request.version_mut() = Version::HTTP_11;
    let is_upgrade = is_upgrade(request);
    let headers = request.headers_mut();
    headers.remove(FORWARDED_HOST);
    headers.remove(FORWARDED);
    if let Ok(ip) = HeaderValue::from_str(&client.ip.to_string()) {
        headers.insert(FORWARDED_FOR, ip);
    }
    let scheme = if client.secure { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    // These speak of the client's connection, and this is another one.
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove(header::TE);
    if !is_upgrade {
        headers.remove(header::CONNECTION);
        headers.remove(header::UPGRADE);
    }
}

// Both connections become bytes.
fn join(used: Use, client: hyper::upgrade::OnUpgrade, mut response: Response<Incoming>) -> Response<Body> {
    let server = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
        carry::both(client, server, &used.site().meter).await;
        drop(used);
    });
    response.map(|_| empty())
}

/// A body without bytes.
pub(crate) fn empty() -> Body {
    Full::default().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}

/// A body that is a text.
pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer of the host itself.
pub(crate) fn plain(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(text(format!("{message}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn unavailable(down: &Down) -> Response<Body> {
    let seconds = match down {
        Down::Resting { wait, .. } => wait.as_secs().max(1),
        Down::Failed(_) => 1,
        Down::Empty => return plain(StatusCode::NOT_FOUND, &format!("{down}.")),
    };
    // Why is told to those who may read its log.
    let mut response =
        plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{down}. Its owner sees why with `partyrun tail`."));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn broken(_error: &str) -> Response<Body> {
    let text = "The project's process ended while it answered. Try again.";
    plain(StatusCode::BAD_GATEWAY, text)
}

/// The connection that an answer comes over.
struct Lease {
    site: Arc<Site>,
    pool: Arc<crate::site::Running>,
    sender: Option<SendRequest<Incoming>>,
    _used: Use,
}

/// The body of a process's answer. At its end the connection may be used again.
struct Answer {
    body: Incoming,
    lease: Option<Lease>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let (Some(Ok(frame)), Some(lease)) = (&frame, &self.lease) {
            Meter::add(&lease.site.meter.bytes_out, frame.data_ref().map_or(0, Bytes::len));
        }
        if !matches!(frame, Some(Ok(_))) {
            self.release(frame.is_none());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Answer {
    fn release(&mut self, whole: bool) {
        if let Some(mut lease) = self.lease.take()
            && let Some(sender) = lease.sender.take().filter(|_| whole)
        {
            lease.pool.pool.give(sender);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // A body of known length is not asked for its end.
        let whole = self.body.is_end_stream();
        self.release(whole);
    }
}

/// What is told of a request to those who follow the log.
struct Seen {
    site: Arc<Site>,
    begun: std::time::Instant,
    is_told: bool,
    method: Method,
    url: String,
    headers: serde_json::Map<String, serde_json::Value>,
    ip: IpAddr,
}

impl Seen {
    fn new<T>(site: &Arc<Site>, request: &Request<T>, client: Client) -> Self {
        // What lets somebody act as the client is for nobody's eyes.
        const SECRET: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
        const URL_CHARS_MAX: usize = 2000;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = request.headers().iter().map(|(name, value)| {
            let shown = if SECRET.contains(name) { "REDACTED".to_string() } else { text(value) };
            (name.to_string(), shown.into())
        });
        let host = request.headers().get(header::HOST).map(text).unwrap_or_default();
        let scheme = if client.secure { "https" } else { "http" };
        // Of a query only the names: tokens stand there.
        let path = request.uri().path();
        let query = request.uri().query().map(|query| {
            let names: Vec<&str> =
                query.split('&').map(|pair| pair.split('=').next().unwrap_or(pair)).collect();
            format!("?{}", names.join("&"))
        });
        let url = format!("{scheme}://{host}{path}{}", query.unwrap_or_default());
        Self {
            site: site.clone(),
            begun: std::time::Instant::now(),
            is_told: false,
            method: request.method().clone(),
            url: url.chars().take(URL_CHARS_MAX).collect(),
            headers: headers.collect(),
            ip: client.ip,
        }
    }

    // Without a status the client went away before there was an answer.
    fn tell(&mut self, status: Option<StatusCode>) {
        self.is_told = true;
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let outcome = match status {
            None => "canceled",
            Some(status) if status.is_server_error() => "error",
            Some(_) => "ok",
        };
        self.site.live.pass(json!({
            "time": time, "type": "request", "method": self.method.as_str(), "url": self.url,
            "status": status.map(|status| status.as_u16()), "outcome": outcome, "took_ms": self.begun.elapsed().as_millis(),
            "ip": self.ip, "headers": self.headers,
        }));
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(None);
        }
    }
}
