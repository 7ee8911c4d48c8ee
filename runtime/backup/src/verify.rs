//! Whether a backup is whole: its files are those of its manifest, and everything in them can be read.

use std::path::Path;

use crate::copy::{self, Pace};
use crate::manifest::{Copied, Manifest};
use crate::origin::{Folder, Origin};
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
    let origin = Folder(folder);
    let (manifest, names) = origin.contents()?;
    let mut bytes = 0;
    for name in &names {
        let (length, sum) = copy::sum(&folder.join(name), &mut pace)?;
        compare(manifest.as_ref(), &origin.shown(name), name, length, &sum)?;
        bytes += length;
    }
    let mut verified = databases(&names, |name| folder.join(name), with_altered)?;
    verified.manifest = manifest;
    verified.bytes = bytes;
    Ok(verified)
}

/// Whether a database is the one that was copied; `shown` is where it is.
pub(crate) fn compare(
    manifest: Option<&Manifest>,
    shown: &str,
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
        return Err(BackupError::unfit(shown, format!("it has {length} bytes, and {bytes} were written")));
    }
    if sha256 != sum {
        return Err(BackupError::unfit(shown, "it is not what was written (its SHA-256 sum is another)"));
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
