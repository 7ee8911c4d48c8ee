//! The engine: rooms as V8 isolates on worker threads, their events, their sockets, their gates.
//!
//! Start reading at [`Engine`]; then `worker.rs` (a thread and its rooms), `actor.rs` (a room and its turn), `isolate.rs`
//! (the guard). The engine knows nothing of flags, files or HTTP routing. Invariants:
//!
//! - Only `isolate.rs` enters an isolate, and never across an await.
//! - A room lives on one worker for its whole life, and is there at most once.
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
mod inspect;
mod isolate;
mod memory;
mod outgoing;
mod program;
mod proxy;
mod sockets;
#[cfg(test)]
mod tests;
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
