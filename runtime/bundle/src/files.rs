//! Files: what is read from the disk, and out of the archives in which Yarn Plug'n'Play keeps packages.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use oxc_resolver::{FileSystem, FileSystemOs};
use pnp::fs::{VPath, VPathInfo};

/// Reads files.
#[derive(Clone)]
pub(crate) struct Files {
    disk: FileSystemOs,
    /// The list of packages of a project that uses Plug'n'Play.
    pub(crate) manifest: Option<PathBuf>,
}

/// What tells whether a file is still the same.
#[derive(PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) modified: Option<SystemTime>,
    changed: (i64, i64),
    inode: u64,
    size: u64,
}

/// A file that changed so shortly before it was read may have changed again without another time.
const STAMP_AGE_MIN: Duration = Duration::from_secs(2);

/// A file as it was read, and what tells whether it is still the same.
pub(crate) struct Kept {
    pub(crate) stamp: Stamp,
    pub(crate) read: SystemTime,
    pub(crate) bytes: Bytes,
    pub(crate) text: Arc<str>,
    /// Of the text.
    pub(crate) hash: [u8; 32],
}

impl Kept {
    /// Whether it cannot have changed again without another time.
    pub(crate) fn is_settled(&self) -> bool {
        let modified = self.stamp.modified.and_then(|modified| self.read.duration_since(modified).ok());
        modified.is_some_and(|age| age >= STAMP_AGE_MIN)
    }
}

impl Files {
    pub(crate) fn new(root: &Path) -> Self {
        let manifest = crate::yarn::manifest(root);
        Self { disk: FileSystemOs::new(manifest.is_some()), manifest }
    }

    /// The file on the disk that holds a file: an archive, or the file itself.
    pub(crate) fn physical(&self, file: &Path) -> PathBuf {
        match self.manifest.as_ref().map(|_| VPath::from(file)) {
            Some(Ok(VPath::Zip(found))) => found.physical_base_path(),
            Some(Ok(VPath::Virtual(found))) => found.physical_base_path(),
            _ => file.to_path_buf(),
        }
    }

    /// Does something that may read archives. The library that reads them panics at damaged ones: `None`.
    pub(crate) fn guard<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        if self.manifest.is_none() {
            return Some(work());
        }
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
    }

    pub(crate) fn read(&self, file: &Path) -> std::io::Result<Vec<u8>> {
        self.guard(|| self.disk.read(file)).unwrap_or_else(|| Err(std::io::ErrorKind::InvalidData.into()))
    }

    /// The file's text, or `None` when it cannot be read or is longer.
    pub(crate) fn read_text(&self, file: &Path, bytes_max: usize) -> Option<String> {
        if self.exceeds(file, bytes_max).ok()? {
            return None;
        }
        let text = String::from_utf8(self.read(file).ok()?).ok()?;
        (text.len() <= bytes_max).then_some(text)
    }

    /// Whether a file is longer; of one in an archive that is not known before it is read.
    pub(crate) fn exceeds(&self, file: &Path, bytes_max: usize) -> std::io::Result<bool> {
        Ok(self.stamp(file)?.size > bytes_max as u64 && self.physical(file) == file)
    }

    /// A file that is no regular one is an error: reading a pipe would wait for ever.
    pub(crate) fn stamp(&self, file: &Path) -> std::io::Result<Stamp> {
        let found = std::fs::metadata(self.physical(file))?;
        if !found.is_file() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let changed = (found.ctime(), found.ctime_nsec());
        Ok(Stamp { modified: found.modified().ok(), changed, inode: found.ino(), size: found.len() })
    }
}
