//! The engine: the workers of a project, which worker a room lives on, the edge, and the alarms.
//!
//! [`Engine::room`] is the way in for a request or a WebSocket handshake of a room. `placement.rs` says on which worker a
//! room is, so that it has at most one live instance anywhere in the process.

mod administration;
pub(crate) mod alarm_clock;
mod edges;
mod handover;
pub(crate) mod inner;
mod metrics;
pub(crate) mod placement;
pub(crate) mod relief;
pub(crate) mod table;
mod takeover;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, RwLock, Weak};
use std::time::Duration;

use partyrun_extensions::wire::NO_RETRY;
use partyrun_limits::Limits;
use partyrun_net::{Guest, Request, Response};
use partyrun_store::{RoomKey, Store};
use tokio::sync::oneshot;

use crate::api::{
    Before, Counts, CronOutcome, Fetched, Isolation, Observer, PartyDescription, Rejected, RoomCost,
    RoomState, StartError,
};
use crate::engine::edges::Edges;
use crate::engine::inner::{EDGE, Inner, read, stopping, write};
use crate::engine::table::Placement;
use crate::ground::inspect::Inspector;
use crate::ground::memory;
use crate::ground::overrun::Warnings;
use crate::ground::places::Places;
use crate::ground::program::Program;
use crate::ground::totals::Totals;
use crate::ground::watchdog::{Notice, Watchdog};
use crate::room::event::{self, Cron, Origin};
use crate::worker::mailbox::{Kind, Mailbox};
use crate::worker::message::Message;
use crate::worker::thread::WaitingWorker;

pub use inner::{EngineOptions, Warm, Workers};

/// What workers get to close their sockets, after the grace for their events.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);
/// How often, and how far apart, a room that was asked to leave is asked again.
const HIBERNATE_ATTEMPTS_MAX: usize = 40;
const HIBERNATE_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// The rooms and the edge of one project. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

impl Engine {
    /// Initializes V8 for these limits. Must be called once, on the main thread, before any engine starts.
    pub fn init_platform(limits: &Limits) {
        memory::set_v8_flags(limits);
        deno_core::JsRuntime::init_platform(None);
    }

    /// Begins with what needs no program yet, on a thread of its own: while a project is bundled.
    pub fn warm_up(limits: &Limits, inspector: Option<&Arc<Inspector>>) -> Option<Warm> {
        let mailbox = Mailbox::new(edges::FIRST, Kind::Edge);
        WaitingWorker::spawn(mailbox, EDGE.to_string(), Some((limits.clone(), inspector.cloned())))
            .ok()
            .map(Warm)
    }

    /// Starts the workers and evaluates the program in the edge isolate.
    pub async fn start(
        options: EngineOptions,
        program: Arc<Program>,
        store: Arc<dyn Store>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartError> {
        Self::start_warm(None, options, program, store, observer).await
    }

    /// The same with what [`Engine::warm_up`] began, under the same limits and inspector.
    pub async fn start_warm(
        warm: Option<Warm>,
        options: EngineOptions,
        program: Arc<Program>,
        store: Arc<dyn Store>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartError> {
        let engine: Arc<OnceLock<Weak<Inner>>> = Arc::default();
        let told = engine.clone();
        let tell = move |worker: usize, notice: Notice| {
            if let Some(inner) = told.get().and_then(Weak::upgrade) {
                inner.notice(worker, notice);
            }
        };
        let may_pause = options.inspector.as_ref().is_some_and(|inspector| inspector.pauses_on_start());
        let watchdog = Watchdog::start(&options.limits, may_pause, Box::new(tell))
            .map_err(|error| StartError::Machine(format!("the watchdog could not be started: {error}")))?;
        let places = Places::new(&options.limits, observer.clone());
        let totals = Totals::new(&options.limits);
        let inner = Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            options,
            store,
            observer,
            program: RwLock::new(program),
            parties: RwLock::new(Arc::from([])),
            placement: Placement::default(),
            warnings: Warnings::default(),
            edges: Edges::default(),
            watchdog,
            places,
            registry: Arc::default(),
            totals,
            stopping: AtomicBool::new(false),
            alarms_held: AtomicBool::new(false),
            lifting: AtomicBool::new(false),
            alarms_running: AtomicUsize::new(0),
            making_spare: Arc::default(),
        });
        let _first = engine.set(inner.this.clone());
        partyrun_telemetry::add_source(&inner);
        let (edge, parties) = inner.start_edge(warm).await?;
        inner.edges.replace(edge);
        *write(&inner.parties) = parties;
        if let Workers::Count(count) = inner.options.workers {
            for _ in 0..count.max(1) {
                inner.add_share()?;
            }
        }
        alarm_clock::start(&inner)?;
        relief::start(&inner)?;
        Ok(Self(inner))
    }

    /// What the parties' modules declare, as of the current program.
    pub fn parties(&self) -> Arc<[PartyDescription]> {
        read(&self.0.parties).clone()
    }

    /// Gives a request to a room; one that carries an upgrade is a WebSocket handshake, accepted with status 101.
    pub async fn room(&self, key: RoomKey, request: Request) -> Response {
        self.forward(key, request, true).await
    }

    /// Gives a room what [`Engine::before`] forwards.
    pub async fn forward(&self, key: RoomKey, request: Request, keeps_cf: bool) -> Response {
        let origin = if keeps_cf { Origin::Network } else { Origin::Handler };
        match self.0.ask_room(key, request, origin).await {
            Ok(response) => response,
            Err(Rejected(message)) => Response::text(500, message),
        }
    }

    /// Whether the thread of a room could serve connections now.
    pub fn lodges(&self, key: &RoomKey) -> bool {
        self.0.placement.find(key).is_some_and(|worker| !worker.is_held())
    }

    /// Gives a connection to the thread of a room; back if that cannot take it now.
    #[expect(clippy::result_large_err, reason = "the connection goes back where it came from")]
    pub fn lodge(&self, key: &RoomKey, guest: Guest) -> Result<(), Guest> {
        self.0.lodge(key, guest)
    }

    /// Calls the static `onBeforeConnect` (for a handshake) or `onBeforeRequest` of the room's party.
    pub async fn before(&self, key: RoomKey, request: Request) -> Before {
        let handler = if request.upgrade.is_some() { event::BEFORE_CONNECT } else { "onBeforeRequest" };
        let before =
            event::Before { handler, party: key.party().to_string(), room: key.id().to_string(), request };
        self.0
            .edge(|reply| Message::Before(before, reply))
            .await
            .unwrap_or_else(|| Before::Respond(Box::new(stopping())))
    }

    /// Calls the static `onFetch` of the main party.
    pub async fn edge_fetch(&self, request: Request) -> Fetched {
        self.0
            .edge(|reply| Message::Fetch(request, reply))
            .await
            .unwrap_or_else(|| Fetched::Respond(stopping()))
    }

    /// Calls the static `onSocket` of the main party with an accepted socket.
    pub async fn edge_socket(&self, request: Request) -> Response {
        self.0.edge(|reply| Message::Socket(request, reply)).await.unwrap_or_else(stopping)
    }

    /// Calls the static `onCron` of the main party.
    pub async fn cron(&self, name: String, expression: String, scheduled_ms: i64) -> CronOutcome {
        let cron = Cron { name, expression, scheduled_ms };
        let mut response = self.0.edge(|reply| Message::Cron(cron, reply)).await.unwrap_or_else(stopping);
        // The handler's side marks an answer after `noRetry()` with a reason that no client shall see.
        partyrun_telemetry::cron_ended(response.status < 400);
        let may_retry = response.reason.take().is_none_or(|reason| reason != NO_RETRY);
        CronOutcome { response, may_retry }
    }

    /// Takes a room out of memory now, as after its idle time. False if something is in progress or a socket needs it.
    /// What is about to end, such as a write that is not durable yet, gets a moment.
    pub async fn hibernate(&self, key: RoomKey) -> bool {
        for _ in 0..HIBERNATE_ATTEMPTS_MAX {
            let (reply, answer) = oneshot::channel();
            let Some(worker) = self.0.placement.find(&key) else { return true };
            if worker.send(Message::Hibernate(key.clone(), reply)).is_err() {
                return false;
            }
            if answer.await.unwrap_or(false) {
                return true;
            }
            tokio::time::sleep(HIBERNATE_AGAIN_AFTER).await;
        }
        false
    }

    /// Changes to a new program. Where it cannot be evaluated, the old one goes on.
    pub async fn swap(&self, program: Arc<Program>) -> Result<(), StartError> {
        self.swap_within(program, Duration::ZERO).await
    }

    /// The same, where a room that is at work goes on with the old program until it has nothing in progress, at most for
    /// `patience`.
    pub async fn swap_within(&self, program: Arc<Program>, patience: Duration) -> Result<(), StartError> {
        let old = std::mem::replace(&mut *write(&self.0.program), program.clone());
        let (edge, parties) = match self.0.start_edge(None).await {
            Ok(started) => started,
            Err(error) => {
                *write(&self.0.program) = old;
                return Err(error);
            }
        };
        let old_edges = self.0.edges.replace(edge);
        *write(&self.0.parties) = parties;
        for old_edge in old_edges {
            let _gone = old_edge.send(Message::Stop);
        }
        for worker in self.0.placement.workers() {
            let _gone = worker.send(Message::Swap(program.clone(), patience));
        }
        Ok(())
    }

    /// Stops: events in progress finish within `grace`, then sockets are closed with 1012, and what was written is made
    /// durable.
    pub async fn stop(&self, grace: Duration) {
        self.0.stopping.store(true, Ordering::Release);
        let edges = self.0.edges.take();
        let workers: Vec<Arc<Mailbox>> = self.0.placement.workers().into_iter().chain(edges).collect();
        for worker in &workers {
            let _gone = worker.send(Message::Drain(grace));
        }
        // A worker in an endless loop ends with the process.
        let ends = futures_util::future::join_all(workers.iter().map(|worker| worker.closed()));
        let _late = tokio::time::timeout(grace + DRAIN_MARGIN, ends).await;
        self.0.store.close();
    }

    /// The rooms that are in memory now, the hibernated ones included.
    pub async fn rooms(&self) -> Vec<RoomState> {
        let mut rooms = Vec::new();
        // One that is held up would not answer now.
        for worker in self.0.placement.workers().iter().filter(|worker| !worker.is_held()) {
            let (reply, answer) = oneshot::channel();
            if worker.send(Message::Rooms(reply)).is_ok() {
                rooms.extend(answer.await.unwrap_or_default());
            }
        }
        rooms
    }

    #[cfg(test)]
    pub(crate) fn kind_of_worker(&self, room: &RoomKey) -> Option<Kind> {
        self.0.placement.find(room).map(|worker| worker.kind)
    }

    #[cfg(test)]
    pub(crate) fn edge_count(&self) -> usize {
        self.0.edges.len()
    }

    #[cfg(test)]
    pub(crate) fn worker_count(&self) -> usize {
        self.0.placement.workers().len()
    }

    /// What a room takes, measured with one that nobody asked for: of the party whose import takes longest. None where rooms
    /// share isolates, and where each has a thread.
    pub async fn room_cost(&self) -> Option<RoomCost> {
        if self.0.options.isolation == Isolation::Worker {
            return None;
        }
        let workers = self.0.placement.workers();
        let worker = workers.iter().find(|worker| worker.kind == Kind::Share && !worker.is_held())?;
        let program = read(&self.0.program).clone();
        let longest = program.import_times().max_by_key(|(_, took)| *took).map(|(party, _)| party.clone());
        let (reply, answer) = oneshot::channel();
        worker.send(Message::Measure(longest.unwrap_or_else(|| "main".to_string()), reply)).ok()?;
        answer.await.ok()?
    }

    /// Counts what is in memory now. It asks every worker and waits for each: one that is held up by a long turn delays
    /// it.
    pub async fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for worker in self.0.placement.workers().iter().filter(|worker| !worker.is_held()) {
            let (reply, answer) = oneshot::channel();
            if worker.send(Message::Counts(reply)).is_ok()
                && let Ok((live, spares)) = answer.await
            {
                counts.live_rooms += live;
                counts.spares += spares;
            }
        }
        counts
    }
}
