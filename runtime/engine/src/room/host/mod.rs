//! The engine's side of the ops: what JavaScript asks of the outside, answered for the room that asks.
//!
//! Each file beside this one implements the trait of its noun (`runtime/extensions/src/NOUN.rs`) for [`HostSlot`]. A slot
//! belongs to one isolate from its creation. The slot of a spare has no room yet, so calls that modules make at their top level
//! do nothing. Only what they print is shown, once: when the edge isolate is created.

mod assets;
mod bindings;
mod bundle;
mod connections;
mod console;
mod edge;
mod parties;
mod responses;
mod room;
mod sockets;
mod storage;
mod traces;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use partyrun_extensions::wire::FIRST_ROOM;

use crate::api::Observer;
use crate::ground::program::Program;
use crate::room::actor::Actor;

/// The host side of one isolate.
pub(crate) struct HostSlot {
    /// Its rooms by their number; in an isolate of the edge the edge.
    rooms: RefCell<Vec<Option<Weak<Actor>>>>,
    /// Numbers that rooms have left.
    free: RefCell<Vec<u32>>,
    program: Arc<Program>,
    /// Where the modules print before there is an actor.
    top_level: Option<Arc<dyn Observer>>,
}

impl HostSlot {
    pub(crate) fn new(program: Arc<Program>, top_level: Option<Arc<dyn Observer>>) -> Rc<Self> {
        Rc::new(Self { rooms: RefCell::default(), free: RefCell::default(), program, top_level })
    }

    /// Lets a room into the isolate, and answers its number in it. The first one has [`FIRST_ROOM`].
    pub(crate) fn bind(&self, actor: &Rc<Actor>) -> u32 {
        let mut rooms = self.rooms.borrow_mut();
        let number = self.free.borrow_mut().pop().unwrap_or_else(|| {
            rooms.push(None);
            u32::try_from(rooms.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(room) = rooms.get_mut(number as usize) {
            *room = Some(Rc::downgrade(actor));
        }
        number
    }

    /// The room with this number leaves the isolate. Answers whether it was the last.
    pub(crate) fn release(&self, number: u32) -> bool {
        let mut rooms = self.rooms.borrow_mut();
        let mut free = self.free.borrow_mut();
        if rooms.get_mut(number as usize).and_then(Option::take).is_some() {
            free.push(number);
        }
        free.len() == rooms.len()
    }

    /// The room with this number.
    pub(crate) fn peek(&self, number: u32) -> Option<Rc<Actor>> {
        self.rooms.borrow().get(number as usize)?.as_ref()?.upgrade()
    }

    // The room that an op names. The turn that runs is one of that room.
    fn room(&self, number: u32) -> Option<Rc<Actor>> {
        let room = self.rooms.borrow().get(number as usize)?.as_ref()?.upgrade()?;
        room.inbox.touch();
        Some(room)
    }

    fn edge(&self) -> Option<Rc<Actor>> {
        self.room(FIRST_ROOM)
    }
}
