//! A worker as other threads see it, and what it asks of whoever knows where rooms are.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use partyrun_net::Seats;
use partyrun_store::RoomKey;
use tokio::sync::mpsc;

use crate::room::lodging::{Lodging, Parcel};
use crate::worker::message::Message;

/// What a worker asks about the place of rooms.
pub(crate) trait Whereabouts: Send + Sync {
    /// Takes a room into a worker that does not have it: answers the message for it if the room belongs there, and sends it
    /// to where it does otherwise.
    fn admit(&self, mailbox: &Arc<Mailbox>, room: &RoomKey, message: Message) -> Option<Message>;

    /// A room has left the memory of a worker. One that was `slow` starts elsewhere the next time.
    fn left(&self, mailbox: &Arc<Mailbox>, room: &RoomKey, slow: bool);

    /// A worker that nobody's name leads to has no rooms any more. True if it may end: nobody has sent it anything since.
    fn retire_worker(&self, mailbox: &Arc<Mailbox>) -> bool;
}

/// What a worker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The static handlers.
    Edge,
    /// Rooms whose names lead to it.
    Share,
    /// Rooms that were slow.
    Slow,
    /// One room.
    Room,
}

impl Kind {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Share => "share",
            Self::Slow => "slow",
            Self::Room => "room",
        }
    }
}

/// A worker as other threads see it: what it is sent, and which rooms it has in memory.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Which worker this is.
    pub(crate) id: usize,
    pub(crate) kind: Kind,
    sender: mpsc::UnboundedSender<Message>,
    inbox: Mutex<Waiting>,
    /// Names lead to it. Changes under the table's lock.
    pub(crate) shares: AtomicBool,
    /// One turn holds the worker up.
    pub(crate) held: AtomicBool,
    /// The connections that it serves.
    pub(crate) seats: Arc<Seats>,
    /// The rooms that hibernate with it, and some that have woken.
    resting: Mutex<HashMap<RoomKey, Arc<Lodging>>>,
}

/// The receiving end of a mailbox, which is a worker's, but for those who take from it what belongs elsewhere.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) receiver: mpsc::UnboundedReceiver<Message>,
    /// The rooms that the worker has in memory.
    pub(crate) rooms: HashSet<RoomKey>,
}

impl Mailbox {
    pub(crate) fn new(id: usize, kind: Kind) -> Arc<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let inbox = Mutex::new(Waiting { receiver, rooms: HashSet::new() });
        let shares = AtomicBool::new(kind == Kind::Share);
        let (held, seats) = (AtomicBool::new(false), Arc::default());
        Arc::new(Self { id, kind, sender, inbox, shares, held, seats, resting: Mutex::default() })
    }

    fn resting(&self) -> MutexGuard<'_, HashMap<RoomKey, Arc<Lodging>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A room hibernates.
    pub(crate) fn rests(&self, room: &RoomKey, lodging: Arc<Lodging>) {
        self.resting().insert(room.clone(), lodging);
    }

    /// A room leaves memory.
    pub(crate) fn no_longer_rests(&self, room: &RoomKey) {
        self.resting().remove(room);
    }

    /// Takes the rooms that hibernate with the worker, as long as they have no more than so many connections together.
    pub(crate) fn take_resting(&self, mut connections_max: usize) -> Vec<(RoomKey, Parcel)> {
        let mut taken = Vec::new();
        self.resting().retain(|room, lodging| match lodging.take(connections_max) {
            None => true,
            Some(parcel) => {
                connections_max -= parcel.connections.len();
                taken.push((room.clone(), parcel));
                false
            }
        });
        let mut inbox = self.inbox();
        for (room, _) in &taken {
            inbox.rooms.remove(room);
        }
        taken
    }

    /// What waits, and for which rooms.
    pub(crate) fn inbox(&self) -> MutexGuard<'_, Waiting> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the worker a message; one that has ended gives it back.
    #[expect(clippy::result_large_err, reason = "the message goes back where it came from")]
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        self.sender.send(message).map_err(|unsent| unsent.0)
    }

    /// The worker's next message; none when it is to end.
    pub(crate) async fn next(&self) -> Option<Message> {
        std::future::poll_fn(|context: &mut Context<'_>| -> Poll<Option<Message>> {
            self.inbox().receiver.poll_recv(context)
        })
        .await
    }

    /// How metrics name the worker: there are few whose number stays, and the others are counted by their kind.
    pub(crate) fn label(&self) -> String {
        match self.kind {
            Kind::Share => self.id.to_string(),
            other => other.name().to_string(),
        }
    }

    /// Whether the worker may end when it has no rooms.
    pub(crate) fn is_extra(&self) -> bool {
        self.kind != Kind::Edge && !self.shares.load(Ordering::Acquire)
    }

    /// Whether one turn holds the worker up.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// The worker has ended: who waits for it hears of it.
    pub(crate) fn close(&self) {
        let mut inbox = self.inbox();
        inbox.receiver.close();
        while inbox.receiver.try_recv().is_ok() {}
    }

    /// Waits until the worker has ended.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Takes what waits for rooms that the worker does not have, and connections that it has not taken; the rest stays, in its
    /// order.
    pub(crate) fn take_for_others(&self) -> Vec<Message> {
        let inbox = self.inbox();
        self.take_if(inbox, |message, rooms| {
            matches!(message, Message::Guest(_)) || message.room().is_some_and(|room| !rooms.contains(room))
        })
    }

    /// Takes what waits for static handlers; the rest stays, in its order.
    pub(crate) fn take_events(&self) -> Vec<Message> {
        self.take_if(self.inbox(), |message, _| message.is_for_handlers())
    }

    fn take_if(
        &self,
        mut inbox: MutexGuard<'_, Waiting>,
        wanted: impl Fn(&Message, &HashSet<RoomKey>) -> bool,
    ) -> Vec<Message> {
        let mut waiting = Vec::new();
        while let Ok(message) = inbox.receiver.try_recv() {
            waiting.push(message);
        }
        let (taken, kept): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|message| wanted(message, &inbox.rooms));
        for message in kept {
            let _ended = self.sender.send(message);
        }
        taken
    }
}
