//! The states of a room: how far its start has come, what keeps it from resting, where it lives, which alarms run. What is
//! done with them, the files of these names say (`start.rs`, `rest.rs`, `placing.rs`, `alarms.rs`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use partyrun_store::DueAlarm;
use partyrun_telemetry::{Reset, Span};

use crate::ground::places::Place;
use crate::room::requests::Ids;

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

/// The start of one life, and what keeps events away from it.
pub(crate) struct Startup {
    pub(super) state: Cell<Start>,
    pub(super) failure: RefCell<Option<String>>,
    // `blockConcurrencyWhile` or a transaction runs.
    held: Cell<bool>,
    // Since when an event waits for the start, and whether it is one that wakes the room.
    awaited: Cell<Option<(Instant, bool)>>,
}

impl Default for Startup {
    fn default() -> Self {
        Self {
            state: Cell::new(Start::New),
            failure: RefCell::default(),
            held: Cell::new(false),
            awaited: Cell::new(None),
        }
    }
}

impl Startup {
    /// How far it has come.
    pub(crate) fn state(&self) -> Start {
        self.state.get()
    }

    /// Whether events are kept away.
    pub(crate) fn is_held(&self) -> bool {
        self.held.get()
    }

    /// Keeps events away, or lets them come.
    pub(crate) fn hold(&self, held: bool) {
        self.held.set(held);
    }

    /// An event waits for the start; where it `wakes` the room, connections were there before.
    pub(crate) fn awaited(&self, wakes: bool) {
        if self.awaited.get().is_none() {
            self.awaited.set(Some((Instant::now(), wakes)));
        }
    }

    /// Nobody waits for the start any more. Answers since when somebody did, and whether it was a wake-up.
    pub(crate) fn take_awaited(&self) -> Option<(Instant, bool)> {
        self.awaited.take()
    }

    /// The next life begins from the beginning.
    pub(crate) fn forget(&self) {
        self.state.set(Start::New);
        self.held.set(false);
        self.awaited.set(None);
    }
}

/// What is known of a room's rest.
#[derive(Default)]
pub(crate) struct Rest {
    hibernates: Cell<bool>,
    /// When garbage was collected last.
    pub(super) tidied: Cell<Option<Instant>>,
    /// Handlers and promises of `waitUntil` that the edge has running.
    pub(super) waits: Cell<i32>,
    // What its turns took.
    took: Cell<Duration>,
    // A step took long since the room came to this worker.
    slow: Cell<bool>,
    /// Why the room will be reset at the end of this turn.
    pub(super) reset: RefCell<Option<(Reset, String)>>,
}

impl Rest {
    /// Whether the room's sockets outlive its isolate.
    pub(crate) fn hibernates(&self) -> bool {
        self.hibernates.get()
    }

    /// The room said whether its sockets shall outlive its isolate.
    pub(crate) fn set_hibernates(&self, hibernates: bool) {
        self.hibernates.set(hibernates);
    }

    /// More or fewer handlers run.
    pub(crate) fn wait(&self, change: i32) {
        self.waits.set(self.waits.get() + change);
    }

    /// A turn of the room took so long.
    pub(crate) fn note_turn(&self, took: Duration) {
        self.took.set(self.took.get().saturating_add(took));
    }

    /// What its turns took since it came to this worker.
    pub(crate) fn took(&self) -> Duration {
        self.took.get()
    }

    /// A step took long.
    pub(crate) fn note_slow(&self) {
        self.slow.set(true);
    }

    /// Whether a step took long.
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.get()
    }

    /// Whether the room will be reset at the end of this turn.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.borrow().is_some()
    }

    /// Why the room is to be reset now.
    pub(crate) fn take_reset(&self) -> Option<(Reset, String)> {
        self.reset.take()
    }
}

/// Where a room is, if it is anywhere.
#[derive(Default)]
pub(crate) struct Placing {
    pub(super) place: RefCell<Option<Place>>,
    number: Cell<Option<u32>>,
    /// Since when the room has waited for a place.
    pub(super) unplaced_since: Cell<Option<Instant>>,
    /// Whether it will look again by itself.
    pub(super) looks_again: Cell<bool>,
}

impl Placing {
    /// The room's number in its isolate.
    pub(crate) fn number(&self) -> Option<u32> {
        self.number.get()
    }

    /// The room has come into its isolate.
    pub(crate) fn moved_in(&self, number: u32) {
        self.number.set(Some(number));
    }

    /// The room leaves its isolate, and its place. Answers the number that it had.
    pub(crate) fn moved_out(&self) -> Option<u32> {
        *self.place.borrow_mut() = None;
        self.number.take()
    }

    /// The room has started: what it takes can be measured from now on.
    pub(crate) fn settle(&self) {
        if let Some(place) = &mut *self.place.borrow_mut() {
            place.settle();
        }
    }
}

/// A run that has not ended.
pub(super) struct RunningAlarm {
    pub(super) due: DueAlarm,
    pub(super) since: Instant,
    /// What the run is in its trace, if it is traced.
    pub(super) span: Cell<Option<Span>>,
    /// It counts against `alarms_running_max`.
    pub(super) counted: Cell<bool>,
}

/// The runs that have not ended, by the token under which JavaScript knows them.
#[derive(Default)]
pub(crate) struct Alarms {
    pub(super) running: RefCell<HashMap<u32, RunningAlarm>>,
    pub(super) tokens: Ids,
}

impl Alarms {
    /// How many run.
    pub(crate) fn len(&self) -> usize {
        self.running.borrow().len()
    }

    /// Whether none runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.borrow().is_empty()
    }
}
