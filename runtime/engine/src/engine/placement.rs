//! Decides which worker a room is on.
//!
//! A room's name decides its worker, except for the rooms in a table of exceptions: those that stayed with a worker that was
//! relieved, those that were slow, and, with a thread for each room, all of them. A room is in memory on at most one worker,
//! and the table always leads there:
//!
//! - A worker takes a room in only while the table leads to it, and holds the table locked meanwhile
//!   ([`Whereabouts::admit`]). Messages that are no longer for it go where the table now leads.
//! - A worker that is relieved keeps the rooms that live there, as exceptions ([`Inner::relieve`]). Those that hibernate go
//!   to another worker with their connections (`room/lodging.rs`).
//! - An exception ends when its room has left memory ([`Whereabouts::left`]).
//!
//! A worker is relieved when one turn has held it up for `turn_held_after`: its share of names, and the messages for rooms that
//! it does not have yet, move to another thread at once. When the turn ends, the worker serves the rooms it kept; it takes over
//! from the next worker that is held up, or ends once its rooms have left. A room that was slow gets a thread for slow rooms in
//! its next life, so that it delays its neighbours only once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use partyrun_net::Guest;
use partyrun_net::front::connections_possible_twice;
use partyrun_store::RoomKey;

use crate::api::{Level, Source, StartError};
use crate::engine::inner::Inner;
use crate::engine::table::Table;
use crate::ground::overrun;
use crate::ground::pulse::{Step, Whose};
use crate::ground::watchdog::Notice;
use crate::worker::mailbox::{Kind, Mailbox, Whereabouts};
use crate::worker::message::Message;

/// Rooms that a line about a thread names.
const NAMED_ROOMS_MAX: usize = 10;

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
    #[expect(clippy::result_large_err, reason = "the connection goes back where it came from")]
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

    /// What the watchdog says about a worker.
    pub(crate) fn notice(&self, worker: usize, notice: Notice) {
        let mailbox = self.placement.read().workers.get(&worker).cloned().or_else(|| self.edges.find(worker));
        match (notice, mailbox) {
            // Its connections that wait for their next request may ask other rooms.
            (Notice::Busy, Some(mailbox)) => mailbox.seats.rescue(),
            (Notice::Held(step, whose), Some(mailbox)) => {
                mailbox.held.store(true, Ordering::Release);
                let moved = self.relieve(&mailbox);
                self.tell_held(&mailbox, step, &whose);
                moved.into_iter().for_each(|message| self.send_on(message));
                if mailbox.kind == Kind::Edge {
                    self.relieve_edge(&mailbox);
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
        self.tell_of(source, &text);
    }

    // Of a room, or of several of which nobody knows which one it is.
    fn tell_of(&self, source: Option<&Source>, text: &str) {
        match source {
            Some(source) => self.observer.console(source, Level::Warn, text),
            None => self.observer.warn(text.trim_end()),
        }
    }

    fn tell_released(&self, after: Duration, whose: &Whose) {
        let text =
            format!("{} no longer holds its thread up, after {}.\n", who(whose), overrun::seconds(after));
        self.tell_of(whose.source.as_ref(), &text);
    }

    // Gives everything that needs no isolate of this worker's thread to others. Answers the messages that are to be sent on.
    fn relieve(&self, mailbox: &Arc<Mailbox>) -> Vec<Message> {
        let ending = self.stopping.load(Ordering::Acquire) || self.lifting.load(Ordering::Acquire);
        if ending || matches!(mailbox.kind, Kind::Room | Kind::Edge) {
            return Vec::new();
        }
        let mut guard = self.placement.write();
        let table = &mut *guard;
        if mailbox.kind == Kind::Share && !self.hand_over(table, mailbox) {
            return Vec::new();
        }
        self.move_resting(table, mailbox);
        let moved = mailbox.take_for_others();
        // Slow rooms that were on their way here.
        for room in moved.iter().filter_map(Message::room) {
            table.exceptions.remove(room);
        }
        moved
    }

    fn send_on(&self, message: Message) {
        if let Message::Guest(guest) = message {
            return guest.go_back();
        }
        if let Some(room) = message.room().cloned() {
            let _stopping = self.send_to_room(&room, message);
        }
    }

    // Rooms that hibernate with a worker begin their next life on another one, with their connections.
    fn move_resting(&self, table: &mut Table, mailbox: &Arc<Mailbox>) {
        let connections_max = self.options.limits.moved_sockets_max.min(connections_possible_twice());
        let taken = mailbox.take_resting(connections_max);
        if taken.is_empty() {
            return;
        }
        for (room, parcel) in taken {
            table.exceptions.remove(&room);
            let found = table.find(&room, &self.placement.hasher).cloned();
            if let Some(other) = found.or_else(|| self.own_worker(table, &room)) {
                // A worker that has ended ends with the process.
                let _ended = other.send(Message::Adopt(room, parcel));
            }
        }
        let _ended = mailbox.send(Message::LetGo);
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
}

impl Whereabouts for Inner {
    fn admit(&self, mailbox: &Arc<Mailbox>, room: &RoomKey, message: Message) -> Option<Message> {
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

    fn left(&self, mailbox: &Arc<Mailbox>, room: &RoomKey, slow: bool) {
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

    fn retire_worker(&self, mailbox: &Arc<Mailbox>) -> bool {
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
    match &whose.source {
        Some(source) => overrun::name(source),
        None if whose.shared => "One of the rooms that share an isolate".to_string(),
        None => "A room that is being made".to_string(),
    }
}
