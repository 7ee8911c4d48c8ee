//! How a room finds its place among those of the process.

use std::rc::Rc;
use std::time::{Duration, Instant};

use partyrun_telemetry::limit_hit;

use crate::ground::places::Full;
use crate::room::actor::Actor;
use crate::room::event::Event;
use crate::room::http::busy;

/// How often a room looks for a place while it has none.
const LOOK_EVERY: Duration = Duration::from_millis(25);

impl Actor {
    /// Whether the room has, or finds, a place. Without one it waits a while for idle rooms to make way; then its requests
    /// are refused, and everything else waits on.
    pub(crate) fn finds_place(self: &Rc<Self>) -> bool {
        let placing = &self.placing;
        if self.key().is_none() || placing.place.borrow().is_some() {
            return true;
        }
        let wakes = self.sockets.borrow().any_hibernated();
        self.startup.awaited(wakes);
        let why = match self.shared.places.take(wakes) {
            Ok(place) => {
                *placing.place.borrow_mut() = Some(place);
                placing.unplaced_since.set(None);
                return true;
            }
            Err(why) => why,
        };
        let since = placing.unplaced_since.get().unwrap_or_else(Instant::now);
        placing.unplaced_since.set(Some(since));
        if since.elapsed() >= self.shared.limits.room_place_wait_max {
            self.refuse_requests(&why);
        } else if let Ok(engine) = self.shared.neighbours() {
            engine.make_way(&why);
        }
        if !self.inbox.is_empty() && !placing.looks_again.replace(true) {
            let room = Rc::downgrade(self);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Some(room) = room.upgrade() {
                    room.placing.looks_again.set(false);
                    room.wake();
                }
            });
        }
        false
    }

    fn refuse_requests(&self, why: &Full) {
        let _nobody_waits = self.startup.take_awaited();
        let asks = |event: &Event| matches!(event, Event::Request(..) | Event::Connect(..));
        let limits = &self.shared.limits;
        for event in self.inbox.take_if(asks) {
            self.shared.places.refused(why);
            match why {
                Full::Rooms => limit_hit!(rooms_max),
                Full::Memory(_) => limit_hit!(memory_share_max),
            }
            self.refuse(event, || {
                let limit = limits.cite(match why {
                    Full::Rooms => "rooms_max",
                    Full::Memory(_) => "memory_share_max",
                });
                busy(limits, &format!("This server has no place for another room at the moment ({limit})."))
            });
        }
    }
}
