//! Watches the files of the last build, and reports once per burst of events that something changed.
//!
//! Folders are watched rather than files, because editors save by renaming. While a build is broken, a file that appears or
//! goes counts as well, because the one that repairs the build may not have existed before. Writing to other files, such as
//! a log, never counts.
//!
//! If the system gives no more watches (on Linux their number is limited for each user), folders are polled once a
//! second instead, and a message says so once.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::look::{Looker, Seen};

/// Editors write in several steps; a build begins when none came for so long.
const QUIET: Duration = Duration::from_millis(20);
const LOOKING: &str = "The system watches no more files for this user: changes are looked for once a second. \
    Raise the limits `fs.inotify.max_user_watches` and `fs.inotify.max_user_instances` (sysctl) to see them at once.";

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Something that the project's own build is made from.
    pub(crate) sources_of_command: bool,
    /// The configuration, or an environment file.
    pub(crate) settings: bool,
}

/// The files to look at.
pub(crate) struct Watch {
    eyes: Eyes,
    events: UnboundedReceiver<Seen>,
    inputs: HashSet<PathBuf>,
    command_sources: Vec<PathBuf>,
    settings: Vec<PathBuf>,
    broken: bool,
    /// A change whose burst may not be over, and when its last event came.
    pending: Option<(Change, tokio::time::Instant)>,
}

impl Watch {
    pub(crate) fn new(command_sources: Vec<PathBuf>, settings: Vec<PathBuf>) -> notify::Result<Self> {
        let (sender, events) = unbounded_channel();
        let mut eyes = Eyes::new(sender)?;
        for path in command_sources.iter().filter(|path| path.exists()) {
            eyes.watch(path, RecursiveMode::Recursive)?;
        }
        for folder in settings.iter().filter_map(|file| file.parent()) {
            eyes.watch(folder, RecursiveMode::NonRecursive)?;
        }
        let inputs = HashSet::new();
        Ok(Self { eyes, events, inputs, command_sources, settings, broken: false, pending: None })
    }

    /// The build worked, and these are its files. Returns what could not be watched, or is watched otherwise.
    pub(crate) fn built(&mut self, inputs: Vec<PathBuf>) -> Vec<String> {
        self.broken = false;
        self.inputs = inputs.into_iter().collect();
        self.watch_folders()
    }

    /// The build failed after it had read these files. They may mend it, and so may those of the last build that worked, and
    /// files that do not exist yet. Returns what [`Watch::built`] does.
    pub(crate) fn failed(&mut self, inputs: &[PathBuf]) -> Vec<String> {
        self.broken = true;
        self.inputs.extend(inputs.iter().cloned());
        self.watch_folders()
    }

    fn watch_folders(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        let folders: HashSet<&Path> = self.inputs.iter().filter_map(|file| file.parent()).collect();
        for folder in folders.into_iter().filter(|folder| !is_installed(folder)) {
            if let Err(error) = self.eyes.watch(folder, RecursiveMode::NonRecursive) {
                problems.push(format!("Changes in {} will not be seen: {error}", folder.display()));
            }
        }
        problems.extend(self.eyes.notice.take().map(str::to_string));
        problems
    }

    /// Waits for a change that matters, and then until the burst of events is over. A caller that stops waiting loses
    /// nothing: the next call goes on where this one was.
    pub(crate) async fn changed(&mut self) -> Change {
        loop {
            // Files that do not matter, such as a log, never postpone the build.
            let event = match self.pending {
                None => self.events.recv().await,
                Some((change, last)) => match tokio::time::timeout_at(last + QUIET, self.events.recv()).await
                {
                    Ok(event) => event,
                    Err(_quiet) => {
                        self.pending = None;
                        return change;
                    }
                },
            };
            // The watcher lives as long as `self` and keeps the channel open.
            let Some(seen) = event else { return std::future::pending().await };
            let path = &seen.path;
            let of_command = self.command_sources.iter().any(|source| path.starts_with(source));
            let settings = self.settings.contains(path);
            if of_command || settings || self.matters(&seen) {
                let before = self.pending.map(|(change, _)| change);
                let change = Change {
                    sources_of_command: of_command || before.is_some_and(|before| before.sources_of_command),
                    settings: settings || before.is_some_and(|before| before.settings),
                };
                self.pending = Some((change, tokio::time::Instant::now()));
            }
        }
    }

    fn matters(&self, Seen { path, came_or_went }: &Seen) -> bool {
        let own = path.components().any(|part| part.as_os_str() == ".partyrun");
        !own && (self.broken && *came_or_went && !is_installed(path) || self.inputs.contains(path))
    }
}

/// What sees changes: the system, or, where it gives no watches, a look now and then.
enum Means {
    System(RecommendedWatcher),
    Look(Looker),
}

struct Eyes {
    means: Means,
    sender: UnboundedSender<Seen>,
    watched: HashSet<(PathBuf, RecursiveMode)>,
    notice: Option<&'static str>,
}

impl Eyes {
    fn new(sender: UnboundedSender<Seen>) -> notify::Result<Self> {
        let (means, notice) = match notify::recommended_watcher(teller(sender.clone())) {
            Ok(watcher) => (Means::System(watcher), None),
            Err(error) if is_limit(&error) => (Means::Look(Looker::new(sender.clone())?), Some(LOOKING)),
            Err(error) => return Err(error),
        };
        Ok(Self { means, sender, watched: HashSet::new(), notice })
    }

    fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        let wanted = (path.to_owned(), mode);
        if self.watched.contains(&wanted) {
            return Ok(());
        }
        match &mut self.means {
            Means::Look(looker) => looker.add(path, mode == RecursiveMode::Recursive),
            Means::System(watcher) => match watcher.watch(path, mode) {
                Ok(()) => {}
                Err(error) if is_limit(&error) => self.look_at(path, mode)?,
                Err(error) => return Err(error),
            },
        }
        self.watched.insert(wanted);
        Ok(())
    }

    // Looks at this and at all that the system has watched until now.
    fn look_at(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        let looker = Looker::new(self.sender.clone())?;
        for (path, mode) in &self.watched {
            looker.add(path, *mode == RecursiveMode::Recursive);
        }
        looker.add(path, mode == RecursiveMode::Recursive);
        (self.means, self.notice) = (Means::Look(looker), Some(LOOKING));
        Ok(())
    }
}

// Tells the paths of events that may concern the content of files.
fn teller(sender: UnboundedSender<Seen>) -> impl FnMut(notify::Result<Event>) + Send + 'static {
    move |event| {
        let Ok(event) = event else { return };
        let counts = match event.kind {
            EventKind::Modify(ModifyKind::Metadata(_)) => false,
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
            _ => false,
        };
        // Renaming puts a file in the place of another.
        let came_or_went = !matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)));
        for path in event.paths.into_iter().filter(|_| counts) {
            // The receiver goes away when the process ends.
            let _gone = sender.send(Seen { path, came_or_went });
        }
    }
}

// Whether the system has no more watches for this user: `ENOSPC`, or `EMFILE` for a watcher of its own.
fn is_limit(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::MaxFilesWatch => true,
        ErrorKind::Io(error) => matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EMFILE)),
        _ => false,
    }
}

// Installed packages change by an install, which changes the lock file and not one source; watching them costs
// thousands of descriptors.
fn is_installed(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "node_modules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_mend_a_build_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let (entry, log, unborn) = (path.join("a.js"), path.join("dev.log"), path.join("missing.js"));
        std::fs::write(&entry, "import './missing.js'").unwrap();
        std::fs::write(&log, "").unwrap();
        let mut watch = Watch::new(Vec::new(), Vec::new()).unwrap();
        assert!(watch.failed(std::slice::from_ref(&entry)).is_empty());
        let counts = |path: &Path, came_or_went| {
            let seen = Seen { path: path.to_owned(), came_or_went };
            watch.matters(&seen)
        };
        assert!(counts(&entry, false) && counts(&unborn, true));
        assert!(!counts(&log, false) && !counts(&path.join("node_modules/p/i.js"), true));
        assert!(!counts(&path.join(".partyrun/x"), true));
        // As the system tells it: the log is written first, and is not what is waited for.
        std::fs::write(&log, "a line\n").unwrap();
        std::fs::write(&unborn, "").unwrap();
        tokio::time::timeout(Duration::from_secs(30), watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_change_is_not_lost_when_its_waiter_gives_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("a.js");
        std::fs::write(&file, "one").unwrap();
        let mut watch = Watch::new(Vec::new(), Vec::new()).unwrap();
        assert!(watch.built(vec![file.clone()]).is_empty());
        std::fs::write(&file, "two").unwrap();
        // Each try gives up before the burst can be over, also the one that takes the event.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while watch.pending.is_none() {
            let early = tokio::time::timeout(QUIET / 20, watch.changed()).await;
            if early.is_ok() {
                return eprintln!("skipped: the machine was too slow for giving up in time");
            }
            assert!(tokio::time::Instant::now() < deadline, "no event came");
        }
        let change = tokio::time::timeout(Duration::from_secs(30), watch.changed()).await.unwrap();
        assert_eq!(change, Change { sources_of_command: false, settings: false });
    }
}
