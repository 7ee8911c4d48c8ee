//! The lock on the data folder: one process at a time.
//!
//! An advisory lock of the operating system on `partyrun.lock`, so that it is gone with its process whatever happens.
//! The file holds the process id, only to name the holder to whoever comes second.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::StoreError;

const LOCK_FILE: &str = "partyrun.lock";

/// Holds the lock as long as it lives.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Takes the lock of the folder `dir`, which exists; [`StoreError::Locked`] names the process that has it.
    pub fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { dir: dir.display().to_string(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Self::name(file)
    }

    /// The lock of the folder `dir` that another process has passed on with this descriptor: it never was free in between. A
    /// descriptor of something else is no lock, which is then taken as usual.
    pub fn inherit(dir: &Path, descriptor: OwnedFd) -> Result<Self, StoreError> {
        let lock = Self { file: File::from(descriptor) };
        if lock.is_in(dir) && lock.file.try_lock().is_ok() { Self::name(lock.file) } else { Self::take(dir) }
    }

    /// A descriptor for another process to inherit.
    pub(super) fn copy(&self) -> Option<OwnedFd> {
        self.file.try_clone().ok().map(OwnedFd::from)
    }

    // Writes down who has it.
    fn name(mut file: File) -> Result<Self, StoreError> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { file })
    }

    /// Whether the file that is locked is the one which others would try to lock.
    pub(super) fn is_in(&self, dir: &Path) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let there = dir.join(LOCK_FILE).metadata().map(identity);
        there.is_ok_and(|there| self.file.metadata().map(identity).is_ok_and(|own| own == there))
    }
}

fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    // The file is ours to read, but whatever stands in it is only a hint.
    let read = file.take(32).read_to_string(&mut pid);
    let pid = pid.trim();
    if read.is_ok() && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) {
        pid.to_owned()
    } else {
        "unknown".to_owned()
    }
}
