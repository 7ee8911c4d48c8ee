//! Small files and compressed files, kept in memory.
//!
//! An entry is valid only for the stamp that it was made from, so a changed or replaced file is never answered with old
//! content; the file is opened and checked for each request anyway. The cache is bounded by bytes. One request at a time
//! compresses a file; others that arrive meanwhile get it uncompressed instead of waiting.

use std::collections::HashSet;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use partyrun_coding::{Coding, pack};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::root::{Opened, Patience, Stamp};

/// A file is packed once for many who ask for it.
const GZIP_LEVEL: u8 = 6;

/// The path below the root, and the coding.
type Key = (String, Option<Coding>);

/// Content and the stamp it was made from; `None` if compressing did not pay.
#[derive(Clone, Debug)]
struct Entry {
    stamp: Stamp,
    content: Option<Bytes>,
}

#[derive(Clone, Debug)]
struct ByteWeight;

impl Weighter<Key, Entry> for ByteWeight {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        const OVERHEAD_BYTES: usize = 200;
        (key.0.len() + entry.content.as_ref().map_or(0, Bytes::len) + OVERHEAD_BYTES) as u64
    }
}

/// The memory of an asset folder.
#[derive(Debug)]
pub(crate) struct Memory {
    entries: Cache<Key, Entry, ByteWeight>,
    compressing: Mutex<HashSet<Key>>,
}

/// Forgets that a key is being compressed, whatever happened.
struct Turn<'a> {
    memory: &'a Memory,
    key: &'a Key,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Ok(mut compressing) = self.memory.compressing.lock() {
            compressing.remove(self.key);
        }
    }
}

impl Memory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        const ENTRY_BYTES_GUESS: usize = 16 * 1024;
        let entries = Cache::with_weighter(bytes_max / ENTRY_BYTES_GUESS + 1, bytes_max as u64, ByteWeight);
        Self { entries, compressing: Mutex::new(HashSet::new()) }
    }

    /// The whole content of a file of at most `bytes_max` bytes; `None` if it is better sent from the disk.
    pub(crate) fn content(
        &self,
        path: &str,
        opened: &mut Opened,
        bytes_max: u64,
        patience: Patience,
    ) -> io::Result<Option<Bytes>> {
        let key = (path.to_owned(), None);
        if let Some(bytes) = self.known(&key, &opened.stamp).flatten() {
            return Ok(Some(bytes));
        }
        must_be_patient(patience)?;
        let bytes = read_settled(opened, bytes_max)?;
        if let Some(bytes) = &bytes {
            self.keep(key, &opened.stamp, Some(bytes.clone()));
        }
        Ok(bytes)
    }

    /// The compressed content of a file of at most `bytes_max` bytes; `None` if it is better sent as it is.
    pub(crate) fn compressed(
        &self,
        path: &str,
        coding: Coding,
        opened: &mut Opened,
        bytes_max: u64,
        patience: Patience,
    ) -> io::Result<Option<Bytes>> {
        let key = (path.to_owned(), Some(coding));
        if let Some(content) = self.known(&key, &opened.stamp) {
            return Ok(content);
        }
        must_be_patient(patience)?;
        let mine = self.compressing.lock().is_ok_and(|mut compressing| compressing.insert(key.clone()));
        if !mine {
            return Ok(None);
        }
        let _turn = Turn { memory: self, key: &key };
        let Some(bytes) = read_settled(opened, bytes_max)? else { return Ok(None) };
        let content = pack(coding, GZIP_LEVEL, &bytes).map(Bytes::from);
        self.keep(key.clone(), &opened.stamp, content.clone());
        Ok(content)
    }

    /// What is known of a key, if it was made from this stamp.
    fn known(&self, key: &Key, stamp: &Stamp) -> Option<Option<Bytes>> {
        self.entries.get(key).filter(|entry| entry.stamp == *stamp).map(|entry| entry.content)
    }

    fn keep(&self, key: Key, stamp: &Stamp, content: Option<Bytes>) {
        if is_settled(stamp) {
            self.entries.insert(key, Entry { stamp: *stamp, content });
        }
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }
}

fn must_be_patient(patience: Patience) -> io::Result<()> {
    match patience {
        Patience::Patient => Ok(()),
        Patience::AtOnce => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Whether another write would be sure to change the stamp. File times advance in steps of some milliseconds, so a file
/// that was written just now may be written again within the same step.
pub(crate) fn is_settled(stamp: &Stamp) -> bool {
    const STEP: Duration = Duration::from_millis(100);
    let (seconds, nanoseconds) = stamp.changed;
    let Ok(seconds) = u64::try_from(seconds) else { return false };
    let changed = UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0));
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > STEP)
}

/// Reads a whole file, once more if it changed meanwhile, so that an answer does not mix two versions. The stamp
/// becomes that of what was read. `None` if the file has outgrown the bound, or will not hold still.
fn read_settled(opened: &mut Opened, bytes_max: u64) -> io::Result<Option<Bytes>> {
    const ATTEMPTS: usize = 3;
    let mut bytes = Vec::new();
    for _ in 0..ATTEMPTS {
        bytes.clear();
        opened.file.seek(SeekFrom::Start(0))?;
        (&opened.file).take(bytes_max).read_to_end(&mut bytes)?;
        let stamp = opened.restamp()?;
        let same = stamp == opened.stamp && stamp.len == bytes.len() as u64;
        opened.stamp = stamp;
        if same {
            return Ok(Some(Bytes::from(bytes)));
        }
    }
    Ok(None)
}
