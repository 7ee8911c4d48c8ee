//! The engine's side of the ops: what JavaScript asks of the outside, answered for the actor that the isolate belongs to.
//!
//! Each file beside this one implements the trait of its noun (`runtime/extensions/src/NOUN.rs`) for [`HostSlot`]. A slot
//! belongs to one isolate from its creation; a spare's slot has no actor yet, and whatever its modules ask for at the top
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

use std::cell::OnceCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::ground::program::Program;
use crate::room::actor::Actor;
use crate::{Observer, Source};

/// The host side of one isolate.
pub(crate) struct HostSlot {
    actor: OnceCell<Weak<Actor>>,
    program: Arc<Program>,
    /// Where the modules print before there is an actor.
    top_level: Option<Arc<dyn Observer>>,
}

impl HostSlot {
    pub(crate) fn new(program: Arc<Program>, top_level: Option<Arc<dyn Observer>>) -> Rc<Self> {
        Rc::new(Self { actor: OnceCell::new(), program, top_level })
    }

    /// Gives the isolate to an actor, once.
    pub(crate) fn bind(&self, actor: &Rc<Actor>) {
        let _bound = self.actor.set(Rc::downgrade(actor));
    }

    /// The room or the edge that the isolate belongs to.
    pub(crate) fn source(&self) -> Option<Source> {
        self.actor().map(|actor| actor.source.clone())
    }

    fn actor(&self) -> Option<Rc<Actor>> {
        self.actor.get()?.upgrade()
    }
}
