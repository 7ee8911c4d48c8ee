//! What operators ask of a worker. It answers between turns, of the rooms that it has, and brings none into memory for a
//! question. Only a change of storage brings one: without an isolate, and until the change is durable.

use std::rc::Rc;

use partyrun_store::RoomKey;
use partyrun_telemetry::{Eviction, Reset};

use crate::api::admin::{Act, Acted, RoomOrder, RoomQuery, RoomReport, RoomUsage, WorkerUsage};
use crate::room::actor::Actor;
use crate::worker::Worker;
use crate::worker::message::Ask;

impl Worker {
    /// Answers an operator.
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::List(query, reply) => {
                let _gone = reply.send(self.list(&query));
            }
            Ask::Which(keys, reply) => {
                let here = keys.iter().filter_map(|key| self.present(key));
                let _gone = reply.send(here.filter_map(|room| room.report(true)).collect());
            }
            Ask::Details(key, connections_max, reply) => {
                let _gone = reply.send(self.present(&key).and_then(|room| room.details(connections_max)));
            }
            Ask::Read(key, query, reply) => {
                let _gone = reply.send(self.present(&key).and_then(|room| room.read(&query)));
            }
            Ask::Act(key, act, reply) => {
                // Who gave up was told that nothing was done.
                if !reply.is_closed() {
                    let acted = self.act(&key, act);
                    let _gone = reply.send(acted);
                }
            }
            Ask::Usage(reply) => {
                let _gone = reply.send(self.usage());
            }
        }
    }

    // A page of the rooms. All are measured only where that decides which are on it.
    fn list(&self, query: &RoomQuery) -> Vec<RoomReport> {
        let by_memory = query.order == RoomOrder::Memory;
        let wanted = self
            .rooms
            .iter()
            .filter(|(key, room)| query.wants(key, room.is_live()) && !room.lodger.is_gone());
        let mut page = query.page(wanted.filter_map(|(_, room)| room.report(by_memory)).collect());
        for report in page.iter_mut().filter(|_| !by_memory) {
            report.memory_bytes = self.rooms.get(&report.key).map_or(0, |room| room.memory_bytes(true));
        }
        page
    }

    // A room that is here, to be looked at; one that hibernates may be taken by another worker meanwhile.
    fn present(&self, key: &RoomKey) -> Option<&Rc<Actor>> {
        self.rooms.get(key).filter(|room| !room.lodger.is_gone())
    }

    fn act(&mut self, key: &RoomKey, act: Act) -> Acted {
        let Some(room) = self.rooms.get(key).cloned() else { return Acted::Absent };
        if !room.lodger.claim() {
            self.abandon(key, &room);
            return Acted::Absent;
        }
        // Its connections are about to change: nobody may take them as they were.
        room.lodger.wake();
        match act {
            Act::Close { id, code, reason } => Acted::Done(room.close_connections(&id, code, &reason)),
            Act::Broadcast(text) => Acted::Done(room.broadcast(&text)),
            Act::Hibernate if self.hibernate(key, Eviction::Asked) => Acted::Done(0),
            Act::Hibernate => Acted::InProgress,
            Act::Evict => self.evict_now(key, &room),
            Act::Reset => {
                room.reset(Reset::Asked, "an operator asked for it");
                if room.is_empty() {
                    self.retire(key, &room);
                }
                Acted::Done(0)
            }
        }
    }

    fn evict_now(&mut self, key: &RoomKey, room: &Rc<Actor>) -> Acted {
        if !room.is_quiet() {
            return Acted::InProgress;
        }
        let mut sockets = room.sockets.borrow_mut();
        let count = sockets.len();
        sockets.close_all(1012, "Service Restart");
        drop(sockets);
        self.evict(key, room, Eviction::Asked);
        Acted::Done(count)
    }

    fn usage(&self) -> WorkerUsage {
        let mut usage = WorkerUsage { spares: self.isolates.spare_count(), ..WorkerUsage::default() };
        for room in self.rooms.values().filter(|room| !room.lodger.is_gone()) {
            let own = room.usage();
            *(if room.is_live() { &mut usage.live } else { &mut usage.hibernated }) += 1;
            usage.connections += own.connections;
            usage.most = RoomUsage::max(usage.most, own);
        }
        usage
    }
}
