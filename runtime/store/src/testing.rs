//! What the tests of this crate share: a folder that goes away with its test, and a room that commits and waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;

use bytes::Bytes;
use partyrun_limits::Limits;

use crate::{Batch, RoomKey, RoomStorage, Store, StoreError, WorkerStore};

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder of its own, removed at the end.
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("partyrun-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn open_room(store: &dyn Store, id: &str) -> RoomStorage {
    WorkerStore::open(store, Arc::new(Limits::default())).unwrap().room(RoomKey::new("main", id))
}

/// Commits a batch and waits for its answer.
pub(crate) fn commit(store: &dyn Store, batch: Batch) -> Result<(), StoreError> {
    let (answer, answers) = channel();
    store.commit(batch, Box::new(move |result| answer.send(result).unwrap()));
    answers.recv().unwrap()
}

/// Ends the turn of a room and waits until it is durable.
pub(crate) fn flush(store: &dyn Store, room: &mut RoomStorage) -> Result<(), StoreError> {
    let Some(batch) = room.take_batch() else { return Ok(()) };
    let seq = batch.seq;
    let result = commit(store, batch);
    match &result {
        Ok(()) => room.committed(seq),
        Err(_) => room.failed(seq),
    }
    result
}

pub(crate) fn put(
    store: &dyn Store,
    room: &mut RoomStorage,
    key: &str,
    value: &str,
) -> Result<(), StoreError> {
    room.put(key, Bytes::copy_from_slice(value.as_bytes())).unwrap();
    flush(store, room)
}
