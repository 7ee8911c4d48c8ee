//! Backups again and again, with retention: one thread that takes a backup when one is due, removes the oldest, and tells of both.
//!
//! Each backup is a folder, or a prefix in a bucket, named after the time. Whether one is due is told by the last one that is
//! there, so that a server which starts again often neither takes too many nor never one. Only backups of the same data folder
//! are counted and removed, so that several servers may share a place. Nothing is removed unless a new backup has arrived.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::shelf::{self, Shelf};
use crate::take::Taken;
use crate::{BackupError, Place, Stop};

/// After a failure it is tried again so soon, or after the usual time if that is shorter.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What, where to and how often.
#[derive(Debug)]
pub struct Schedule {
    /// The data folder.
    pub data: PathBuf,
    /// The place of the backups.
    pub to: Place,
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
        /// A backup that was taken and could not be sent; it is sent the next time.
        waiting: Option<PathBuf>,
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

// What the thread works with.
struct Work {
    shelf: Box<dyn Shelf>,
    every: Duration,
    keep: usize,
    stop: Arc<Stop>,
}

impl Schedule {
    /// Begins. A folder of backups is created; if it goes away later, that is told and it is not created again, because it may
    /// be a disk that is not mounted. A bucket is asked from the schedule's thread only. Events come on that thread.
    pub fn start(self, tell: impl Fn(Event) + Send + 'static) -> Result<Running, BackupError> {
        let stop = Arc::new(Stop::default());
        let (every, keep) = (self.every, self.keep.max(1));
        let work = Work { shelf: shelf::of(self.to, &self.data)?, every, keep, stop: stop.clone() };
        let (wake, woken) = channel::<()>();
        let run = move || {
            let mut wait = work.first(Utc::now());
            while woken.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = match work.back_up(&tell) {
                    Ok(took) => every.saturating_sub(took),
                    Err(BackupError::Stopped) => return,
                    Err(error) => {
                        let again_in = RETRY_AFTER.min(every);
                        tell(Event::Failed { error, waiting: work.shelf.waiting(), again_in });
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
}

impl Work {
    // How long until the first one is due. One that waits to be sent is due, and so is one if nobody can say what is there.
    fn first(&self, now: DateTime<Utc>) -> Duration {
        if self.shelf.waiting().is_some() {
            return Duration::ZERO;
        }
        let own = self.shelf.own(&self.stop).unwrap_or_default();
        let last = own.into_iter().filter_map(|kept| kept.taken).max();
        // A time to come is one of a clock that was set back.
        let since = last.and_then(|last| now.signed_duration_since(last).to_std().ok());
        since.map_or(Duration::ZERO, |since| self.every.saturating_sub(since))
    }

    fn back_up(&self, tell: &impl Fn(Event)) -> Result<Duration, BackupError> {
        let begun = Instant::now();
        self.shelf.look()?;
        self.shelf.remove_left_overs(&self.stop);
        let name = Utc::now().format("%Y-%m-%dT%H-%M-%S%.3fZ").to_string();
        let taken = self.shelf.add(&name, self.every, &self.stop)?;
        let (removed, error) = self.remove_old();
        tell(Event::Taken { taken, took: begun.elapsed(), removed });
        if let Some(error) = error.filter(|error| !matches!(error, BackupError::Stopped)) {
            tell(Event::Kept { error });
        }
        Ok(begun.elapsed())
    }

    fn remove_old(&self) -> (usize, Option<BackupError>) {
        let own = match self.shelf.own(&self.stop) {
            Ok(own) => own,
            Err(error) => return (0, Some(error)),
        };
        let too_many = own.len().saturating_sub(self.keep);
        let mut removed = 0;
        for kept in own.into_iter().take(too_many) {
            match self.shelf.remove(&kept.name, &self.stop) {
                Ok(()) => removed += 1,
                Err(error) => return (removed, Some(error)),
            }
        }
        (removed, None)
    }
}

impl Drop for Running {
    // A backup in progress ends early, and leaves nothing but what waits to be sent.
    fn drop(&mut self) {
        self.stop.request();
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
