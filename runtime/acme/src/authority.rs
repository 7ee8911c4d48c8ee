//! How an authority is reached: a request at a time, each on a connection of its own, within a time and a size.
//!
//! Those certificates are trusted that browsers trust, and the ones that whoever runs the server names. The account is opened
//! when it is first needed, and kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{Account, AccountCredentials, BodyWrapper, BytesResponse, Error, HttpClient, NewAccount};
use partyrun_limits::Limits;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::store::Store;
use crate::{AcmeError, Settings};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An authority, and the account with it.
pub(crate) struct Authority {
    directory: String,
    host: String,
    email: Option<String>,
    client: Client,
    account: Mutex<Option<Account>>,
}

/// Sends requests.
#[derive(Clone)]
struct Client {
    trusted: Arc<ClientConfig>,
    limits: Limits,
}

impl Authority {
    pub(crate) fn new(settings: &Settings, limits: &Limits) -> Result<Self, AcmeError> {
        let none = || AcmeError::Directory(settings.directory.clone());
        let uri: Uri = settings.directory.parse().map_err(|_| none())?;
        if uri.scheme_str() != Some("https") {
            return Err(none());
        }
        let authority = uri.authority().ok_or_else(none)?;
        Ok(Self {
            host: authority.as_str().rsplit('@').next().unwrap_or_default().to_string(),
            directory: settings.directory.clone(),
            email: settings.email.clone(),
            client: Client { trusted: trusted(settings.roots.as_deref())?, limits: limits.clone() },
            account: Mutex::default(),
        })
    }

    /// Its host, with a port where that is not the usual one.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The account with it: the stored one, or a new one.
    pub(crate) async fn account(&self, store: &Store) -> Result<Account, Error> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let account =
            match store.account().and_then(|text| serde_json::from_slice::<AccountCredentials>(&text).ok()) {
                Some(credentials) => {
                    Account::builder_with_http(Box::new(self.client.clone()))
                        .from_credentials(credentials)
                        .await?
                }
                None => self.open_account(store).await?,
            };
        *known = Some(account.clone());
        Ok(account)
    }

    /// Has this account, as if it had been opened.
    #[cfg(test)]
    pub(crate) async fn open(&self, account: Account) {
        self.account.lock().await.replace(account);
    }

    /// The authority doesn't know the account any more.
    pub(crate) async fn forget_account(&self, store: &Store) {
        self.account.lock().await.take();
        store.forget_account();
    }

    async fn open_account(&self, store: &Store) -> Result<Account, Error> {
        let contact = self.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let (account, credentials) = builder.create(&wanted, self.directory.clone(), None).await?;
        let text = serde_json::to_vec(&credentials)?;
        store.keep_account(&text).map_err(|error| Error::Other(error.into()))?;
        Ok(account)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let limits = &client.limits;
            let answered = tokio::time::timeout(limits.acme_request_time_max, client.ask(request)).await;
            let late = || -> Failure {
                format!("it did not answer in time ({})", limits.cite("acme_request_time_max")).into()
            };
            answered.unwrap_or_else(|_| Err(late())).map_err(Error::Other)
        })
    }
}

impl Client {
    async fn ask(&self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
        let uri = request.uri().clone();
        if uri.scheme_str() != Some("https") {
            return Err(format!("it names the URL {uri}, which is not https").into());
        }
        let authority = uri.authority().ok_or("it names a URL without a host")?.as_str();
        let host = uri.host().ok_or("it names a URL without a host")?;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_string();
        let port = uri.port_u16().unwrap_or(443);
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority)?);
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        let stream = TcpStream::connect((name.as_str(), port)).await?;
        let connector = TlsConnector::from(Arc::clone(&self.trusted));
        let stream = connector.connect(ServerName::try_from(name)?, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its failure is the request's.
        let carrying = Carrying(tokio::spawn(async move { drop(connection.await) }));
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, self.limits.acme_answer_bytes_max).collect().await;
        let limit = self.limits.cite("acme_answer_bytes_max");
        let body = body
            .map_err(|error| format!("its answer cannot be read, or is too long ({limit}): {error}"))?
            .to_bytes();
        drop(carrying);
        Ok(BytesResponse::from(Response::from_parts(parts, Full::new(body))))
    }
}

/// The task of a connection, which ends with its request.
struct Carrying(tokio::task::JoinHandle<()>);

impl Drop for Carrying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn trusted(more: Option<&[u8]>) -> Result<Arc<ClientConfig>, AcmeError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(more) = more {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(more) {
            let certificate = certificate.map_err(|error| AcmeError::Roots(error.to_string()))?;
            roots.add(certificate).map_err(|error| AcmeError::Roots(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(AcmeError::Roots("there is none in the file".to_string()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| AcmeError::Roots(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
