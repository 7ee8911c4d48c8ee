//! What operators ask of an engine, and what it answers: which rooms are in memory, what one is made of, changes of its
//! storage. Asking never brings a room into memory, and never starts one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use partyrun_store::{ListOptions, RoomKey, StorageError};

/// In which order rooms are listed: the largest first, then by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomOrder {
    /// By party and id.
    #[default]
    Name,
    /// By the number of connections.
    Connections,
    /// By memory.
    Memory,
    /// By the time that their turns took.
    Cpu,
    /// By the time of the last event.
    LastEvent,
}

/// Which rooms in memory are wanted.
#[derive(Clone, Debug, Default)]
pub struct RoomQuery {
    /// Rooms of this party only.
    pub party: Option<String>,
    /// Rooms whose ids begin so.
    pub prefix: String,
    /// Those with an isolate, or those without.
    pub live: Option<bool>,
    /// Which come first.
    pub order: RoomOrder,
    /// Rooms behind this one, by its rank and name.
    pub after: Option<(u64, RoomKey)>,
    /// At most so many.
    pub limit: usize,
}

/// A room in memory, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomReport {
    /// Its name.
    pub key: RoomKey,
    /// Whether it has an isolate; one without is hibernated.
    pub live: bool,
    /// Its thread did not answer in time: nothing more is known of it now.
    pub busy: bool,
    /// Its WebSocket connections, those to other servers included.
    pub connections: usize,
    /// Bytes of its isolate, inside and outside of the heap. Where rooms share an isolate, those of all of them.
    pub memory_bytes: usize,
    /// What its turns took on their thread since it came into memory.
    pub cpu: Duration,
    /// When something happened to it last, in milliseconds since 1970.
    pub last_event_ms: i64,
    /// Events that wait for it.
    pub events_waiting: usize,
}

impl RoomReport {
    /// One of which nothing is known, because its thread does not answer.
    pub(crate) fn busy(key: RoomKey) -> Self {
        Self {
            key,
            live: true,
            busy: true,
            connections: 0,
            memory_bytes: 0,
            cpu: Duration::ZERO,
            last_event_ms: 0,
            events_waiting: 0,
        }
    }

    /// What it is sorted by; the larger comes first.
    pub fn rank(&self, order: RoomOrder) -> u64 {
        match order {
            RoomOrder::Name => 0,
            RoomOrder::Connections => self.connections as u64,
            RoomOrder::Memory => self.memory_bytes as u64,
            RoomOrder::Cpu => u64::try_from(self.cpu.as_micros()).unwrap_or(u64::MAX),
            RoomOrder::LastEvent => self.last_event_ms.unsigned_abs(),
        }
    }
}

impl RoomQuery {
    /// Whether a room of this name and state is wanted.
    pub(crate) fn wants(&self, key: &RoomKey, live: bool) -> bool {
        self.party.as_ref().is_none_or(|party| party == key.party())
            && key.id().starts_with(&self.prefix)
            && self.live.is_none_or(|wanted| wanted == live)
    }

    /// Puts reports into their order, and keeps those that are behind `after` and within `limit`.
    pub(crate) fn page(&self, mut reports: Vec<RoomReport>) -> Vec<RoomReport> {
        let place = |report: &RoomReport| (std::cmp::Reverse(report.rank(self.order)), report.key.clone());
        if let Some((rank, key)) = &self.after {
            let after = (std::cmp::Reverse(*rank), key.clone());
            reports.retain(|report| place(report) > after);
        }
        reports.sort_by_cached_key(place);
        reports.truncate(self.limit);
        reports
    }
}

/// A connection of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionReport {
    /// Its id; two may have the same.
    pub id: String,
    /// Its URL.
    pub uri: String,
    /// Its tags, without the id.
    pub tags: Vec<String>,
    /// Bytes of its state, in a room that may hibernate; the state of others lies in their heap.
    pub state_bytes: Option<usize>,
    /// Bytes that are queued for it.
    pub queue_bytes: usize,
}

/// A room in memory, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDetails {
    /// In short.
    pub report: RoomReport,
    /// Its connections, the oldest first; as many as were asked for.
    pub connections: Vec<ConnectionReport>,
    /// Whether its sockets outlive its isolate.
    pub hibernates: bool,
    /// `onStart`, `blockConcurrencyWhile` or a transaction keeps its events waiting.
    pub held: bool,
    /// When its alarm is due, in milliseconds since 1970, writes that are not durable included.
    pub alarm_ms: Option<i64>,
    /// Runs of `onAlarm` that have not ended.
    pub alarms_running: usize,
    /// Requests that it has not answered.
    pub requests_open: usize,
    /// Bytes of the events that wait for it.
    pub inbox_bytes: usize,
    /// Bytes that are queued for all of its sockets.
    pub queued_bytes: usize,
    /// Bytes of its writes that are not durable yet.
    pub undurable_bytes: usize,
}

/// What is to be read of a room's storage.
#[derive(Clone, Debug)]
pub struct StorageQuery {
    /// Which keys.
    pub options: ListOptions,
    /// The answer ends before so many bytes; one entry is given however long it is.
    pub bytes_max: usize,
}

/// What is to be changed in a room's storage: all of it, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// A key, and the checksum of the value that it must have; none: it must have no value.
    pub expected: Option<(String, Option<i64>)>,
    /// All keys are deleted first.
    pub clear: bool,
    /// Keys with their new values.
    pub puts: Vec<(String, Bytes)>,
    /// Keys that are deleted.
    pub deletes: Vec<String>,
    /// The alarm's new time in milliseconds since 1970, or none.
    pub alarm: Option<Option<i64>>,
}

impl Change {
    /// What it takes in memory while it waits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.puts.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

/// What is done to a room in memory.
#[derive(Clone, Debug)]
pub enum Act {
    /// Closes the connections with this id.
    Close {
        /// The id.
        id: String,
        /// The code of the close frame.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// Sends a text message to all connections.
    Broadcast(String),
    /// Takes the room out of memory if nothing is in progress and no socket needs it.
    Hibernate,
    /// The same, after its sockets were closed with 1012.
    Evict,
    /// Ends its life: its sockets are closed with 1011, what was durable stays.
    Reset,
}

/// What became of an [`Act`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It was done, to so many connections where it is about those.
    Done(usize),
    /// Something is in progress, or a socket needs the room.
    InProgress,
    /// The room is not in memory.
    Absent,
}

/// Why a room did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Its thread, or the room itself, did not come to it in time. Nothing was changed.
    #[error("the room is busy: an event of it, or of another room of its thread, has not ended")]
    Busy,
    /// The value is not the one that was expected.
    #[error("the value was changed meanwhile")]
    Changed,
    /// The store refused it.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The room's life ended before it was done.
    #[error("{0}")]
    Gone(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Who begins with a change first, does it: the room, or the one who waited for it and gives up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// True for the first who asks.
    pub(crate) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// How much of what is limited is used; the largest of a room's own are those of the room that has the most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Rooms with an isolate.
    pub live_rooms: usize,
    /// Rooms in memory without one.
    pub hibernated_rooms: usize,
    /// WebSocket connections of all rooms.
    pub connections: usize,
    /// Prepared isolates.
    pub spares: usize,
    /// Threads that did not answer in time.
    pub busy_threads: usize,
    /// By the name of the limit: what is used, and what may be.
    pub used: Vec<(&'static str, f64, f64)>,
}

/// What a worker adds to [`Usage`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkerUsage {
    pub(crate) live: usize,
    pub(crate) hibernated: usize,
    pub(crate) connections: usize,
    pub(crate) spares: usize,
    pub(crate) most: RoomUsage,
}

/// The most that one room uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoomUsage {
    pub(crate) connections: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) inbox_events: usize,
    pub(crate) inbox_bytes: usize,
    pub(crate) queued_bytes: usize,
    pub(crate) undurable_bytes: usize,
}

impl RoomUsage {
    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            connections: self.connections.max(other.connections),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            inbox_events: self.inbox_events.max(other.inbox_events),
            inbox_bytes: self.inbox_bytes.max(other.inbox_bytes),
            queued_bytes: self.queued_bytes.max(other.queued_bytes),
            undurable_bytes: self.undurable_bytes.max(other.undurable_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_in_every_order() {
        let report = |id: usize| RoomReport {
            connections: id % 3,
            ..RoomReport::busy(RoomKey::new("main", format!("room-{id:02}")))
        };
        let all: Vec<RoomReport> = (0..20).map(report).collect();
        for order in [RoomOrder::Name, RoomOrder::Connections] {
            let mut query = RoomQuery { order, limit: 7, ..RoomQuery::default() };
            let mut seen = Vec::new();
            loop {
                let page = query.page(all.clone());
                let Some(last) = page.last() else { break };
                query.after = Some((last.rank(order), last.key.clone()));
                seen.extend(page);
            }
            assert_eq!(seen.len(), 20);
            let sorted = |pair: &[RoomReport]| {
                let [a, b] = pair else { return false };
                (b.rank(order), &a.key) < (a.rank(order), &b.key) || a.rank(order) > b.rank(order)
            };
            assert!(seen.windows(2).all(sorted), "{order:?}");
        }
    }

    #[test]
    fn one_of_two_has_the_claim() {
        let claim = Claim::default();
        assert!(claim.take() && !claim.clone().take());
    }
}
