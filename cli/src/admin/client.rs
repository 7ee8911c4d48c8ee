//! Asks the administrative API: of the server of this folder, or of one that `--to` names.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::found::Found;
use crate::args::ADMIN_TOKEN;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "No server with an administrative API runs in this folder. `partyrun dev` has one, `partyrun start --admin` \
         too; or name one with `--to http://HOST:PORT` or `--to unix:PATH`."
    )]
    Nobody,
    #[error(
        "{url} is no address: write `http://HOST:PORT` or `unix:PATH`. For a server behind TLS, use a tunnel: \
             `ssh -L 1998:127.0.0.1:1998 HOST`, and `--to http://127.0.0.1:1998`."
    )]
    Url { url: String },
    #[error("Nobody answers at {url}: {error}")]
    Connect { url: String, error: std::io::Error },
    #[error("The connection to {url} broke: {error}")]
    Broken { url: String, error: String },
    #[error("{url} refused the token. Set PARTYRUN_ADMIN_TOKEN to the server's token.")]
    Token { url: String },
    #[error("{0}")]
    Refused(String),
    #[error("{what}: {error}")]
    Machine { what: &'static str, error: std::io::Error },
}

/// Where the API is.
#[derive(Clone, Debug)]
enum Place {
    /// A host with its port.
    Tcp(String),
    Unix(PathBuf),
}

/// A server's API.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    place: Place,
    url: String,
    token: String,
}

/// A request.
#[derive(Default)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) fields: &'a [(&'static str, &'a str)],
}

impl Client {
    /// The API that `to` names, else that of the server of this data folder; `None` if no server is known there.
    pub(crate) fn find(
        to: Option<&str>,
        data: Option<&std::path::Path>,
    ) -> Result<Option<Self>, ClientError> {
        let token = std::env::var(ADMIN_TOKEN).unwrap_or_default();
        if let Some(url) = to {
            return Self::new(url, token).map(Some);
        }
        let Some(place) = data.and_then(Found::read) else { return Ok(None) };
        let client = Self::new(&place.url, place.token.unwrap_or(token))?;
        // A server that was killed left its place behind.
        Ok(client.is_there().then_some(client))
    }

    fn new(url: &str, token: String) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url { url: url.to_string() };
        let place = match (url.strip_prefix("unix:"), url.strip_prefix("http://")) {
            (Some(path), _) if !path.is_empty() => Place::Unix(path.into()),
            (_, Some(rest)) => Place::Tcp(authority(rest).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| ClientError::Machine { what: "The threads cannot be started", error })?;
        Ok(Self { runtime, place, url: url.to_string(), token })
    }

    fn is_there(&self) -> bool {
        match &self.place {
            Place::Tcp(host) => std::net::TcpStream::connect(host).is_ok(),
            Place::Unix(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
        }
    }

    /// The JSON of `GET path`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, ClientError> {
        let bytes = self.ask(Ask { path: path.to_string(), ..Ask::default() })?;
        serde_json::from_slice(&bytes).map_err(|error| self.broken(&error))
    }

    /// The JSON of a request, or null if it has none.
    pub(crate) fn send(&self, method: Method, path: String, body: &Value) -> Result<Value, ClientError> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let bytes = self.ask(Ask { method, path, body, ..Ask::default() })?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.broken(&error))
    }

    /// The body of an answer.
    pub(crate) fn ask(&self, ask: Ask<'_>) -> Result<Bytes, ClientError> {
        self.runtime.block_on(async {
            let body = self.begin(ask).await?;
            body.collect().await.map(|body| body.to_bytes()).map_err(|error| self.broken(&error))
        })
    }

    /// Gives each line of an answer to `take`, until it says false.
    pub(crate) fn lines(
        &self,
        path: String,
        take: impl FnMut(&[u8]) -> Result<bool, ClientError>,
    ) -> Result<(), ClientError> {
        self.runtime.block_on(async {
            let body = self.begin(Ask { path, ..Ask::default() }).await?;
            each_line(body, |error| self.broken(&error), take).await
        })
    }

    async fn begin(&self, ask: Ask<'_>) -> Result<Incoming, ClientError> {
        let refused = |error| ClientError::Connect { url: self.url.clone(), error };
        let late = || refused(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let response = match &self.place {
            Place::Tcp(host) => {
                let connecting = tokio::time::timeout(CONNECT_MAX, tokio::net::TcpStream::connect(host));
                let stream = connecting.await.map_err(|_| late())?.map_err(refused)?;
                self.over(stream, host, ask).await?
            }
            Place::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await.map_err(refused)?;
                self.over(stream, "localhost", ask).await?
            }
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Token { url: self.url.clone() });
        }
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        let told: Option<Value> = serde_json::from_slice(&body).ok();
        let message = told.as_ref().and_then(|told| told["error"]["message"].as_str());
        Err(ClientError::Refused(
            message.map_or_else(|| format!("{} answered {status}.", self.url), str::to_owned),
        ))
    }

    async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        host: &str,
        ask: Ask<'_>,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // It ends with the answer, which says what went wrong.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(ask.method)
            .uri(&ask.path)
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in ask.fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(ask.body))).map_err(|error| self.broken(&error))?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken { url: self.url.clone(), error: error.to_string() }
    }
}

// A host and a port, of a URL without its scheme.
fn authority(rest: &str) -> Option<String> {
    const PORT: &str = ":1998";
    let authority = rest.split(['/', '#', '?']).next().filter(|authority| !authority.is_empty())?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if has_port { authority.to_string() } else { format!("{authority}{PORT}") })
}

/// Gives each line of an answer to `take` when it is whole, until the answer ends or `take` says false. `broken` says what it means
/// that the connection broke.
pub(crate) async fn each_line<E>(
    mut body: Incoming,
    broken: impl Fn(hyper::Error) -> E,
    mut take: impl FnMut(&[u8]) -> Result<bool, E>,
) -> Result<(), E> {
    let mut read: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(&broken)?;
        read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let rest = read.split_off(end + 1);
            let line = std::mem::replace(&mut read, rest);
            if !take(line.trim_ascii_end())? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if plain(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

/// The path of a room, which is named as `PARTY/ROOM` or is one of the party `main`.
pub(crate) fn room_path(named: &str, parties: &[String]) -> String {
    let (party, room) = match named.split_once('/') {
        Some((party, room)) if parties.iter().any(|known| known == party) => (party, room),
        _ => ("main", named),
    };
    format!("/v1/rooms/{}/{}", segment(party), segment(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_rooms_are_read_as_people_write_them() {
        let of = |url: &str| Client::new(url, String::new()).map(|client| format!("{:?}", client.place)).ok();
        assert_eq!(of("http://127.0.0.1:5/#token=x").as_deref(), Some("Tcp(\"127.0.0.1:5\")"));
        assert_eq!(of("http://[::1]").as_deref(), Some("Tcp(\"[::1]:1998\")"));
        assert_eq!(of("unix:/run/a").as_deref(), Some("Unix(\"/run/a\")"));
        for wrong in ["", "https://x", "unix:", "127.0.0.1:1998", "http://"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        let parties = ["main".to_string(), "game".to_string()];
        let path = |named: &str| room_path(named, &parties);
        assert_eq!(path("lobby"), "/v1/rooms/main/lobby");
        assert_eq!(path("game/7"), "/v1/rooms/game/7");
        assert_eq!(path("a/b é"), "/v1/rooms/main/a%2Fb%20%C3%A9");
    }
}
