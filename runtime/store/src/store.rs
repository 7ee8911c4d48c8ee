//! The boundary between rooms and a database: [`Store`] for the process, [`Reader`] for one worker thread.
//!
//! A [`Store`] takes batches (all writes of one turn of one room, atomic) and says when each is durable; batches of one
//! room are committed in the order in which they were given. It also answers which alarms are due. A [`Reader`] reads
//! what is committed. Implementations: SQLite for `.partyrun/`, memory for `--persist false`.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;

use crate::{RoomKey, StoreError};

/// Called once per batch, on the store's own thread, when the batch is durable or will never be. It must not block.
pub type CommitCallback = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Called with a wall-clock time in milliseconds when an alarm before all announced ones is committed.
pub type AlarmHook = Arc<dyn Fn(i64) + Send + Sync>;

/// Takes one key and value of a list; breaks when it has enough. No value: it was altered on disk.
pub type Visit<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> ControlFlow<()> + 'a;

/// A database of rooms, opened once per project.
pub trait Store: Send + Sync {
    /// Opens a reader for the calling thread.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// Makes a batch durable and then calls `done`. Never blocks; batches of one room keep their order.
    fn commit(&self, batch: Batch, done: CommitCallback);

    /// The wall-clock time of the earliest alarm that is not running. It is also what later commits are compared with
    /// before the hook is called, so a scheduler asks again after each wake-up.
    fn next_alarm(&self) -> Result<Option<i64>, StoreError>;

    /// Takes up to `limit` alarms whose time has come, earliest first. A taken alarm is not given again before its room
    /// ends it ([`crate::RoomStorage::end_alarm`], durable) or [`Store::release_alarm`] is called, or the process ends.
    fn alarms_due(&self, now_ms: i64, limit: usize) -> Result<Vec<DueAlarm>, StoreError>;

    /// Gives a taken alarm back when its room could not run or could not store the outcome; it is due again at
    /// `retry_at_ms`, this process only.
    fn release_alarm(&self, room: &RoomKey, retry_at_ms: i64);

    /// Sets the hook for alarms earlier than all announced ones; it replaces an earlier hook.
    fn on_earlier_alarm(&self, hook: AlarmHook);

    /// Opens a look over all rooms for the calling thread.
    fn survey(&self) -> Result<Box<dyn Survey>, StoreError>;

    /// Writes to the disk what changes nothing, behind all batches given so far, and then calls `done`: whether a batch
    /// could be made durable now.
    fn probe(&self, done: CommitCallback);

    /// The files on disk by what they are, with their lengths in bytes; none where there are none.
    fn file_bytes(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// A descriptor with the lock of the data folder, for the process that takes over; none where there is no folder.
    fn lock(&self) -> Option<OwnedFd> {
        None
    }

    /// Finishes all batches given so far and closes the database. Later batches fail.
    fn close(&self);
}

/// Reads committed values; belongs to one thread.
pub trait Reader {
    /// Looks the room up; `None` if nothing was ever stored for it.
    fn load(&self, room: &RoomHandle) -> Result<Option<StoredRoom>, StoreError>;

    /// Reads one value; [`StoreError::Altered`] if it is not the one that was written.
    fn get(&self, room: &RoomHandle, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Visits the entries in `range` in byte order (or its reverse) until `each` breaks.
    fn list(
        &self,
        room: &RoomHandle,
        range: &KeyRange,
        reverse: bool,
        each: &mut Visit<'_>,
    ) -> Result<(), StoreError>;
}

/// Keys from `start` (inclusive) up to `end` (exclusive), as UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may be in the range.
    pub start: Vec<u8>,
    /// The first key after the range; `None` leaves the end open.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_ref().is_none_or(|end| key < end.as_slice())
    }
}

/// What a store knows of a room besides its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRoom {
    /// Its alarm, if it has one.
    pub alarm: Option<StoredAlarm>,
}

/// An alarm as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAlarm {
    /// When it is due, as wall-clock time in milliseconds since 1970.
    pub at_ms: i64,
    /// How often its handler has failed so far.
    pub attempt: u32,
    /// Its handler has been started and has not ended.
    pub running: bool,
}

/// An alarm whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAlarm {
    /// The room to wake.
    pub room: RoomKey,
    /// The time for which it was set, in milliseconds since 1970. A room whose alarm has another time by now ignores
    /// it.
    pub scheduled_ms: i64,
    /// Failed runs so far.
    pub attempt: u32,
}

/// A change of a room's alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmWrite {
    /// Due at `at_ms`; `attempt` runs have failed.
    Set {
        /// Wall-clock time in milliseconds.
        at_ms: i64,
        /// Failed runs so far.
        attempt: u32,
    },
    /// The room has no alarm any more.
    Clear,
    /// The handler is being started: an alarm that is still marked at the next start of the process is tried again.
    Start,
}

/// One life of a room in memory, shared by its batches and the store.
#[derive(Debug)]
pub struct RoomHandle {
    key: RoomKey,
    row: AtomicI64,
    failed: AtomicBool,
    last_seen_ms: AtomicI64,
}

impl RoomHandle {
    pub(crate) fn new(key: RoomKey) -> Self {
        Self { key, row: AtomicI64::new(0), failed: AtomicBool::new(false), last_seen_ms: AtomicI64::new(0) }
    }

    /// The room's name.
    pub fn key(&self) -> &RoomKey {
        &self.key
    }

    /// The store's number of the room; 0 as long as it is not known to have one.
    pub fn row(&self) -> i64 {
        self.row.load(Ordering::Acquire)
    }

    /// Remembers the store's number of the room, once it is committed.
    pub fn set_row(&self, row: i64) {
        self.row.store(row, Ordering::Release);
    }

    /// Whether a batch of this life has failed; later ones must fail too, or the room's data would have a hole.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Marks this life as failed, for good: the store refuses its later batches.
    pub fn set_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// When the store last noted that the room lives.
    pub(crate) fn last_seen_ms(&self) -> i64 {
        self.last_seen_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_seen_ms(&self, now_ms: i64) {
        self.last_seen_ms.store(now_ms, Ordering::Relaxed);
    }
}

/// All writes of one turn of one room: committed together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The room's life that wrote it.
    pub room: Arc<RoomHandle>,
    /// Its number in that life, from 1 upwards.
    pub seq: u64,
    /// All older values are deleted before `writes` apply.
    pub clear: bool,
    /// Keys in byte order with their new values; `None` deletes.
    pub writes: Vec<(Arc<str>, Option<Bytes>)>,
    /// The change of the room's alarm, if the turn made one.
    pub alarm: Option<AlarmWrite>,
    /// The alarm's run has ended: the store may give it out again when it is due.
    pub alarm_ended: bool,
}

impl Batch {
    /// Whether there is anything to write; a batch may also exist only to end an alarm's run.
    pub fn writes_anything(&self) -> bool {
        self.clear || !self.writes.is_empty() || self.alarm.is_some()
    }
}

/// Entries that [`Survey::room`] counts at most.
pub const ENTRIES_COUNTED_MAX: usize = 10_000;

/// Which rooms [`Survey::rooms`] gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomsPage {
    /// Rooms of this party only.
    pub party: Option<String>,
    /// Rooms whose ids begin so.
    pub prefix: String,
    /// Rooms behind this one, by party and id.
    pub after: Option<RoomKey>,
    /// At most so many.
    pub limit: usize,
}

/// A room as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSeen {
    /// Its name.
    pub key: RoomKey,
    /// When it was noted last that the room lives, in milliseconds since 1970; not known to a store without a disk.
    pub last_seen_ms: Option<i64>,
    /// Its alarm, if it has one.
    pub alarm: Option<StoredAlarm>,
}

/// How much a room has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredSize {
    /// How many keys have a value.
    pub entries: u64,
    /// How long keys and values are together.
    pub bytes: u64,
    /// There are more than [`ENTRIES_COUNTED_MAX`]; the rest is not counted.
    pub more: bool,
}

/// Looks over the rooms of a store, on the thread that opened it.
pub trait Survey {
    /// A page of the rooms that ever stored something, by party and id.
    fn rooms(&self, page: &RoomsPage) -> Result<Vec<RoomSeen>, StoreError>;

    /// One room without its size; `None` if it never stored anything.
    fn seen(&self, room: &RoomKey) -> Result<Option<RoomSeen>, StoreError>;

    /// One room; `None` if it never stored anything.
    fn room(&self, room: &RoomKey) -> Result<Option<(RoomSeen, StoredSize)>, StoreError>;

    /// Rooms with alarms, the next first, behind `after` (a time and a room).
    fn alarms(&self, after: Option<&(i64, RoomKey)>, limit: usize) -> Result<Vec<RoomSeen>, StoreError>;
}
