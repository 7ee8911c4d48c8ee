//! The engine: rooms as V8 isolates on worker threads, their events, their sockets, their gates.
//!
//! Start reading at [`Engine`]; then `worker/mod.rs` (a thread and its rooms), `room/actor.rs` (a room and its turn),
//! `isolate/mod.rs` (the guard). The engine knows nothing of flags, files or HTTP routing. Invariants:
//!
//! - Only `isolate/mod.rs` enters an isolate, and never across an await.
//! - A room is in memory on one worker at most (`engine/placement.rs`).
//! - What a room says after a write leaves only when that write is durable (`room/output_gate.rs`).
//! - User code that goes wrong ends its own room at most: `room/actor.rs` resets it, the worker goes on.

mod engine;
mod ground;
mod isolate;
mod room;
#[cfg(test)]
mod tests;
mod worker;

pub use engine::{
    Before, Counts, CronOutcome, Engine, EngineOptions, Fetched, Level, Observer, RoomState, Source,
    StartError, Warm, Workers,
};
pub use ground::inspect::{Inspector, Session, Target};
pub use ground::program::{BUNDLE_NAME, Program, ProgramError};
pub use partyrun_extensions::{BindingCall, BindingReply};
pub use room::edge::PartyDescription;

/// The version of the V8 that is linked.
pub fn v8_version() -> &'static str {
    deno_core::v8::VERSION_STRING
}

/// What a code cache must match besides the bundle: V8's version and flags.
pub fn code_cache_tag() -> u32 {
    deno_core::v8::script_compiler::cached_data_version_tag()
}
