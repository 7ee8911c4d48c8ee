//! A place of backups as people name it: a folder, or `s3://BUCKET/PREFIX`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::manifest::MANIFEST;
use crate::restore::{self, Restored};
use crate::s3::Bucket;
use crate::take::{self, Taken};
use crate::verify::{self, Verified};
use crate::{BackupError, Stop};

/// In the data folder: backups on their way to a bucket.
const STAGING: &str = "outgoing-backups";
/// In there: those that no schedule takes.
const BY_HAND: &str = "by-hand-";
/// No command takes so long.
const INTERRUPTED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A folder or a part of a bucket: of one backup, or of those of a schedule.
#[derive(Debug)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A prefix in S3-compatible storage.
    Bucket(Box<Bucket>),
}

impl Place {
    /// The place that `text` names; a folder is found from `cwd`. A bucket's endpoint, region and keys are in the variables of AWS.
    pub fn new(
        text: &str,
        cwd: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BackupError> {
        if Bucket::is_meant(text) {
            Ok(Self::Bucket(Box::new(Bucket::new(text, variable)?)))
        } else {
            Ok(Self::Folder(cwd.join(text)))
        }
    }

    /// It, for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Bucket(bucket) => bucket.shown().trim_end_matches('/').to_owned(),
        }
    }

    /// Takes a backup of the data folder `data` into this place, which must have none.
    pub fn take(&self, data: &Path, stop: &Stop) -> Result<Taken, BackupError> {
        let bucket = match self {
            Self::Folder(folder) => return take::take(data, folder, stop),
            Self::Bucket(bucket) => bucket,
        };
        if bucket.read(MANIFEST, stop)?.is_some() {
            return Err(BackupError::Exists { path: bucket.shown_with(MANIFEST) });
        }
        remove_interrupted(data);
        let staging = staging(data)?;
        let folder = tempfile::Builder::new().prefix(BY_HAND).tempdir_in(&staging);
        let folder = folder.map_err(BackupError::file(&staging))?;
        let taken = take::take(data, folder.path(), stop)?;
        send(bucket, "", &taken, stop)?;
        Ok(taken.moved(&self.shown()))
    }

    /// Reads the backup in this place whole, as [`verify`](crate::verify) does.
    pub fn verify(&self, with_altered: bool) -> Result<Verified, BackupError> {
        let bucket = match self {
            Self::Folder(folder) => return verify::verify(folder, with_altered),
            Self::Bucket(bucket) => bucket,
        };
        let (manifest, names) = crate::origin::Origin::contents(&**bucket)?;
        let temporary = std::env::temp_dir();
        let folder = tempfile::tempdir().map_err(BackupError::file(&temporary))?;
        let to = |name: &str| folder.path().join(name);
        let bytes = restore::copy_all(&**bucket, &names, manifest.as_ref(), to)?;
        let mut verified = verify::databases(&names, to, with_altered)?;
        verified.manifest = manifest;
        verified.bytes = bytes;
        Ok(verified)
    }

    /// Puts the backup in this place into the data folder `data`, as [`restore`](crate::restore) does.
    pub fn restore(&self, data: &Path, replace: bool, with_altered: bool) -> Result<Restored, BackupError> {
        match self {
            Self::Folder(folder) => restore::restore(folder, data, replace, with_altered),
            Self::Bucket(bucket) => restore::restore_from(&**bucket, data, replace, with_altered),
        }
    }
}

/// The folder of backups on their way to a bucket; it is created if the data folder is there.
pub(crate) fn staging(data: &Path) -> Result<PathBuf, BackupError> {
    let staging = data.join(STAGING);
    match std::fs::create_dir(&staging) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(BackupError::NoStorage { path: data.display().to_string() })
        }
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(BackupError::file(&staging)(error))
        }
        _ => Ok(staging),
    }
}

/// Removes what commands that were killed have left on their way to a bucket.
pub(crate) fn remove_interrupted(data: &Path) {
    for entry in std::fs::read_dir(data.join(STAGING)).into_iter().flatten().flatten() {
        let is_old = entry
            .metadata()
            .and_then(|file| file.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|since| since > INTERRUPTED_AFTER));
        if is_old && entry.file_name().as_encoded_bytes().starts_with(BY_HAND.as_bytes()) {
            // The next one tries again.
            let _kept = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Sends a backup to a bucket, into `below` (empty, or a name with `/`). The manifest comes last, so that what has one is whole.
pub(crate) fn send(bucket: &Bucket, below: &str, taken: &Taken, stop: &Stop) -> Result<(), BackupError> {
    for (path, _) in &taken.files {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        bucket.send(path, &format!("{below}{name}"), stop)?;
    }
    bucket.send(&taken.folder.join(MANIFEST), &format!("{below}{MANIFEST}"), stop)
}
