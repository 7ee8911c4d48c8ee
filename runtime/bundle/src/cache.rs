//! The record cache: a file is transformed once per content and settings, in memory and, when a folder is given, on
//! disk. `graph` asks it before it transforms. A broken or unwritable folder costs time, never a build.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::files::{Files, Kept};
use crate::original::ShippedMap;
use crate::record::ModuleRecord;
use crate::settings::Settings;

/// Raised whenever the meaning of what is kept changes.
const FORMAT_VERSION: u32 = 10;

/// Names one source under one set of settings.
pub(crate) type Key = [u8; 32];

/// How a file is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Text,
    Bytes,
}

/// Records by content, files and their source maps by path.
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    files: FxHashMap<PathBuf, Arc<Kept>>,
    records: FxHashMap<Key, Arc<ModuleRecord>>,
    maps: FxHashMap<PathBuf, Arc<ShippedMap>>,
}

impl Cache {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            files: FxHashMap::default(),
            records: FxHashMap::default(),
            maps: FxHashMap::default(),
        }
    }

    /// The file's contents, from memory when it did not change.
    pub(crate) fn read(
        &mut self,
        files: &Files,
        file: &Path,
        contents: Contents,
    ) -> std::io::Result<Arc<Kept>> {
        let stamp = files.stamp(file)?;
        if let Some(kept) = self.files.get(file).filter(|kept| kept.stamp == stamp && kept.is_settled()) {
            return Ok(kept.clone());
        }
        let read = SystemTime::now();
        let bytes = files.read(file)?;
        let (hash, text, bytes) = match contents {
            Contents::Text => {
                let hash = Sha256::digest(&bytes).into();
                (hash, String::from_utf8_lossy(&bytes).into(), Bytes::new())
            }
            Contents::Bytes => (Key::default(), Arc::default(), bytes.into()),
        };
        let kept = Arc::new(Kept { stamp, read, bytes, text, hash });
        self.files.insert(file.to_path_buf(), kept.clone());
        Ok(kept)
    }

    /// The source map of a published file that was understood last.
    pub(crate) fn map(&self, published: &Path) -> Option<Arc<ShippedMap>> {
        self.maps.get(published).cloned()
    }

    pub(crate) fn put_map(&mut self, published: &Path, map: &Arc<ShippedMap>) {
        self.maps.insert(published.to_path_buf(), map.clone());
    }

    /// The name of what `transform` makes of these arguments.
    pub(crate) fn key(source: &Key, settings: &Settings) -> Key {
        let mut hash = Sha256::new();
        hash.update(format!("{FORMAT_VERSION} {} {settings:?}\n", env!("CARGO_PKG_VERSION")));
        hash.update(source);
        hash.finalize().into()
    }

    pub(crate) fn get(&mut self, key: &Key) -> Option<Arc<ModuleRecord>> {
        if let Some(record) = self.records.get(key) {
            return Some(record.clone());
        }
        let bytes = std::fs::read(self.file(key)?).ok()?;
        let record: Arc<ModuleRecord> = Arc::new(postcard::from_bytes(&bytes).ok()?);
        self.records.insert(*key, record.clone());
        Some(record)
    }

    pub(crate) fn put(&mut self, key: Key, record: &Arc<ModuleRecord>) {
        self.records.insert(key, record.clone());
    }

    /// Where a record is kept on disk.
    pub(crate) fn file(&self, key: &Key) -> Option<PathBuf> {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(self.folder.as_ref()?.join(name))
    }
}

/// Keeps a record on disk, for other processes; any thread may do that.
pub(crate) fn keep(file: &Path, record: &ModuleRecord) {
    let (Ok(bytes), Some(folder)) = (postcard::to_stdvec(record), file.parent()) else { return };
    // Renaming makes the file appear whole; whoever loses a race wrote the same bytes.
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&temporary, bytes))
        .and_then(|()| std::fs::rename(&temporary, file));
    if written.is_err() {
        let _ = std::fs::remove_file(temporary);
    }
}
