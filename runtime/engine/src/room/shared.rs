//! What the rooms of one worker share, and what they ask of those above them: of the home that they live in, of their worker,
//! and of the engine for other rooms. Each is a trait, so that a room knows none of them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use partyrun_limits::Limits;
use partyrun_net::Request;
use partyrun_store::{Batch, RoomKey, WorkerStore};

use crate::api::{Gone, Level, Observer, RestartCode, RoomChange, Source};
use crate::ground::cpu_share::CpuShare;
use crate::ground::overrun;
use crate::ground::places::{Full, Places};
use crate::ground::program::Program;
use crate::ground::pulse::{Pulse, Step};
use crate::ground::totals::Totals;
use crate::room::event::Origin;
use crate::room::requests::Answer;

/// What rooms ask of their worker.
pub(crate) trait Worker {
    /// Hands a batch of the room with this serial number to the store; [`Actor::durable`] hears when it is durable.
    ///
    /// [`Actor::durable`]: crate::room::actor::Actor::durable
    fn commit(&self, serial: u64, life: u32, batch: Batch);

    /// Gives an alarm back to the store: its run has not begun.
    fn release_alarm(&self, room: &RoomKey, retry_at_ms: i64);

    /// Whether the worker's rooms have nothing in common but their names.
    fn has_neighbours(&self) -> bool;
}

/// What a room asks of the home that it lives in.
pub(crate) trait Landlord {
    /// The room with this number leaves the isolate, which goes with its last one.
    fn leave(&self, number: u32);

    /// The room with this serial number is gone for good; with the last one the home's task ends.
    fn forget(&self, serial: u64);

    /// Whether timers or fetches are pending.
    fn is_busy(&self) -> bool;

    /// Whether a debugger is attached.
    fn is_debugged(&self) -> bool;

    /// Bytes of the isolate, inside and outside of its heap: as of its last garbage collection, or `measured` now, which costs
    /// some microseconds.
    fn memory_bytes(&self, measured: bool) -> usize;

    /// Collects the isolate's garbage.
    fn tidy(&self);

    /// Memory has run out. Resets the rooms if it is still this isolate that uses the most.
    fn relieve(&self);
}

/// What rooms ask of the engine.
pub(crate) trait Neighbours: Send + Sync {
    /// Gives a request to a room of this project.
    fn ask(self: Arc<Self>, key: RoomKey, request: Request, origin: Origin) -> BoxFuture<'static, Answer>;

    /// Asks idle rooms to make way for one that finds no place.
    fn make_way(&self, why: &Full);

    /// A run of an alarm has ended, or takes so long that others need not wait for it.
    fn alarm_left(&self);

    /// Whether whoever runs the process should hear now that this step of a room was slow.
    fn warns_of(&self, source: &Source, step: Step) -> bool;
}

/// What the rooms of a worker share.
pub(crate) struct Shared {
    pub(crate) limits: Rc<Limits>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) store: WorkerStore,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) program: RefCell<Arc<Program>>,
    pub(crate) places: Arc<Places>,
    pub(crate) totals: Totals,
    /// What other servers are offered about compression.
    pub(crate) compression: Option<partyrun_net::Compression>,
    /// What sockets hear that a restart ends.
    pub(crate) restart_code: RestartCode,
    /// Whether the rooms of the worker share an isolate.
    pub(crate) shares_isolate: bool,
    pub(crate) worker: Weak<dyn Worker>,
    pub(crate) neighbours: std::sync::Weak<dyn Neighbours>,
    /// What the worker's turns use of the processor.
    pub(crate) cpu: CpuShare,
    /// Counts turns.
    pub(crate) activity: Cell<u64>,
}

impl Shared {
    /// The engine, for calls to other rooms.
    pub(crate) fn neighbours(&self) -> Result<Arc<dyn Neighbours>, Gone> {
        self.neighbours.upgrade().ok_or(Gone::Stopping)
    }

    /// The worker does something for a room: spares can wait.
    pub(crate) fn note_activity(&self) {
        self.activity.set(self.activity.get().wrapping_add(1));
    }

    /// Tells whoever follows what happens to rooms.
    pub(crate) fn changed(&self, source: &Source, change: &RoomChange<'_>) {
        if let Source::Room(key) = source {
            self.observer.changed(key, change);
        }
    }

    /// Says in the log why a room was reset.
    pub(crate) fn report_reset(&self, source: &Source, reason: &str) {
        self.observer.console(
            source,
            Level::Error,
            &format!("{} was reset: {reason}\n", overrun::name(source)),
        );
    }
}
