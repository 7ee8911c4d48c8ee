//! Certificates from an authority (ACME, RFC 8555): obtained for names, kept, renewed, and shown by a front.
//!
//! [`Acme`] keeps one certificate for each name that it is told, or that clients ask for and a function allows. A name has a task
//! of its own (`keep.rs`), which asks the authority (`order.rs`) when the certificate is due, and after a failure waits longer
//! each time. What was obtained is in a folder that only its owner reads (`store.rs`), so that a start needs no authority.
//! Names are proved by TLS-ALPN-01 and HTTP-01; whoever serves plain HTTP uses [`PlainDoor`].
//!
//! `instant-acme` speaks the protocol and leaves connections, keys and time to its caller. `rustls-acme` would have done all of
//! it, but knows no renewal by the authority's word (RFC 9773), no HTTP-01 beside the other, and no names on demand.

mod authority;
mod door;
mod keep;
mod order;
mod refusal;
mod store;
mod when;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use partyrun_limits::Limits;
use partyrun_net::{Certificates, Demand};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use authority::Authority;
use store::Store;

pub use door::{PlainDoor, Tokens};

/// The authority that is asked where none is named.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What is told to whoever runs the server: a line, and whether it is about a problem.
pub type Tell = Arc<dyn Fn(bool, &str) + Send + Sync>;

/// Answers whether a certificate may be obtained for a name.
pub type Allowed = Arc<dyn Fn(&str) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// Where certificates come from, and where they are kept.
#[derive(Clone)]
pub struct Settings {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Certificates in PEM form that the authority's own may be signed by, besides those that every browser trusts.
    pub roots: Option<Vec<u8>>,
    /// Where the authority reaches whoever runs the server.
    pub email: Option<String>,
    /// The folder for accounts, keys and certificates.
    pub folder: PathBuf,
    /// Whether clients reach the TLS listener as port 443, and [`PlainDoor`] as port 80.
    pub ports: Ports,
}

/// How an authority can prove a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// By TLS-ALPN-01.
    pub tls: bool,
    /// By HTTP-01.
    pub http: bool,
}

/// Why no certificates can be obtained at all.
#[derive(Debug, Error)]
pub enum AcmeError {
    /// The directory is none.
    #[error("`{0}` is not the https URL of an ACME directory")]
    Directory(String),
    /// The roots are no certificates.
    #[error("the certificates of the authority's own authority cannot be read: {0}")]
    Roots(String),
    /// The folder cannot be used.
    #[error("{path} cannot be used: {error}")]
    Folder {
        /// The folder.
        path: String,
        /// What is wrong with it.
        error: std::io::Error,
    },
}

/// Why a name cannot have a certificate.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// It is no name of a host.
    #[error("`{0}` is not a domain name, such as `chat.example.com`")]
    Form(String),
    /// Only DNS proves those.
    #[error(
        "`{0}` is a wildcard, which only a challenge by DNS can prove; name each host, or use `--tls-cert`"
    )]
    Wildcard(String),
}

/// Keeps certificates for names. Clones are the same.
#[derive(Clone)]
pub struct Acme(Arc<Inner>);

impl std::fmt::Debug for Acme {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Acme").finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) authority: Authority,
    pub(crate) store: Store,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) tokens: Tokens,
    pub(crate) ports: Ports,
    pub(crate) limits: Limits,
    pub(crate) tell: Tell,
    /// Orders that may be in progress at a time.
    pub(crate) orders: Semaphore,
    names: Mutex<HashMap<String, Kept>>,
    runtime: Handle,
}

// A name whose certificate is kept.
struct Kept {
    task: AbortHandle,
    /// True once there is a certificate, or the first try has failed.
    tried: watch::Receiver<bool>,
}

impl Acme {
    /// Keeps certificates of one authority in `certificates`. It must be called on a runtime, which carries its tasks.
    pub fn new(
        settings: Settings,
        certificates: Arc<Certificates>,
        limits: &Limits,
        tell: Tell,
    ) -> Result<Self, AcmeError> {
        let authority = Authority::new(&settings, limits)?;
        let store = Store::new(&settings.folder, authority.host())?;
        Ok(Self(Arc::new(Inner {
            authority,
            store,
            certificates,
            tokens: Tokens::default(),
            ports: settings.ports,
            orders: Semaphore::new(limits.acme_orders_max.max(1)),
            limits: limits.clone(),
            tell,
            names: Mutex::default(),
            runtime: Handle::current(),
        })))
    }

    /// What the listener of plain HTTP answers when an authority looks.
    pub fn tokens(&self) -> Tokens {
        self.0.tokens.clone()
    }

    /// Keeps a certificate for this name from now on: the one that is stored, and a new one whenever that is due.
    pub fn keep(&self, name: &str) -> Result<(), NameError> {
        let name = checked(name)?;
        self.kept(&name);
        Ok(())
    }

    /// Forgets a name; what is stored of it stays.
    pub fn drop_name(&self, name: &str) {
        let name = name.to_ascii_lowercase();
        if let Some(kept) = self.names().remove(&name) {
            kept.task.abort();
        }
        self.0.certificates.remove(&label(&name));
    }

    /// For [`partyrun_net::Tls::on_demand`]: a name that is asked for and allowed is kept from then on, and its first
    /// certificate waited for.
    pub fn demand(&self, allowed: Allowed) -> Demand {
        let acme = self.clone();
        Arc::new(move |name: &str| {
            let (acme, allowed, name) = (acme.clone(), Arc::clone(&allowed), name.to_string());
            Box::pin(async move {
                if acme.0.certificates.has(&name) {
                    return;
                }
                let Ok(name) = checked(&name) else { return };
                if allowed(&name).await {
                    let mut tried = acme.kept(&name);
                    // Its task has ended: nobody keeps it any more.
                    let _dropped = tried.wait_for(|tried| *tried).await;
                }
            })
        })
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, name: &str) -> watch::Receiver<bool> {
        let mut names = self.names();
        if let Some(kept) = names.get(name) {
            return kept.tried.clone();
        }
        let (sender, tried) = watch::channel(false);
        let keeping = keep::keep(Arc::clone(&self.0), name.to_string(), sender);
        let task = self.0.runtime.spawn(keeping).abort_handle();
        names.insert(name.to_string(), Kept { task, tried: tried.clone() });
        tried
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let names = self.names.get_mut().unwrap_or_else(PoisonError::into_inner);
        names.values().for_each(|kept| kept.task.abort());
    }
}

/// What the certificate of a name is called among all certificates.
pub(crate) fn label(name: &str) -> String {
    format!("acme:{name}")
}

// The name in lower case, if it is one that an authority can prove. It becomes a file's name as well.
fn checked(name: &str) -> Result<String, NameError> {
    const NAME_BYTES_MAX: usize = 253;
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name.starts_with("*.") {
        return Err(NameError::Wildcard(name));
    }
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() > NAME_BYTES_MAX || is_number || !name.split('.').all(is_label) {
        return Err(NameError::Form(name));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of an authority that nobody can reach.
    fn acme(folder: &std::path::Path, told: &Arc<Mutex<Vec<String>>>) -> Acme {
        let settings = Settings {
            directory: "https://127.0.0.1:1/directory".to_string(),
            roots: None,
            email: None,
            folder: folder.to_path_buf(),
            ports: Ports { tls: true, http: true },
        };
        let told = Arc::clone(told);
        let tell: Tell = Arc::new(move |_problem, text| told.lock().unwrap().push(text.to_string()));
        Acme::new(settings, Arc::default(), &Limits::default(), tell).unwrap()
    }

    #[tokio::test]
    async fn names_on_demand_are_kept_if_they_are_allowed() {
        let (folder, told) = (tempfile::tempdir().unwrap(), Arc::default());
        let acme = acme(folder.path(), &told);
        let allowed: Allowed = Arc::new(|name: &str| Box::pin(std::future::ready(name == "a.test")));
        let demand = acme.demand(allowed);
        for name in ["b.test", "*.a.test", "../a.test"] {
            demand(name).await;
        }
        assert!(acme.names().is_empty() && told.lock().unwrap().is_empty());
        // What is asked for waits for the first attempt, and no longer.
        demand("A.test").await;
        assert!(acme.names().contains_key("a.test"));
        assert!(told.lock().unwrap()[0].starts_with("No certificate for a.test from 127.0.0.1:1: "));
        demand("a.test").await;
        assert_eq!(told.lock().unwrap().len(), 1);
        acme.drop_name("a.test");
        assert!(acme.names().is_empty());
    }

    #[tokio::test]
    async fn what_is_stored_is_shown_without_the_authority() {
        let (folder, told) = (tempfile::tempdir().unwrap(), Arc::default());
        let acme = acme(folder.path(), &told);
        let mut params = rcgen::CertificateParams::new(["a.test".to_string()]).unwrap();
        params.not_after = rcgen::date_time_ymd(4000, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        acme.0.store.keep_certificate("a.test", &key.serialize_pem(), &made.pem()).unwrap();
        let mut tried = acme.kept("a.test");
        tried.wait_for(|tried| *tried).await.unwrap();
        assert!(acme.0.certificates.has("a.test") && told.lock().unwrap().is_empty());
        acme.drop_name("a.test");
        assert!(!acme.0.certificates.has("a.test"));
    }

    #[test]
    fn only_names_of_hosts_are_names() {
        for (name, as_kept) in
            [("Chat.Example.COM.", "chat.example.com"), ("localhost", "localhost"), ("a-b.c", "a-b.c")]
        {
            assert_eq!(checked(name).as_deref(), Ok(as_kept));
        }
        let long = ["a".repeat(64).as_str(), ".com"].concat();
        let longer = "a.".repeat(127) + "com";
        for name in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a/b",
            "../a",
            "192.0.2.1",
            "::1",
            "a b",
            "ü.de",
            &long,
            &longer,
        ] {
            assert!(matches!(checked(name), Err(NameError::Form(_))), "{name}");
        }
        assert!(matches!(checked("*.example.com"), Err(NameError::Wildcard(_))));
    }
}
