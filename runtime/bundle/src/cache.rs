//! The record cache: a file is transformed once per content and settings, in memory and, when a folder is given, on
//! disk. `graph` asks it before it transforms. A broken or unwritable folder costs time, never a build.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::files::{Files, Stamp};
use crate::original::Original;
use crate::record::ModuleRecord;
use crate::transform::Settings;

/// Raised whenever the meaning of what is kept changes.
const FORMAT_VERSION: u32 = 5;

/// Names one source under one set of settings.
pub(crate) type Key = [u8; 32];

/// A file as it was read, and what tells whether it is still the same.
pub(crate) struct Kept {
    stamp: Stamp,
    read: SystemTime,
    pub(crate) bytes: Bytes,
    pub(crate) text: Arc<str>,
    pub(crate) hash: Key,
}

impl Kept {
    fn is_settled(&self) -> bool {
        let modified = self.stamp.modified.and_then(|modified| self.read.duration_since(modified).ok());
        modified.is_some_and(|age| age >= STAMP_AGE_MIN)
    }
}

/// What is kept of a file in memory, besides its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Text,
    Bytes,
    Nothing,
}

/// A file that changed so shortly before it was read may have changed again without another time.
const STAMP_AGE_MIN: Duration = Duration::from_secs(2);

/// Records and original files by content.
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    files: FxHashMap<PathBuf, Arc<Kept>>,
    records: FxHashMap<Key, Arc<ModuleRecord>>,
    originals: FxHashMap<Key, Arc<Original>>,
}

impl Cache {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            files: FxHashMap::default(),
            records: FxHashMap::default(),
            originals: FxHashMap::default(),
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
        let hash = Sha256::digest(&bytes).into();
        let (text, bytes) = match contents {
            Contents::Text => (String::from_utf8_lossy(&bytes).into(), Bytes::new()),
            Contents::Bytes => (Arc::default(), bytes.into()),
            Contents::Nothing => (Arc::default(), Bytes::new()),
        };
        let kept = Arc::new(Kept { stamp, read, bytes, text, hash });
        self.files.insert(file.to_path_buf(), kept.clone());
        Ok(kept)
    }

    /// The name of what `transform` makes of these arguments.
    pub(crate) fn record_key(source: &Key, settings: &Settings) -> Key {
        key(&format!("{settings:?}"), &[source])
    }

    /// The name of what the map of a published file says.
    pub(crate) fn original_key(published: &Key, map: Option<&Key>, name: &str) -> Key {
        key(&format!("map {name}"), &[published, map.unwrap_or(published)])
    }

    pub(crate) fn record(&mut self, key: &Key) -> Option<Arc<ModuleRecord>> {
        get(&mut self.records, self.folder.as_deref(), key)
    }

    pub(crate) fn put_record(&mut self, key: Key, record: &Arc<ModuleRecord>) {
        put(&mut self.records, self.folder.as_deref(), key, record);
    }

    pub(crate) fn original(&mut self, key: &Key) -> Option<Arc<Original>> {
        get(&mut self.originals, self.folder.as_deref(), key)
    }

    pub(crate) fn put_original(&mut self, key: Key, original: &Arc<Original>) {
        put(&mut self.originals, self.folder.as_deref(), key, original);
    }
}

fn key(settings: &str, sources: &[&Key]) -> Key {
    let mut hash = Sha256::new();
    hash.update(format!("{FORMAT_VERSION} {} {settings}\n", env!("CARGO_PKG_VERSION")));
    sources.iter().for_each(|source| hash.update(source));
    hash.finalize().into()
}

fn get<T: DeserializeOwned>(
    known: &mut FxHashMap<Key, Arc<T>>,
    folder: Option<&Path>,
    key: &Key,
) -> Option<Arc<T>> {
    if let Some(value) = known.get(key) {
        return Some(value.clone());
    }
    let bytes = std::fs::read(file(folder?, key)).ok()?;
    let value: Arc<T> = Arc::new(postcard::from_bytes(&bytes).ok()?);
    known.insert(*key, value.clone());
    Some(value)
}

fn put<T: Serialize>(known: &mut FxHashMap<Key, Arc<T>>, folder: Option<&Path>, key: Key, value: &Arc<T>) {
    known.insert(key, value.clone());
    let (Some(folder), Ok(bytes)) = (folder, postcard::to_stdvec(&**value)) else { return };
    let file = file(folder, &key);
    // Renaming makes the file appear whole; whoever loses a race wrote the same bytes.
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&temporary, bytes))
        .and_then(|()| std::fs::rename(&temporary, &file));
    if written.is_err() {
        let _ = std::fs::remove_file(temporary);
    }
}

fn file(folder: &Path, key: &Key) -> PathBuf {
    folder.join(key.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
