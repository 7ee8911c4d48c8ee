//! Puts a backup back.
//!
//! The files are copied beside their places first, and the copies verified; only then do they take their places. What was
//! there before is moved aside, never removed. The folder's lock is held meanwhile, so that no server can start on half of it.

use std::path::{Path, PathBuf};

use partyrun_store::FolderLock;

use crate::origin::{Folder, Origin};
use crate::verify::{self, Verified};
use crate::{BackupError, DATABASES, Manifest, copy};

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What it holds.
    pub verified: Verified,
    /// The folder with the data that was there before, if there was any.
    pub aside: Option<PathBuf>,
}

/// Puts the backup in the folder `from` into the data folder `data`, which is created if needed. Data that is there already is
/// an error, unless `replace`; values that were altered before the backup was taken are one, unless `with_altered`.
pub fn restore(from: &Path, data: &Path, replace: bool, with_altered: bool) -> Result<Restored, BackupError> {
    restore_from(&Folder(from), data, replace, with_altered)
}

/// The same from anywhere.
pub(crate) fn restore_from(
    from: &dyn Origin,
    data: &Path,
    replace: bool,
    with_altered: bool,
) -> Result<Restored, BackupError> {
    let (manifest, names) = from.contents()?;
    std::fs::create_dir_all(data).map_err(BackupError::file(data))?;
    let _lock = FolderLock::take(data).map_err(|error| BackupError::of_store(data, error))?;
    let there = there(data)?;
    if !there.is_empty() && !replace {
        return Err(BackupError::NotEmpty { path: data.display().to_string() });
    }
    let draft = |name: &str| data.join(format!("{name}.restoring"));
    let copied = copy_all(from, &names, manifest.as_ref(), draft)
        .and_then(|bytes| Ok((bytes, verify::databases(&names, draft, with_altered)?)));
    let (bytes, mut verified) = copied.inspect_err(|_| {
        for name in &names {
            let _gone = copy::remove(&draft(name));
        }
    })?;
    verified.bytes = bytes;
    verified.manifest = manifest;
    let aside = if there.is_empty() { None } else { Some(move_aside(data, &there)?) };
    for name in &names {
        let path = data.join(name);
        std::fs::rename(draft(name), &path).map_err(BackupError::file(&path))?;
    }
    copy::sync_folder(data)?;
    Ok(Restored { verified, aside })
}

// The databases in a folder, with their logs.
fn there(data: &Path) -> Result<Vec<String>, BackupError> {
    let mut there = Vec::new();
    for name in DATABASES {
        for end in ["", "-wal", "-shm"] {
            let name = format!("{name}{end}");
            let path = data.join(&name);
            if path.try_exists().map_err(BackupError::file(&path))? {
                there.push(name);
            }
        }
    }
    Ok(there)
}

/// Copies the databases of a backup, and compares each with what was written. Answers the length of all.
pub(crate) fn copy_all(
    from: &dyn Origin,
    names: &[&str],
    manifest: Option<&Manifest>,
    to: impl Fn(&str) -> PathBuf,
) -> Result<u64, BackupError> {
    let mut all = 0;
    for name in names {
        copy::remove(&to(name))?;
        let (bytes, sum) = from.fetch(name, &to(name))?;
        verify::compare(manifest, &from.shown(name), name, bytes, &sum)?;
        all += bytes;
    }
    Ok(all)
}

fn move_aside(data: &Path, names: &[String]) -> Result<PathBuf, BackupError> {
    let now = chrono::Utc::now().format("before-restore-%Y-%m-%dT%H-%M-%S%.3fZ");
    let aside = data.join(now.to_string());
    std::fs::create_dir(&aside).map_err(BackupError::file(&aside))?;
    for name in names {
        let path = data.join(name);
        std::fs::rename(&path, aside.join(name)).map_err(BackupError::file(&path))?;
    }
    copy::sync_folder(&aside)?;
    Ok(aside)
}
