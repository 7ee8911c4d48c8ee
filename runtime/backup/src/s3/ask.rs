//! Sends requests, some of them again, and reads short answers.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rusty_s3::S3Action;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::Url;

use crate::BackupError;

/// How often a request is sent at most, and the pause before the second time; it doubles.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// A signed request is good for so long after it was signed.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
/// The time for a request that sends nothing, and the slowest pace of one that sends a file.
const TIMEOUT: Duration = Duration::from_secs(60);
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// A list has a thousand names at most; what is longer is no answer of such a server.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of a file between two reads.
const PIECE_BYTES: u64 = 64 << 10;
/// So many characters of what a server says are told.
const TOLD_MAX: usize = 300;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A part of a file that is sent.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) from: u64,
    pub(super) length: u64,
    /// Its MD5 sum in base64: the server refuses what it receives otherwise.
    pub(super) md5: String,
}

/// What is sent.
pub(super) enum Sent {
    Nothing,
    Text(String),
    Part(Part),
}

/// A request. It is signed anew each time, because a signature has the time in it.
pub(super) struct Ask<'a> {
    method: Method,
    url: Box<dyn Fn() -> Url + 'a>,
    pub(super) sent: Sent,
    pub(super) from: Option<u64>,
}

impl<'a> Ask<'a> {
    pub(super) fn of<'b, A: S3Action<'b>>(action: &'a A) -> Self {
        let method = match A::METHOD {
            rusty_s3::Method::Head => Method::HEAD,
            rusty_s3::Method::Get => Method::GET,
            rusty_s3::Method::Post => Method::POST,
            rusty_s3::Method::Put => Method::PUT,
            rusty_s3::Method::Delete => Method::DELETE,
        };
        Self { method, url: Box::new(|| action.sign(SIGNED_FOR)), sent: Sent::Nothing, from: None }
    }

    pub(super) fn sending(self, sent: Sent) -> Self {
        Self { sent, ..self }
    }

    /// Asks for the rest of an object.
    pub(super) fn beginning_at(self, from: u64) -> Self {
        Self { from: (from > 0).then_some(from), ..self }
    }

    fn timeout(&self) -> Duration {
        match &self.sent {
            Sent::Part(part) => TIMEOUT + Duration::from_secs(part.length / BYTES_PER_SECOND_MIN),
            _ => TIMEOUT,
        }
    }

    async fn request(&self) -> Result<Request<Body>, Box<dyn Error + Send + Sync>> {
        let mut request = Request::builder().method(&self.method).uri((self.url)().as_str());
        if let Some(from) = self.from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let body = match &self.sent {
            Sent::Nothing => whole(Bytes::new()),
            Sent::Text(text) => whole(Bytes::from(text.clone())),
            Sent::Part(part) => {
                request =
                    request.header(header::CONTENT_LENGTH, part.length).header("content-md5", &part.md5);
                pieces(part).await?
            }
        };
        Ok(request.body(body)?)
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

async fn pieces(part: &Part) -> Result<Body, std::io::Error> {
    let mut file = tokio::fs::File::open(&part.path).await?;
    file.seek(std::io::SeekFrom::Start(part.from)).await?;
    let pieces = stream::try_unfold((file, part.length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES as usize);
        let read = (&mut file).take(left.min(PIECE_BYTES)).read_to_end(&mut piece).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((Frame::data(Bytes::from(piece)), (file, left - read as u64))))
    });
    Ok(StreamBody::new(pieces).boxed_unsync())
}

/// A short answer.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no good answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// None came.
    Away(String),
    /// It is not what such servers answer.
    Strange(String),
    /// The server says no.
    Refused { status: StatusCode, code: String, message: String },
    /// It is ours: a file, say.
    Own(BackupError),
}

impl Trouble {
    pub(super) fn strange(what: String) -> Self {
        Self::Strange(what)
    }

    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Refused { status, code, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
                    || matches!(code.as_str(), "RequestTimeout" | "SlowDown" | "BadDigest")
            }
            Self::Strange(_) | Self::Own(_) => false,
        }
    }

    /// Whether there is no such object.
    pub(super) fn is_missing_key(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, code, .. } if code != "NoSuchBucket")
    }

    /// Says it for people; `shown` is what it is about.
    pub(super) fn into_error(self, shown: &str, host: &str) -> BackupError {
        let what = match self {
            Self::Own(error) => return error,
            Self::Away(what) => format!("{host} cannot be reached ({what})"),
            Self::Strange(what) => what,
            Self::Refused { status, code, message } => {
                let said = [code.as_str(), message.trim_end_matches('.')].map(str::trim);
                let said: Vec<_> = said.into_iter().filter(|text| !text.is_empty()).collect();
                format!("the server says {} {}{}", status.as_u16(), said.join(": "), hint(status, &code))
            }
        };
        BackupError::Bucket { address: shown.to_owned(), what }
    }
}

// What to do next, where the server does not say it.
fn hint(status: StatusCode, code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => "; create the bucket, or name another",
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" => {
            "; see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "; see AWS_REGION"
        }
        "RequestTimeTooSkewed" => "; the clock of this machine is wrong",
        _ if status == StatusCode::FORBIDDEN => {
            "; this key needs the rights to list, read, write and delete there"
        }
        _ => "",
    }
}

/// Sends requests.
pub(super) struct Client(hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body>);

impl Client {
    pub(super) fn new(certificates: &[(&'static str, String)]) -> Result<Self, BackupError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trusting(certificates)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends a request, again if need be, and reads the answer.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Trouble> {
        let mut pause = PAUSE;
        for _ in 1..TRIES_MAX {
            match self.once(ask).await {
                Err(trouble) if trouble.may_pass() => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause *= 2;
        }
        self.once(ask).await
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Answer, Trouble> {
        let asked = async {
            let answer = self.begin(ask).await?;
            let headers = answer.headers().clone();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| Trouble::Away(chain(&*error)))?.to_bytes();
            Ok(Answer { headers, body })
        };
        let timeout = ask.timeout();
        let late = |_| Trouble::Away(format!("no answer within {} s", timeout.as_secs()));
        tokio::time::timeout(timeout, asked).await.map_err(late)?
    }

    /// Sends a request once; the answer is a good one, and its body is still to be read.
    pub(super) async fn begin(&self, ask: &Ask<'_>) -> Result<http::Response<Incoming>, Trouble> {
        let request = ask.request().await.map_err(|error| Trouble::Strange(chain(&*error)))?;
        let answer = self.0.request(request).await.map_err(|error| unanswered(&chain(&error)))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
        let (code, message) = error_of(&text.unwrap_or_default());
        Err(Trouble::Refused { status, code, message })
    }
}

// Why no answer came. A certificate does not become a good one by asking again.
fn unanswered(why: &str) -> Trouble {
    match why.split_once("invalid peer certificate") {
        Some((_, kind)) => Trouble::Strange(format!(
            "the server's certificate is not trusted ({}); `SSL_CERT_FILE` names a file with certificates that are",
            kind.trim_matches([':', ' '])
        )),
        None => Trouble::Away(why.to_owned()),
    }
}

/// The code and the message of an error, as XML of any name space; empty where there is none.
pub(super) fn error_of(text: &str) -> (String, String) {
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        let value: String = value.chars().filter(|char| !char.is_control()).take(TOLD_MAX).collect();
        let plain = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&apos;", "'"),
            ("&#39;", "'"),
            ("&#34;", "\""),
        ];
        let value = plain.into_iter().fold(value, |value, (from, to)| value.replace(from, to));
        Some(value.replace("&amp;", "&"))
    };
    (field("Code").unwrap_or_default(), field("Message").unwrap_or_default())
}

/// An error with what caused it.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if told.last().is_none_or(|last| !last.contains(&text)) {
            told.push(text);
        }
        next = error.source();
    }
    told.join(": ")
}

fn trusting(files: &[(&'static str, String)]) -> Result<ClientConfig, BackupError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for (variable, path) in files {
        let problem = |error: String| BackupError::File {
            path: format!("{path} ({variable})"),
            what: format!("the certificates cannot be read: {error}"),
        };
        let text = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| problem(error.to_string()))?;
            roots.add(certificate).map_err(|error| problem(error.to_string()))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| BackupError::File { path: "TLS".to_owned(), what: error.to_string() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
