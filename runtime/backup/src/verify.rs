//! Whether a backup is whole: its files are those of its manifest, and everything in them can be read.

use std::path::Path;

use crate::copy::{self, Pace};
use crate::manifest::{Copied, Manifest};
use crate::{BackupError, DATABASES, Stop};

/// So many values that were altered are named.
const EXAMPLES_MAX: usize = 5;

/// What a backup that is whole holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says of itself; `None` for copies that were made another way, which have no sums.
    pub manifest: Option<Manifest>,
    /// Rooms that have ever stored something.
    pub rooms: u64,
    /// Stored values of all rooms.
    pub values: u64,
    /// Values that are not those that were written; 0 unless that was allowed.
    pub altered: u64,
    /// The length of all databases.
    pub bytes: u64,
}

/// Reads the backup in `folder` whole. Values that were altered before the backup was taken are an error, unless `with_altered`.
pub fn verify(folder: &Path, with_altered: bool) -> Result<Verified, BackupError> {
    let stop = Stop::default();
    let mut pace = Pace::new(&stop, false);
    let (manifest, names) = contents(folder)?;
    let mut bytes = 0;
    for name in &names {
        let path = folder.join(name);
        let (length, sum) = copy::sum(&path, &mut pace)?;
        compare(manifest.as_ref(), &path, name, length, &sum)?;
        bytes += length;
    }
    let mut verified = databases(&names, |name| folder.join(name), with_altered)?;
    verified.manifest = manifest;
    verified.bytes = bytes;
    Ok(verified)
}

/// What is in a backup: what it says of itself, and the names of its databases.
pub(crate) fn contents(folder: &Path) -> Result<(Option<Manifest>, Vec<&'static str>), BackupError> {
    let manifest = Manifest::read(folder)?;
    let is_named = |name: &str| match &manifest {
        Some(manifest) => manifest.files.iter().any(|file| file.name == name),
        None => folder.join(name).exists(),
    };
    let names: Vec<_> = DATABASES.into_iter().filter(|name| is_named(name)).collect();
    if names.first() != DATABASES.first() {
        let what = match newest_inside(folder) {
            Some(newest) => format!("it holds several backups; name one, the newest is {newest}"),
            None => format!("it has no {}", DATABASES[0]),
        };
        return Err(BackupError::unfit(folder, what));
    }
    for name in &names {
        let path = folder.join(name);
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(BackupError::unfit(&path, "it is missing")),
            Err(error) => return Err(BackupError::file(&path)(error)),
        }
        // A copy of a running server's files needs its log, and is no backup without it.
        if folder.join(format!("{name}-wal")).metadata().is_ok_and(|log| log.len() > 0) {
            let what = format!(
                "recent writes are in `{name}-wal` beside it; stop the server cleanly, or use `partyrun backup`"
            );
            return Err(BackupError::unfit(&path, what));
        }
    }
    Ok((manifest, names))
}

// The name of a folder says when it was written.
fn newest_inside(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let newest = entries.filter(|path| path.join(crate::MANIFEST).exists()).max()?;
    Some(newest.display().to_string())
}

/// Whether a database is the one that was copied.
pub(crate) fn compare(
    manifest: Option<&Manifest>,
    path: &Path,
    name: &str,
    length: u64,
    sum: &str,
) -> Result<(), BackupError> {
    let Some(written) = manifest.and_then(|manifest| manifest.files.iter().find(|file| file.name == name))
    else {
        return Ok(());
    };
    let Copied { bytes, sha256, .. } = written;
    if *bytes != length {
        return Err(BackupError::unfit(path, format!("it has {length} bytes, and {bytes} were written")));
    }
    if sha256 != sum {
        return Err(BackupError::unfit(path, "it is not what was written (its SHA-256 sum is another)"));
    }
    Ok(())
}

/// Asks those that the databases belong to.
pub(crate) fn databases(
    names: &[&str],
    path_of: impl Fn(&str) -> std::path::PathBuf,
    with_altered: bool,
) -> Result<Verified, BackupError> {
    let [rooms, bindings] = DATABASES;
    let path = path_of(rooms);
    let whole =
        partyrun_store::verify(&path, EXAMPLES_MAX).map_err(|error| BackupError::of_store(&path, error))?;
    if names.contains(&bindings) {
        let path = path_of(bindings);
        partyrun_bindings::verify(&path).map_err(|error| BackupError::of_bindings(&path, error))?;
    }
    if whole.altered > 0 && !with_altered {
        return Err(BackupError::Altered { count: whole.altered, examples: whole.examples });
    }
    let (rooms, values, altered) = (whole.rooms, whole.values, whole.altered);
    Ok(Verified { manifest: None, rooms, values, altered, bytes: 0 })
}
