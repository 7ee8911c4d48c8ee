//! Which worker a room is on.
//!
//! A room's name decides its worker, except for the rooms in a table of exceptions: those that stayed with a worker which
//! was relieved, those that were slow, and with a thread for each room all of them. A room is in memory on one worker at
//! most, and the table always leads there:
//!
//! - a worker takes a room in only while the table, which it holds locked for that, leads to it ([`Inner::admit`]);
//!   messages that are no longer for it go where the table says now;
//! - a worker that is relieved keeps the rooms it has, as exceptions ([`Inner::relieve`]);
//! - an exception ends when its room has left memory ([`Inner::left`]).
//!
//! A worker is relieved when one turn has held it up for `turn_held_after`: its share of names, and the messages that wait
//! for rooms it does not have yet, go to another thread at once. When it goes on it serves what it kept, takes over from the
//! next worker that is held up, or ends once its rooms have left. A room that was slow gets a thread for slow rooms in its
//! next life, so that its neighbours have waited for it once.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use partyrun_net::{Guest, Seats};
use partyrun_store::RoomKey;
use tokio::sync::mpsc;

use crate::engine::{Inner, StartError};
use crate::ground::overrun;
use crate::ground::pulse::{Step, Whose};
use crate::ground::watchdog::Notice;
use crate::worker::Message;
use crate::{Level, Source};

/// Rooms that a line about a thread names.
const NAMED_ROOMS_MAX: usize = 10;

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

/// A worker as other threads see it: what it is sent, and which rooms it has in memory.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Which worker this is.
    pub(crate) id: usize,
    pub(crate) kind: Kind,
    sender: mpsc::UnboundedSender<Message>,
    inbox: Mutex<Inbox>,
    // Names lead to it. Changes under the table's lock.
    shares: AtomicBool,
    held: AtomicBool,
    /// The connections that it serves.
    pub(crate) seats: Arc<Seats>,
}

#[derive(Debug)]
struct Inbox {
    receiver: mpsc::UnboundedReceiver<Message>,
    rooms: HashSet<RoomKey>,
}

impl Mailbox {
    pub(crate) fn new(id: usize, kind: Kind) -> Arc<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let inbox = Mutex::new(Inbox { receiver, rooms: HashSet::new() });
        let shares = AtomicBool::new(kind == Kind::Share);
        let (held, seats) = (AtomicBool::new(false), Arc::default());
        Arc::new(Self { id, kind, sender, inbox, shares, held, seats })
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
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

    // What waits for rooms that the worker does not have, and connections that it has not taken; the rest stays, in its order.
    fn take_for_others(&self) -> Vec<Message> {
        let inbox = self.inbox();
        self.take_if(inbox, |message, rooms| {
            matches!(message, Message::Guest(_)) || message.room().is_some_and(|room| !rooms.contains(room))
        })
    }

    /// What waits for static handlers; the rest stays, in its order.
    pub(crate) fn take_events(&self) -> Vec<Message> {
        self.take_if(self.inbox(), |message, _| message.is_for_handlers())
    }

    fn take_if(
        &self,
        mut inbox: MutexGuard<'_, Inbox>,
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

/// Where rooms are.
#[derive(Default)]
pub(crate) struct Placement {
    table: RwLock<Table>,
    hasher: RandomState,
}

#[derive(Default)]
struct Table {
    // By a name's hash; one worker may stand here more than once. Empty where each room has a thread of its own.
    shares: Vec<Arc<Mailbox>>,
    exceptions: HashMap<RoomKey, Arc<Mailbox>>,
    // Rooms that were slow when they left memory.
    slow: HashMap<RoomKey, Instant>,
    workers: HashMap<usize, Arc<Mailbox>>,
    next_worker: usize,
}

impl Placement {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All workers of rooms.
    pub(crate) fn workers(&self) -> Vec<Arc<Mailbox>> {
        self.read().workers.values().cloned().collect()
    }

    /// The worker that a room is on, or would be on; none where that one is still to be made.
    pub(crate) fn find(&self, room: &RoomKey) -> Option<Arc<Mailbox>> {
        self.read().find(room, &self.hasher).cloned()
    }
}

impl Table {
    fn find(&self, room: &RoomKey, hasher: &RandomState) -> Option<&Arc<Mailbox>> {
        if let Some(mailbox) = self.exceptions.get(room) {
            return Some(mailbox);
        }
        if self.shares.is_empty() || self.slow.contains_key(room) {
            return None;
        }
        let place = hasher.hash_one(room) % self.shares.len() as u64;
        usize::try_from(place).ok().and_then(|place| self.shares.get(place))
    }

    fn count(&self, kind: Kind) -> usize {
        self.workers.values().filter(|mailbox| mailbox.kind == kind).count()
    }

    // Among workers of a kind that are not held up, the one with the fewest rooms.
    fn least_loaded(&self, is_one: impl Fn(&Mailbox) -> bool) -> Option<Arc<Mailbox>> {
        let fit = self.workers.values().filter(|mailbox| is_one(mailbox) && !mailbox.is_held());
        fit.min_by_key(|mailbox| mailbox.inbox().rooms.len()).cloned()
    }
}

impl Inner {
    /// Starts one more worker that names lead to.
    pub(crate) fn add_share(&self) -> Result<(), StartError> {
        let mut table = self.placement.write();
        let mailbox = self.add_worker(&mut table, Kind::Share)?;
        table.shares.push(mailbox);
        Ok(())
    }

    // Under the table's lock, so that a change of the program finds all workers.
    fn add_worker(&self, table: &mut Table, kind: Kind) -> Result<Arc<Mailbox>, StartError> {
        table.next_worker += 1;
        let mailbox = self.start_worker(table.next_worker, kind)?;
        table.workers.insert(mailbox.id, mailbox.clone());
        Ok(mailbox)
    }

    /// Sends a message to the worker of its room.
    #[expect(clippy::result_large_err, reason = "the message goes back where it came from")]
    pub(crate) fn send_to_room(&self, room: &RoomKey, message: Message) -> Result<(), Message> {
        // The message is in its worker's queue before the lock goes: who changes the table finds it there.
        let table = self.placement.read();
        if let Some(mailbox) = table.find(room, &self.placement.hasher) {
            return mailbox.send(message);
        }
        drop(table);
        let mut table = self.placement.write();
        let found = table.find(room, &self.placement.hasher).cloned();
        let Some(mailbox) = found.or_else(|| self.own_worker(&mut table, room)) else { return Err(message) };
        mailbox.send(message)
    }

    /// Gives a connection to the worker that a room is on; back where that is held up, or still to be made.
    pub(crate) fn lodge(&self, room: &RoomKey, guest: Guest) -> Result<(), Guest> {
        // As with a message: who relieves the worker finds the connection in its queue.
        let table = self.placement.read();
        let worker = table.find(room, &self.placement.hasher).filter(|worker| !worker.is_held());
        let Some(worker) = worker else { return Err(guest) };
        match worker.send(Message::Guest(guest)) {
            Err(Message::Guest(unsent)) => Err(unsent),
            _ => Ok(()),
        }
    }

    // A worker for a room that is not to share one with those whose names lead there.
    fn own_worker(&self, table: &mut Table, room: &RoomKey) -> Option<Arc<Mailbox>> {
        let slow = table.slow.contains_key(room);
        let mailbox = if slow {
            let more = table.count(Kind::Slow) < self.options.limits.slow_workers_max;
            let started = more.then(|| self.add_worker(table, Kind::Slow).ok()).flatten();
            started.or_else(|| table.least_loaded(|mailbox| mailbox.kind == Kind::Slow))
        } else {
            self.add_worker(table, Kind::Room).ok()
        };
        let Some(mailbox) = mailbox else {
            // All threads for slow rooms are held up, or none can be made: it is as if nothing were known of the room.
            table.slow.remove(room);
            return table.find(room, &self.placement.hasher).cloned();
        };
        table.exceptions.insert(room.clone(), mailbox.clone());
        Some(mailbox)
    }

    /// Takes a room into a worker that does not have it: answers the message for it if the room belongs there, and sends it
    /// to where it does otherwise.
    pub(crate) fn admit(&self, mailbox: &Arc<Mailbox>, room: &RoomKey, message: Message) -> Option<Message> {
        let table = self.placement.read();
        if table.find(room, &self.placement.hasher).is_some_and(|place| Arc::ptr_eq(place, mailbox)) {
            mailbox.inbox().rooms.insert(room.clone());
            return Some(message);
        }
        drop(table);
        // Where it cannot be sent, who waits for an answer hears that the room is gone.
        let _stopping = self.send_to_room(room, message);
        None
    }

    /// A room has left the memory of a worker. One that was `slow` starts elsewhere the next time.
    pub(crate) fn left(&self, mailbox: &Arc<Mailbox>, room: &RoomKey, slow: bool) {
        let limits = &self.options.limits;
        let mut table = self.placement.write();
        mailbox.inbox().rooms.remove(room);
        if table.exceptions.get(room).is_some_and(|place| Arc::ptr_eq(place, mailbox)) {
            table.exceptions.remove(room);
        }
        if !slow || table.shares.is_empty() || limits.slow_workers_max == 0 {
            table.slow.remove(room);
            return;
        }
        if table.slow.len() >= limits.slow_rooms_max {
            let oldest = table.slow.iter().min_by_key(|(_, since)| **since).map(|(room, _)| room.clone());
            oldest.map(|oldest| table.slow.remove(&oldest));
        }
        table.slow.insert(room.clone(), Instant::now());
    }

    /// What the watchdog says about a worker.
    pub(crate) fn notice(&self, worker: usize, notice: Notice) {
        let mailbox = self.placement.read().workers.get(&worker).cloned().or_else(|| self.edges.find(worker));
        match (notice, mailbox) {
            // Its connections that wait for their next request may ask other rooms.
            (Notice::Busy, Some(mailbox)) => mailbox.seats.rescue(),
            (Notice::Held(step, whose), Some(mailbox)) => {
                mailbox.held.store(true, Ordering::Release);
                self.tell_held(&mailbox, step, &whose);
                match mailbox.kind {
                    Kind::Edge => self.relieve_edge(&mailbox),
                    Kind::Share | Kind::Slow | Kind::Room => self.relieve(&mailbox),
                }
            }
            (Notice::Released(after, whose), Some(mailbox)) => {
                mailbox.held.store(false, Ordering::Release);
                self.tell_released(after, &whose);
            }
            // It has ended.
            (_, None) => {}
        }
    }

    // Which rooms wait, and for whom.
    fn tell_held(&self, mailbox: &Mailbox, step: Step, whose: &Whose) {
        let source = whose.source.as_ref();
        let rooms: Vec<String> = {
            let inbox = mailbox.inbox();
            let others =
                inbox.rooms.iter().filter(|room| !matches!(source, Some(Source::Room(own)) if own == *room));
            others.map(|room| format!("`{}/{}`", room.party(), room.id())).collect()
        };
        let held_for = overrun::seconds(self.options.limits.turn_held_after);
        let waiting = match rooms.len() {
            0 => "No other room is on it.".to_string(),
            count if count <= NAMED_ROOMS_MAX => format!("Rooms that wait for it: {}.", rooms.join(", ")),
            count => {
                let named = rooms.get(..NAMED_ROOMS_MAX).unwrap_or_default().join(", ");
                format!("Rooms that wait for it: {named} and {} more.", count - NAMED_ROOMS_MAX)
            }
        };
        let text = format!(
            "{} holds its thread up: {} has run for {held_for}. {waiting}\n",
            who(whose),
            step.subject()
        );
        self.observer.console(source.unwrap_or(&Source::Edge), Level::Warn, &text);
    }

    fn tell_released(&self, after: Duration, whose: &Whose) {
        let text =
            format!("{} no longer holds its thread up, after {}.\n", who(whose), overrun::seconds(after));
        self.observer.console(whose.source.as_ref().unwrap_or(&Source::Edge), Level::Warn, &text);
    }

    // Gives everything that needs no isolate of this worker's thread to others.
    fn relieve(&self, mailbox: &Arc<Mailbox>) {
        if self.stopping.load(Ordering::Acquire) || mailbox.kind == Kind::Room {
            return;
        }
        let mut guard = self.placement.write();
        let table = &mut *guard;
        if mailbox.kind == Kind::Share && !self.hand_over(table, mailbox) {
            return;
        }
        let moved = mailbox.take_for_others();
        // Slow rooms that were on their way here.
        for room in moved.iter().filter_map(Message::room) {
            table.exceptions.remove(room);
        }
        drop(guard);
        for message in moved {
            if let Message::Guest(guest) = message {
                guest.go_back();
                continue;
            }
            let Some(room) = message.room().cloned() else { continue };
            let _stopping = self.send_to_room(&room, message);
        }
    }

    // Lets all names that lead to a worker lead to another one. False where there is no other.
    fn hand_over(&self, table: &mut Table, mailbox: &Arc<Mailbox>) -> bool {
        if !mailbox.shares.load(Ordering::Acquire) {
            return true;
        }
        let extra = table.least_loaded(|other| other.kind == Kind::Share && other.is_extra());
        let more =
            table.count(Kind::Share) < table.shares.len() + self.options.limits.replacement_workers_max;
        let successor = extra
            .or_else(|| more.then(|| self.add_worker(table, Kind::Share).ok()).flatten())
            .or_else(|| table.least_loaded(|other| other.kind == Kind::Share));
        let Some(successor) = successor else { return false };
        for room in &mailbox.inbox().rooms {
            table.exceptions.entry(room.clone()).or_insert_with(|| mailbox.clone());
        }
        for place in table.shares.iter_mut().filter(|place| Arc::ptr_eq(place, mailbox)) {
            *place = successor.clone();
        }
        successor.shares.store(true, Ordering::Release);
        mailbox.shares.store(false, Ordering::Release);
        true
    }

    /// A worker that nobody's name leads to has no rooms any more. True if it may end: nobody has sent it anything since.
    pub(crate) fn retire_worker(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut table = self.placement.write();
        let mut inbox = mailbox.inbox();
        if !mailbox.is_extra() || !inbox.rooms.is_empty() || !inbox.receiver.is_empty() {
            return false;
        }
        table.workers.remove(&mailbox.id);
        inbox.receiver.close();
        true
    }
}

fn who(whose: &Whose) -> String {
    whose.source.as_ref().map_or_else(|| "A room that is being made".to_string(), overrun::name)
}
