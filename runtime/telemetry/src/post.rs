//! The HTTP client of the exporter: a request at a time, each on a connection of its own, on a thread of its own.
//!
//! Batches are seldom, so that connections are not kept. With `https` those certificates are trusted that rooms trust, too:
//! Mozilla's, and those in the files that `SSL_CERT_FILE` and `OTEL_EXPORTER_OTLP_CERTIFICATE` name.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::everywhere::EVERYWHERE;
use crate::settings::{ExportError, variable};

/// Time for a request where no variable tells another.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer that is longer is none of a receiver.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Client {
    // It ends with the process; its thread does nothing while nothing is sent.
    runtime: Runtime,
    trusted: Arc<ClientConfig>,
    timeout: Duration,
}

impl Client {
    pub(crate) fn new() -> Result<Self, ExportError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()
            .map_err(ExportError::Thread)?;
        let timeout = variable("OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|timeout| timeout.parse().ok());
        let timeout = timeout.map_or(TIMEOUT, Duration::from_millis);
        Ok(Self { runtime, trusted: trusted()?, timeout })
    }

    /// Runs a task on the client's thread.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Sends a body. A failure is counted, and what could not be sent is lost.
    pub(crate) async fn post(&self, endpoint: &str, headers: &[(String, String)], body: String) {
        let sent = tokio::time::timeout(self.timeout, self.send(endpoint, headers, body)).await;
        if !sent.is_ok_and(|sent| sent.is_ok_and(|status| status.is_success())) {
            EVERYWHERE.export_failures.add_shared(1);
        }
    }

    async fn send(
        &self,
        endpoint: &str,
        headers: &[(String, String)],
        body: String,
    ) -> Result<StatusCode, Failure> {
        let uri: Uri = endpoint.parse()?;
        let host = uri.host().ok_or("the endpoint names no host")?;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_string();
        let is_secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, authority.rsplit('@').next().unwrap_or_default())
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let stream = TcpStream::connect((name.as_str(), port)).await?;
        if is_secure {
            let connector = TlsConnector::from(self.trusted.clone());
            ask(connector.connect(ServerName::try_from(name)?, stream).await?, request).await
        } else {
            ask(stream, request).await
        }
    }
}

async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its failure is the request's.
    let carrying = tokio::spawn(async move { drop(connection.await) });
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let _read = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    carrying.abort();
    Ok(status)
}

fn trusted() -> Result<Arc<ClientConfig>, ExportError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for name in CERTIFICATES {
        let Some(path) = variable(name) else { continue };
        let problem =
            |error: String| ExportError::Variable(format!("The certificates of {name} ({path}): {error}"));
        let text = std::fs::read(&path).map_err(|error| problem(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| problem(error.to_string()))?;
            roots.add(certificate).map_err(|error| problem(error.to_string()))?;
        }
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ExportError::Variable(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
