//! A room's side of storage: [`RoomStorage`], used synchronously inside a turn, on the worker that owns the room.
//!
//! Reads see, from the top: open transactions, the turn's writes, batches on their way to disk (the overlay), the read
//! cache, the database. [`RoomStorage::take_batch`] ends a turn: its writes become one atomic batch with a number, which
//! the caller gives to [`crate::Store::commit`]; the store's answer comes back as [`RoomStorage::committed`] or
//! [`RoomStorage::failed`]. Nothing is read before the first call, and nothing is written for a room that never writes.
//! Only one `RoomStorage` of a room may exist, and a new one only after the old one has nothing undurable.

mod alarm;
mod cache;
mod layer;
mod list;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use partyrun_limits::Limits;

use crate::error::{check_count, check_key, check_value};
use crate::store::{Batch, KeyRange, Reader, RoomHandle, Store, StoredAlarm};
use crate::{RoomKey, StorageError, StoreError};
pub use alarm::{AlarmEnd, AlarmOutcome};
use cache::ReadCache;
use layer::{Answer, Layer};
pub use list::{ListOptions, Listed};
use list::{Merge, Overlay};

/// One worker thread's way to the store: a reader that all its rooms share. Not `Send`.
#[derive(Clone)]
pub struct WorkerStore {
    reader: Rc<dyn Reader>,
    limits: Arc<Limits>,
}

impl WorkerStore {
    /// Opens a reader for the calling thread.
    pub fn open(store: &dyn Store, limits: Arc<Limits>) -> Result<Self, StoreError> {
        Ok(Self { reader: Rc::from(store.reader()?), limits })
    }

    /// The storage of a room; costs no I/O.
    pub fn room(&self, key: RoomKey) -> RoomStorage {
        RoomStorage {
            cache: ReadCache::new(self.limits.storage_cache_bytes_max),
            reader: self.reader.clone(),
            limits: self.limits.clone(),
            handle: Arc::new(RoomHandle::new(key)),
            loaded: false,
            alarm: None,
            running: None,
            alarm_ended: false,
            overlay: BTreeMap::new(),
            overlay_clear: None,
            flights: VecDeque::new(),
            flight_bytes: 0,
            turn: Layer::default(),
            transactions: Vec::new(),
            transactions_begun: 0,
            seq: 0,
            altered: Vec::new(),
        }
    }
}

/// Names an open transaction of one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(u64);

/// A write that a batch carries to disk.
struct OverlayEntry {
    seq: u64,
    value: Option<Bytes>,
}

/// A batch on its way to disk.
struct Flight {
    seq: u64,
    bytes: usize,
    keys: Vec<Arc<str>>,
}

/// The storage of one life of a room: what its code has written, durable or not, over what the database has. For one
/// thread.
pub struct RoomStorage {
    reader: Rc<dyn Reader>,
    limits: Arc<Limits>,
    handle: Arc<RoomHandle>,
    /// The room was looked up in the database.
    loaded: bool,
    /// The alarm after the last batch; `None`: not yet known.
    alarm: Option<Option<StoredAlarm>>,
    running: Option<alarm::RunningAlarm>,
    alarm_ended: bool,
    cache: ReadCache,
    overlay: BTreeMap<Arc<str>, OverlayEntry>,
    /// The batch that deletes all that the database has, as long as it is under way.
    overlay_clear: Option<u64>,
    flights: VecDeque<Flight>,
    flight_bytes: usize,
    turn: Layer,
    transactions: Vec<(TransactionId, Layer)>,
    transactions_begun: u64,
    seq: u64,
    /// Keys that the last reads left out.
    altered: Vec<String>,
}

impl RoomStorage {
    /// The room's name.
    pub fn key(&self) -> &RoomKey {
        self.handle.key()
    }

    /// Reads one value: what this life wrote last, durable or not, or what the database has.
    pub fn get(&mut self, key: &str) -> Result<Option<Bytes>, StorageError> {
        check_key(&self.limits, key)?;
        self.read(key)
    }

    /// Reads several values: those found, in key order, each once (spec 3.1). A key that is too long is not found, as in
    /// the original. Values that were altered on disk are left out: [`RoomStorage::take_altered`] names them.
    pub fn get_many<K: AsRef<str>>(&mut self, keys: &[K]) -> Result<Vec<(String, Bytes)>, StorageError> {
        check_count(&self.limits, keys.len())?;
        let mut found = BTreeMap::new();
        for key in keys {
            match self.read(key.as_ref()) {
                Ok(Some(value)) => drop(found.insert(key.as_ref().to_owned(), value)),
                Ok(None) => {}
                Err(StorageError::Store(StoreError::Altered { key, .. })) => self.altered.push(key),
                Err(error) => return Err(error),
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Entries in UTF-8 byte order. Those whose values were altered on disk are left out, and do not count for a limit:
    /// [`RoomStorage::take_altered`] names them.
    pub fn list(&mut self, options: &ListOptions) -> Result<Vec<(String, Bytes)>, StorageError> {
        let listed = self.list_within(options, usize::MAX)?;
        self.altered.extend(listed.altered);
        Ok(listed.entries)
    }

    /// The same as one answer that says itself what was left out, and ends with the entry before `bytes_max` bytes of keys and
    /// values; one entry is given however long it is.
    pub fn list_within(&mut self, options: &ListOptions, bytes_max: usize) -> Result<Listed, StorageError> {
        self.check_alive()?;
        let Some((range, limit)) = options.range()? else { return Ok(Listed::default()) };
        let read_base = !self.base_hidden() && self.load()?;
        let mut merge = Merge::new(self.overlay_in(&range, options.reverse), limit, bytes_max);
        if read_base {
            self.reader
                .list(&self.handle, &range, options.reverse, &mut |key, value| merge.row(key, value))?;
        }
        Ok(merge.finish()?)
    }

    /// The keys that [`RoomStorage::list`] and [`RoomStorage::get_many`] left out since the last call.
    pub fn take_altered(&mut self) -> Vec<String> {
        std::mem::take(&mut self.altered)
    }

    /// Writes one value. It is visible at once, and durable when the batch of [`Self::take_batch`] is committed.
    pub fn put(&mut self, key: &str, value: Bytes) -> Result<(), StorageError> {
        self.put_many(vec![(key.to_owned(), value)])
    }

    /// Writes several values: all, or none if one is refused.
    pub fn put_many(&mut self, entries: Vec<(String, Bytes)>) -> Result<(), StorageError> {
        self.check_alive()?;
        for (key, value) in &entries {
            check_key(&self.limits, key)?;
            check_value(&self.limits, value)?;
        }
        let top = self.top();
        for (key, value) in entries {
            top.write(key.into(), Some(value));
        }
        self.check_undurable()
    }

    /// Deletes one key; `true` if it existed.
    pub fn delete(&mut self, key: &str) -> Result<bool, StorageError> {
        Ok(self.delete_many(&[key])? > 0)
    }

    /// Deletes several keys; the number of those that existed.
    pub fn delete_many<K: AsRef<str>>(&mut self, keys: &[K]) -> Result<usize, StorageError> {
        keys.iter().try_for_each(|key| check_key(&self.limits, key.as_ref()))?;
        let mut existing = Vec::new();
        for key in keys {
            match self.read(key.as_ref()) {
                // One that was altered on disk is there, too.
                Ok(Some(_)) | Err(StorageError::Store(StoreError::Altered { .. })) => {
                    existing.push(key.as_ref())
                }
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        existing.sort_unstable();
        existing.dedup();
        let top = self.top();
        for key in &existing {
            top.write(Arc::from(*key), None);
        }
        self.check_undurable()?;
        Ok(existing.len())
    }

    /// Deletes all keys; the alarm stays (spec 3.1).
    pub fn delete_all(&mut self) -> Result<(), StorageError> {
        self.check_alive()?;
        self.top().delete_all();
        Ok(())
    }

    /// Opens a transaction inside the innermost open one: from now on all reads and writes belong to it.
    pub fn begin(&mut self) -> TransactionId {
        self.transactions_begun += 1;
        let id = TransactionId(self.transactions_begun);
        self.transactions.push((id, Layer::default()));
        id
    }

    /// Commits the innermost transaction into the one around it, or into the turn.
    pub fn commit(&mut self, id: TransactionId) -> Result<(), StorageError> {
        let layer = self.pop_transaction(id)?;
        self.top().merge(layer);
        Ok(())
    }

    /// Drops everything that the innermost transaction wrote, the alarm included (spec 3.5).
    pub fn rollback(&mut self, id: TransactionId) -> Result<(), StorageError> {
        self.pop_transaction(id).map(drop)
    }

    /// Whether an explicit transaction is open.
    pub fn in_transaction(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// Ends a turn: all its writes as one batch, or `None` if there were none. Writes of a transaction that is still
    /// open stay behind until it commits. The caller gives the batch to the store and reports the answer.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let turn = std::mem::take(&mut self.turn);
        let alarm_ended = std::mem::take(&mut self.alarm_ended);
        if !turn.clear && turn.writes.is_empty() && turn.alarm.is_none() && !alarm_ended {
            return None;
        }
        self.seq += 1;
        let seq = self.seq;
        if turn.clear {
            self.overlay.clear();
            self.cache.clear();
            self.overlay_clear = Some(seq);
        }
        self.note_alarm(turn.alarm);
        for (key, value) in &turn.writes {
            self.overlay.insert(key.clone(), OverlayEntry { seq, value: value.clone() });
        }
        let keys = turn.writes.keys().cloned().collect();
        self.flight_bytes += turn.bytes;
        self.flights.push_back(Flight { seq, bytes: turn.bytes, keys });
        Some(Batch {
            room: self.handle.clone(),
            seq,
            clear: turn.clear,
            writes: turn.writes.into_iter().collect(),
            alarm: turn.alarm,
            alarm_ended,
        })
    }

    /// Takes note that all batches up to `seq` are durable.
    pub fn committed(&mut self, seq: u64) {
        if self.overlay_clear.is_some_and(|clear| clear <= seq) {
            self.overlay_clear = None;
        }
        while let Some(flight) = self.flights.pop_front_if(|flight| flight.seq <= seq) {
            self.flight_bytes -= flight.bytes;
            for key in flight.keys {
                if self.overlay.get(&key).is_some_and(|entry| entry.seq <= flight.seq)
                    && let Some(entry) = self.overlay.remove(&key)
                {
                    self.cache.insert(key, entry.value);
                }
            }
        }
    }

    /// Takes note that the batch `seq` will never be durable. Every later call fails: the room must be reset, and its
    /// next life begins with a new `RoomStorage`, from what the database has.
    pub fn failed(&mut self, _seq: u64) {
        self.handle.set_failed();
        self.flights.clear();
        self.flight_bytes = 0;
        self.overlay.clear();
        self.discard_turn();
    }

    /// Forgets the writes of the current turn and all open transactions, for a turn that was terminated. A running alarm
    /// keeps running, so that [`RoomStorage::end_alarm`] can count the failure.
    pub fn discard_turn(&mut self) {
        self.turn = Layer { alarm: self.unwritten_start(), ..Layer::default() };
        self.transactions.clear();
    }

    /// Whether a batch is still on its way to disk.
    pub fn undurable(&self) -> bool {
        !self.flights.is_empty()
    }

    /// The last batch that is on its way to disk: what the room says now may leave when it is durable.
    pub fn pending_seq(&self) -> Option<u64> {
        self.flights.back().map(|flight| flight.seq)
    }

    /// Bytes of keys and values that are not yet durable, open transactions included.
    pub fn undurable_bytes(&self) -> usize {
        let transactions: usize = self.transactions.iter().map(|(_, layer)| layer.bytes).sum();
        self.flight_bytes + transactions + self.turn.bytes
    }

    /// Forgets the read cache, for a room that sleeps.
    pub fn shrink(&mut self) {
        self.cache.clear();
    }

    fn top(&mut self) -> &mut Layer {
        match self.transactions.last_mut() {
            Some((_, layer)) => layer,
            None => &mut self.turn,
        }
    }

    /// The layers above the overlay, newest first.
    fn layers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        std::iter::once(&self.turn).chain(self.transactions.iter().map(|(_, layer)| layer)).rev()
    }

    fn pop_transaction(&mut self, id: TransactionId) -> Result<Layer, StorageError> {
        match self.transactions.pop_if(|(top, _)| *top == id) {
            Some((_, layer)) => Ok(layer),
            None => Err(StorageError::TransactionNotInnermost),
        }
    }

    /// Whether the database's values are not to be seen because a `deleteAll` lies above them.
    fn base_hidden(&self) -> bool {
        self.overlay_clear.is_some() || self.layers().any(|layer| layer.clear)
    }

    fn read(&mut self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.check_alive()?;
        for layer in self.layers() {
            match layer.get(key) {
                Answer::Value(value) => return Ok(Some(value.clone())),
                Answer::Absent => return Ok(None),
                Answer::AskBelow => {}
            }
        }
        if let Some(entry) = self.overlay.get(key) {
            return Ok(entry.value.clone());
        }
        if self.overlay_clear.is_some() {
            return Ok(None);
        }
        if let Some(value) = self.cache.get(key) {
            return Ok(value);
        }
        if !self.load()? {
            return Ok(None);
        }
        let value = self.reader.get(&self.handle, key)?;
        self.cache.insert(key.into(), value.clone());
        Ok(value)
    }

    /// Looks the room up once; `false` if the database has nothing of it.
    fn load(&mut self) -> Result<bool, StorageError> {
        if !self.loaded {
            let stored = self.reader.load(&self.handle)?;
            self.loaded = true;
            // A run that an earlier life did not end is not this life's run.
            let alarm = stored.and_then(|stored| stored.alarm);
            let alarm = alarm.map(|alarm| StoredAlarm { running: false, ..alarm });
            // What this life wrote meanwhile is newer than what was read.
            self.alarm.get_or_insert(alarm);
        }
        // The first commit of a new room gives it its number.
        Ok(self.handle.row() != 0)
    }

    fn overlay_in<'a>(&'a self, range: &'a KeyRange, reverse: bool) -> Overlay<'a> {
        let mut overlay = Overlay::new(range, reverse);
        overlay.add(&self.overlay, |entry| entry.value.as_ref());
        for layer in self.layers().rev() {
            if layer.clear {
                overlay.clear();
            }
            overlay.add(&layer.writes, Option::as_ref);
        }
        overlay
    }

    fn check_alive(&self) -> Result<(), StorageError> {
        if self.handle.failed() { Err(StoreError::EarlierFailed.into()) } else { Ok(()) }
    }

    fn check_undurable(&self) -> Result<(), StorageError> {
        let max = self.limits.unawaited_bytes_max;
        if self.undurable_bytes() > max { Err(StorageError::TooMuchUndurable { max }) } else { Ok(()) }
    }
}
