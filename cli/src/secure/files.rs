//! Certificates in files: read at the start, and again when the files change or somebody says so.
//!
//! Programs that renew certificates replace files and links, the certificate before its key or after it. So the folders
//! are watched, and what cannot be used is looked at a second time before it is told. Until there is something better,
//! the old certificate is served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use partyrun_net::{Certificates, Identity, TlsError};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::output::Output;

/// After a change it is waited for the others that belong to it.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a certificate may be without the key that belongs to it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Files are looked at that often where nobody tells of changes: file systems of other machines do not.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Why a certificate in files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{path}, named by `{flag}`, cannot be read: {error}")]
    Read { flag: &'static str, path: String, error: std::io::Error },
    #[error("`--tls-cert {certificate}` and `--tls-key {key}`: {error}. Both must be PEM files.")]
    Pair { certificate: String, key: String, error: TlsError },
    #[error("`--tls-cert {certificate}`: it ended {ago} ago, and clients refuse it. Renew it.")]
    Ended { certificate: String, ago: String },
    #[error("`--tls-cert {certificate}`: it is valid only in {left}. Is the clock of this machine right?")]
    Early { certificate: String, left: String },
}

/// A certificate's file, its key's, and what was in them.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    read: (Vec<u8>, Vec<u8>),
}

/// All of them; without any there is nothing to watch.
#[derive(Default)]
pub(super) struct Files {
    pairs: Vec<Pair>,
    held: Arc<Certificates>,
}

impl Files {
    /// Reads certificates with their keys for the first time.
    pub(super) fn open(pairs: Vec<(PathBuf, PathBuf)>, held: Arc<Certificates>) -> Result<Self, FileError> {
        let mut files = Self { pairs: Vec::new(), held };
        for (certificate, key) in pairs {
            let (identity, read) = load(&certificate, &key)?;
            files.held.put(&label(&certificate), identity);
            files.pairs.push(Pair { certificate, key, read });
        }
        Ok(files)
    }

    /// Reads them again whenever they change, and each time that `asked` says so, which `done` then hears.
    pub(super) async fn watch(
        mut self,
        output: Arc<Output>,
        mut asked: UnboundedReceiver<()>,
        done: impl Fn() + Send + 'static,
    ) {
        let (changed, mut changes) = mpsc::unbounded_channel();
        let mut watcher = watcher(&changed).ok();
        let mut known = Vec::new();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(watcher) = &mut watcher {
                self.watch_folders(watcher, &mut known);
            }
            let wanted = tokio::select! {
                Some(()) = asked.recv() => true,
                Some(()) = changes.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    while changes.try_recv().is_ok() {}
                    false
                }
                _ = looks.tick() => false,
            };
            self.read_again(&output, wanted).await;
            if wanted {
                done();
            }
        }
    }

    // Of the files and of what they are links to, which changes when the links do.
    fn watch_folders(&self, watcher: &mut RecommendedWatcher, known: &mut Vec<PathBuf>) {
        let files = self.pairs.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        let paths = files.flat_map(|path| [Some(path.clone()), path.canonicalize().ok()]).flatten();
        let mut folders: Vec<PathBuf> = paths.filter_map(|path| folder(&path)).collect();
        folders.sort();
        folders.dedup();
        for folder in folders.iter().filter(|folder| !known.contains(folder)) {
            // One that cannot be watched is looked at all the same.
            let _unwatched = watcher.watch(folder, RecursiveMode::NonRecursive);
        }
        for gone in known.iter().filter(|known| !folders.contains(known)) {
            let _unwatched = watcher.unwatch(gone);
        }
        *known = folders;
    }

    async fn read_again(&mut self, output: &Output, wanted: bool) {
        for pair in &mut self.pairs {
            let read = match load(&pair.certificate, &pair.key) {
                Err(_) if pair.has_changed() => {
                    tokio::time::sleep(PATIENCE).await;
                    load(&pair.certificate, &pair.key)
                }
                read => read,
            };
            let name = pair.certificate.display();
            match read {
                Ok((identity, read)) if read != pair.read => {
                    pair.read = read;
                    self.held.put(&label(&pair.certificate), identity);
                    output.note(&format!("The certificate in {name} was read again."));
                }
                Ok(_) if wanted => output.note(&format!("The certificate in {name} is as before.")),
                Ok(_) => {}
                Err(error) if wanted || pair.has_changed() => {
                    // It is told once of each content.
                    pair.read = pair.content();
                    output.problem(&format!("{error} The certificate from before is served."));
                }
                Err(_) => {}
            }
        }
    }
}

impl Pair {
    fn content(&self) -> (Vec<u8>, Vec<u8>) {
        (std::fs::read(&self.certificate).unwrap_or_default(), std::fs::read(&self.key).unwrap_or_default())
    }

    fn has_changed(&self) -> bool {
        self.content() != self.read
    }
}

fn label(certificate: &Path) -> String {
    certificate.display().to_string()
}

fn folder(path: &Path) -> Option<PathBuf> {
    std::path::absolute(path).ok()?.parent().map(Path::to_path_buf)
}

fn watcher(changed: &UnboundedSender<()>) -> notify::Result<RecommendedWatcher> {
    let changed = changed.clone();
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // That this process reads them is no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ended = changed.send(());
        }
    })
}

type Loaded = (Identity, (Vec<u8>, Vec<u8>));

fn load(certificate: &Path, key: &Path) -> Result<Loaded, FileError> {
    let read = |flag: &'static str, path: &Path| {
        std::fs::read(path).map_err(|error| FileError::Read { flag, path: path.display().to_string(), error })
    };
    let (chain, secret) = (read("--tls-cert", certificate)?, read("--tls-key", key)?);
    let name = || certificate.display().to_string();
    let identity = Identity::from_pem(&chain, &secret).map_err(|error| FileError::Pair {
        certificate: name(),
        key: key.display().to_string(),
        error,
    })?;
    let (now, (begins, ends)) = (SystemTime::now(), identity.valid());
    if let Ok(ago) = now.duration_since(ends) {
        return Err(FileError::Ended { certificate: name(), ago: shown(ago) });
    }
    match begins.duration_since(now) {
        Ok(left) if !left.is_zero() => Err(FileError::Early { certificate: name(), left: shown(left) }),
        _ => Ok((identity, (chain, secret))),
    }
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    match units.into_iter().find(|(length, _)| seconds >= 2 * length) {
        Some((length, name)) => format!("{} {name}", seconds / length),
        None => format!("{seconds} seconds"),
    }
}
