//! How an engine gives its resting rooms to another process, or gets them from one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use partyrun_store::RoomKey;
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::room::lodging::Parcel;
use crate::worker::mailbox::Mailbox;
use crate::worker::message::Message;

/// What a worker gets beyond the time that its rooms have.
const MARGIN: Duration = Duration::from_millis(250);

impl Engine {
    /// Brings all rooms to rest, within `within`, makes durable what they wrote, and takes those that hibernate, with their
    /// sockets. No alarm is begun from here on. What does not come to rest stays as it is. [`Engine::go_on`] undoes it.
    pub async fn lift(&self, within: Duration) -> Vec<(RoomKey, Parcel)> {
        self.0.alarms_held.store(true, Ordering::Release);
        let until = Instant::now() + within;
        self.of_all(within + MARGIN, |reply| Message::HoldStill(until, reply)).await;
        // Whatever was sent to a room before this is handled before the room is taken.
        self.0.lifting.store(true, Ordering::Release);
        let parcels = self.of_all(within + MARGIN, Message::Lift).await;
        let (durable, written) = oneshot::channel();
        self.0.store.probe(Box::new(move |result| drop(durable.send(result))));
        let _unwritten = tokio::time::timeout(within, written).await;
        parcels.into_iter().flatten().collect()
    }

    /// Goes on after [`Engine::lift`], with the rooms that it gave.
    pub fn go_on(&self, parcels: Vec<(RoomKey, Parcel)>) {
        self.0.lifting.store(false, Ordering::Release);
        self.0.alarms_held.store(false, Ordering::Release);
        for worker in self.0.placement.workers() {
            let _gone = worker.send(Message::GoOn);
        }
        self.adopt(parcels);
    }

    /// Takes in rooms that hibernated elsewhere.
    pub fn adopt(&self, parcels: Vec<(RoomKey, Parcel)>) {
        for (room, parcel) in parcels {
            // An engine that stops closes their sockets by dropping them.
            let _stopping = self.0.send_to_room(&room, Message::Adopt(room.clone(), parcel));
        }
    }

    // Asks all workers at once. One that is held up by a long turn would not answer in time, and keeps what it has.
    async fn of_all<T>(&self, within: Duration, ask: impl Fn(oneshot::Sender<T>) -> Message) -> Vec<T> {
        let workers: Vec<Arc<Mailbox>> = self.0.placement.workers();
        let answers: Vec<_> = workers
            .iter()
            .filter(|worker| !worker.is_held())
            .filter_map(|worker| {
                let (reply, answer) = oneshot::channel();
                worker.send(ask(reply)).is_ok().then(|| tokio::time::timeout(within, answer))
            })
            .collect();
        let answers = futures_util::future::join_all(answers).await;
        answers.into_iter().filter_map(|answer| answer.ok()?.ok()).collect()
    }
}
