//! The engine: the workers of a project, which worker a room lives on, the edge, and the alarms.
//!
//! [`Engine::room`] is the way in for a request or a WebSocket handshake of a room. A room's name decides its worker, so
//! that it has at most one live instance anywhere in the process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use partyrun_extensions::{BindingCall, BindingReply};
use partyrun_limits::Limits;
use partyrun_net::{Request, Response};
use partyrun_store::{RoomKey, Store};
use tokio::sync::{mpsc, oneshot};

use crate::alarms;
use crate::edge::PartyDescription;
use crate::event::{self, Cron, Origin};
use crate::inspect::Inspector;
use crate::memory;
use crate::program::Program;
use crate::watchdog::Watchdog;
use crate::worker::{self, Message, Setup, WaitingWorker};

/// What workers get to close their sockets, after the grace for their events.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);
/// How often, and how far apart, a room that was asked to leave is asked again.
const HIBERNATE_ATTEMPTS_MAX: usize = 40;
const HIBERNATE_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// The name of the edge's thread.
const EDGE: &str = "edge";
/// How often a message is offered to a room whose worker ends at the same moment.
const SEND_ATTEMPTS_MAX: usize = 3;

/// Where console output comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A room.
    Room(RoomKey),
    /// The static handlers.
    Edge,
}

/// How urgent console output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `console.debug`.
    Debug,
    /// `console.log`, `console.info`.
    Log,
    /// `console.warn`.
    Warn,
    /// `console.error`, and errors that the runtime reports.
    Error,
}

/// What the engine tells and asks the process that it runs in.
pub trait Observer: Send + Sync {
    /// User code, or the runtime on its behalf, printed `text`, which ends with a line feed.
    fn console(&self, source: &Source, level: Level, text: &str);

    /// `assets.fetch(path)`: the file, or `None` where there is none.
    fn assets(&self, path: String) -> BoxFuture<'static, Option<Response>>;

    /// A call of a local binding (spec 2.14); an error is what the caller's promise rejects with.
    fn binding(&self, call: BindingCall) -> BoxFuture<'static, Result<BindingReply, String>> {
        let refused = format!("there is no local {} here", call.kind);
        Box::pin(async move { Err(refused) })
    }
}

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

/// What an engine is started with.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// The limits in force.
    pub limits: Limits,
    /// The threads.
    pub workers: Workers,
    /// Where debuggers find the rooms; without it nothing can be debugged.
    pub inspector: Option<Arc<Inspector>>,
}

/// What a static `onBeforeConnect` or `onBeforeRequest` decided.
#[derive(Debug)]
pub enum Before {
    /// This is the answer.
    Respond(Response),
    /// The room gets this request.
    Forward {
        /// The request as the handler left it.
        request: Request,
        /// Whether `request.cf` goes with it: a request that was made anew has none.
        keeps_cf: bool,
    },
}

/// What a static `onFetch` decided.
#[derive(Debug)]
pub enum Fetched {
    /// This is the answer.
    Respond(Response),
    /// It returned nothing; the request goes on without its body.
    Pass(Request),
}

/// How a run of `onCron` ended.
#[derive(Debug)]
pub struct CronOutcome {
    /// What a run by hand answers: 200, or 500 with the message.
    pub response: Response,
    /// The handler did not call `noRetry()`.
    pub may_retry: bool,
}

/// As js/80_edge.js says it.
const NO_RETRY: &str = "no retry";

/// Why an engine, or a new program, could not start.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// The project's code: an exception with its stack, or a handler of the wrong type.
    #[error("{0}")]
    Program(String),
    /// The machine.
    #[error("{0}")]
    Machine(String),
}

/// How much is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rooms with an isolate.
    pub live_rooms: usize,
    /// Prepared isolates.
    pub spares: usize,
}

/// A room that is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomState {
    /// Its name.
    pub key: RoomKey,
    /// Whether it has an isolate; one without is hibernated.
    pub live: bool,
    /// Its WebSocket connections.
    pub connections: usize,
}

type Sender = mpsc::UnboundedSender<Message>;

pub(crate) struct Inner {
    pub(crate) options: EngineOptions,
    pub(crate) store: Arc<dyn Store>,
    observer: Arc<dyn Observer>,
    program: RwLock<Arc<Program>>,
    parties: RwLock<Arc<[PartyDescription]>>,
    workers: RwLock<Vec<Sender>>,
    per_room: Mutex<HashMap<RoomKey, Sender>>,
    edge: RwLock<Option<Sender>>,
    watchdog: Watchdog,
    hasher: RandomState,
    pub(crate) stopping: AtomicBool,
    pub(crate) alarms_running: AtomicUsize,
    making_spare: Arc<AtomicBool>,
    this: Weak<Inner>,
}

/// The beginnings of an engine ([`Engine::warm_up`]).
#[derive(Debug)]
pub struct Warm(WaitingWorker);

/// The rooms and the edge of one project. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

impl Engine {
    /// Initializes V8. Must be called once, on the main thread, before any engine starts.
    pub fn init_platform() {
        memory::set_v8_flags();
        deno_core::JsRuntime::init_platform(None);
    }

    /// Begins with what needs no program yet, on a thread of its own: while a project is bundled.
    pub fn warm_up(limits: &Limits, inspector: Option<&Arc<Inspector>>) -> Option<Warm> {
        WaitingWorker::spawn(EDGE.to_string(), Some((limits.clone(), inspector.cloned()))).ok().map(Warm)
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
        let watchdog = Watchdog::start(options.limits.turn_cpu_max)
            .map_err(|error| StartError::Machine(format!("the watchdog could not be started: {error}")))?;
        let inner = Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            options,
            store,
            observer,
            program: RwLock::new(program),
            parties: RwLock::new(Arc::from([])),
            workers: RwLock::default(),
            per_room: Mutex::default(),
            edge: RwLock::default(),
            watchdog,
            hasher: RandomState::new(),
            stopping: AtomicBool::new(false),
            alarms_running: AtomicUsize::new(0),
            making_spare: Arc::default(),
        });
        let (edge, parties) = inner.start_edge(warm).await?;
        *write(&inner.edge) = Some(edge);
        *write(&inner.parties) = parties;
        if let Workers::Count(count) = inner.options.workers {
            for number in 0..count.max(1) {
                let worker = inner.start_worker(format!("worker-{number}"), inner.spares(), None)?;
                write(&inner.workers).push(worker);
            }
        }
        alarms::start(&inner)?;
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
        match self.0.ask(key, request, origin).await {
            Ok(response) => response,
            Err(message) => Response::text(500, message),
        }
    }

    /// Calls the static `onBeforeConnect` (for a handshake) or `onBeforeRequest` of the room's party.
    pub async fn before(&self, key: RoomKey, request: Request) -> Before {
        let handler = if request.upgrade.is_some() { "onBeforeConnect" } else { "onBeforeRequest" };
        let before =
            event::Before { handler, party: key.party().to_string(), room: key.id().to_string(), request };
        self.0
            .edge(|reply| Message::Before(before, reply))
            .await
            .unwrap_or_else(|| Before::Respond(stopping()))
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
        let may_retry = response.reason.take().is_none_or(|reason| reason != NO_RETRY);
        CronOutcome { response, may_retry }
    }

    /// Takes a room out of memory now, as after its idle time. False if something is in progress or a socket needs it.
    /// What is about to end, such as a write that is not durable yet, gets a moment.
    pub async fn hibernate(&self, key: RoomKey) -> bool {
        for _ in 0..HIBERNATE_ATTEMPTS_MAX {
            let (reply, answer) = oneshot::channel();
            let sent = self
                .0
                .worker_of(&key)
                .is_ok_and(|worker| worker.send(Message::Hibernate(key.clone(), reply)).is_ok());
            if !sent {
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
        let old = std::mem::replace(&mut *write(&self.0.program), program.clone());
        let (edge, parties) = match self.0.start_edge(None).await {
            Ok(started) => started,
            Err(error) => {
                *write(&self.0.program) = old;
                return Err(error);
            }
        };
        let old_edge = write(&self.0.edge).replace(edge);
        *write(&self.0.parties) = parties;
        if let Some(old_edge) = old_edge {
            let _gone = old_edge.send(Message::Stop);
        }
        for worker in self.0.all_workers() {
            let _gone = worker.send(Message::Swap(program.clone()));
        }
        Ok(())
    }

    /// Stops: events in progress finish within `grace`, then sockets are closed with 1012, and what was written is made
    /// durable.
    pub async fn stop(&self, grace: Duration) {
        self.0.stopping.store(true, Ordering::Release);
        let edge = write(&self.0.edge).take();
        let workers: Vec<Sender> = self.0.all_workers().into_iter().chain(edge).collect();
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
        for worker in self.0.all_workers() {
            let (reply, answer) = oneshot::channel();
            if worker.send(Message::Rooms(reply)).is_ok() {
                rooms.extend(answer.await.unwrap_or_default());
            }
        }
        rooms
    }

    /// How much is in memory now.
    pub async fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for worker in self.0.all_workers() {
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

impl Inner {
    /// Gives a request to a room. An error is what a stub's fetch rejects with.
    pub(crate) async fn ask(
        &self,
        key: RoomKey,
        request: Request,
        origin: Origin,
    ) -> Result<Response, String> {
        if self.stopping.load(Ordering::Acquire) {
            return Ok(stopping());
        }
        let (reply, answer) = oneshot::channel();
        let mut message = Message::Request(key.clone(), request, origin, reply);
        // A worker that serves one room may have ended with it just now; then there is a new one.
        for attempt in 0.. {
            let worker = self.worker_of(&key).map_err(|error| error.to_string())?;
            match worker.send(message) {
                Ok(()) => break,
                Err(_) if attempt == SEND_ATTEMPTS_MAX => return Ok(stopping()),
                Err(mpsc::error::SendError(unsent)) => message = unsent,
            }
        }
        // A dropped sender means that the room was retired in between: there is nobody who could answer.
        answer.await.unwrap_or_else(|_| Ok(Response::text(500, "The room was reset.")))
    }

    pub(crate) fn worker_of(&self, key: &RoomKey) -> Result<Sender, StartError> {
        let workers = read(&self.workers);
        if !workers.is_empty() {
            let place = (self.hasher.hash_one(key) % workers.len() as u64) as usize;
            return workers.get(place).cloned().ok_or_else(|| StartError::Machine("no worker".to_string()));
        }
        drop(workers);
        let mut per_room = self.per_room.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = per_room.get(key) {
            return Ok(worker.clone());
        }
        let worker = self.start_worker(format!("room {}", key.id()), 0, Some(key))?;
        per_room.insert(key.clone(), worker.clone());
        Ok(worker)
    }

    // An isolate that waits for a debugger at its start cannot be made in advance.
    fn spares(&self) -> usize {
        match &self.options.inspector {
            Some(inspector) if inspector.pauses_on_start() => 0,
            _ => self.options.limits.spares_per_worker,
        }
    }

    /// The worker of one room wants to end. It may if nobody has sent it anything more; from then on the room gets a new
    /// worker.
    pub(crate) fn retire_worker(
        &self,
        key: &RoomKey,
        receiver: &mut mpsc::UnboundedReceiver<Message>,
    ) -> bool {
        let mut per_room = self.per_room.lock().unwrap_or_else(PoisonError::into_inner);
        if !receiver.is_empty() {
            return false;
        }
        per_room.remove(key);
        drop(per_room);
        receiver.close();
        // Somebody may have looked the worker up before, and sent only now.
        while let Ok(message) = receiver.try_recv() {
            if let Ok(worker) = self.worker_of(key) {
                let _gone = worker.send(message);
            }
        }
        true
    }

    fn all_workers(&self) -> Vec<Sender> {
        let mut workers = read(&self.workers).clone();
        workers.extend(self.per_room.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
        workers
    }

    fn start_worker(
        &self,
        name: String,
        spares: usize,
        only: Option<&RoomKey>,
    ) -> Result<Sender, StartError> {
        worker::start(self.setup(name, spares, only), &self.watchdog)
    }

    fn setup(&self, name: String, spares: usize, only: Option<&RoomKey>) -> Setup {
        Setup {
            limits: self.options.limits.clone(),
            observer: self.observer.clone(),
            store: self.store.clone(),
            program: read(&self.program).clone(),
            inspector: self.options.inspector.clone(),
            engine: self.this.clone(),
            spares,
            making_spare: self.making_spare.clone(),
            only: only.cloned(),
            name,
        }
    }

    // A thread for the edge, with the current program evaluated.
    async fn start_edge(&self, warm: Option<Warm>) -> Result<(Sender, Arc<[PartyDescription]>), StartError> {
        let edge = match warm {
            Some(Warm(waiting)) => waiting.begin(self.setup(EDGE.to_string(), 0, None), &self.watchdog)?,
            None => self.start_worker(EDGE.to_string(), 0, None)?,
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
                    Err(StartError::Program(problem))
                }
            },
            Err(error) => {
                let _gone = edge.send(Message::Stop);
                Err(error)
            }
        }
    }

    async fn edge<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let edge = read(&self.edge).clone()?;
        let (reply, answer) = oneshot::channel();
        edge.send(message(reply)).ok()?;
        answer.await.ok()
    }
}

fn stopping() -> Response {
    Response::text(503, "The server is stopping.")
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
