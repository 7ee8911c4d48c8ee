//! How a worker's rooms come to rest, and leave for another process with their sockets.
//!
//! First sockets are read no more, and rooms that may hibernate do so as soon as they have nothing in progress. Then those
//! that rest are lifted. If the other process does not come up, [`Worker::go_on`] lets everything go on; the rooms that were
//! lifted come back as they do from another worker.

use std::rc::Rc;
use std::time::Instant;

use partyrun_store::RoomKey;
use partyrun_telemetry::Eviction;
use tokio::sync::oneshot;

use crate::room::actor::Actor;
use crate::room::lodging::Parcel;
use crate::worker::message::Message;
use crate::worker::{Held, Worker};

impl Worker {
    /// Begins to bring all rooms to rest.
    pub(super) fn hold_still(&mut self, until: Instant, reply: oneshot::Sender<()>) {
        self.held = Some(Held { until, reply: Some(reply) });
        for room in self.own_rooms() {
            room.sockets.borrow().hold_still();
            room.lodger.settle();
        }
    }

    /// Looks whether they rest.
    pub(super) fn settle(&mut self) {
        let Some(held) = &self.held else { return };
        let late = Instant::now() >= held.until;
        let idle = self.rooms.iter().filter(|(_, room)| room.at_rest());
        let idle: Vec<(RoomKey, Rc<Actor>)> = idle.map(|(key, room)| (key.clone(), room.clone())).collect();
        for (key, room) in idle {
            self.evict(&key, &room, Eviction::Asked);
        }
        let settled = self.isolates.mailbox.seats.is_empty()
            && self.own_rooms().iter().all(|room| {
                let settled = room.is_quiet() && (room.is_live() || room.sockets.borrow().is_still());
                room.lodger.settle();
                settled
            });
        if (settled || late)
            && let Some(reply) = self.held.as_mut().and_then(|held| held.reply.take())
        {
            let _gone = reply.send(());
        }
    }

    /// Gives the rooms that rest away.
    pub(super) fn lift(&mut self, reply: oneshot::Sender<Vec<(RoomKey, Parcel)>>) {
        let mut parcels = Vec::new();
        for (key, room) in self.rooms.iter().filter(|(_, room)| room.lodger.claim()) {
            // Others could take what is left of it.
            room.lodger.wake();
            self.isolates.mailbox.no_longer_rests(key);
            if let Some(parcel) = room.lift() {
                parcels.push((key.clone(), parcel));
            }
        }
        if let Err(parcels) = reply.send(parcels) {
            for (key, parcel) in parcels {
                self.handle(Message::Adopt(key, parcel));
            }
        }
    }

    /// Lets everything go on.
    pub(super) fn go_on(&mut self) {
        self.held = None;
        for room in self.own_rooms() {
            room.sockets.borrow().release();
            room.lodger.settle();
        }
    }

    // The rooms that no other worker has, claimed.
    fn own_rooms(&self) -> Vec<Rc<Actor>> {
        self.rooms.values().filter(|room| room.lodger.claim()).cloned().collect()
    }
}
