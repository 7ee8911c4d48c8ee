//! What all threads of an engine share, and what rooms and workers ask of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Instant;

use futures_util::future::BoxFuture;
use partyrun_limits::Limits;
use partyrun_net::{Request, Response};
use partyrun_store::{RoomKey, Store};
use tokio::sync::oneshot;

use crate::api::{Isolation, Observer, PartyDescription, RestartCode, Source, StartError};
use crate::engine::edges::Edges;
use crate::engine::table::Placement;
use crate::ground::inspect::Inspector;
use crate::ground::overrun::Warnings;
use crate::ground::places::{Full, Places};
use crate::ground::program::Program;
use crate::ground::pulse::Step;
use crate::ground::registry::Registry;
use crate::ground::totals::Totals;
use crate::ground::watchdog::Watchdog;
use crate::room::event::Origin;
use crate::room::requests::Answer;
use crate::room::shared::Neighbours;
use crate::worker::mailbox::{Kind, Mailbox};
use crate::worker::message::Message;
use crate::worker::setup::Setup;
use crate::worker::thread::{self, WaitingWorker};

/// The name of the edge's thread.
pub(super) const EDGE: &str = "edge";

/// How rooms are spread over threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many threads, each with many rooms.
    Count(usize),
    /// A thread for each room: slower, but it tells whether a bug comes from sharing a thread.
    PerRoom,
}

impl Default for Workers {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self::Count((2 * cores).max(4))
    }
}

/// What an engine is started with. The default is that of `partyrun start`, without a debugger.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// The limits in force.
    pub limits: Limits,
    /// How many threads rooms run on.
    pub workers: Workers,
    /// Which rooms share an isolate.
    pub isolation: Isolation,
    /// How messages to other servers are compressed, if those agree; none does not ask them.
    pub compression: Option<partyrun_net::Compression>,
    /// Where debuggers find the rooms; without it nothing can be debugged.
    pub inspector: Option<Arc<Inspector>>,
    /// What sockets hear that a restart ends.
    pub restart_code: RestartCode,
}

/// What all threads of an engine share.
pub(crate) struct Inner {
    pub(crate) options: EngineOptions,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(super) program: RwLock<Arc<Program>>,
    pub(super) parties: RwLock<Arc<[PartyDescription]>>,
    pub(crate) placement: Placement,
    pub(super) warnings: Warnings,
    pub(super) edges: Edges,
    pub(super) watchdog: Watchdog,
    pub(crate) places: Arc<Places>,
    pub(crate) registry: Arc<Registry>,
    pub(super) totals: Totals,
    pub(crate) stopping: AtomicBool,
    /// No alarm is begun.
    pub(super) alarms_held: AtomicBool,
    /// Rooms are on their way to another process: no other room comes into memory.
    pub(super) lifting: AtomicBool,
    pub(crate) alarms_running: AtomicUsize,
    pub(super) making_spare: Arc<AtomicBool>,
    pub(super) this: Weak<Inner>,
}

/// The beginnings of an engine ([`Engine::warm_up`]).
#[derive(Debug)]
pub struct Warm(pub(super) WaitingWorker);

impl Inner {
    /// Gives a request to a room. An error is what a stub's fetch rejects with.
    pub(super) async fn ask_room(&self, key: RoomKey, request: Request, origin: Origin) -> Answer {
        if self.stopping.load(Ordering::Acquire) || self.lifting.load(Ordering::Acquire) {
            return Ok(stopping());
        }
        let (reply, answer) = oneshot::channel();
        let message = Message::Request(key.clone(), Box::new(request), origin, reply);
        if self.send_to_room(&key, message).is_err() {
            return Ok(stopping());
        }
        // A dropped sender means that the room was retired in between: there is nobody who could answer.
        answer.await.unwrap_or_else(|_| Ok(Response::text(500, "The room was reset.")))
    }

    // An isolate that waits for a debugger at its start cannot be made in advance.
    fn spares(&self) -> usize {
        match &self.options.inspector {
            Some(inspector) if inspector.pauses_on_start() => 0,
            // A worker needs one isolate, which its first room makes.
            _ if self.options.isolation == Isolation::Worker => 0,
            _ => self.options.limits.spares_per_worker,
        }
    }

    /// Starts the thread of one more worker.
    pub(super) fn start_worker(&self, id: usize, kind: Kind) -> Result<Arc<Mailbox>, StartError> {
        let (name, spares) = match kind {
            Kind::Edge => (EDGE.to_string(), 0),
            Kind::Share => (format!("worker-{id}"), self.spares()),
            Kind::Slow => (format!("slow-{id}"), 0),
            Kind::Room => (format!("room-{id}"), 0),
        };
        thread::start(Mailbox::new(id, kind), name, self.setup(spares), &self.watchdog)
    }

    fn setup(&self, spares: usize) -> Setup {
        Setup {
            limits: self.options.limits.clone(),
            observer: self.observer.clone(),
            store: self.store.clone(),
            program: read(&self.program).clone(),
            inspector: self.options.inspector.clone(),
            isolation: self.options.isolation,
            compression: self.options.compression,
            neighbours: self.this.clone(),
            whereabouts: self.this.clone(),
            spares,
            making_spare: self.making_spare.clone(),
            places: self.places.clone(),
            registry: self.registry.clone(),
            totals: self.totals.clone(),
            restart_code: self.options.restart_code,
        }
    }

    /// A thread for the edge, with the current program evaluated.
    pub(super) async fn start_edge(
        &self,
        warm: Option<Warm>,
    ) -> Result<(Arc<Mailbox>, Arc<[PartyDescription]>), StartError> {
        let id = self.edges.next_id();
        let edge = match warm {
            Some(Warm(waiting)) => waiting.begin(self.setup(0), &self.watchdog)?,
            None => self.start_worker(id, Kind::Edge)?,
        };
        let (reply, answer) = oneshot::channel();
        let _gone = edge.send(Message::Describe(reply));
        let described =
            answer.await.map_err(|_| StartError::Machine("the edge ended while it started".to_string()))?;
        match described {
            Ok(described) => match described.problem {
                None => Ok((edge, described.parties.into())),
                Some(problem) => {
                    let _gone = edge.send(Message::Stop);
                    Err(StartError::Export { party: problem.0, problem: problem.1 })
                }
            },
            Err(error) => {
                let _gone = edge.send(Message::Stop);
                Err(error)
            }
        }
    }

    /// Asks the edge; none where it is gone.
    pub(super) async fn edge<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        if !self.edges.send(message(reply)) {
            return None;
        }
        answer.await.ok()
    }
}

impl Neighbours for Inner {
    fn ask(self: Arc<Self>, key: RoomKey, request: Request, origin: Origin) -> BoxFuture<'static, Answer> {
        Box::pin(async move { self.ask_room(key, request, origin).await })
    }

    fn make_way(&self, why: &Full) {
        if !self.places.may_ask() {
            return;
        }
        for worker in self.placement.workers() {
            let _gone = worker.send(Message::MakeWay(why.clone()));
        }
    }

    fn alarm_left(&self) {
        self.alarms_running.fetch_sub(1, Ordering::AcqRel);
    }

    fn warns_of(&self, source: &Source, step: Step) -> bool {
        self.warnings.is_due(source, step, self.options.limits.slow_rooms_max, Instant::now())
    }
}

/// What is answered while the server stops.
pub(super) fn stopping() -> Response {
    Response::text(503, "The server is stopping.")
}

/// What the lock guards: a thread that panicked with it has left a whole value behind.
pub(super) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// The same, to be changed.
pub(super) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
