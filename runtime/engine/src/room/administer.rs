//! What operators do to a room: change its storage, close its connections, send to them.
//!
//! A change of storage is an event of the room. It waits in the inbox behind the events before it, and while `onStart`,
//! `blockConcurrencyWhile` or a transaction holds them back; so it never falls between what a handler read and what it writes
//! for it. A room without an isolate gets none for a change: nothing of it runs that could be disturbed.

use std::rc::Rc;

use partyrun_net::{CloseFrame, SharedFrame};
use partyrun_store::{RoomStorage, StorageError, checksum};
use tokio::sync::oneshot;

use crate::api::Gone;
use crate::api::admin::{AskError, Change};
use crate::room::actor::Actor;
use crate::room::event::{Event, WantedChange};
use crate::room::output_gate::Output;
use crate::room::state::Start;

impl Actor {
    /// Takes a change: it is made now if the room has nothing that could run before it, or when its turn comes.
    pub(crate) fn administer(self: &Rc<Self>, wanted: WantedChange) {
        let idle = self.startup.state() == Start::New && self.inbox.is_empty();
        if !self.is_live() || idle {
            if self.inbox.is_empty() {
                return self.change(wanted);
            }
        } else if self.inbox.is_full() {
            return wanted.answer(Err(AskError::Busy));
        }
        self.push(Event::Change(Box::new(wanted)));
        self.wake();
    }

    /// Makes a change, and answers when it is durable.
    pub(crate) fn change(&self, wanted: WantedChange) {
        let Some(records) = &self.records else { return };
        // Who asked may have given up, and been told that nothing was changed.
        if !wanted.claim.take() {
            return;
        }
        let WantedChange { change, reply, .. } = wanted;
        self.inbox.touch();
        self.gate.wrote();
        let changed = make(&mut records.storage().borrow_mut(), change);
        records.count_undurable();
        let written = self.written();
        self.wake();
        answer_when(reply, changed, written);
    }

    /// Closes the connections with an id; how many there were. User code hears of it as of any other end.
    pub(crate) fn close_connections(&self, id: &str, code: u16, reason: &str) -> usize {
        let found = self.sockets.borrow().with_id(id);
        for &index in &found {
            let close = Some(CloseFrame { code, reason: reason.to_string() });
            if self.gate.is_open() {
                self.sockets.borrow_mut().close(index, close);
            } else {
                self.sockets.borrow_mut().closing(index);
                self.gate.hold(Output::Close(index, close));
            }
        }
        self.leave_soon();
        found.len()
    }

    /// Sends a text to all connections, behind what the room said before; how many there are.
    pub(crate) fn broadcast(&self, text: &str) -> usize {
        let targets = self.sockets.borrow_mut().broadcast_targets();
        let count = targets.len();
        let frame = SharedFrame::text(text).counted(self.sockets.borrow().queued());
        if self.gate.is_open() {
            let mut sockets = self.sockets.borrow_mut();
            targets.into_iter().for_each(|index| sockets.send_shared(index, &frame));
        } else {
            self.gate.hold(Output::Frames(targets, frame));
        }
        self.leave_soon();
        count
    }

    // What was said between turns leaves at once, or behind the writes that it waits for.
    fn leave_soon(&self) {
        self.sockets.borrow_mut().flush();
        self.inbox.touch();
        self.wake();
    }
}

fn answer_when(
    reply: oneshot::Sender<Result<usize, AskError>>,
    changed: Result<usize, AskError>,
    written: impl Future<Output = Result<(), Gone>> + 'static,
) {
    tokio::task::spawn_local(async move {
        let durable = written.await.map_err(|gone| AskError::Gone(gone.to_string()));
        let _gone = reply.send(changed.and_then(|count| durable.map(|()| count)));
    });
}

// All of a change or nothing; how many keys it deleted.
fn make(storage: &mut RoomStorage, change: Change) -> Result<usize, AskError> {
    if let Some((key, expected)) = &change.expected {
        let room = storage.key().clone();
        let found = storage.get(key)?.map(|value| checksum(&room, key.as_bytes(), &value));
        if found != *expected {
            return Err(AskError::Changed);
        }
    }
    let transaction = storage.begin();
    match write(storage, change) {
        Ok(count) => {
            storage.commit(transaction)?;
            Ok(count)
        }
        Err(error) => {
            storage.rollback(transaction)?;
            Err(error.into())
        }
    }
}

fn write(storage: &mut RoomStorage, change: Change) -> Result<usize, StorageError> {
    if change.clear {
        storage.delete_all()?;
    }
    let deleted = storage.delete_many(&change.deletes)?;
    storage.put_many(change.puts)?;
    match change.alarm {
        None => {}
        Some(None) => storage.delete_alarm()?,
        Some(Some(at_ms)) => storage.set_alarm(at_ms as f64, partyrun_store::now_ms())?,
    }
    Ok(deleted)
}
