//! The engine: rooms as V8 isolates on worker threads, their events, their sockets, their gates.
//!
//! Start reading at [`Engine`]; then `worker.rs` (a thread and its rooms), `actor.rs` (a room and its turn), `isolate.rs`
//! (the guard). The engine knows nothing of flags, files or HTTP routing. Invariants:
//!
//! - Only `isolate.rs` enters an isolate, and never across an await.
//! - A room is in memory on one worker at most (`placement.rs`).
//! - What a room says after a write leaves only when that write is durable (`gate.rs`).
//! - User code that goes wrong ends its own room at most: `actor.rs` resets it, the worker goes on.

mod actor;
mod alarms;
#[cfg(test)]
mod churn_tests;
mod edge;
mod engine;
mod event;
#[cfg(test)]
mod footprint_tests;
mod gate;
mod host;
#[cfg(test)]
mod hot_ops;
mod http;
mod import_cost;
mod inbox;
mod inspect;
mod isolate;
mod machine;
mod memory;
#[cfg(test)]
mod memory_tests;
mod outgoing;
mod overrun;
#[cfg(test)]
mod parties_tests;
mod placement;
mod places;
mod program;
mod proxy;
mod pulse;
mod relief;
mod sockets;
mod spares;
#[cfg(test)]
mod tests;
mod thread;
#[cfg(test)]
mod time_tests;
mod totals;
mod trim;
mod watchdog;
mod worker;

pub use edge::PartyDescription;
pub use engine::{
    Before, Counts, CronOutcome, Engine, EngineOptions, Fetched, Level, Observer, RoomState, Source,
    StartError, Warm, Workers,
};
pub use inspect::{Inspector, Session, Target};
pub use partyrun_extensions::{BindingCall, BindingReply};
pub use program::{BUNDLE_NAME, Program, ProgramError};

/// The version of the V8 that is linked.
pub fn v8_version() -> &'static str {
    deno_core::v8::VERSION_STRING
}

/// What a code cache must match besides the bundle: V8's version and flags.
pub fn code_cache_tag() -> u32 {
    deno_core::v8::script_compiler::cached_data_version_tag()
}
