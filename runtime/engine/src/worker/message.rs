//! The messages that other threads send to a worker, and what each asks for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partyrun_net::{Guest, Request, Response};
use partyrun_store::{DueAlarm, Listed, RoomKey, StorageError, StoreError};
use tokio::sync::oneshot;

use crate::api::admin::{Act, Acted, RoomDetails, RoomQuery, RoomReport, StorageQuery, WorkerUsage};
use crate::api::{Before, Described, Fetched, RoomCost, RoomState, StartError};
use crate::ground::places::Full;
use crate::ground::program::Program;
use crate::room::event::{self, Origin};
use crate::room::lodging::Parcel;
use crate::room::requests::Answer;

/// How the commit of a batch ended.
pub(crate) struct Durable {
    /// The serial number of the room on its worker.
    pub(crate) room: u64,
    /// The life of its storage that wrote the batch.
    pub(crate) life: u32,
    /// The batch's number in that life.
    pub(crate) seq: u64,
    pub(crate) result: Result<(), StoreError>,
}

/// A question about rooms in memory. An answer `None` says that the room is not.
pub(crate) enum Ask {
    /// A page of them.
    List(RoomQuery, oneshot::Sender<Vec<RoomReport>>),
    /// Which of these are here.
    Which(Vec<RoomKey>, oneshot::Sender<Vec<RoomReport>>),
    /// One, with up to so many connections.
    Details(RoomKey, usize, oneshot::Sender<Option<RoomDetails>>),
    /// A part of its storage.
    Read(RoomKey, StorageQuery, oneshot::Sender<Option<Result<Listed, StorageError>>>),
    /// Something is to be done to it.
    Act(RoomKey, Act, oneshot::Sender<Acted>),
    /// How much is used.
    Usage(oneshot::Sender<WorkerUsage>),
}

/// What others ask of a worker.
pub(crate) enum Message {
    Request(RoomKey, Box<Request>, Origin, oneshot::Sender<Answer>),
    Alarm(DueAlarm),
    Durable(Durable),
    Hibernate(RoomKey, oneshot::Sender<bool>),
    Before(event::Before, oneshot::Sender<Before>),
    Fetch(Request, oneshot::Sender<Fetched>),
    Socket(Request, oneshot::Sender<Response>),
    Cron(event::Cron, oneshot::Sender<Response>),
    Describe(oneshot::Sender<Result<Described, StartError>>),
    /// Another program; rooms that are at work may go on with theirs for so long.
    Swap(Arc<Program>, Duration),
    Counts(oneshot::Sender<(usize, usize)>),
    /// What a room of this party takes.
    Measure(String, oneshot::Sender<Option<RoomCost>>),
    Rooms(oneshot::Sender<Vec<RoomState>>),
    /// An operator changes a room's storage.
    Change(RoomKey, Box<event::WantedChange>),
    /// An operator asks.
    Ask(Ask),
    Drain(Duration),
    /// A room finds no place: idle ones shall leave.
    MakeWay(Full),
    /// Memory has run out, and the isolate of this room uses the most.
    Relieve(RoomKey),
    /// What is left of a room that hibernated with a worker which is held up.
    Adopt(RoomKey, Parcel),
    /// Rooms that hibernated here were given to other workers.
    LetGo,
    /// A connection that asks a room of this worker again and again.
    Guest(Guest),
    /// Rooms shall come to rest until then, and sockets be read no more; the answer comes when that is so.
    HoldStill(Instant, oneshot::Sender<()>),
    /// The rooms that rest go to another process.
    Lift(oneshot::Sender<Vec<(RoomKey, Parcel)>>),
    /// Everything goes on after [`Message::HoldStill`].
    GoOn,
    Stop,
}

impl Message {
    /// The room that takes it, and comes into memory for it.
    pub(crate) fn room(&self) -> Option<&RoomKey> {
        match self {
            Self::Request(key, ..) | Self::Adopt(key, _) | Self::Change(key, _) => Some(key),
            Self::Alarm(due) => Some(&due.room),
            _ => None,
        }
    }

    /// Whether it calls a static handler.
    pub(crate) fn is_for_handlers(&self) -> bool {
        matches!(self, Self::Before(..) | Self::Fetch(..) | Self::Socket(..) | Self::Cron(..))
    }
}
