//! Polls folders once a second, where the system cannot watch them.
//!
//! A file counts as changed if its size, its inode or one of its times (to the nanosecond) is different.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One file that is not as it was.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    /// It was not there before, or is not there any more, or may be another file.
    pub(crate) came_or_went: bool,
}

/// What tells one version of a file from another.
#[derive(PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Stamps = HashMap<PathBuf, Stamp>;

/// A folder with what was seen in it.
struct Folder {
    path: PathBuf,
    whole_tree: bool,
    seen: Stamps,
}

/// Looks as long as it lives.
pub(crate) struct Looker {
    folders: Arc<Mutex<Vec<Folder>>>,
    // The thread ends when this is dropped.
    _end: Sender<()>,
}

impl Looker {
    /// Begins to look, at nothing yet. The paths of files that change are sent.
    pub(crate) fn new(changed: UnboundedSender<Seen>) -> std::io::Result<Self> {
        let folders: Arc<Mutex<Vec<Folder>>> = Arc::default();
        let (end, ended) = channel();
        let looked_at = folders.clone();
        let look = move || {
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                for folder in looked_at.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                    for seen in folder.look() {
                        // The receiver goes away when the process ends.
                        let _gone = changed.send(seen);
                    }
                }
            }
        };
        std::thread::Builder::new().name("look".to_string()).spawn(look)?;
        Ok(Self { folders, _end: end })
    }

    /// Looks at a folder too, with or without the folders in it.
    pub(crate) fn add(&self, path: &Path, whole_tree: bool) {
        let seen = scan(path, whole_tree);
        let folder = Folder { path: path.to_owned(), whole_tree, seen };
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
    }
}

impl Folder {
    // What is not as it was, or not there any more.
    fn look(&mut self) -> Vec<Seen> {
        let now = scan(&self.path, self.whole_tree);
        let before = std::mem::replace(&mut self.seen, now);
        let other = |(path, stamp): (&PathBuf, &Stamp)| {
            let known = before.get(path);
            let came_or_went = known.is_none_or(|known| known.inode != stamp.inode);
            (known != Some(stamp)).then(|| Seen { path: path.clone(), came_or_went })
        };
        let mut changed: Vec<Seen> = self.seen.iter().filter_map(other).collect();
        let gone = before.keys().filter(|path| !self.seen.contains_key(*path));
        changed.extend(gone.map(|path| Seen { path: path.clone(), came_or_went: true }));
        changed
    }
}

// A folder that cannot be read has nothing in it; links are not followed, so that no tree is endless.
fn scan(folder: &Path, whole_tree: bool) -> Stamps {
    let mut seen = Stamps::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                if whole_tree && entry.file_name() != "node_modules" {
                    folders.push(path);
                }
                continue;
            }
            let stamp = Stamp {
                bytes: metadata.len(),
                inode: metadata.ino(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            };
            seen.insert(path, stamp);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_changes_and_goes_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::create_dir(file("sub")).unwrap();
        std::fs::write(file("a"), "one").unwrap();
        std::fs::write(file("sub/b"), "one").unwrap();
        for whole_tree in [false, true] {
            let path = folder.path().to_owned();
            let mut looked_at = Folder { seen: scan(&path, whole_tree), path, whole_tree };
            assert!(looked_at.look().is_empty());
            std::fs::write(file("a"), "two").unwrap();
            std::fs::write(file("new"), "").unwrap();
            std::fs::write(file("sub/b"), "two").unwrap();
            let changed = looked_at.look();
            let came = |name: &str| {
                changed.iter().find(|seen| seen.path == file(name)).map(|seen| seen.came_or_went)
            };
            assert_eq!((came("a"), came("new")), (Some(false), Some(true)));
            let mut changed: Vec<PathBuf> = changed.into_iter().map(|seen| seen.path).collect();
            changed.sort();
            let expected = if whole_tree { vec!["a", "new", "sub/b"] } else { vec!["a", "new"] };
            assert_eq!(changed, expected.into_iter().map(file).collect::<Vec<_>>());
            std::fs::remove_file(file("new")).unwrap();
            let gone: Vec<_> =
                looked_at.look().into_iter().map(|seen| (seen.path, seen.came_or_went)).collect();
            assert_eq!(gone, [(file("new"), true)]);
        }
        assert!(scan(&file("none"), true).is_empty());
    }
}
