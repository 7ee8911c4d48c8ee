//! The engine: rooms as V8 isolates on worker threads, their events, their sockets, their gates.
//!
//! Start reading at [`Engine`]; then `worker/mod.rs` (a thread and its rooms), `room/home.rs` (what a turn is), `room/actor.rs`
//! (what a room is made of), `isolate/mod.rs` (the guard). The folders are floors, and arrows only point down: engine, worker,
//! room, isolate, ground, and the vocabulary in `api.rs`. The engine knows nothing of flags, files or HTTP routing. Invariants:
//!
//! - Only `isolate` enters an isolate, and never across an await.
//! - A room is in memory on one worker at most (`engine/placement.rs`).
//! - What a room says after a write leaves only when that write is durable (`room/output_gate.rs`).
//! - User code that goes wrong ends the rooms of its own isolate at most: `room/home.rs` resets them, the worker goes on.

mod api;
mod engine;
mod ground;
mod isolate;
mod room;
#[cfg(test)]
mod tests;
mod worker;

pub use api::admin::{
    Act, Acted, AskError, Change, ConnectionReport, RoomDetails, RoomOrder, RoomQuery, RoomReport,
    StorageQuery, Usage,
};
pub use api::{
    Before, Counts, CronOutcome, Fetched, Isolation, Level, Observer, PartyDescription, RestartCode,
    RoomChange, RoomCost, RoomState, Source, StartError,
};
pub use engine::{Engine, EngineOptions, Warm, Workers};
pub use ground::inspect::{Arrival, Follow, Inspector, Session, Target};
pub use ground::program::{BUNDLE_NAME, DebugMap, Program, ProgramError};
pub use partyrun_extensions::{BindingCall, BindingReply, Outbound, note_own_ports, restrict};
pub use room::lodging::{Connection, Parcel};

/// The version of the V8 that is linked.
pub fn v8_version() -> &'static str {
    deno_core::v8::VERSION_STRING
}

/// What a code cache must match besides the bundle: V8's version and flags.
pub fn code_cache_tag() -> u32 {
    deno_core::v8::script_compiler::cached_data_version_tag()
}
