//! Watches the files of the last build and says, once per burst of events, that something changed.
//!
//! Folders are watched rather than files, because editors save by renaming. While a build is broken every change in
//! these folders counts: the file that mends it may be one that did not exist before.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Editors write in several steps; a build begins when none came for so long.
const QUIET: Duration = Duration::from_millis(20);

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
    watcher: RecommendedWatcher,
    events: UnboundedReceiver<PathBuf>,
    folders: HashSet<PathBuf>,
    inputs: HashSet<PathBuf>,
    command_sources: Vec<PathBuf>,
    settings: Vec<PathBuf>,
    broken: bool,
}

impl Watch {
    pub(crate) fn new(command_sources: Vec<PathBuf>, settings: Vec<PathBuf>) -> notify::Result<Self> {
        let (sender, events) = unbounded_channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            let counts = match event.kind {
                EventKind::Modify(ModifyKind::Metadata(_)) => false,
                EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
                _ => false,
            };
            for path in event.paths.into_iter().filter(|_| counts) {
                // The receiver goes away when the process ends.
                let _gone = sender.send(path);
            }
        })?;
        for path in command_sources.iter().filter(|path| path.exists()) {
            watcher.watch(path, RecursiveMode::Recursive)?;
        }
        let mut folders = HashSet::new();
        for folder in settings.iter().filter_map(|file| file.parent()) {
            if folders.insert(folder.to_owned()) {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(Self {
            watcher,
            events,
            folders,
            inputs: HashSet::new(),
            command_sources,
            settings,
            broken: false,
        })
    }

    /// The build worked, and these are its files. Returns what could not be watched.
    pub(crate) fn built(&mut self, inputs: Vec<PathBuf>) -> Vec<String> {
        self.broken = false;
        self.inputs = inputs.into_iter().collect();
        let mut problems = Vec::new();
        let folders: HashSet<PathBuf> =
            self.inputs.iter().filter_map(|file| file.parent().map(Path::to_owned)).collect();
        for folder in folders {
            if self.folders.contains(&folder) || is_installed(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder)),
                Err(error) => {
                    problems.push(format!("Changes in {} will not be seen: {error}", folder.display()))
                }
            }
        }
        problems
    }

    /// The build failed: any change may mend it.
    pub(crate) fn failed(&mut self) {
        self.broken = true;
    }

    /// Waits for a change that matters, and then until the burst of events is over.
    pub(crate) async fn changed(&mut self) -> Change {
        let mut change: Option<Change> = None;
        let mut last = tokio::time::Instant::now();
        loop {
            // Files that do not matter, such as a log, never postpone the build.
            let event = match change {
                None => self.events.recv().await,
                Some(done) => match tokio::time::timeout_at(last + QUIET, self.events.recv()).await {
                    Ok(event) => event,
                    Err(_quiet) => return done,
                },
            };
            // The watcher lives as long as `self` and keeps the channel open.
            let Some(path) = event else { return std::future::pending().await };
            let of_command = self.command_sources.iter().any(|source| path.starts_with(source));
            let settings = self.settings.contains(&path);
            if of_command || settings || self.matters(&path) {
                let before = change.unwrap_or(Change { sources_of_command: false, settings: false });
                change = Some(Change {
                    sources_of_command: before.sources_of_command || of_command,
                    settings: before.settings || settings,
                });
                last = tokio::time::Instant::now();
            }
        }
    }

    fn matters(&self, path: &Path) -> bool {
        let own = path.components().any(|part| part.as_os_str() == ".partyrun");
        !own && (self.broken && !is_installed(path) || self.inputs.contains(path))
    }
}

// Installed packages change by an install, which changes the lock file and not one source; watching them costs
// thousands of descriptors.
fn is_installed(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "node_modules")
}
