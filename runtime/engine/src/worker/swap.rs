//! How a worker's rooms change to another program: each when nothing of it is in progress, or when its patience is over. New rooms
//! have it at once. Rooms that share an isolate change together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partyrun_store::RoomKey;

use crate::ground::program::Program;
use crate::worker::{Swapping, Worker};

impl Worker {
    /// Begins to change to another program.
    pub(super) fn swap(&mut self, program: Arc<Program>, patience: Duration) {
        self.isolates.swap(program);
        let live = self.rooms.iter().filter(|(_, room)| room.is_live());
        let rooms = live.map(|(key, _)| key.clone()).collect();
        self.swapping = Some(Swapping { rooms, until: Instant::now() + patience });
        self.swap_on();
        self.isolates.refill();
    }

    /// Goes on with it.
    pub(super) fn swap_on(&mut self) {
        let Some(Swapping { rooms, until }) = self.swapping.take() else { return };
        let late = Instant::now() >= until;
        let (due, busy): (Vec<RoomKey>, Vec<RoomKey>) = rooms
            .into_iter()
            .filter(|key| self.rooms.get(key).is_some_and(|room| room.is_live()))
            .partition(|key| late || self.rooms.get(key).is_none_or(|room| room.is_quiet()));
        let (due, busy) = match &self.common {
            Some(_) if !busy.is_empty() => (Vec::new(), [due, busy].concat()),
            Some(common) => {
                common.end_isolate();
                (due, busy)
            }
            None => (due, busy),
        };
        for key in due {
            if let Some(room) = self.rooms.get(&key).cloned()
                && room.swap()
            {
                self.rests(&key, &room);
            }
        }
        if !busy.is_empty() {
            self.swapping = Some(Swapping { rooms: busy, until });
        }
    }
}
