//! One HTTP exchange over a connection of its own: what was asked, and everything that came back.
//!
//! Uses hyper without any convenience above it: no redirects, no decompression, no pooled connections.
//! The WebSocket handshake goes the same way (`socket`), so a refusal is an ordinary answer.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The method, any token.
    pub method: String,
    /// Path and query as they go onto the wire.
    pub target: String,
    /// Headers beside `host` and the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Every header line in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
    /// From sending to the last byte.
    pub took: Duration,
}

impl Answer {
    /// The body as text, for messages and comparisons.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends and reads the whole answer.
pub async fn exchange(port: u16, ask: &Ask) -> Result<Answer, String> {
    let started = Instant::now();
    let response = send(port, ask).await?;
    answer(response, started).await
}

/// Sends and returns when the head of the answer is there.
pub async fn send(port: u16, ask: &Ask) -> Result<hyper::Response<hyper::body::Incoming>, String> {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .map_err(|error| format!("could not connect to port {port}: {error}"))?;
    let target: http::uri::PathAndQuery =
        ask.target.parse().map_err(|error| format!("not a path: `{}`: {error}", ask.target))?;
    let mut request = hyper::Request::builder().method(ask.method.as_str()).uri(http::Uri::from(target));
    if !ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", format!("127.0.0.1:{port}"));
    }
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(ask.body.clone()))
        .map_err(|error| format!("not a request that can be sent: {error}"))?;
    let (mut sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("connection failed: {error}"))?;
    // The connection's own errors reach us through the sender and the body.
    tokio::task::spawn_local(connection.with_upgrades());
    sender.send_request(request).await.map_err(|error| format!("no answer: {error}{}", cause(&error)))
}

/// Reads the rest of an answer.
pub async fn answer(
    response: hyper::Response<hyper::body::Incoming>,
    started: Instant,
) -> Result<Answer, String> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| format!("status {status}, but the body broke off: {error}{}", cause(&error)))?
        .to_bytes();
    Ok(Answer { status, headers, body, took: started.elapsed() })
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}
