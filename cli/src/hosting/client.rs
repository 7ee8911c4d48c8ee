//! Asks a host: over HTTP or HTTPS, with the token of `partyrun login` or of PARTYKIT_TOKEN.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::kept;
use crate::admin::client::each_line;

/// Names the host, in place of `partyrun login`. The second is the original's.
const URL: [&str; 2] = ["PARTYRUN_URL", "PARTYKIT_API_BASE"];
/// The token, as the original names it.
pub(crate) const TOKEN: &str = "PARTYKIT_TOKEN";
const CONNECT_MAX: Duration = Duration::from_secs(15);

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "No host is known. Log in with `partyrun login https://HOST`, or set PARTYRUN_URL and PARTYKIT_TOKEN."
    )]
    NoHost,
    #[error("There is no token for {url}. Log in with `partyrun login {url}`, or set PARTYKIT_TOKEN.")]
    NoToken { url: String },
    #[error("{url} is no URL of a host: write `https://party.example.com`.")]
    Url { url: String },
    #[error("Nobody answers at {url}: {error}")]
    Connect { url: String, error: std::io::Error },
    #[error("The connection to {url} broke: {error}")]
    Broken { url: String, error: String },
    #[error("{url} is no partyrun host: it answered {status}.")]
    Foreign { url: String, status: StatusCode },
    #[error("{0}")]
    Refused(String),
    #[error("{what}: {error}")]
    Machine { what: &'static str, error: std::io::Error },
}

/// A host.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    pub(crate) url: String,
    secure: bool,
    host: String,
    port: u16,
    token: String,
}

impl Client {
    /// The host that `to` names, else that of the environment, else that of `partyrun login`.
    pub(crate) fn find(to: Option<&str>) -> Result<Self, ClientError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let known = kept::read();
        let named = to.map(str::to_owned).or_else(|| URL.iter().find_map(|name| set(name)));
        let url = named.or_else(|| Some(known.as_ref()?.url.clone())).ok_or(ClientError::NoHost)?;
        let token = set(TOKEN).or_else(|| {
            // A token is for the host that it was typed for, and goes to no other.
            known.filter(|known| same(&known.url, &url)).map(|known| known.token)
        });
        let Some(token) = token else { return Err(ClientError::NoToken { url }) };
        Self::new(&url, token)
    }

    /// The host at this URL.
    pub(crate) fn new(url: &str, token: String) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url { url: crate::output::escape(url) };
        let parsed = url::Url::parse(url).map_err(|_| wrong())?;
        let secure = match parsed.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let host = parsed.host_str().ok_or_else(wrong)?.to_string();
        let port = parsed.port_or_known_default().ok_or_else(wrong)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| ClientError::Machine { what: "The threads cannot be started", error })?;
        Ok(Self { runtime, url: url.trim_end_matches('/').to_string(), secure, host, port, token })
    }

    /// The JSON of `GET path`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::GET, path, Bytes::new())
    }

    /// The JSON of a request with a body.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Value, ClientError> {
        let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
        self.runtime.block_on(async { self.json(self.begin(method, path, None, body).await?).await })
    }

    /// The JSON of a request whose body is a file.
    pub(crate) fn upload(&self, path: &str, file: &std::path::Path) -> Result<Value, ClientError> {
        const CHUNK: usize = 64 << 10;
        let failed = |error| ClientError::Machine { what: "The release cannot be read", error };
        self.runtime.block_on(async {
            let length = tokio::fs::metadata(file).await.map_err(failed)?.len();
            let file = tokio::fs::File::open(file).await.map_err(failed)?;
            let chunks = futures_util::stream::unfold(file, |mut file| async move {
                let mut chunk = vec![0; CHUNK];
                match file.read(&mut chunk).await {
                    Ok(0) => None,
                    Ok(read) => {
                        chunk.truncate(read);
                        Some((Ok(Frame::data(Bytes::from(chunk))), file))
                    }
                    Err(error) => Some((Err(error), file)),
                }
            });
            let body = StreamBody::new(chunks).boxed_unsync();
            self.json(self.begin(Method::POST, path, Some(length), body).await?).await
        })
    }

    async fn json(&self, body: Incoming) -> Result<Value, ClientError> {
        let bytes = body.collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| self.broken(&error))
    }

    /// Gives each line of an answer to `take`, until the answer ends or `take` says false.
    pub(crate) fn lines(&self, path: &str, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), ClientError> {
        self.runtime.block_on(async {
            let none = Full::default().map_err(|never| match never {}).boxed_unsync();
            let body = self.begin(Method::GET, path, None, none).await?;
            each_line(body, |error| self.broken(&error), |line| Ok(take(line))).await
        })
    }

    async fn begin(
        &self,
        method: Method,
        path: &str,
        length: Option<u64>,
        body: Body,
    ) -> Result<Incoming, ClientError> {
        let refused = |error| ClientError::Connect { url: self.url.clone(), error };
        let late = || refused(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let host = self.host.trim_matches(['[', ']']);
        let connecting = tokio::net::TcpStream::connect((host, self.port));
        let stream =
            tokio::time::timeout(CONNECT_MAX, connecting).await.map_err(|_| late())?.map_err(refused)?;
        let authority = format!("{}:{}", self.host, self.port);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(length) = length {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        let request = request.body(body).map_err(|error| self.broken(&error))?;
        let response = if self.secure {
            let name = ServerName::try_from(host.to_string())
                .map_err(|_| ClientError::Url { url: self.url.clone() })?;
            let shaking = TlsConnector::from(Arc::new(roots()?)).connect(name, stream);
            let stream =
                tokio::time::timeout(CONNECT_MAX, shaking).await.map_err(|_| late())?.map_err(refused)?;
            self.over(stream, request).await?
        } else {
            self.over(stream, request).await?
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = response.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        let told: Option<Value> = serde_json::from_slice(&body).ok();
        match told.as_ref().and_then(|told| told["error"]["message"].as_str()) {
            Some(message) => Err(ClientError::Refused(message.to_string())),
            None => Err(ClientError::Foreign { url: self.url.clone(), status }),
        }
    }

    async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        request: Request<Body>,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // It ends with the answer, which says what went wrong.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken { url: self.url.clone(), error: error.to_string() }
    }
}

/// Whether two URLs are of one host.
fn same(one: &str, other: &str) -> bool {
    let origin = |url: &str| url::Url::parse(url).ok().map(|url| url.origin());
    origin(one).is_some_and(|one| Some(one) == origin(other))
}

// Whom the system trusts; SSL_CERT_FILE names others.
fn roots() -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    let known = rustls_native_certs::load_native_certs()
        .map_err(|error| ClientError::Machine { what: "the system's certificates cannot be read", error })?;
    for certificate in known {
        // One that cannot be read is trusted by nobody.
        let _unreadable = roots.add(certificate);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Machine {
            what: "TLS cannot be used",
            error: std::io::Error::other(error),
        })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A text as one segment of a path or value of a query.
pub(crate) fn segment(text: &str) -> String {
    crate::admin::client::segment(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_hosts_are_read_as_people_write_them() {
        let of = |url: &str| {
            Client::new(url, String::new()).map(|client| (client.secure, client.host, client.port)).ok()
        };
        assert_eq!(of("https://party.test/"), Some((true, "party.test".to_string(), 443)));
        assert_eq!(of("http://party.test:8080"), Some((false, "party.test".to_string(), 8080)));
        for wrong in ["party.test", "ftp://party.test", "", "https://"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert!(same("https://party.test", "https://party.test:443/"));
        assert!(!same("https://party.test", "http://party.test") && !same("x", "x"));
    }
}
