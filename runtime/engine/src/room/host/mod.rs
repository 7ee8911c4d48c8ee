//! The engine's side of the ops: what JavaScript asks of the outside, answered for the room that asks.
//!
//! Each file beside this one implements the trait of its noun (`runtime/extensions/src/NOUN.rs`) for [`HostSlot`]. A slot
//! belongs to one isolate from its creation; a spare's slot has no room yet, and whatever its modules ask for at the top
//! level is nothing to do (what they print there is shown once: when the edge isolate is made).

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

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use partyrun_extensions::wire::FIRST_ROOM;

use crate::ground::program::Program;
use crate::room::actor::Actor;
use crate::{Observer, Source};

/// The host side of one isolate.
pub(crate) struct HostSlot {
    /// Its rooms by their number; in an isolate of the edge the edge.
    rooms: RefCell<Vec<Weak<Actor>>>,
    program: Arc<Program>,
    /// Where the modules print before there is an actor.
    top_level: Option<Arc<dyn Observer>>,
}

impl HostSlot {
    pub(crate) fn new(program: Arc<Program>, top_level: Option<Arc<dyn Observer>>) -> Rc<Self> {
        Rc::new(Self { rooms: RefCell::default(), program, top_level })
    }

    /// Gives the isolate to an actor. Today there is one: it gets [`FIRST_ROOM`].
    pub(crate) fn bind(&self, actor: &Rc<Actor>) {
        self.rooms.borrow_mut().push(Rc::downgrade(actor));
    }

    /// The room or the edge that the isolate belongs to.
    pub(crate) fn source(&self) -> Option<Source> {
        self.room(FIRST_ROOM).map(|actor| actor.source.clone())
    }

    // The room that an op names.
    fn room(&self, number: u32) -> Option<Rc<Actor>> {
        self.rooms.borrow().get(number as usize)?.upgrade()
    }

    fn edge(&self) -> Option<Rc<Actor>> {
        self.room(FIRST_ROOM)
    }
}
