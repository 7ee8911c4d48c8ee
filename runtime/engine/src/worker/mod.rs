//! A worker: one thread, its reactor, its rooms, its spares.
//!
//! A room stays on its worker while it is in memory, because V8 pins an isolate to the thread that made it; which worker
//! that is, `placement.rs` says. The thread runs a current-thread tokio runtime: deno_core must never see another kind
//! (design, section 3). Messages from other threads arrive in order through one channel.

pub(crate) mod spares;
pub(crate) mod thread;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use partyrun_net::{Body, Guest, Guests, Request, Response};
use partyrun_store::{Batch, DueAlarm, RoomKey, Store, WorkerStore};
use tokio::sync::oneshot;

use crate::engine::placement::{Kind, Mailbox};
use crate::engine::relief::Registry;
use crate::engine::{Inner, RoomState, StartError};
use crate::ground::inspect::Inspector;
use crate::ground::overrun;
use crate::ground::places::{Full, Places, leaving};
use crate::ground::program::Program;
use crate::ground::pulse::Pulse;
use crate::ground::totals::Totals;
use crate::ground::trim;
use crate::isolate::{CallError, Heap, Isolate, Loaded};
use crate::room::actor::{Actor, Request as Remembered};
use crate::room::edge::Described;
use crate::room::event::{Before, Cron, Event, Origin, Waiting, connection_id};
use crate::room::host::HostSlot;
use crate::room::http::busy;
use crate::room::sockets::{Connection, Handshake};
use crate::worker::spares::Spares;
use crate::worker::thread::Setup;
use crate::{Level, Observer, Source};

const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long an alarm waits whose room finds no place.
const ALARM_WAIT_MS: i64 = 2000;
const WORK_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Quiet rooms whose garbage is collected per sweep, each in a lull: it takes some milliseconds of the worker.
const TIDY_PER_SWEEP: usize = 64;
/// A worker without a turn for so long may make a spare.
const LULL: Duration = Duration::from_millis(2);
/// After so many looks without a lull it makes one anyway.
const LULL_LOOKS_MAX: usize = 25;

/// So many pieces of a streamed body may wait, each no longer than what is read at once.
const BODY_PIECES: usize = 5;

/// What others ask of a worker.
pub(crate) enum Message {
    Request(RoomKey, Box<Request>, Origin, oneshot::Sender<Result<Response, String>>),
    Alarm(DueAlarm),
    /// Actor, life of its storage, batch.
    Durable(u64, u32, u64, Result<(), String>),
    Hibernate(RoomKey, oneshot::Sender<bool>),
    Before(Before, oneshot::Sender<crate::Before>),
    Fetch(Request, oneshot::Sender<crate::Fetched>),
    Socket(Request, oneshot::Sender<Response>),
    Cron(Cron, oneshot::Sender<Response>),
    Describe(oneshot::Sender<Result<Described, StartError>>),
    Swap(Arc<Program>),
    Counts(oneshot::Sender<(usize, usize)>),
    Rooms(oneshot::Sender<Vec<RoomState>>),
    Drain(Duration),
    /// A room finds no place: idle ones shall leave.
    MakeWay(Full),
    /// Memory has run out, and this room uses the most.
    Relieve(RoomKey),
    /// A connection that asks a room of this worker again and again.
    Guest(Guest),
    Stop,
}

impl Message {
    /// The room that takes it, and comes into memory for it.
    pub(crate) fn room(&self) -> Option<&RoomKey> {
        match self {
            Self::Request(key, ..) => Some(key),
            Self::Alarm(due) => Some(&due.room),
            _ => None,
        }
    }

    /// Whether it calls a static handler.
    pub(crate) fn is_for_handlers(&self) -> bool {
        matches!(self, Self::Before(..) | Self::Fetch(..) | Self::Socket(..) | Self::Cron(..))
    }
}

/// What the rooms of a worker share.
pub(crate) struct Shared {
    pub(crate) limits: Rc<Limits>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) store: WorkerStore,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) program: RefCell<Arc<Program>>,
    inspector: Option<Arc<Inspector>>,
    engine: std::sync::Weak<Inner>,
    writer: Arc<dyn Store>,
    pub(crate) mailbox: Arc<Mailbox>,
    spares: RefCell<Spares>,
    // The one that was made before there was a program.
    early: RefCell<Option<Heap>>,
    refilling: Cell<bool>,
    tidying: Cell<bool>,
    making_spare: Arc<AtomicBool>,
    pub(crate) places: Arc<Places>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) totals: Totals,
    next_serial: Cell<u64>,
    // Parties whose functions are in the code cache.
    code_cached: RefCell<HashSet<String>>,
    // Counts turns.
    activity: Cell<u64>,
    this: RefCell<Weak<Shared>>,
}

impl Shared {
    /// What the rooms of the worker on this thread share.
    pub(crate) fn new(
        setup: Setup,
        store: WorkerStore,
        pulse: Arc<Pulse>,
        mailbox: Arc<Mailbox>,
        heap: Option<Heap>,
    ) -> Rc<Self> {
        let spares = Spares::new(setup.spares, &setup.program);
        let shared = Rc::new(Self {
            limits: Rc::new(setup.limits),
            observer: setup.observer,
            store,
            pulse,
            program: RefCell::new(setup.program),
            inspector: setup.inspector,
            engine: setup.engine,
            writer: setup.store,
            mailbox,
            spares: RefCell::new(spares),
            early: RefCell::new(heap),
            refilling: Cell::new(false),
            tidying: Cell::new(false),
            making_spare: setup.making_spare,
            places: setup.places,
            registry: setup.registry,
            totals: setup.totals,
            next_serial: Cell::new(1),
            code_cached: RefCell::default(),
            activity: Cell::new(0),
            this: RefCell::default(),
        });
        *shared.this.borrow_mut() = Rc::downgrade(&shared);
        shared
    }

    /// The engine, for calls to other rooms.
    pub(crate) fn engine(&self) -> Result<Arc<Inner>, String> {
        self.engine.upgrade().ok_or_else(|| "The server is stopping.".to_string())
    }

    /// Hands a batch to the store; the worker hears when it is durable.
    pub(crate) fn commit(&self, serial: u64, life: u32, batch: Batch) {
        let mailbox = self.mailbox.clone();
        let seq = batch.seq;
        let done = move |result: Result<(), partyrun_store::StoreError>| {
            let _gone =
                mailbox.send(Message::Durable(serial, life, seq, result.map_err(|error| error.to_string())));
        };
        self.writer.commit(batch, Box::new(done));
    }

    pub(crate) fn release_alarm(&self, room: &RoomKey, retry_at_ms: i64) {
        self.writer.release_alarm(room, retry_at_ms);
    }

    pub(crate) fn report_reset(&self, source: &Source, reason: &str) {
        self.observer.console(
            source,
            Level::Error,
            &format!("{} was reset: {reason}\n", overrun::name(source)),
        );
    }

    /// Whether the caller shall make the code cache with `isolate`: once per program, worker and party.
    pub(crate) fn claim_code_cache(&self, isolate: &Isolate) -> bool {
        let Loaded::Party(party) = isolate.loaded() else { return false };
        isolate.has_latest_code_cache() && self.code_cached.borrow_mut().insert(party.clone())
    }

    /// An isolate of the current program: a spare, or a new one.
    pub(crate) fn isolate(&self, source: &Source) -> Result<Isolate, CallError> {
        let wanted = wanted_by(source);
        let spare = self.spares.borrow_mut().take(&wanted);
        self.refill();
        match spare {
            Some(mut isolate) => {
                isolate.show_to_debuggers(source);
                self.load(&mut isolate, wanted)?;
                Ok(isolate)
            }
            None => self.create(Some(source)),
        }
    }

    fn load(&self, isolate: &mut Isolate, wanted: Loaded) -> Result<(), CallError> {
        if *isolate.loaded() != Loaded::Nothing {
            return Ok(());
        }
        let began = Instant::now();
        isolate.load(&self.pulse, &self.limits, wanted)?;
        self.spares.borrow_mut().note_time(isolate.loaded(), began.elapsed());
        // The edge imports all parties, so it is the one that tells.
        if let (Some(overrun), Loaded::All) = (self.pulse.take_overrun(), isolate.loaded()) {
            let (used, longest) = (overrun::seconds(overrun.cpu), isolate.longest_import());
            let text = format!(
                "Importing the project used {used} of CPU time{longest}. Each room needs as much for its party when it starts.\n"
            );
            self.observer.console(&Source::Edge, Level::Warn, &text);
        }
        isolate.forget_import();
        Ok(())
    }

    // One for `source`, or a spare.
    pub(crate) fn create(&self, source: Option<&Source>) -> Result<Isolate, CallError> {
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        let program = self.program.borrow().clone();
        let top_level = matches!(source, Some(Source::Edge)).then(|| self.observer.clone());
        let slot = HostSlot::new(program.clone(), top_level);
        let early = self.early.take();
        let heap = early.map_or_else(|| Heap::new(&self.limits, self.inspector.as_ref()), Ok)?;
        let mut isolate = Isolate::create(
            heap,
            &program,
            slot,
            &self.limits,
            serial,
            &self.pulse,
            self.inspector.as_ref().zip(source),
        )?;
        if let Some(source) = source {
            self.load(&mut isolate, wanted_by(source))?;
            if program.code_cache().is_none() {
                isolate.make_code_cache();
            }
        }
        Ok(isolate)
    }

    /// Whether the worker's rooms have nothing in common but their names.
    pub(crate) fn has_neighbours(&self) -> bool {
        self.mailbox.kind == Kind::Share
    }

    /// The worker does something for a room: spares can wait.
    pub(crate) fn note_activity(&self) {
        self.activity.set(self.activity.get().wrapping_add(1));
    }

    // Waits for a moment in which no room of the worker has a turn; under steady load there is none, and then a spare is
    // made anyway after a while, so that the next room does not pay for it.
    async fn lull(&self) {
        for _ in 0..LULL_LOOKS_MAX {
            let seen = self.activity.get();
            tokio::time::sleep(LULL).await;
            if self.activity.get() == seen {
                return;
            }
        }
    }

    // Makes spares when the worker has nothing else to do: making one takes the thread for some milliseconds.
    fn refill(&self) {
        if !self.spares.borrow().wants_more() || self.refilling.replace(true) {
            return;
        }
        let Some(shared) = self.this.borrow().upgrade() else { return };
        tokio::task::spawn_local(async move {
            loop {
                shared.lull().await;
                if !shared.spares.borrow().wants_more() || shared.places.pressed() {
                    break;
                }
                // One worker at a time: at a start, and after a burst, all of them want spares, and a room that is
                // being made somewhere must not compete with that.
                if shared.making_spare.swap(true, Ordering::AcqRel) {
                    continue;
                }
                let created = shared.spare();
                shared.making_spare.store(false, Ordering::Release);
                let Ok(mut isolate) = created else { break };
                let ready = std::future::poll_fn(|context| {
                    isolate.poll_ready(&shared.pulse, &shared.limits, context)
                })
                .await;
                // A program that was swapped meanwhile makes the spare useless.
                if ready.is_err() || !Arc::ptr_eq(isolate.program(), &shared.program.borrow()) {
                    break;
                }
                shared.spares.borrow_mut().put(isolate);
            }
            shared.refilling.set(false);
        });
    }

    // The spare that is wanted most.
    fn spare(&self) -> Result<Isolate, CallError> {
        let (blank, wanted) = self.spares.borrow_mut().begin();
        let mut isolate = blank.map_or_else(|| self.create(None), Ok)?;
        if wanted != Loaded::Nothing {
            self.load(&mut isolate, wanted)?;
        }
        Ok(isolate)
    }
}

// What an isolate for `source` must have evaluated.
fn wanted_by(source: &Source) -> Loaded {
    match source {
        Source::Room(key) => Loaded::Party(key.party().to_string()),
        Source::Edge => Loaded::All,
    }
}

/// Runs a worker until it is told to stop, or has nothing to do any more.
pub(crate) async fn serve(shared: Rc<Shared>) {
    Worker::new(shared).serve().await;
}

struct Worker {
    shared: Rc<Shared>,
    rooms: HashMap<RoomKey, Rc<Actor>>,
    by_serial: HashMap<u64, Weak<Actor>>,
    edge: Option<Rc<Actor>>,
    guests: Guests,
    next_actor: u64,
    next_alarm: u32,
}

impl Worker {
    fn new(shared: Rc<Shared>) -> Self {
        let guests = Guests::new(shared.mailbox.seats.clone());
        Self {
            shared,
            guests,
            rooms: HashMap::new(),
            by_serial: HashMap::new(),
            edge: None,
            next_actor: 1,
            next_alarm: 1,
        }
    }

    async fn serve(mut self) {
        let mailbox = self.shared.mailbox.clone();
        self.shared.refill();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                message = mailbox.next() => match message {
                    None => break,
                    Some(Message::Stop) => {
                        if let Some(edge) = &self.edge {
                            finish(edge).await;
                        }
                        break;
                    }
                    Some(Message::Drain(grace)) => {
                        self.drain(&mailbox, grace).await;
                        break;
                    }
                    Some(message) => self.take(message),
                },
                _ = sweep.tick() => {
                    self.sweep();
                    if self.may_end() {
                        break;
                    }
                }
            }
        }
        for (_, room) in self.rooms.drain() {
            room.sockets.borrow_mut().close_all(1012, "Service Restart");
            room.close();
        }
        if let Some(edge) = self.edge.take() {
            edge.sockets.borrow_mut().close_all(1012, "Service Restart");
            edge.close();
        }
        self.shared.spares.borrow_mut().clear();
        // The close frames get a moment to leave.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Goes on until no room has an event in progress, at most for `grace`.
    async fn drain(&mut self, mailbox: &Mailbox, grace: Duration) {
        let deadline = tokio::time::Instant::now() + grace;
        let mut look = tokio::time::interval(DRAIN_LOOK_EVERY);
        while tokio::time::Instant::now() < deadline {
            tokio::select! {
                biased;
                message = mailbox.next() => match message {
                    None => return,
                    Some(message) => self.take(message),
                },
                _ = look.tick() => {
                    let quiet = self.rooms.values().chain(&self.edge).all(|room| room.is_quiet());
                    if quiet && mailbox.seats.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    // Whether no room needs this worker any more, nor will one.
    fn may_end(&self) -> bool {
        let mailbox = &self.shared.mailbox;
        if !mailbox.is_extra() || !self.rooms.is_empty() {
            return false;
        }
        mailbox.seats.dismiss(None);
        mailbox.seats.is_empty() && self.shared.engine().is_ok_and(|engine| engine.retire_worker(mailbox))
    }

    fn take(&mut self, message: Message) {
        // The way of nearly all requests: each look for a room costs as much as a short handler.
        let live = match &message {
            Message::Request(key, ..) => self.rooms.get(key).filter(|room| !room.moves_on()).cloned(),
            _ => None,
        };
        let message = match (message, live) {
            (Message::Request(_, request, origin, reply), Some(room)) => {
                return self.request(&room, request, origin, reply);
            }
            (message, _) => message,
        };
        let Some(key) = message.room().cloned() else { return self.handle(message) };
        if let Some(message) = self.admit(&key, message) {
            self.handle(message);
            // A room that was refused before it came into memory has left it.
            if !self.rooms.contains_key(&key) {
                self.left(&key, false);
            }
        }
    }

    // Answers a message for a room that is here or may come here.
    fn admit(&mut self, key: &RoomKey, message: Message) -> Option<Message> {
        if let Some(room) = self.rooms.get(key).cloned() {
            if !room.moves_on() {
                return Some(message);
            }
            self.retire(key, &room);
        }
        match self.shared.engine() {
            Ok(engine) => engine.admit(&self.shared.mailbox, key, message),
            Err(_) => Some(message),
        }
    }

    fn left(&self, key: &RoomKey, slow: bool) {
        if let Ok(engine) = self.shared.engine() {
            engine.left(&self.shared.mailbox, key, slow);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Request(key, request, origin, reply) => {
                let room = self.room(key);
                self.request(&room, request, origin, reply);
            }
            Message::Alarm(due) => self.alarm(due),
            Message::Durable(serial, life, seq, result) => self.durable(serial, life, seq, result),
            Message::Hibernate(key, reply) => {
                let _gone = reply.send(self.hibernate(&key));
            }
            Message::Before(before, reply) => {
                let remembered = remember(&before.request, Waiting::Before(reply));
                self.edge_event(before, remembered, |id, mut before, remembered| {
                    remembered.upgrade = before.request.upgrade.take();
                    Event::Before(id, Box::new(before))
                });
            }
            Message::Fetch(request, reply) => {
                let remembered = remember(&request, Waiting::Fetch(reply));
                self.edge_event(request, remembered, |id, mut request, remembered| {
                    remembered.upgrade = request.upgrade.take();
                    Event::Fetch(id, Box::new(request))
                });
            }
            Message::Socket(request, reply) => {
                let remembered = remember(&request, Waiting::Plain(reply));
                self.edge_event(request, remembered, |id, mut request, remembered| {
                    remembered.upgrade = request.upgrade.take();
                    Event::Socket(id, Box::new(request))
                });
            }
            Message::Cron(cron, reply) => self.cron(cron, reply),
            Message::Describe(reply) => self.describe(reply),
            Message::Swap(program) => self.swap(program),
            Message::Counts(reply) => {
                let live = self.rooms.values().filter(|room| room.is_live()).count();
                let _gone = reply.send((live, self.shared.spares.borrow().len()));
            }
            Message::Rooms(reply) => {
                let state = |(key, room): (&RoomKey, &Rc<Actor>)| RoomState {
                    key: key.clone(),
                    live: room.is_live(),
                    connections: room.sockets.borrow().len(),
                };
                let _gone = reply.send(self.rooms.iter().map(state).collect());
            }
            Message::MakeWay(why) => self.make_way(&why),
            Message::Relieve(key) => {
                self.rooms.get(&key).inspect(|room| room.relieve());
                trim::now();
            }
            Message::Guest(guest) => self.guests.seat(guest),
            Message::Drain(_) | Message::Stop => {}
        }
    }

    fn actor(&mut self, source: Source) -> Rc<Actor> {
        let serial = self.next_actor;
        self.next_actor += 1;
        let actor = Actor::new(source, serial, self.shared.clone());
        self.by_serial.insert(serial, Rc::downgrade(&actor));
        let polled = actor.clone();
        tokio::task::spawn_local(std::future::poll_fn(move |context| polled.poll(context)));
        actor
    }

    fn room(&mut self, key: RoomKey) -> Rc<Actor> {
        if let Some(room) = self.rooms.get(&key) {
            return room.clone();
        }
        let room = self.actor(Source::Room(key.clone()));
        self.rooms.insert(key, room.clone());
        room
    }

    fn request(
        &self,
        room: &Rc<Actor>,
        mut request: Box<Request>,
        origin: Origin,
        reply: oneshot::Sender<Result<Response, String>>,
    ) {
        if room.inbox_full() {
            let _gone = reply.send(Ok(busy(&self.shared.limits, "The room has too many events waiting.")));
            return;
        }
        if let Some(upgrade) = request.upgrade.take() {
            if room.sockets.borrow().len() >= self.shared.limits.connections_per_room_max {
                let _gone = reply.send(Ok(busy(&self.shared.limits, "The room has too many connections.")));
                return;
            }
            let connection = Connection {
                id: connection_id(&request),
                uri: request.url.as_str().to_string(),
                ..Connection::default()
            };
            let pk = connection.id.clone();
            let handshake = Handshake { upgrade, reply, headers: http::HeaderMap::new() };
            let index = room.sockets.borrow_mut().add(room, Some(connection), Some(handshake));
            room.push(Event::Connect(index, pk, request, origin));
        } else {
            let body = match &request.body {
                Body::Stream(_) if room.bodies.refuses() => {
                    let text = "The room has too many requests whose bodies wait for it.";
                    let _gone = reply.send(Ok(busy(&self.shared.limits, text)));
                    return;
                }
                Body::Stream(_) => {
                    Some(room.bodies.charge(BODY_PIECES * self.shared.limits.header_bytes_max))
                }
                Body::Full(_) | Body::Empty => None,
            };
            let remembered = Remembered { body, ..Remembered::new(Waiting::Room(reply), request.peer) };
            let id = room.remember(remembered);
            room.push(Event::Request(id, request, origin));
        }
        room.wake();
    }

    fn alarm(&mut self, due: DueAlarm) {
        // Without a place it waits in the store: no run of it has begun.
        let live = self.rooms.get(&due.room).is_some_and(|room| room.is_live());
        if !live && let Some(why) = self.shared.places.full() {
            self.shared.release_alarm(&due.room, partyrun_store::now_ms() + ALARM_WAIT_MS);
            if let Ok(engine) = self.shared.engine() {
                engine.alarms_running.fetch_sub(1, Ordering::AcqRel);
                engine.make_way(&why);
            }
            return;
        }
        let token = self.next_alarm;
        self.next_alarm = if token >= partyrun_extensions::wire::ID_MAX { 1 } else { token + 1 };
        self.room(due.room.clone()).start_alarm(token, due);
    }

    fn durable(&mut self, serial: u64, life: u32, seq: u64, result: Result<(), String>) {
        let Some(actor) = self.by_serial.get(&serial).and_then(Weak::upgrade) else { return };
        // Later batches of a life that has failed fail, too; the room has a new one by then.
        if actor.life.get() != life {
            return;
        }
        let (Some(storage), Some(key)) = (&actor.storage, actor.key()) else { return };
        let Err(failure) = result else {
            storage.borrow_mut().committed(seq);
            actor.count_undurable(storage.borrow().undurable_bytes());
            actor.gate.settled(&actor, seq);
            return;
        };
        storage.borrow_mut().failed(seq);
        let reason = format!("its writes could not be stored: {failure}");
        actor.gate.fail(&reason);
        actor.reset(&reason);
        *storage.borrow_mut() = self.shared.store.room(key.clone());
        actor.count_undurable(0);
        actor.life.set(actor.life.get().wrapping_add(1));
    }

    fn hibernate(&mut self, key: &RoomKey) -> bool {
        let Some(room) = self.rooms.get(key).cloned() else { return true };
        if !room.is_live() {
            return true;
        }
        if !room.at_rest() {
            return false;
        }
        self.evict(key, &room);
        true
    }

    fn evict(&mut self, key: &RoomKey, room: &Rc<Actor>) {
        room.drop_isolate();
        if room.is_empty() {
            self.retire(key, room);
        }
    }

    fn make_way(&mut self, why: &Full) {
        let at_rest = self.rooms.iter().filter(|(_, room)| room.at_rest());
        let idle = at_rest.map(|(key, room)| (room.last_event(), key.clone())).collect();
        for key in leaving(idle, why) {
            self.hibernate(&key);
        }
        if matches!(why, Full::Memory(_)) {
            self.shared.spares.borrow_mut().clear();
            trim::now();
        }
    }

    fn retire(&mut self, key: &RoomKey, room: &Rc<Actor>) {
        room.close();
        self.rooms.remove(key);
        self.by_serial.remove(&room.serial);
        let (slow, mailbox) = (room.slow.get(), &self.shared.mailbox);
        if slow || mailbox.is_extra() {
            // Its next life is elsewhere.
            mailbox.seats.dismiss(Some((key.party(), key.id())));
        }
        self.left(key, slow);
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        self.rooms.values().for_each(|room| room.end_overdue_alarms(now));
        let pressed = self.shared.places.pressed();
        let due: Vec<(RoomKey, Rc<Actor>)> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.evictable(now, pressed) || room.is_empty())
            .map(|(key, room)| (key.clone(), room.clone()))
            .collect();
        for (key, room) in due {
            self.evict(&key, &room);
        }
        self.tidy(now);
        trim::look();
        self.shared.places.sweep();
    }

    // One after the other, each in a lull, so that no event waits for more than one of them.
    fn tidy(&self, now: Instant) {
        if self.shared.tidying.get() {
            return;
        }
        let quiet = self.rooms.values().filter(|room| room.wants_tidying(now));
        let quiet: Vec<Rc<Actor>> = quiet.take(TIDY_PER_SWEEP).cloned().collect();
        if quiet.is_empty() {
            return;
        }
        self.shared.tidying.set(true);
        let shared = self.shared.clone();
        tokio::task::spawn_local(async move {
            for room in quiet {
                shared.lull().await;
                if room.wants_tidying(Instant::now()) {
                    room.tidy();
                    trim::note_tidied();
                }
            }
            shared.tidying.set(false);
        });
    }

    fn edge_event<T>(
        &mut self,
        payload: T,
        mut remembered: Remembered,
        event: impl FnOnce(u32, T, &mut Remembered) -> Event,
    ) {
        let Some(edge) = self.edge.clone() else { return };
        let id = edge.reserve();
        let event = event(id, payload, &mut remembered);
        edge.keep(id, remembered);
        edge.push(event);
        edge.wake();
    }

    fn cron(&mut self, cron: Cron, reply: oneshot::Sender<Response>) {
        let remembered = Remembered::new(Waiting::Plain(reply), ([127, 0, 0, 1], 0).into());
        self.edge_event(cron, remembered, |id, cron, _| Event::Cron(id, Box::new(cron)));
    }

    // Makes the edge isolate, if there is none yet, and asks it what the modules declare.
    fn describe(&mut self, reply: oneshot::Sender<Result<Described, StartError>>) {
        let isolate = match self.shared.create(Some(&Source::Edge)) {
            Ok(isolate) => isolate,
            Err(error) => {
                let _gone = reply.send(Err(not_started(&error)));
                return;
            }
        };
        if let Some(old) = self.edge.take() {
            old.sockets.borrow_mut().close_all(1012, "Service Restart");
            old.close();
        }
        let edge = self.actor(Source::Edge);
        edge.prepare(isolate);
        self.edge = Some(edge.clone());
        tokio::task::spawn_local(async move {
            let described = std::future::poll_fn(|context| edge.describe(context)).await;
            let _gone = reply.send(described.map_err(|error| not_started(&error)));
        });
    }

    fn swap(&mut self, program: Arc<Program>) {
        self.shared.spares.borrow_mut().begin_program(&program);
        *self.shared.program.borrow_mut() = program;
        self.shared.code_cached.borrow_mut().clear();
        for room in self.rooms.values() {
            room.swap();
        }
        self.shared.refill();
    }
}

fn not_started(error: &CallError) -> StartError {
    StartError::Program(match error {
        CallError::Import(reason) => format!("The project did not start: {reason}."),
        other => other.to_string(),
    })
}

// The static handlers that are running, and what they gave to `waitUntil`, get a while to end.
async fn finish(edge: &Actor) {
    let until = Instant::now() + edge.shared.limits.wait_until_max;
    while edge.at_work() && Instant::now() < until {
        tokio::time::sleep(WORK_LOOK_EVERY).await;
    }
}

fn remember(request: &Request, waiting: Waiting) -> Remembered {
    Remembered {
        url: Some(request.url.clone()),
        method: request.method.clone(),
        headers: Some(request.headers.clone()),
        ..Remembered::new(waiting, request.peer)
    }
}
