//! The certificates and keys of a front, which may change while it serves, and whether clients would accept them.
//!
//! [`Certificates`] picks by the name that a client asks for: an exact name first, then a wildcard, then the first certificate of
//! all. Whoever watches files or asks an authority replaces them; connections in progress keep what they have.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::iter;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// HTTP/2, as clients and servers agree on it during the handshake.
pub(super) const HTTP_2: &[u8] = b"h2";
/// How an authority that looks whether a name is ours says so (RFC 8737).
const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// What is done, and waited for, before a client's name is looked up.
pub type Demand = Arc<dyn Fn(&str) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// How a front secures its connections.
#[derive(Clone)]
pub struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) demand: Option<Demand>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The text of the certificates is not PEM, or there is none in it.
    #[error("the certificate cannot be read: {0}")]
    Certificate(pem::Error),
    /// The first certificate of the text is no X.509 certificate.
    #[error("the certificate cannot be read: it is no X.509 certificate")]
    Form,
    /// The text of the key is not PEM, or there is none in it.
    #[error("the key cannot be read: {0}")]
    Key(pem::Error),
    /// The key is protected with a passphrase.
    #[error("the key is encrypted; write it without a passphrase: `openssl pkey -in KEY -out PLAIN_KEY`")]
    Encrypted,
    /// The key is another certificate's.
    #[error("the certificate and the key cannot be used: the key belongs to another certificate")]
    Mismatch,
    /// Certificate and key are of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(rustls::Error),
}

/// A certificate with its chain, its key, and what the certificate says.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    begins: SystemTime,
    ends: SystemTime,
}

impl Identity {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM form.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| if is_encrypted(key) { TlsError::Encrypted } else { TlsError::Key(error) })?;
        Self::new(chain, key)
    }

    /// Of a chain and a key in DER form.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let first = chain.first().ok_or(TlsError::Form)?.clone();
        let (_, parsed) = X509Certificate::from_der(&first).map_err(|_| TlsError::Form)?;
        let names = parsed.subject_alternative_name().map_err(|_| TlsError::Form)?;
        // One without names is shown to whoever asks for none that another has: old tools make such.
        let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let names = names.collect();
        let time = |seconds: i64| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let validity = parsed.validity();
        let (begins, ends) = (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
        let key =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(
                |error| match error {
                    rustls::Error::InconsistentKeys(_) => TlsError::Mismatch,
                    error => TlsError::Pair(error),
                },
            )?;
        Ok(Self { key: Arc::new(key), names, begins, ends })
    }

    /// The names for which it can be shown, in lower case, wildcards included.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From when to when clients accept it.
    pub fn valid(&self) -> (SystemTime, SystemTime) {
        (self.begins, self.ends)
    }

    /// The certificate itself, in DER form.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }
}

// PKCS #8 says so in its label, the older form in a header.
fn is_encrypted(key: &[u8]) -> bool {
    let text = String::from_utf8_lossy(key);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// The certificates of a front, by name. Clones of its `Arc` may replace them while it serves.
#[derive(Default)]
pub struct Certificates(RwLock<Held>);

#[derive(Default)]
struct Held {
    /// By the file or the name that they came from.
    all: Vec<(String, Identity)>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a certificate, or puts it in the place of the one that had this label.
    pub fn put(&self, label: &str, identity: Identity) {
        let mut held = self.write();
        match held.all.iter_mut().find(|(known, _)| known == label) {
            Some((_, place)) => *place = identity,
            None => held.all.push((label.to_string(), identity)),
        }
        held.index();
    }

    /// Forgets the certificate of a label.
    pub fn remove(&self, label: &str) {
        let mut held = self.write();
        held.all.retain(|(known, _)| known != label);
        held.index();
    }

    /// The certificate of a label.
    pub fn of(&self, label: &str) -> Option<Identity> {
        self.read().all.iter().find(|(known, _)| known == label).map(|(_, identity)| identity.clone())
    }

    /// Whether there is a certificate for this name.
    pub fn has(&self, name: &str) -> bool {
        self.read().named(&name.to_ascii_lowercase()).is_some()
    }

    /// Shows a certificate to an authority that looks whether `name` is ours, until [`Self::settle`].
    pub fn challenge(
        &self,
        name: &str,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), TlsError> {
        let keys = aws_lc_rs::default_provider().key_provider;
        let key = keys.load_private_key(key).map_err(TlsError::Pair)?;
        // Whether they are a pair is not asked: rustls cannot read such a certificate, for its critical extension.
        let shown = CertifiedKey::new(vec![certificate], key);
        self.write().challenges.insert(name.to_ascii_lowercase(), Arc::new(shown));
        Ok(())
    }

    /// The authority has looked.
    pub fn settle(&self, name: &str) {
        self.write().challenges.remove(&name.to_ascii_lowercase());
    }
}

impl Held {
    fn index(&mut self) {
        self.by_name.clear();
        for (_, identity) in &self.all {
            for name in &identity.names {
                self.by_name.entry(name.clone()).or_insert_with(|| Arc::clone(&identity.key));
            }
        }
    }

    fn named(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        self.by_name.get(name).or_else(|| self.by_name.get(&wildcard()?))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let mut protocols = hello.alpn().into_iter().flatten();
        let held = self.read();
        if protocols.next() == Some(CHALLENGE_PROTOCOL) && protocols.next().is_none() {
            return held.challenges.get(&name?).cloned();
        }
        let named = name.and_then(|name| held.named(&name).cloned());
        named.or_else(|| held.all.first().map(|(_, identity)| Arc::clone(&identity.key)))
    }
}

impl Tls {
    /// Secures with these certificates, whatever they are at the time.
    pub fn new(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec(), CHALLENGE_PROTOCOL.to_vec()];
        // Sessions are resumed without memory of ours, under keys that change every six hours.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Pair)?;
        Ok(Self { config: Arc::new(config), demand: None })
    }

    /// Secures with one chain of certificates, the server's own first, and its key, both in PEM form.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let certificates = Certificates::default();
        certificates.put("", Identity::from_pem(chain, key)?);
        Self::new(Arc::new(certificates))
    }

    /// Has `demand` done before a client's name is looked up, each time.
    #[must_use]
    pub fn on_demand(mut self, demand: Demand) -> Self {
        self.demand = Some(demand);
        self
    }

    /// Whether a connection was made only so that an authority can see whom a name belongs to.
    pub(super) fn was_challenge(protocol: Option<&[u8]>) -> bool {
        protocol == Some(CHALLENGE_PROTOCOL)
    }

    /// The same for a listener that is no front and speaks HTTP/1.1 only.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec(), CHALLENGE_PROTOCOL.to_vec()];
        Arc::new(config)
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
