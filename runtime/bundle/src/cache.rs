//! The record cache: a file is transformed once per content and settings, in memory and, when a folder is given, on
//! disk. `graph` asks it before it transforms. A broken or unwritable folder costs time, never a build.

use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use crate::record::ModuleRecord;
use crate::transform::Settings;

/// Raised whenever the meaning of a record changes.
const FORMAT_VERSION: u32 = 2;

/// Names one source under one set of settings.
pub(crate) type Key = [u8; 32];

/// Records by content.
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    records: FxHashMap<Key, Arc<ModuleRecord>>,
}

impl Cache {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, records: FxHashMap::default() }
    }

    /// The name of what `transform` makes of these arguments.
    pub(crate) fn key(source: &str, settings: &Settings) -> Key {
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
        let (Some(file), Ok(bytes)) = (self.file(&key), postcard::to_stdvec(&**record)) else { return };
        let Some(folder) = file.parent() else { return };
        // Renaming makes the file appear whole; whoever loses a race wrote the same bytes.
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&temporary, bytes))
            .and_then(|()| std::fs::rename(&temporary, &file));
        if written.is_err() {
            let _ = std::fs::remove_file(temporary);
        }
    }

    fn file(&self, key: &Key) -> Option<PathBuf> {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(self.folder.as_ref()?.join(name))
    }
}
