//! The table that leads to the worker of each room. What changes it, and when, `placement.rs` says.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use partyrun_store::RoomKey;

use crate::worker::mailbox::{Kind, Mailbox};

/// Where rooms are.
#[derive(Default)]
pub(crate) struct Placement {
    table: RwLock<Table>,
    pub(super) hasher: RandomState,
}

#[derive(Default)]
pub(super) struct Table {
    // By a name's hash; one worker may stand here more than once. Empty where each room has a thread of its own.
    pub(super) shares: Vec<Arc<Mailbox>>,
    pub(super) exceptions: HashMap<RoomKey, Arc<Mailbox>>,
    // Rooms that were slow when they left memory.
    pub(super) slow: HashMap<RoomKey, Instant>,
    pub(super) workers: HashMap<usize, Arc<Mailbox>>,
    pub(super) next_worker: usize,
}

impl Placement {
    /// The table, to look at.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table, to be changed.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All workers of rooms.
    pub(crate) fn workers(&self) -> Vec<Arc<Mailbox>> {
        self.read().workers.values().cloned().collect()
    }

    /// The worker that a room is on, or would be on; none where that one is still to be made.
    pub(crate) fn find(&self, room: &RoomKey) -> Option<Arc<Mailbox>> {
        self.read().find(room, &self.hasher).cloned()
    }
}

impl Table {
    /// The worker of a room; none where it is still to be made.
    pub(super) fn find(&self, room: &RoomKey, hasher: &RandomState) -> Option<&Arc<Mailbox>> {
        if let Some(mailbox) = self.exceptions.get(room) {
            return Some(mailbox);
        }
        if self.shares.is_empty() || self.slow.contains_key(room) {
            return None;
        }
        let place = hasher.hash_one(room) % self.shares.len() as u64;
        usize::try_from(place).ok().and_then(|place| self.shares.get(place))
    }

    /// How many workers of a kind there are.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.workers.values().filter(|mailbox| mailbox.kind == kind).count()
    }

    /// Among workers of a kind that are not held up, the one with the fewest rooms.
    pub(super) fn least_loaded(&self, is_one: impl Fn(&Mailbox) -> bool) -> Option<Arc<Mailbox>> {
        let fit = self.workers.values().filter(|mailbox| is_one(mailbox) && !mailbox.is_held());
        fit.min_by_key(|mailbox| mailbox.inbox().rooms.len()).cloned()
    }
}
