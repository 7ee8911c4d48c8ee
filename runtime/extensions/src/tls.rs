//! TLS to other servers: `fetch`, WebSockets and `node:tls` trust the same certificates.
//!
//! Trusted are Mozilla's root certificates and those in the PEM files that the operator names in `SSL_CERT_FILE` or
//! `NODE_EXTRA_CA_CERTS`. The store is created once per process, when the first connection needs it.

use std::sync::{Arc, OnceLock};

use deno_error::JsErrorBox;
use deno_tls::rustls::pki_types::ServerName;
use deno_tls::rustls::pki_types::pem::PemObject;
use deno_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use deno_tls::rustls::{ClientConfig, RootCertStore};
use deno_tls::{RootCertStoreProvider, SocketUse, TlsClientConfigOptions, TlsKeys};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::codes::{code_of, coded};

/// The variables that name files with further trusted certificates.
pub const CA_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];

/// The certificates that are trusted, as deno_fetch asks for them.
#[derive(Debug)]
pub struct Roots;

impl RootCertStoreProvider for Roots {
    fn get_or_try_init(&self) -> Result<&RootCertStore, JsErrorBox> {
        static STORE: OnceLock<Result<RootCertStore, String>> = OnceLock::new();
        STORE.get_or_init(load).as_ref().map_err(|message| JsErrorBox::type_error(message.clone()))
    }
}

fn load() -> Result<RootCertStore, String> {
    let mut store = deno_tls::create_default_root_cert_store();
    for variable in CA_VARIABLES {
        let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else { continue };
        let shown = path.to_string_lossy().into_owned();
        let problem =
            |error: String| format!("The certificates of {variable} ({shown}) are unusable: {error}");
        let text = std::fs::read(&path).map_err(|error| problem(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| problem(error.to_string()))?;
            store.add(certificate).map_err(|error| problem(error.to_string()))?;
        }
    }
    Ok(store)
}

/// A host without the brackets that stand around an IPv6 address in URLs.
pub fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// How a connection shall be secured.
#[derive(Default)]
pub struct TlsOptions {
    /// Certificates in PEM form that are trusted besides the common ones.
    pub ca: Vec<String>,
    /// Protocols to offer, the preferred one first.
    pub alpn: Vec<String>,
    /// Whether a certificate that nobody trusts is accepted.
    pub accept_any: bool,
    /// The client's own certificate and its key, in PEM form.
    pub identity: Option<(String, String)>,
}

/// Secures `stream`, whose other end must be `name`. A failure has the code that Node has for it.
pub async fn secure(
    stream: TcpStream,
    name: &str,
    options: &TlsOptions,
) -> Result<TlsStream<TcpStream>, JsErrorBox> {
    let config = config(options)?;
    let server = ServerName::try_from(name.to_string())
        .map_err(|_| JsErrorBox::type_error(format!("\"{name}\" is not a host name")))?;
    TlsConnector::from(config).connect(server, stream).await.map_err(|error| {
        let code = code_of(&error);
        coded(code, format!("{code}: TLS handshake with {name} failed: {error}"))
    })
}

fn config(options: &TlsOptions) -> Result<Arc<ClientConfig>, JsErrorBox> {
    let keys = match &options.identity {
        None => TlsKeys::Null,
        Some((certificate, key)) => {
            let bad =
                |error: deno_tls::rustls::pki_types::pem::Error| JsErrorBox::type_error(error.to_string());
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(bad)?;
            TlsKeys::Static(deno_tls::TlsKey(chain.map_err(bad)?, key))
        }
    };
    let mut config = deno_tls::create_client_config(TlsClientConfigOptions {
        root_cert_store: Some(Roots.get_or_try_init()?.clone()),
        ca_certs: options.ca.iter().map(|pem| pem.clone().into_bytes()).collect(),
        unsafely_ignore_certificate_errors: options.accept_any.then(Vec::new),
        unsafely_disable_hostname_verification: false,
        cert_chain_and_key: keys,
        socket_use: SocketUse::GeneralSsl,
    })
    .map_err(|error| JsErrorBox::generic(error.to_string()))?;
    config.alpn_protocols = options.alpn.iter().map(|name| name.clone().into_bytes()).collect();
    Ok(Arc::new(config))
}
