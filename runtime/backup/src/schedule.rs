//! Backups again and again, with retention: one thread that takes a backup when one is due, removes the oldest, and tells of both.
//!
//! Each backup is a folder named after the time. Whether one is due is told by the last one that is there, so that a server
//! which starts again often neither takes too many nor never one. Only backups of the same data folder are counted and
//! removed, so that several servers may share a folder. Nothing is removed unless a new backup was taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::manifest::Manifest;
use crate::take::{self, Taken};
use crate::{BackupError, Stop};

/// After a failure it is tried again so soon, or after the usual time if that is shorter.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What, where to and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The data folder.
    pub data: PathBuf,
    /// The folder of the backups.
    pub to: PathBuf,
    /// The time from one to the next.
    pub every: Duration,
    /// So many are kept, at least one.
    pub keep: usize,
}

/// What is told.
#[derive(Debug)]
pub enum Event {
    /// A backup was taken.
    Taken {
        /// It.
        taken: Taken,
        /// How long that took.
        took: Duration,
        /// Older ones that were removed.
        removed: usize,
    },
    /// None was.
    Failed {
        /// Why.
        error: BackupError,
        /// When it is tried again.
        again_in: Duration,
    },
    /// A backup that is too old could not be removed.
    Kept {
        /// Why.
        error: BackupError,
    },
}

/// A schedule that runs until it is dropped.
pub struct Running {
    stop: Arc<Stop>,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Schedule {
    /// Begins. The folder of the backups is created; if it goes away later, that is told and it is not created again, because
    /// it may be a disk that is not mounted. Events come on the schedule's thread.
    pub fn start(self, tell: impl Fn(Event) + Send + 'static) -> Result<Running, BackupError> {
        std::fs::create_dir_all(&self.to).map_err(BackupError::file(&self.to))?;
        let stop = Arc::new(Stop::default());
        let (wake, woken) = channel::<()>();
        let stopping = stop.clone();
        let run = move || {
            let mut wait = self.first(Utc::now());
            while woken.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = match self.back_up(&stopping, &tell) {
                    Ok(took) => self.every.saturating_sub(took),
                    Err(BackupError::Stopped) => return,
                    Err(error) => {
                        let again_in = RETRY_AFTER.min(self.every);
                        tell(Event::Failed { error, again_in });
                        again_in
                    }
                };
            }
        };
        let thread = std::thread::Builder::new().name("backups".to_owned()).spawn(run);
        let thread = thread.map_err(|error| BackupError::File {
            path: "a thread cannot be started".to_owned(),
            what: error.to_string(),
        })?;
        Ok(Running { stop, wake: Some(wake), thread: Some(thread) })
    }

    // How long until the first one is due.
    fn first(&self, now: DateTime<Utc>) -> Duration {
        let last = self.own().into_iter().filter_map(|(_, taken)| taken).max();
        // A time to come is one of a clock that was set back.
        let since = last.and_then(|last| now.signed_duration_since(last).to_std().ok());
        since.map_or(Duration::ZERO, |since| self.every.saturating_sub(since))
    }

    fn back_up(&self, stop: &Stop, tell: &impl Fn(Event)) -> Result<Duration, BackupError> {
        let begun = Instant::now();
        if !self.to.is_dir() {
            return Err(BackupError::Gone { path: self.to.display().to_string() });
        }
        self.remove_left_overs();
        let name = Utc::now().format("%Y-%m-%dT%H-%M-%S%.3fZ").to_string();
        let taken = take::take(&self.data, &self.to.join(name), stop)?;
        let (removed, error) = self.remove_old();
        tell(Event::Taken { taken, took: begun.elapsed(), removed });
        if let Some(error) = error {
            tell(Event::Kept { error });
        }
        Ok(begun.elapsed())
    }

    // The backups of the same data, the oldest first.
    fn own(&self) -> Vec<(PathBuf, Option<DateTime<Utc>>)> {
        let data = self.data.canonicalize().unwrap_or_else(|_| self.data.clone()).display().to_string();
        let mut own: Vec<_> = folders(&self.to)
            .into_iter()
            .filter_map(|folder| {
                let manifest = Manifest::read(&folder).ok()??;
                let taken = DateTime::parse_from_rfc3339(&manifest.taken).ok().map(|time| time.to_utc());
                (manifest.data == data).then_some((folder, taken))
            })
            .collect();
        own.sort();
        own
    }

    fn remove_old(&self) -> (usize, Option<BackupError>) {
        let own = self.own();
        let too_many = own.len().saturating_sub(self.keep.max(1));
        let mut removed = 0;
        for (folder, _) in own.into_iter().take(too_many) {
            // Its manifest goes first: what is left of a backup that is half removed must not look like one.
            let gone = std::fs::remove_file(folder.join(crate::MANIFEST))
                .and_then(|()| std::fs::remove_dir_all(&folder));
            match gone {
                Ok(()) => removed += 1,
                Err(error) => return (removed, Some(BackupError::file(&folder)(error))),
            }
        }
        (removed, None)
    }

    // What a process that was killed has left.
    fn remove_left_overs(&self) {
        for folder in folders(&self.to).into_iter().filter(|folder| take::is_left_over(folder)) {
            // The next one tries again.
            let _kept = std::fs::remove_dir_all(folder);
        }
    }
}

// The folders that have such a name as backups have.
fn folders(to: &Path) -> Vec<PathBuf> {
    let is_named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        DateTime::parse_from_str(&format!("{name}+0000"), "%Y-%m-%dT%H-%M-%S%.3fZ%z").is_ok()
    };
    let entries = std::fs::read_dir(to).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_named).collect()
}

impl Drop for Running {
    // A backup in progress ends early, and leaves nothing.
    fn drop(&mut self) {
        self.stop.request();
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
