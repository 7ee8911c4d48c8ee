//! A worker: one thread, its reactor, its rooms, its spares.
//!
//! A room stays on its worker while it is in memory, because V8 pins an isolate to the thread that made it; which worker
//! that is, `placement.rs` says. The thread runs a current-thread tokio runtime: deno_core must never see another kind
//! (design, section 3). Messages from other threads arrive in order through one channel.

mod administration;
mod handlers;
mod handover;
pub(crate) mod isolates;
pub(crate) mod mailbox;
pub(crate) mod message;
pub(crate) mod setup;
pub(crate) mod spares;
mod swap;
pub(crate) mod thread;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use partyrun_net::{Body, Client, Guests, Request, Response};
use partyrun_store::{DueAlarm, RoomKey};
use partyrun_telemetry::{Eviction, Lateness, limit_hit};
use tokio::sync::oneshot;

use crate::api::{Isolation, RoomChange, RoomState, Source};
use crate::ground::places::{Full, leaving};
use crate::ground::trim;
use crate::room::actor::Actor;
use crate::room::event::{Event, Origin, connection_id};
use crate::room::home::{Home, Housing};
use crate::room::http::busy;
use crate::room::lodging::Connection;
use crate::room::requests::{Answer, Pending, Waiting};
use crate::room::shared::{Landlord as _, Shared, Worker as _};
use crate::room::sockets::Handshake;
use crate::worker::isolates::Isolates;
use crate::worker::mailbox::{Mailbox, Whereabouts};
use crate::worker::message::{Durable, Message};

const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long an alarm waits whose room finds no place.
const ALARM_WAIT_MS: i64 = 2000;
const WORK_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Quiet rooms whose garbage is collected per sweep, each in a lull: it takes some milliseconds of the worker.
const TIDY_PER_SWEEP: usize = 64;
/// So many pieces of a streamed body may wait, each no longer than what is read at once.
const BODY_PIECES: usize = 5;

/// Runs a worker until it is told to stop, or has nothing to do any more.
pub(crate) async fn serve(isolates: Rc<Isolates>, whereabouts: std::sync::Weak<dyn Whereabouts>) {
    Worker::new(isolates, whereabouts).serve().await;
}

/// Somebody waits until all rooms rest.
struct Held {
    until: Instant,
    /// None once the answer was given.
    reply: Option<oneshot::Sender<()>>,
}

/// Rooms that still have the program before, and until when they may.
struct Swapping {
    rooms: Vec<RoomKey>,
    until: Instant,
}

struct Worker {
    isolates: Rc<Isolates>,
    shared: Rc<Shared>,
    whereabouts: std::sync::Weak<dyn Whereabouts>,
    rooms: HashMap<RoomKey, Rc<Actor>>,
    by_serial: HashMap<u64, Weak<Actor>>,
    edge: Option<Rc<Actor>>,
    // The home of all rooms, where they share one.
    common: Option<Rc<Home>>,
    guests: Guests,
    next_actor: u64,
    tidying: Rc<Cell<bool>>,
    // Somebody waits for all rooms to rest.
    held: Option<Held>,
    // Rooms that still have the program before.
    swapping: Option<Swapping>,
}

impl Worker {
    fn new(isolates: Rc<Isolates>, whereabouts: std::sync::Weak<dyn Whereabouts>) -> Self {
        Self {
            shared: isolates.shared.clone(),
            whereabouts,
            rooms: HashMap::new(),
            by_serial: HashMap::new(),
            edge: None,
            common: None,
            guests: Guests::new(isolates.mailbox.seats.clone()),
            isolates,
            next_actor: 1,
            tidying: Rc::default(),
            held: None,
            swapping: None,
        }
    }

    async fn serve(mut self) {
        let mailbox = self.isolates.mailbox.clone();
        self.isolates.refill();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let lateness = Lateness::of(&mailbox.label());
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
                planned = sweep.tick() => {
                    lateness.record(planned.elapsed());
                    self.sweep();
                    if self.may_end() {
                        break;
                    }
                }
                () = tokio::time::sleep(DRAIN_LOOK_EVERY), if self.held.is_some() || self.swapping.is_some() => {
                    self.settle();
                    self.swap_on();
                }
            }
        }
        self.let_go();
        for (_, room) in self.rooms.drain().filter(|(_, room)| room.lodger.claim()) {
            room.sockets.borrow_mut().close_all(self.shared.restart_code.0, "Service Restart");
            room.close();
        }
        if let Some(edge) = self.edge.take() {
            edge.sockets.borrow_mut().close_all(self.shared.restart_code.0, "Service Restart");
            edge.close();
        }
        self.common.iter().for_each(|common| common.close());
        self.isolates.clear();
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
        let mailbox = &self.isolates.mailbox;
        if !mailbox.is_extra() || !self.rooms.is_empty() {
            return false;
        }
        mailbox.seats.dismiss(None);
        mailbox.seats.is_empty()
            && self.whereabouts.upgrade().is_some_and(|engine| engine.retire_worker(mailbox))
    }

    fn take(&mut self, message: Message) {
        // The way of nearly all requests: each look for a room costs as much as a short handler.
        let live = match &message {
            Message::Request(key, ..) => {
                self.rooms.get(key).filter(|room| room.lodger.claim() && !room.moves_on()).cloned()
            }
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
            if !room.lodger.claim() {
                self.abandon(key, &room);
            } else if room.moves_on() {
                self.retire(key, &room);
            } else {
                return Some(message);
            }
        }
        match self.whereabouts.upgrade() {
            Some(engine) => engine.admit(&self.isolates.mailbox, key, message),
            None => Some(message),
        }
    }

    fn left(&self, key: &RoomKey, slow: bool) {
        if let Some(engine) = self.whereabouts.upgrade() {
            engine.left(&self.isolates.mailbox, key, slow);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Request(key, request, origin, reply) => {
                let client = request.client.as_ref().filter(|_| !self.rooms.contains_key(&key));
                if let Some(Err(excess)) = client.map(Client::start_room) {
                    let _gone = reply.send(Ok(Response::too_many(&excess, &self.shared.limits)));
                    return;
                }
                let room = self.room(key);
                self.request(&room, request, origin, reply);
            }
            Message::Alarm(due) => self.alarm(due),
            Message::Durable(Durable { room, life, seq, result }) => {
                if let Some(room) = self.by_serial.get(&room).and_then(Weak::upgrade) {
                    room.durable(life, seq, result);
                }
            }
            Message::Hibernate(key, reply) => {
                let _gone = reply.send(self.hibernate(&key, Eviction::Asked));
            }
            Message::Before(before, reply) => {
                let remembered = Pending::forwardable(&before.request, Waiting::Before(reply));
                self.edge_event(before, remembered, |id, mut before, remembered| {
                    remembered.upgrade = before.request.upgrade.take();
                    Event::Before(id, Box::new(before))
                });
            }
            Message::Fetch(request, reply) => {
                let remembered = Pending::forwardable(&request, Waiting::Fetch(reply));
                self.edge_event(request, remembered, |id, mut request, remembered| {
                    remembered.upgrade = request.upgrade.take();
                    Event::Fetch(id, Box::new(request))
                });
            }
            Message::Socket(request, reply) => {
                let remembered = Pending::forwardable(&request, Waiting::Plain(reply));
                self.edge_event(request, remembered, |id, mut request, remembered| {
                    remembered.upgrade = request.upgrade.take();
                    Event::Socket(id, Box::new(request))
                });
            }
            Message::Cron(cron, reply) => self.cron(cron, reply),
            Message::Describe(reply) => self.describe(reply),
            Message::Swap(program, patience) => self.swap(program, patience),
            Message::Counts(reply) => {
                let live = self.rooms.values().filter(|room| room.is_live()).count();
                let _gone = reply.send((live, self.isolates.spare_count()));
            }
            Message::Measure(party, reply) => {
                let isolates = self.isolates.clone();
                tokio::task::spawn_local(async move {
                    let _gone = reply.send(isolates.measure(party).await.ok());
                });
            }
            Message::Rooms(reply) => {
                let state = |(key, room): (&RoomKey, &Rc<Actor>)| RoomState {
                    key: key.clone(),
                    live: room.is_live(),
                    connections: room.sockets.borrow().len(),
                };
                let here = self.rooms.iter().filter(|(_, room)| !room.lodger.is_gone());
                let _gone = reply.send(here.map(state).collect());
            }
            Message::MakeWay(why) => self.make_way(&why),
            Message::Relieve(key) => {
                match (self.rooms.get(&key), &self.common) {
                    (Some(room), _) => room.home.relieve(),
                    // The room that gave the isolate its name has left it.
                    (None, Some(common)) => common.relieve(),
                    (None, None) => {}
                }
                trim::now();
            }
            Message::Change(key, wanted) => {
                let room = self.room(key);
                // Nobody may take it before its writes are durable.
                room.lodger.wake();
                room.administer(*wanted);
            }
            Message::Ask(ask) => self.answer(ask),
            Message::Guest(guest) => self.guests.seat(guest),
            Message::Adopt(key, parcel) => {
                let room = self.room(key.clone());
                room.adopt(parcel);
                self.rests(&key, &room);
            }
            Message::LetGo => self.let_go(),
            Message::HoldStill(until, reply) => self.hold_still(until, reply),
            Message::Lift(reply) => self.lift(reply),
            Message::GoOn => self.go_on(),
            Message::Drain(_) | Message::Stop => {}
        }
    }

    // A home for one room, or for all that will be here, with its task.
    fn home(&self, isolation: Isolation) -> Rc<Home> {
        let isolates: Rc<dyn Housing> = self.isolates.clone();
        let home = Home::new(self.shared.clone(), Rc::downgrade(&isolates), isolation);
        let polled = home.clone();
        tokio::task::spawn_local(std::future::poll_fn(move |context| polled.poll(context)));
        home
    }

    fn actor(&mut self, source: Source, home: &Rc<Home>) -> Rc<Actor> {
        let serial = self.next_actor;
        self.next_actor += 1;
        let actor = Actor::new(source, serial, self.shared.clone(), home.clone(), home.line());
        home.take_in(&actor);
        self.by_serial.insert(serial, Rc::downgrade(&actor));
        actor
    }

    fn room(&mut self, key: RoomKey) -> Rc<Actor> {
        if let Some(room) = self.rooms.get(&key) {
            return room.clone();
        }
        let home = match self.common.clone() {
            Some(common) => common,
            None => self.home(self.isolates.isolation),
        };
        if self.isolates.isolation == Isolation::Worker {
            self.common = Some(home.clone());
        }
        let room = self.actor(Source::Room(key.clone()), &home);
        self.rooms.insert(key, room.clone());
        room
    }

    fn request(
        &self,
        room: &Rc<Actor>,
        mut request: Box<Request>,
        origin: Origin,
        reply: oneshot::Sender<Answer>,
    ) {
        if room.inbox.is_full() {
            room.inbox.count_limit();
            let text =
                format!("The room has too many events waiting ({}).", room.inbox.cite(&self.shared.limits));
            let _gone = reply.send(Ok(busy(&self.shared.limits, &text)));
            return;
        }
        if let Some(upgrade) = request.upgrade.take() {
            if room.sockets.borrow().len() >= self.shared.limits.connections_per_room_max {
                limit_hit!(connections_per_room_max);
                let limit = self.shared.limits.cite("connections_per_room_max");
                let text = format!("The room has too many connections ({limit}).");
                let _gone = reply.send(Ok(busy(&self.shared.limits, &text)));
                return;
            }
            let connection = Connection {
                id: connection_id(&request),
                uri: request.url.as_str().to_string(),
                ..Connection::default()
            };
            let pk = connection.id.clone();
            let handshake = Handshake { upgrade, reply, headers: http::HeaderMap::new() };
            let index = room.sockets.borrow_mut().add(Some(connection), Some(handshake));
            room.push(Event::Connect(index, pk, request, origin));
        } else {
            let bodies = room.requests.bodies();
            let body = match &request.body {
                Body::Stream(_) if bodies.refuses() => {
                    limit_hit!(bodies_bytes_max);
                    let limit = self.shared.limits.cite("bodies_bytes_max");
                    let text = format!("The room has too many requests whose bodies wait for it ({limit}).");
                    let _gone = reply.send(Ok(busy(&self.shared.limits, &text)));
                    return;
                }
                Body::Stream(_) => Some(bodies.charge(BODY_PIECES * self.shared.limits.header_bytes_max)),
                Body::Full(_) | Body::Empty => None,
            };
            let waiting = Pending::answered_only(Waiting::Room(reply), request.peer).with_body(body);
            let id = room.requests.remember(waiting);
            room.push(Event::Request(id, request, origin));
        }
        room.wake();
    }

    fn alarm(&mut self, due: DueAlarm) {
        // Without a place it waits in the store: no run of it has begun.
        let live = self.rooms.get(&due.room).is_some_and(|room| room.is_live());
        if !live && let Some(why) = self.shared.places.full() {
            self.isolates.release_alarm(&due.room, partyrun_store::now_ms() + ALARM_WAIT_MS);
            if let Ok(engine) = self.shared.neighbours() {
                engine.alarm_left();
                engine.make_way(&why);
            }
            return;
        }
        self.room(due.room.clone()).start_alarm(due);
    }

    fn hibernate(&mut self, key: &RoomKey, why: Eviction) -> bool {
        let Some(room) = self.rooms.get(key).cloned() else { return true };
        if !room.is_live() {
            return true;
        }
        if !room.at_rest() {
            return false;
        }
        self.evict(key, &room, why);
        true
    }

    fn evict(&mut self, key: &RoomKey, room: &Rc<Actor>, why: Eviction) {
        let lived = room.is_live();
        if lived {
            room.meters.evicted(why);
        }
        room.leave_home();
        let is_empty = room.is_empty();
        if lived {
            let change = if is_empty { RoomChange::Evicted(why) } else { RoomChange::Hibernated(why) };
            self.shared.changed(&room.source, &change);
        }
        if is_empty {
            self.retire(key, room);
        } else {
            self.rests(key, room);
        }
    }

    // While the room hibernates, others may take it from here.
    fn rests(&self, key: &RoomKey, room: &Actor) {
        if let Some(lodging) = room.rests() {
            self.isolates.mailbox.rests(key, lodging);
        }
    }

    // Another worker has the room.
    fn abandon(&mut self, key: &RoomKey, room: &Actor) {
        room.abandon();
        self.rooms.remove(key);
        self.by_serial.remove(&room.serial);
    }

    fn let_go(&mut self) {
        let gone = self.rooms.iter().filter(|(_, room)| room.lodger.is_gone());
        let gone: Vec<(RoomKey, Rc<Actor>)> = gone.map(|(key, room)| (key.clone(), room.clone())).collect();
        for (key, room) in gone {
            self.abandon(&key, &room);
        }
    }

    fn make_way(&mut self, why: &Full) {
        let at_rest = self.rooms.iter().filter(|(_, room)| room.at_rest());
        let idle = at_rest.map(|(key, room)| (room.inbox.last_event(), key.clone())).collect();
        for key in leaving(idle, why) {
            self.hibernate(&key, Eviction::Pressure);
        }
        if matches!(why, Full::Memory(_)) {
            self.isolates.clear();
            trim::now();
        }
    }

    fn retire(&mut self, key: &RoomKey, room: &Rc<Actor>) {
        room.close();
        self.rooms.remove(key);
        self.by_serial.remove(&room.serial);
        self.isolates.mailbox.no_longer_rests(key);
        // Where rooms share an isolate, they stay together.
        let slow = room.rest.is_slow() && self.isolates.isolation == Isolation::Room;
        let mailbox = &self.isolates.mailbox;
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
            self.evict(&key, &room, if pressed { Eviction::Pressure } else { Eviction::Idle });
        }
        self.tidy(now);
        self.isolates.ease();
        trim::look();
        self.shared.places.sweep();
    }

    // One after the other, each in a lull, so that no event waits for more than one of them.
    fn tidy(&self, now: Instant) {
        if self.tidying.get() {
            return;
        }
        let quiet = self.rooms.values().filter(|room| room.wants_tidying(now));
        let quiet: Vec<Rc<Actor>> = quiet.take(TIDY_PER_SWEEP).cloned().collect();
        if quiet.is_empty() {
            return;
        }
        self.tidying.set(true);
        let (isolates, tidying) = (self.isolates.clone(), self.tidying.clone());
        tokio::task::spawn_local(async move {
            for room in quiet {
                isolates.lull().await;
                if room.wants_tidying(Instant::now()) {
                    room.tidy();
                    trim::note_tidied();
                }
            }
            tidying.set(false);
        });
    }
}

// The static handlers that are running, and what they gave to `waitUntil`, get a while to end.
async fn finish(edge: &Actor) {
    let until = Instant::now() + edge.shared.limits.wait_until_max;
    while edge.at_work() && Instant::now() < until {
        tokio::time::sleep(WORK_LOOK_EVERY).await;
    }
}
