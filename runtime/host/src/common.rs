//! What all projects of a host share: the registry, the key, what their processes are started with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use partyrun_limits::Limits;

use crate::quota::{Groups, Quota};
use crate::registry::{Registry, RegistryError};
use crate::secrets::{SecretError, Secrets};

/// How the host opens what lies in a project's folder, which is the project's own: no link leads it elsewhere, and no pipe
/// makes it wait.
pub(crate) const FOREIGN: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Where the host says what happens.
pub trait Output: Send + Sync {
    /// What is worth knowing.
    fn note(&self, text: &str);
    /// What went wrong.
    fn problem(&self, text: &str);
}

/// What is known of a file that is a release.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Names its content.
    pub hash: String,
}

/// What a release is: known by whoever builds and serves them.
pub trait Releases: Send + Sync {
    /// The hashes of the static files in a release.
    fn assets(&self, release: &std::path::Path) -> Result<Vec<String>, String>;
    /// Makes a whole release of one that was sent without the static files that `older` ones have, and checks it.
    fn complete(
        &self,
        sent: &std::path::Path,
        older: &[PathBuf],
        whole: &std::path::Path,
    ) -> Result<Checked, String>;
}

/// Why the host cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Keys and values.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A task ended badly.
    #[error("This is a bug in partyrun")]
    Bug,
    /// The machine.
    #[error("{what}: {error}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// What it said.
        error: std::io::Error,
    },
}

/// A folder of sockets that nobody but the host can reach. It is short, because paths of sockets must be, and goes with the host.
pub(crate) struct Sockets {
    folder: tempfile::TempDir,
    count: AtomicU64,
}

impl Sockets {
    /// A folder without sockets.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("partyrun-").tempdir()?, count: AtomicU64::new(0) })
    }

    /// A path for one more.
    pub(crate) fn path(&self) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(number.to_string())
    }
}

/// What projects share.
pub(crate) struct Common {
    pub(crate) sockets: Sockets,
    pub(crate) data: PathBuf,
    pub(crate) domain: String,
    pub(crate) program: PathBuf,
    pub(crate) limits: Limits,
    /// Limits that processes are started with.
    pub(crate) settings: Vec<String>,
    pub(crate) quota: Quota,
    pub(crate) groups: Option<Groups>,
    pub(crate) own_users: bool,
    pub(crate) registry: Arc<Registry>,
    pub(crate) secrets: Secrets,
    pub(crate) releases: Arc<dyn Releases>,
    pub(crate) output: Arc<dyn Output>,
}

impl Common {
    /// Asks the registry on a thread that may wait for the disk.
    pub(crate) async fn registry<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, HostError> {
        let registry = self.registry.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&registry)).await;
        Ok(asked.map_err(|_| HostError::Bug)??)
    }

    /// The variables of a project, decrypted.
    pub(crate) async fn environment(&self, site: i64) -> Result<Vec<(String, String)>, HostError> {
        let stored = self.registry(move |registry| registry.values(site)).await?;
        let plain = stored.into_iter().map(|(name, value)| {
            let value = self.secrets.decrypt(&place(site, &name), &value)?;
            Ok((name, value))
        });
        plain.collect()
    }
}

/// What a value is bound to when it is encrypted.
pub(crate) fn place(site: i64, name: &str) -> String {
    format!("{site}/{name}")
}
