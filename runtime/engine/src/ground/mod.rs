//! The ground floor: what rooms, workers and the engine are built on. Nothing here knows about any of them.

pub(crate) mod cpu_share;
pub(crate) mod held_stack;
#[cfg(test)]
pub(crate) mod hot_ops;
pub(crate) mod import_cost;
pub(crate) mod inspect;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod overrun;
pub(crate) mod places;
pub(crate) mod program;
pub(crate) mod pulse;
pub(crate) mod registry;
pub(crate) mod totals;
pub(crate) mod trim;
pub(crate) mod watchdog;
