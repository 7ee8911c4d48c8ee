//! The certificate and key of a front, and whether clients would accept them.

use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// HTTP/2, as clients and servers agree on it during the handshake.
pub(super) const HTTP_2: &[u8] = b"h2";

/// The certificate and key with which a front secures its connections.
#[derive(Clone, Debug)]
pub struct Tls(pub(super) Arc<ServerConfig>);

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The text of the certificates is not PEM, or there is none in it.
    #[error("the certificate cannot be read: {0}")]
    Certificate(pem::Error),
    /// The text of the key is not PEM, or there is none in it.
    #[error("the key cannot be read: {0}")]
    Key(pem::Error),
    /// Certificate and key are no pair, or of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(rustls::Error),
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM form.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Whether a client that trusts the first certificate of this PEM text, and nothing else, accepts it under that name
    /// and under all of these addresses at all of these times.
    pub fn names(
        certificate: &[u8],
        name: &str,
        addresses: impl Iterator<Item = IpAddr>,
        times: &[SystemTime],
    ) -> bool {
        let Ok(certificate) = CertificateDer::from_pem_slice(certificate) else { return false };
        let mut roots = RootCertStore::empty();
        if roots.add(certificate.clone()).is_err() {
            return false;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from(name)) else { return false };
        let accepts = |name: &ServerName<'_>, time: &SystemTime| {
            let time = time.duration_since(SystemTime::UNIX_EPOCH).map(UnixTime::since_unix_epoch);
            time.is_ok_and(|time| verifier.verify_server_cert(&certificate, &[], name, &[], time).is_ok())
        };
        let mut names = iter::once(name).chain(addresses.map(ServerName::from));
        names.all(|name| times.iter().all(|time| accepts(&name, time)))
    }
}
