//! The store of `--persist false`: everything lives as long as the process.
//!
//! The same contract as SQLite's, without a committer thread: a batch is applied at once and its callback called before
//! [`Store::commit`] returns, on the caller's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::alarms::AlarmBoard;
use crate::store::{
    AlarmHook, AlarmWrite, Batch, CommitCallback, DueAlarm, ENTRIES_COUNTED_MAX, KeyRange, Reader,
    RoomHandle, RoomSeen, RoomsPage, Store, StoredAlarm, StoredRoom, StoredSize, Survey, Visit,
};
use crate::{RoomKey, StoreError};

/// A store without a disk: whatever it holds is lost with the process. Clones share their data.
#[derive(Clone, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    data: Mutex<Data>,
    board: AlarmBoard,
}

#[derive(Default)]
struct Data {
    closed: bool,
    rooms: BTreeMap<RoomKey, Room>,
    alarms: BTreeSet<(i64, RoomKey)>,
}

#[derive(Default)]
struct Room {
    values: BTreeMap<Vec<u8>, Bytes>,
    alarm: Option<StoredAlarm>,
}

impl Memory {
    /// Makes a store that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Shared {
    fn data(&self) -> MutexGuard<'_, Data> {
        // Batches are applied by infallible steps, so the data is whole even after a panic elsewhere.
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn apply(&mut self, batch: &Batch) {
        let key = batch.room.key();
        let room = self.rooms.entry(key.clone()).or_default();
        if batch.clear {
            room.values.clear();
        }
        for (name, value) in &batch.writes {
            match value {
                Some(value) => room.values.insert(name.as_bytes().to_vec(), value.clone()),
                None => room.values.remove(name.as_bytes()),
            };
        }
        let Some(write) = batch.alarm else { return };
        if let Some(old) = room.alarm {
            self.alarms.remove(&(old.at_ms, key.clone()));
        }
        room.alarm = match write {
            AlarmWrite::Set { at_ms, attempt } => Some(StoredAlarm { at_ms, attempt, running: false }),
            AlarmWrite::Clear => None,
            AlarmWrite::Start => room.alarm.map(|alarm| StoredAlarm { running: true, ..alarm }),
        };
        if let Some(new) = room.alarm {
            self.alarms.insert((new.at_ms, key.clone()));
        }
    }
}

impl Store for Memory {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn commit(&self, batch: Batch, done: CommitCallback) {
        let mut data = self.shared.data();
        if data.closed || batch.room.failed() {
            let error = if data.closed { StoreError::Closed } else { StoreError::EarlierFailed };
            drop(data);
            return done(Err(error));
        }
        if batch.writes_anything() {
            data.apply(&batch);
            // Any number but 0 says that the room exists.
            batch.room.set_row(1);
        }
        drop(data);
        self.shared.board.committed(std::iter::once(&batch));
        done(Ok(()));
    }

    fn next_alarm(&self) -> Result<Option<i64>, StoreError> {
        self.shared.board.next(|taken| {
            let data = self.shared.data();
            Ok(data.alarms.iter().find(|(_, room)| !taken(room)).map(|(at_ms, _)| *at_ms))
        })
    }

    fn alarms_due(&self, now_ms: i64, limit: usize) -> Result<Vec<DueAlarm>, StoreError> {
        self.shared.board.take(now_ms, limit, |give| {
            let data = self.shared.data();
            for (at_ms, room) in data.alarms.iter().take_while(|(at_ms, _)| *at_ms <= now_ms) {
                let attempt =
                    data.rooms.get(room).and_then(|room| room.alarm).map_or(0, |alarm| alarm.attempt);
                if !give(DueAlarm { room: room.clone(), scheduled_ms: *at_ms, attempt }) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn release_alarm(&self, room: &RoomKey, retry_at_ms: i64) {
        self.shared.board.release(room, retry_at_ms);
    }

    fn on_earlier_alarm(&self, hook: AlarmHook) {
        self.shared.board.set_hook(hook);
    }

    fn survey(&self) -> Result<Box<dyn Survey>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn probe(&self, done: CommitCallback) {
        let closed = self.shared.data().closed;
        done(if closed { Err(StoreError::Closed) } else { Ok(()) });
    }

    fn close(&self) {
        self.shared.data().closed = true;
    }
}

impl Survey for Memory {
    fn rooms(&self, page: &RoomsPage) -> Result<Vec<RoomSeen>, StoreError> {
        let data = self.shared.data();
        let from = page.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rooms = data.rooms.range((from, Bound::Unbounded));
        let wanted = |key: &RoomKey| {
            page.party.as_ref().is_none_or(|party| party == key.party()) && key.id().starts_with(&page.prefix)
        };
        let found = rooms.filter(|(key, _)| wanted(key)).take(page.limit);
        Ok(found.map(|(key, room)| seen(key, room)).collect())
    }

    fn seen(&self, key: &RoomKey) -> Result<Option<RoomSeen>, StoreError> {
        Ok(self.shared.data().rooms.get(key).map(|room| seen(key, room)))
    }

    fn room(&self, key: &RoomKey) -> Result<Option<(RoomSeen, StoredSize)>, StoreError> {
        let data = self.shared.data();
        let Some(room) = data.rooms.get(key) else { return Ok(None) };
        let counted = room.values.iter().take(ENTRIES_COUNTED_MAX + 1);
        let mut size = counted.fold(StoredSize::default(), |size, (key, value)| StoredSize {
            entries: size.entries + 1,
            bytes: size.bytes + (key.len() + value.len()) as u64,
            more: false,
        });
        size.more = room.values.len() > ENTRIES_COUNTED_MAX;
        Ok(Some((seen(key, room), size)))
    }

    fn alarms(&self, after: Option<&(i64, RoomKey)>, limit: usize) -> Result<Vec<RoomSeen>, StoreError> {
        let data = self.shared.data();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let due = data.alarms.range((from, Bound::Unbounded)).take(limit);
        Ok(due.filter_map(|(_, key)| data.rooms.get(key).map(|room| seen(key, room))).collect())
    }
}

fn seen(key: &RoomKey, room: &Room) -> RoomSeen {
    RoomSeen { key: key.clone(), last_seen_ms: None, alarm: room.alarm }
}

impl Reader for Memory {
    fn load(&self, room: &RoomHandle) -> Result<Option<StoredRoom>, StoreError> {
        let data = self.shared.data();
        let Some(stored) = data.rooms.get(room.key()) else { return Ok(None) };
        room.set_row(1);
        Ok(Some(StoredRoom { alarm: stored.alarm }))
    }

    fn get(&self, room: &RoomHandle, key: &str) -> Result<Option<Bytes>, StoreError> {
        let data = self.shared.data();
        Ok(data.rooms.get(room.key()).and_then(|room| room.values.get(key.as_bytes())).cloned())
    }

    fn list(
        &self,
        room: &RoomHandle,
        range: &KeyRange,
        reverse: bool,
        each: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let data = self.shared.data();
        let Some(stored) = data.rooms.get(room.key()) else { return Ok(()) };
        let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut forward = stored.values.range::<[u8], _>((Bound::Included(range.start.as_slice()), end));
        while let Some((key, value)) = if reverse { forward.next_back() } else { forward.next() } {
            if each(key, Some(value)).is_break() {
                break;
            }
        }
        Ok(())
    }
}
