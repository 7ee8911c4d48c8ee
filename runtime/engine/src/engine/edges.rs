//! The threads of the static handlers.
//!
//! There is one, with one isolate, so that what a module keeps is there from one request to the next. While a turn holds it
//! up (`turn_held_after`), another one takes over: it gets what waits and all that comes. What the handlers of the first have
//! begun goes on there, and so do its sockets. The second starts with fresh modules, and stays in charge until it is held up
//! itself. There are `edge_workers_max` of them at most; when all are held up, the newest is waited for.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::worker::mailbox::Mailbox;
use crate::worker::message::Message;

/// The number of the first one among workers. Those of others count down from the largest: rooms' workers count up.
pub(super) const FIRST: usize = 0;

/// The threads of static handlers of one engine.
#[derive(Default)]
pub(super) struct Edges(RwLock<Table>);

/// Which there are, and which is in charge.
#[derive(Default)]
pub(super) struct Table {
    pub(super) current: Option<Arc<Mailbox>>,
    pub(super) all: Vec<Arc<Mailbox>>,
    started: usize,
    pub(super) starting: bool,
    /// Counts programs: a thread that was started with an old one is not used.
    pub(super) program: usize,
}

impl Edges {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table, to be changed.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for one more.
    pub(super) fn next_id(&self) -> usize {
        let mut table = self.write();
        table.started += 1;
        if table.started == 1 { FIRST } else { usize::MAX - table.started }
    }

    /// Puts one in charge, for good: answers those that were there before.
    pub(super) fn replace(&self, edge: Arc<Mailbox>) -> Vec<Arc<Mailbox>> {
        let mut table = self.write();
        table.program += 1;
        table.current = Some(edge.clone());
        std::mem::replace(&mut table.all, vec![edge])
    }

    /// Takes all away: the engine stops.
    pub(super) fn take(&self) -> Vec<Arc<Mailbox>> {
        let mut table = self.write();
        table.program += 1;
        table.current = None;
        std::mem::take(&mut table.all)
    }

    /// Sends a message to the one in charge. False if there is none any more.
    pub(super) fn send(&self, message: Message) -> bool {
        // The message is in the queue before the lock goes: who takes over finds it there.
        let table = self.read();
        table.current.as_ref().is_some_and(|edge| edge.send(message).is_ok())
    }

    /// The one with this number.
    pub(super) fn find(&self, id: usize) -> Option<Arc<Mailbox>> {
        self.read().all.iter().find(|edge| edge.id == id).cloned()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.read().all.len()
    }
}

impl Table {
    /// Lets another one take over from the one in charge.
    pub(super) fn pass_to(&mut self, edge: Arc<Mailbox>) {
        if let Some(held) = self.current.replace(edge.clone()) {
            for message in held.take_events() {
                let _ended = edge.send(message);
            }
        }
    }
}
