//! What a worker is made from: the settings and shared parts that its thread is given.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use partyrun_limits::Limits;
use partyrun_store::Store;

use crate::api::{Isolation, Observer, RestartCode};
use crate::ground::inspect::Inspector;
use crate::ground::places::Places;
use crate::ground::program::Program;
use crate::ground::registry::Registry;
use crate::ground::totals::Totals;
use crate::room::shared::Neighbours;
use crate::worker::mailbox::Whereabouts;

/// What a worker is made from.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) program: Arc<Program>,
    pub(crate) inspector: Option<Arc<Inspector>>,
    pub(crate) isolation: Isolation,
    pub(crate) compression: Option<partyrun_net::Compression>,
    pub(crate) neighbours: Weak<dyn Neighbours>,
    pub(crate) whereabouts: Weak<dyn Whereabouts>,
    pub(crate) spares: usize,
    /// Whether a worker is making a spare at this moment.
    pub(crate) making_spare: Arc<AtomicBool>,
    pub(crate) places: Arc<Places>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) totals: Totals,
    pub(crate) restart_code: RestartCode,
}
