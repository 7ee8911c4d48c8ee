//! What a room tells operators of itself. It is asked between turns, on its own thread, and nothing is started for it.

use std::time::Instant;

use partyrun_store::{Listed, StorageError};

use crate::api::admin::{RoomDetails, RoomReport, RoomUsage, StorageQuery};
use crate::room::actor::Actor;

impl Actor {
    /// The room in short, with its memory `measured` or as it was known last; `None` for the edge.
    pub(crate) fn report(&self, measured: bool) -> Option<RoomReport> {
        let quiet = Instant::now().saturating_duration_since(self.inbox.last_event());
        let quiet_ms = i64::try_from(quiet.as_millis()).unwrap_or(i64::MAX);
        Some(RoomReport {
            key: self.key()?.clone(),
            live: self.is_live(),
            busy: false,
            connections: self.sockets.borrow().len(),
            memory_bytes: self.memory_bytes(measured),
            cpu: self.rest.took(),
            last_event_ms: partyrun_store::now_ms().saturating_sub(quiet_ms),
            events_waiting: self.inbox.len(),
        })
    }

    /// What its isolate has in memory, if it has one.
    pub(crate) fn memory_bytes(&self, measured: bool) -> usize {
        if self.is_live() { self.home.memory_bytes(measured) } else { 0 }
    }

    /// The room with up to so many of its connections.
    pub(crate) fn details(&self, connections_max: usize) -> Option<RoomDetails> {
        let records = self.records.as_ref()?;
        // A store that cannot be read says so elsewhere. Alone, because a borrow inside of a value lasts as long as its making.
        let alarm_ms = records.storage().borrow_mut().get_alarm().ok().flatten();
        let undurable_bytes = records.storage().borrow().undurable_bytes();
        Some(RoomDetails {
            report: self.report(true)?,
            connections: self.sockets.borrow().reports(connections_max),
            hibernates: self.rest.hibernates(),
            held: !self.is_ready() && self.is_live(),
            alarm_ms,
            alarms_running: self.alarms.len(),
            requests_open: self.requests.len(),
            inbox_bytes: self.inbox.bytes(),
            queued_bytes: self.sockets.borrow().queued().used(),
            undurable_bytes,
        })
    }

    /// What counts against the limits of a room.
    pub(crate) fn usage(&self) -> RoomUsage {
        RoomUsage {
            connections: self.sockets.borrow().len(),
            memory_bytes: self.memory_bytes(false),
            inbox_events: self.inbox.len(),
            inbox_bytes: self.inbox.bytes(),
            queued_bytes: self.sockets.borrow().queued().used(),
            undurable_bytes: self
                .records
                .as_ref()
                .map_or(0, |records| records.storage().borrow().undurable_bytes()),
        }
    }

    /// A part of its storage as the room itself sees it: with open transactions, and with what is not durable yet.
    pub(crate) fn read(&self, query: &StorageQuery) -> Option<Result<Listed, StorageError>> {
        let storage = self.records.as_ref()?.storage();
        Some(storage.borrow_mut().list_within(&query.options, query.bytes_max))
    }
}
