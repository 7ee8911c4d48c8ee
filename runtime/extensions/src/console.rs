//! The console of user code: what it prints, and at which level.

use deno_core::OpState;
use deno_core::op2;

use crate::host::{RoomNumber, host};

/// Where `console` of user code prints, and errors that nobody caught.
pub trait Console {
    /// Prints `text`, which may have several lines, with the name of whoever says it. `level` is one of
    /// [`LEVEL_DEBUG`](crate::wire::LEVEL_DEBUG) and its kin; what is above them counts as an error.
    fn console(&self, room: RoomNumber, level: u32, text: &str);
}

#[op2(fast)]
pub(crate) fn op_console_write(state: &OpState, #[smi] room: u32, #[string] text: &str, #[smi] level: u32) {
    host(state).console(room, level, text);
}
