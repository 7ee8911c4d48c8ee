//! An actor: a room, or the edge. It has an inbox, at most one isolate, and everything of it that outlives the isolate.
//!
//! A task of the worker polls it: each poll is one turn, which enters the isolate once, gives it all waiting events with a
//! microtask checkpoint after each, lets deno_core dispatch timers and finished ops, leaves, and then hands on what the
//! turn wrote and said (see `output_gate.rs`). Ops reach the actor through `host.rs` while the isolate is entered; they never
//! touch the isolate itself.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use deno_core::v8;
use partyrun_extensions::wire;
use partyrun_limits::{Budget, Charge};
use partyrun_net::{Response, SocketBudgets, SocketEvent};
use partyrun_store::{RoomKey, RoomStorage, TransactionId};
use tokio::sync::oneshot;

use crate::Source;
use crate::ground::overrun;
use crate::ground::places::{Full, Place};
use crate::ground::pulse::{Overrun, Step};
use crate::ground::totals::Totals;
use crate::isolate::{CallError, Entered, Isolate, call, text};
use crate::room::alarms::RunningAlarm;
use crate::room::event::{Event, Waiting, dispatch};
use crate::room::http::busy;
use crate::room::inbox::Inbox;
use crate::room::output_gate::Gate;
use crate::room::sockets::Sockets;
use crate::worker::Shared;

/// Events that one turn may take before other rooms of the worker get theirs.
const EVENTS_PER_TURN_MAX: usize = 256;

/// How often a room looks for a place while it has none.
const PLACE_LOOK_EVERY: Duration = Duration::from_millis(25);
/// Under pressure idle rooms leave after this part of their time.
const PRESSED_DIVISOR: u32 = 10;

/// How far the room's start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Not begun, or failed: the next event begins it.
    New,
    /// Waits for `onStart`.
    Starting,
    /// Done.
    Started,
}

/// A request that waits for its answer, with what is needed to forward it.
pub(crate) struct Request {
    pub(crate) waiting: Waiting,
    pub(crate) peer: std::net::SocketAddr,
    pub(crate) reason: Option<String>,
    pub(crate) upgrade: Option<partyrun_net::Upgrade>,
    pub(crate) url: Option<partyrun_net::RequestUrl>,
    pub(crate) method: http::Method,
    pub(crate) headers: Option<http::HeaderMap>,
    /// What its body may take while it waits to be read.
    pub(crate) body: Option<Charge>,
}

impl Request {
    /// One that is not forwarded.
    pub(crate) fn new(waiting: Waiting, peer: std::net::SocketAddr) -> Self {
        let method = http::Method::GET;
        Self { waiting, peer, reason: None, upgrade: None, url: None, method, headers: None, body: None }
    }
}

pub(crate) struct Actor {
    pub(crate) source: Source,
    pub(crate) serial: u64,
    pub(crate) shared: Rc<Shared>,
    pub(crate) sockets: RefCell<Sockets>,
    pub(crate) requests: RefCell<HashMap<u32, Request>>,
    next_request: Cell<u32>,
    pub(crate) storage: Option<RefCell<RoomStorage>>,
    /// Counts the storages that the room has had: a new one follows a failed write.
    pub(crate) life: Cell<u32>,
    pub(crate) transactions: RefCell<Vec<TransactionId>>,
    pub(crate) alarms: RefCell<HashMap<u32, RunningAlarm>>,
    pub(crate) gate: Gate,
    undurable: Budget,
    undurable_counted: Cell<usize>,
    /// Of long answers that their clients have not read.
    pub(crate) answers: Budget,
    /// Of streamed request bodies.
    pub(crate) bodies: Budget,
    pub(crate) held: Cell<bool>,
    pub(crate) hibernates: Cell<bool>,
    pub(crate) start: Cell<Start>,
    pub(crate) start_failure: RefCell<Option<String>>,
    pub(crate) reset_reason: RefCell<Option<String>>,
    pub(crate) waits: Cell<i32>,
    inbox: RefCell<Inbox>,
    // The isolate's place among those of the process.
    place: RefCell<Option<Place>>,
    // Since when the room has waited for a place, and whether it will look again by itself.
    unplaced_since: Cell<Option<Instant>>,
    looks_again: Cell<bool>,
    isolate: RefCell<Option<Isolate>>,
    waker: RefCell<Option<Waker>>,
    last_event: Cell<Instant>,
    // A socket was told to stop reading, because the inbox was full.
    choked: Cell<bool>,
    // Garbage was collected since the last event.
    tidied: Cell<bool>,
    // The event loop has something pending: timers, fetches.
    busy: Cell<bool>,
    closed: Cell<bool>,
    turns: Cell<u32>,
    /// A step took long since the room came to this worker.
    pub(crate) slow: Cell<bool>,
}

impl Actor {
    pub(crate) fn new(source: Source, serial: u64, shared: Rc<Shared>) -> Rc<Self> {
        let storage = match &source {
            Source::Room(key) => Some(RefCell::new(shared.store.room(key.clone()))),
            Source::Edge => None,
        };
        let (limits, totals) = (&*shared.limits, &shared.totals);
        let inbox = Inbox::new(limits, totals.inbox(limits));
        let budgets = SocketBudgets {
            unfinished: Rc::new(totals.unfinished(limits)),
            queued: Rc::new(totals.send_queues(limits)),
        };
        let (held, answers, undurable) =
            (totals.held(limits), totals.answers(limits), totals.undurable(limits));
        let bodies = Totals::bodies(limits);
        Rc::new(Self {
            source,
            serial,
            shared,
            sockets: RefCell::new(Sockets::new(budgets)),
            requests: RefCell::default(),
            next_request: Cell::new(1),
            storage,
            life: Cell::new(0),
            transactions: RefCell::default(),
            alarms: RefCell::default(),
            gate: Gate::new(held),
            answers,
            bodies,
            undurable,
            undurable_counted: Cell::new(0),
            held: Cell::new(false),
            hibernates: Cell::new(false),
            start: Cell::new(Start::New),
            start_failure: RefCell::default(),
            reset_reason: RefCell::default(),
            waits: Cell::new(0),
            inbox: RefCell::new(inbox),
            place: RefCell::default(),
            unplaced_since: Cell::new(None),
            looks_again: Cell::new(false),
            isolate: RefCell::default(),
            waker: RefCell::default(),
            last_event: Cell::new(Instant::now()),
            choked: Cell::new(false),
            tidied: Cell::new(false),
            busy: Cell::new(false),
            closed: Cell::new(false),
            turns: Cell::new(0),
            slow: Cell::new(false),
        })
    }

    /// The room's name; the edge has none.
    pub(crate) fn key(&self) -> Option<&RoomKey> {
        match &self.source {
            Source::Room(key) => Some(key),
            Source::Edge => None,
        }
    }

    /// Adds an event. [`Actor::wake`] makes its turn come.
    pub(crate) fn push(&self, event: Event) {
        self.last_event.set(Instant::now());
        self.tidied.set(false);
        self.inbox.borrow_mut().push(event);
    }

    /// Takes what a socket said, and what JavaScript was not given yet, out of the inbox.
    pub(crate) fn take_socket_events(&self, index: u32) -> Vec<SocketEvent<'static>> {
        self.inbox.borrow_mut().take_of_socket(index)
    }

    /// Makes the actor's task run.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether no more should be read from sockets for now.
    pub(crate) fn inbox_full(&self) -> bool {
        self.inbox.borrow().is_full()
    }

    /// Remembers a request until it is answered, and answers its id.
    pub(crate) fn remember(&self, request: Request) -> u32 {
        let id = self.reserve();
        self.keep(id, request);
        id
    }

    /// The next request's id. Ids stay small integers for V8, and 0 means none.
    pub(crate) fn reserve(&self) -> u32 {
        let id = self.next_request.get();
        self.next_request.set(if id >= wire::ID_MAX { 1 } else { id + 1 });
        id
    }

    /// Remembers a request under an id from [`Actor::reserve`].
    pub(crate) fn keep(&self, id: u32, request: Request) {
        self.requests.borrow_mut().insert(id, request);
    }

    /// One turn. Ready when the actor is gone for good.
    pub(crate) fn poll(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.closed.get() {
            return Poll::Ready(());
        }
        self.park(context.waker());
        self.shared.note_activity();
        let outcome = self.turn(context);
        let overrun = self.shared.pulse.take_overrun();
        if let Some(overrun) = &overrun {
            self.overran(overrun);
        }
        if let Err(error) = outcome {
            self.fail_turn(&error, overrun);
        }
        self.gate.end_of_turn(self);
        if let Some(reason) = self.reset_reason.take() {
            self.reset(&reason);
        }
        if self.start.get() == Start::Started
            && let Some(place) = &mut *self.place.borrow_mut()
        {
            place.settle();
        }
        self.resume_sockets();
        Poll::Pending
    }

    fn park(&self, waker: &Waker) {
        let mut parked = self.waker.borrow_mut();
        if !parked.as_ref().is_some_and(|parked| parked.will_wake(waker)) {
            *parked = Some(waker.clone());
        }
    }

    /// Whether a socket must stop reading; if so, it is told when it may go on.
    pub(crate) fn chokes(&self) -> bool {
        let full = self.inbox_full();
        if full {
            self.choked.set(true);
        }
        full
    }

    // Most turns find nobody waiting: looking at every socket of a large room after each turn would cost more than it.
    fn resume_sockets(&self) {
        if self.choked.get() && !self.inbox_full() {
            self.choked.set(false);
            self.sockets.borrow().resume();
        }
    }

    fn turn(self: &Rc<Self>, context: &mut Context<'_>) -> Result<(), CallError> {
        let mut slot = self.isolate.borrow_mut();
        if slot.is_none() {
            if self.inbox.borrow().is_empty() || !self.finds_place() {
                return Ok(());
            }
            let isolate = self.shared.isolate(&self.source)?;
            isolate.slot().bind(self);
            self.register(&isolate);
            *slot = Some(isolate);
        }
        let Some(isolate) = slot.as_mut() else { return Ok(()) };
        if self.key().is_none() && self.start.get() != Start::Started && self.inbox.borrow().is_empty() {
            // Nothing to do before `describe` has seen the modules.
            return Ok(());
        }
        let pulse = self.shared.pulse.clone();
        if isolate.poll_ready(&pulse, &self.shared.limits, context)?.is_pending() {
            return Ok(());
        }
        let outcome = isolate.turn(&pulse, Step::Later, |entered| self.run(entered, context));
        if matches!(outcome, Err(CallError::Terminated)) {
            return outcome;
        }
        self.keep_code_cache(isolate);
        outcome
    }

    // The cache is made again after a few events: by then the functions that events need are compiled.
    fn keep_code_cache(&self, isolate: &mut Isolate) {
        let turns = self.turns.get();
        self.turns.set(turns.saturating_add(1));
        if turns == 3 && self.shared.claim_code_cache(isolate) {
            isolate.make_code_cache();
        }
    }

    fn run(self: &Rc<Self>, entered: &mut Entered<'_>, context: &mut Context<'_>) -> Result<(), CallError> {
        if self.start.get() == Start::New && !self.inbox.borrow().is_empty() {
            match self.key() {
                Some(_) => self.begin_start(entered)?,
                // The edge was reset: its new isolate must be told again what it runs.
                None => drop(self.describe_in(entered)?),
            }
        }
        self.deliver(entered)?;
        self.step(Step::Later)?;
        let idle = match entered.poll_event_loop(context) {
            Poll::Pending => false,
            Poll::Ready(result) => {
                result?;
                true
            }
        };
        self.busy.set(!idle);
        // The event loop may have ended a start or released a hold: what waited for it goes now.
        self.deliver(entered)?;
        if !self.inbox.borrow().is_empty() && self.ready_for_events() {
            context.waker().wake_by_ref();
        }
        Ok(())
    }

    // What runs from now on is `step`.
    fn step(&self, step: Step) -> Result<(), CallError> {
        if self.shared.pulse.step(step) { Err(CallError::Terminated) } else { Ok(()) }
    }

    // A room that gets an isolate takes a place first. Without one it waits a while for idle rooms to make way; then its
    // requests are refused, and everything else waits on.
    fn finds_place(self: &Rc<Self>) -> bool {
        if self.key().is_none() || self.place.borrow().is_some() {
            return true;
        }
        let wakes = self.sockets.borrow().any_hibernated();
        let why = match self.shared.places.take(wakes) {
            Ok(place) => {
                *self.place.borrow_mut() = Some(place);
                self.unplaced_since.set(None);
                return true;
            }
            Err(why) => why,
        };
        let since = self.unplaced_since.get().unwrap_or_else(Instant::now);
        self.unplaced_since.set(Some(since));
        if since.elapsed() >= self.shared.limits.room_place_wait_max {
            self.refuse_requests(&why);
        } else if let Ok(engine) = self.shared.engine() {
            engine.make_way(&why);
        }
        if !self.inbox.borrow().is_empty() && !self.looks_again.replace(true) {
            let room = Rc::downgrade(self);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(PLACE_LOOK_EVERY).await;
                if let Some(room) = room.upgrade() {
                    room.looks_again.set(false);
                    room.wake();
                }
            });
        }
        false
    }

    fn register(&self, isolate: &Isolate) {
        if let (Some(place), Some(key)) = (&mut *self.place.borrow_mut(), self.key()) {
            let (memory, handle) = (isolate.memory().clone(), isolate.handle().clone());
            let worker = self.shared.mailbox.clone();
            place.registered = Some(self.shared.registry.add(key.clone(), memory, handle, worker));
        }
    }

    /// Memory has run out. Resets the room if it is still this life of it that uses the most.
    pub(crate) fn relieve(&self) {
        let beyond = self.isolate.borrow().as_ref().and_then(|isolate| isolate.memory().beyond("it"));
        if let Some(reason) = beyond {
            self.reset(&reason);
        }
    }

    fn refuse_requests(&self, why: &Full) {
        let asks = |event: &Event| matches!(event, Event::Request(..) | Event::Connect(..));
        let requests = self.inbox.borrow_mut().take_if(asks);
        for event in requests {
            self.shared.places.refused(why);
            let text = "This server has no place for another room at the moment.";
            self.refuse(event, || busy(&self.shared.limits, text));
        }
    }

    fn ready_for_events(&self) -> bool {
        !self.held.get()
            && self.reset_reason.borrow().is_none()
            && (self.key().is_none() || self.start.get() == Start::Started)
    }

    fn deliver(self: &Rc<Self>, entered: &mut Entered<'_>) -> Result<(), CallError> {
        self.fail_first_if_start_failed();
        if self.inbox.borrow().is_empty() || !self.ready_for_events() {
            return Ok(());
        }
        let delivered = entered.scope(|scope, calls| {
            for _ in 0..EVENTS_PER_TURN_MAX {
                if !self.ready_for_events() {
                    break;
                }
                let Some(event) = self.inbox.borrow_mut().pop() else { break };
                self.step(event.step())?;
                v8::scope!(let scope, scope);
                dispatch(scope, calls, wire::FIRST_ROOM, event)?;
                scope.perform_microtask_checkpoint();
                if scope.is_execution_terminating() {
                    return Err(CallError::Terminated);
                }
            }
            Ok(())
        });
        delivered.unwrap_or(Ok(()))
    }

    // Calls `start` of js/70_room.js.
    fn begin_start(self: &Rc<Self>, entered: &mut Entered<'_>) -> Result<(), CallError> {
        let Some(key) = self.key().cloned() else { return Ok(()) };
        self.step(Step::Start)?;
        self.start.set(Start::Starting);
        let program = self.shared.program.borrow().clone();
        let started = entered.scope(|scope, calls| {
            let info = serde_json::json!({
                "id": key.id(),
                "party": key.party(),
                "internalId": key.internal_id(),
                "env": program.env,
                "parties": program.parties,
                "resources": program.resources,
            });
            let info =
                deno_core::serde_v8::to_v8(scope, info).map_err(|_| CallError::Failed("starting a room"))?;
            let restored = self.restored(scope)?;
            let room = v8::Integer::new_from_unsigned(scope, wire::FIRST_ROOM).into();
            let outcome = call(scope, &calls.start, &[room, info, restored])?;
            let outcome = outcome.uint32_value(scope).unwrap_or(wire::START_FAILED);
            scope.perform_microtask_checkpoint();
            Ok::<u32, CallError>(outcome)
        });
        match started.unwrap_or(Ok(wire::START_FAILED))? {
            wire::STARTED => self.start.set(Start::Started),
            // `op_room_started` ends it: perhaps it has already.
            wire::STARTING => {}
            _ => self.start.set(Start::New),
        }
        Ok(())
    }

    // The connections that outlived the isolate, RESTORED_FIELDS values each.
    fn restored<'s>(&self, scope: &mut v8::PinScope<'s, '_>) -> Result<v8::Local<'s, v8::Value>, CallError> {
        let sockets = self.sockets.borrow();
        let mut values: Vec<v8::Local<v8::Value>> = Vec::new();
        for (index, connection) in sockets.hibernated() {
            values.push(v8::Integer::new_from_unsigned(scope, index).into());
            values.push(text(scope, &connection.id)?);
            values.push(text(scope, &connection.uri)?);
            let tags: Vec<v8::Local<v8::Value>> =
                connection.tags.iter().map(|tag| text(scope, tag)).collect::<Result<_, _>>()?;
            values.push(v8::Array::new_with_elements(scope, &tags).into());
            values.push(match &connection.attachment {
                None => v8::undefined(scope).into(),
                Some(bytes) => {
                    let length = bytes.len();
                    let store = v8::ArrayBuffer::new_backing_store_from_vec(bytes.clone()).make_shared();
                    let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
                    let view = v8::Uint8Array::new(scope, buffer, 0, length);
                    view.ok_or(CallError::Failed("restoring a connection"))?.into()
                }
            });
        }
        Ok(v8::Array::new_with_elements(scope, &values).into())
    }

    /// `onStart` has ended; `failure` is empty when it went well.
    pub(crate) fn started(&self, failure: &str) {
        if failure.is_empty() {
            self.start.set(Start::Started);
        } else {
            self.start.set(Start::New);
            *self.start_failure.borrow_mut() = Some(failure.to_string());
        }
        self.wake();
    }

    // The event that began a failed start is answered with the failure; the next event tries again (spec 2.3 [P]).
    fn fail_first_if_start_failed(&self) {
        let Some(failure) = self.start_failure.take() else { return };
        let event = self.inbox.borrow_mut().pop();
        if let Some(event) = event {
            self.refuse(event, || Response::text(500, failure));
        }
        if !self.inbox.borrow().is_empty() {
            self.wake();
        }
    }

    // Answers an event that will not be given to user code.
    fn refuse(&self, event: Event, response: impl FnOnce() -> Response) {
        match event {
            Event::Request(id, ..)
            | Event::Before(id, _)
            | Event::Fetch(id, _)
            | Event::Socket(id, _)
            | Event::Cron(id, _) => self.answer(id, response()),
            Event::Connect(index, ..) => self.sockets.borrow_mut().refuse(index, response()),
            Event::End(index, _) => self.sockets.borrow_mut().remove(index),
            Event::Alarm(token, _) => self.alarm_done(token, false),
            Event::Text(..) | Event::Binary(..) => {}
        }
    }

    /// Answers a request at once.
    pub(crate) fn answer(&self, id: u32, response: Response) {
        let Some(request) = self.requests.borrow_mut().remove(&id) else { return };
        // Whoever asked may have gone away meanwhile.
        match request.waiting {
            Waiting::Room(sender) => drop(sender.send(Ok(response))),
            Waiting::Before(sender) => drop(sender.send(crate::Before::Respond(response))),
            Waiting::Fetch(sender) => drop(sender.send(crate::Fetched::Respond(response))),
            Waiting::Plain(sender) => drop(sender.send(response)),
        }
    }

    fn fail_turn(&self, error: &CallError, overrun: Option<Overrun>) {
        let (pulse, limits) = (&self.shared.pulse, &self.shared.limits);
        let subject = pulse.last_step().subject();
        let beyond = self.isolate.borrow().as_ref().and_then(|isolate| isolate.memory().beyond(subject));
        let ended = overrun.and_then(|overrun| Some((overrun.step, overrun.ended?)));
        let reason = match (error, ended) {
            (CallError::Terminated, _) if beyond.is_some() => beyond.unwrap_or_default(),
            (CallError::Terminated, Some((step, limit))) => overrun::time(step, limit, limits),
            (CallError::Terminated, None) => {
                format!("{subject} was ended by a debugger")
            }
            (other, _) => other.to_string(),
        };
        self.reset_soon(&reason);
    }

    /// Resets the room at the end of this turn; what it says from now on is not sent.
    pub(crate) fn reset_soon(&self, reason: &str) {
        self.gate.shut();
        self.reset_reason.borrow_mut().get_or_insert_with(|| reason.to_string());
    }

    /// Ends this life of the room: the isolate goes, requests are answered with `reason` (in production it stands in
    /// the log only), sockets are closed with 1011.
    /// What was durable stays; what the turn wrote or wanted to say is forgotten.
    pub(crate) fn reset(&self, reason: &str) {
        self.shared.report_reset(&self.source, reason);
        let concealed = self.shared.program.borrow().conceal_errors;
        let reason = if concealed { "The room was reset." } else { reason };
        self.gate.discard();
        if let Some(storage) = &self.storage {
            storage.borrow_mut().discard_turn();
        }
        self.transactions.borrow_mut().clear();
        self.drop_isolate();
        let events = self.inbox.borrow_mut().take();
        for event in events {
            self.refuse(event, || Response::text(500, reason));
        }
        self.fail_alarms();
        let ids: Vec<u32> = self.requests.borrow().keys().copied().collect();
        for id in ids {
            self.answer(id, Response::text(500, reason));
        }
        self.sockets.borrow_mut().close_all(1011, reason);
        self.gate.end_of_turn(self);
    }

    /// Drops the isolate; what outlives it stays.
    pub(crate) fn drop_isolate(&self) {
        *self.isolate.borrow_mut() = None;
        *self.place.borrow_mut() = None;
        if let Some(storage) = &self.storage {
            // A transaction that was open belonged to the isolate: it is rolled back with it.
            let mut storage = storage.borrow_mut();
            storage.discard_turn();
            storage.shrink();
        }
        self.transactions.borrow_mut().clear();
        self.start.set(Start::New);
        self.held.set(false);
        self.busy.set(false);
        self.waits.set(0);
        self.turns.set(0);
    }

    /// Changes to a new program: a hibernating room keeps its sockets, others are closed with 1012 (design, section 4).
    pub(crate) fn swap(&self) {
        if self.isolate.borrow().is_none() {
            return;
        }
        self.gate.discard();
        self.drop_isolate();
        let ids: Vec<u32> = self.requests.borrow().keys().copied().collect();
        for id in ids {
            self.answer(id, Response::text(503, "The server was updated."));
        }
        if !self.hibernates.get() {
            self.sockets.borrow_mut().close_all(1012, "Service Restart");
            drop(self.inbox.borrow_mut().take());
        }
        self.fail_alarms();
        self.gate.end_of_turn(self);
    }

    /// Whether the isolate may go now: nothing is in progress, and no socket needs the instance. Where rooms are `pressed`
    /// for places or memory, it may go earlier.
    pub(crate) fn evictable(&self, now: Instant, pressed: bool) -> bool {
        let quiet = now.saturating_duration_since(self.last_event.get());
        let limits = &self.shared.limits;
        let most = if self.busy.get() { limits.room_busy_idle_max } else { limits.room_idle_max };
        quiet >= if pressed { most / PRESSED_DIVISOR } else { most } && self.at_rest()
    }

    /// When something happened to the room last.
    pub(crate) fn last_event(&self) -> Instant {
        self.last_event.get()
    }

    /// Whether no event is in progress.
    pub(crate) fn is_quiet(&self) -> bool {
        self.inbox.borrow().is_empty()
            && self.requests.borrow().is_empty()
            && self.alarms.borrow().is_empty()
            && self.waits.get() <= 0
            && !self.held.get()
            && self.start.get() != Start::Starting
            && self.gate.is_open()
    }

    /// Whether the room has been quiet long enough for its garbage to be collected, once, and its sockets keep it: another
    /// one leaves soon, with all that it has.
    pub(crate) fn wants_tidying(&self, now: Instant) -> bool {
        !self.tidied.get()
            && self.is_live()
            && !self.sockets.borrow().allow_eviction(self.hibernates.get())
            && now.saturating_duration_since(self.last_event.get()) >= self.shared.limits.room_tidy_after
    }

    /// Collects the garbage of a room that may stay in memory for long because of its sockets.
    pub(crate) fn tidy(&self) {
        self.tidied.set(true);
        if let Some(isolate) = &mut *self.isolate.borrow_mut() {
            isolate.tidy();
        }
    }

    /// Whether nothing is in progress and no socket needs the instance.
    pub(crate) fn at_rest(&self) -> bool {
        self.isolate.borrow().as_ref().is_some_and(|isolate| !isolate.debugged())
            && self.is_quiet()
            && self.sockets.borrow().allow_eviction(self.hibernates.get())
    }

    /// Whether a handler runs or `waitUntil` keeps something alive.
    pub(crate) fn at_work(&self) -> bool {
        self.waits.get() > 0 || !self.requests.borrow().is_empty()
    }

    /// Whether the room has an isolate.
    pub(crate) fn is_live(&self) -> bool {
        self.isolate.borrow().is_some()
    }

    /// Whether nothing of the room is left in memory that anybody could need.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_live()
            && self.inbox.borrow().is_empty()
            && self.requests.borrow().is_empty()
            && self.sockets.borrow().is_empty()
            && self.gate.is_open()
    }

    /// Whether the room is to begin its next life on another worker, and may do so now.
    pub(crate) fn moves_on(&self) -> bool {
        self.slow.get() && self.shared.has_neighbours() && self.is_empty()
    }

    /// Ends the actor's task.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.drop_isolate();
        self.wake();
    }

    /// Asks the edge what the modules declare.
    pub(crate) fn describe(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<crate::room::edge::Described, CallError>> {
        let mut slot = self.isolate.borrow_mut();
        let Some(isolate) = slot.as_mut() else {
            return Poll::Ready(Err(CallError::Failed("making the edge")));
        };
        let pulse = self.shared.pulse.clone();
        if isolate.poll_ready(&pulse, &self.shared.limits, context)?.is_pending() {
            return Poll::Pending;
        }
        let described = isolate.turn(&pulse, Step::Import, |entered| self.describe_in(entered));
        if isolate.debuggable() {
            // A turn, so that debuggers can wake the edge before its first event.
            self.wake();
        }
        Poll::Ready(described)
    }

    fn describe_in(&self, entered: &mut Entered<'_>) -> Result<crate::room::edge::Described, CallError> {
        let program = self.shared.program.borrow().clone();
        let described = entered.scope(|scope, calls| {
            let info = serde_json::json!({
                "env": program.env, "parties": program.parties, "resources": program.resources,
            });
            let info = deno_core::serde_v8::to_v8(scope, info)
                .map_err(|_| CallError::Failed("reading the parties"))?;
            let value = call(scope, &calls.describe, &[info])?;
            deno_core::serde_v8::from_v8::<crate::room::edge::Described>(scope, value)
                .map_err(|error| CallError::Thrown(error.to_string()))
        });
        self.start.set(Start::Started);
        if let Some(Ok(described)) = &described {
            program.note_import_times(described.import_times());
        }
        described.unwrap_or(Err(CallError::Failed("reading the parties")))
    }

    /// Gives the actor an isolate before its first event.
    pub(crate) fn prepare(self: &Rc<Self>, isolate: Isolate) {
        isolate.slot().bind(self);
        *self.isolate.borrow_mut() = Some(isolate);
    }

    /// Counts the writes that are not durable.
    pub(crate) fn count_undurable(&self, bytes: usize) {
        let before = self.undurable_counted.replace(bytes);
        match bytes.checked_sub(before) {
            Some(more) => self.undurable.add(more),
            None => self.undurable.give(before - bytes),
        }
    }

    /// Whether writes should wait for the disk.
    pub(crate) fn outruns_disk(&self) -> bool {
        self.undurable.refuses()
    }

    /// Waits until what the room has written by now is durable.
    pub(crate) fn durable(&self) -> Option<oneshot::Receiver<Result<(), String>>> {
        self.gate.wait(self)
    }
}
