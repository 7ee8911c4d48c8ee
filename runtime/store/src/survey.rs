//! Looking over all rooms of a store: pages of their names, when their alarms are due, how much one has stored.
//!
//! Each call reads a bounded part along an index, so that a page of a hundred thousand rooms costs as much as one of a
//! hundred. What is read is what is committed.

use crate::{RoomKey, StoreError, StoredAlarm};

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
