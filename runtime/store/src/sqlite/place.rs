//! Whether the files of the store are still where they were opened. Whoever removes or replaces the database under a running
//! server would lose all that is written from then on, with its end, and hear nothing of it. So commits look, at most once in
//! a while, and fail with what is wrong. A lock that was removed is taken again: without it a second server could begin.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lock::FolderLock;
use crate::StoreError;

/// Commits look so often at most: it costs three system calls.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The lock as long as the store is open.
pub(super) type HeldLock = Arc<Mutex<Option<FolderLock>>>;

type Identity = (u64, u64);

/// The files of a store.
pub(super) struct Place {
    folder: PathBuf,
    lock: HeldLock,
    /// The database and its log.
    files: Vec<(PathBuf, Option<Identity>)>,
    looked: Instant,
    outcome: Result<(), StoreError>,
}

impl Place {
    /// The files as they are now, which has just been opened.
    pub(super) fn of(folder: &Path, files: Vec<PathBuf>, lock: HeldLock) -> Self {
        let files = files.into_iter().map(|path| (path.clone(), identity(&path))).collect();
        Self { folder: folder.to_owned(), lock, files, looked: Instant::now(), outcome: Ok(()) }
    }

    /// What is wrong, as of the last look.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        // What was wrong may have been mended at any time.
        if self.outcome.is_err() || self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.outcome = self.look();
        }
        self.outcome.clone()
    }

    fn look(&mut self) -> Result<(), StoreError> {
        for (path, opened) in &mut self.files {
            match (identity(path), &opened) {
                // The log is made with the first write.
                (now, None) => *opened = now,
                (now, Some(before)) if now == Some(*before) => {}
                (now, Some(_)) => {
                    let path = path.display().to_string();
                    return Err(StoreError::Gone { path, replaced: now.is_some() });
                }
            }
        }
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match &*lock {
            Some(held) if !held.is_in(&self.folder) => {
                *lock = Some(FolderLock::take(&self.folder)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestFolder;

    #[test]
    fn files_that_go_are_missed_until_they_are_back() {
        let folder = TestFolder::new();
        let (database, log) = (folder.path().join("database"), folder.path().join("log"));
        std::fs::write(&database, "").unwrap();
        let lock = Arc::new(Mutex::new(Some(FolderLock::take(folder.path()).unwrap())));
        let mut place = Place::of(folder.path(), vec![database.clone(), log.clone()], lock.clone());
        assert_eq!(place.look(), Ok(()));
        std::fs::write(&log, "").unwrap();
        assert_eq!(place.look(), Ok(()));
        let gone =
            |path: &Path, replaced| Err(StoreError::Gone { path: path.display().to_string(), replaced });
        let aside = folder.path().join("aside");
        for path in [&database, &log] {
            std::fs::rename(path, &aside).unwrap();
            assert_eq!(place.look(), gone(path, false));
            std::fs::write(path, "").unwrap();
            assert_eq!(place.look(), gone(path, true));
            std::fs::rename(&aside, path).unwrap();
            assert_eq!(place.look(), Ok(()));
        }
        // The lock is taken anew, and if somebody else has it by now, that is said.
        let file = folder.path().join("partyrun.lock");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(place.look(), Ok(()));
        assert!(matches!(FolderLock::take(folder.path()), Err(StoreError::Locked { .. })));
        std::fs::remove_file(&file).unwrap();
        let _other = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(place.look(), Err(StoreError::Locked { .. })));
        *lock.lock().unwrap() = None;
        assert_eq!(place.look(), Ok(()));
    }
}
