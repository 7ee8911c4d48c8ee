//! Takes a backup: copies of all databases, then the manifest that makes the folder a backup.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::copy::{self, Pace};
use crate::manifest::{MANIFEST, Manifest};
use crate::{BackupError, DATABASES, Stop, snapshot};

/// Held while a backup is written, and removed at the end. Whoever finds it unlocked finds what a dead process left.
const LOCK_FILE: &str = "backup.lock";

/// A backup that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its folder, or its address.
    pub folder: PathBuf,
    /// The paths of its databases with their lengths.
    pub files: Vec<(PathBuf, u64)>,
}

/// A whole backup in a folder that has not been moved yet, and when it was taken; `None` if there is none.
pub(crate) fn read(folder: &Path) -> Result<Option<(Taken, String)>, BackupError> {
    let Some(manifest) = Manifest::read(folder)? else { return Ok(None) };
    let files = manifest.files.iter().map(|file| (folder.join(&file.name), file.bytes)).collect();
    Ok(Some((Taken { folder: folder.to_owned(), files }, manifest.taken)))
}

impl Taken {
    /// The length of all databases.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The same at another address.
    pub(crate) fn moved(&self, to: &str) -> Self {
        let folder = PathBuf::from(to);
        let move_one =
            |(path, bytes): &(PathBuf, u64)| (folder.join(path.file_name().unwrap_or_default()), *bytes);
        Self { files: self.files.iter().map(move_one).collect(), folder }
    }
}

/// Writes a backup of the data folder `data` into the folder `to`, which is created if needed and must have none yet. If it
/// cannot be finished, nothing of it stays.
pub fn take(data: &Path, to: &Path, stop: &Stop) -> Result<Taken, BackupError> {
    let made = !to.exists();
    std::fs::create_dir_all(to).map_err(BackupError::file(to))?;
    let result = locked(to).and_then(|_lock| {
        let result = is_free(to).and_then(|()| {
            let result = write(data, to, stop);
            if result.is_err() {
                clear(to);
            }
            result
        });
        let _gone = std::fs::remove_file(to.join(LOCK_FILE));
        result
    });
    if made && result.is_err() {
        // Fails if somebody else has begun to use it.
        let _kept = std::fs::remove_dir(to);
    }
    result
}

fn locked(to: &Path) -> Result<File, BackupError> {
    let path = to.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(BackupError::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy { path: to.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(BackupError::file(&path)(error)),
    }
}

fn is_free(to: &Path) -> Result<(), BackupError> {
    for name in DATABASES.iter().chain(&[MANIFEST]) {
        let path = to.join(name);
        if path.try_exists().map_err(BackupError::file(&path))? {
            return Err(BackupError::Exists { path: path.display().to_string() });
        }
    }
    Ok(())
}

fn write(data: &Path, to: &Path, stop: &Stop) -> Result<Taken, BackupError> {
    let data =
        data.canonicalize().map_err(|_| BackupError::NoStorage { path: data.display().to_string() })?;
    let sources = snapshot::open(&data)?;
    let taken = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let mut pace = Pace::new(stop, true);
    let mut copied = Vec::new();
    for source in sources {
        copied.push(copy::database(&source, &draft(to, source.name), &mut pace)?);
    }
    let mut files = Vec::new();
    for file in &copied {
        let path = to.join(&file.name);
        std::fs::rename(draft(to, &file.name), &path).map_err(BackupError::file(&path))?;
        files.push((path, file.bytes));
    }
    copy::sync_folder(to)?;
    Manifest::new(taken, &data, copied).write(to)?;
    copy::sync_folder(to)?;
    Ok(Taken { folder: to.to_owned(), files })
}

fn draft(to: &Path, name: &str) -> PathBuf {
    to.join(format!("{name}.draft"))
}

// Removes what `write` may have written; nothing of it was there before.
fn clear(to: &Path) {
    for name in DATABASES.iter().chain(&[MANIFEST]) {
        let _gone = copy::remove(&draft(to, name));
        let _gone = copy::remove(&to.join(name));
    }
}

/// Whether the folder has a backup that was begun, never finished, and is not being written. Then it is safe to remove it.
pub(crate) fn is_left_over(folder: &Path) -> bool {
    folder.join(LOCK_FILE).exists() && !folder.join(MANIFEST).exists() && locked(folder).is_ok()
}
