//! The connections of a room: sockets of its clients, with what outlives hibernation, and what is said to all of them.

use deno_core::OpState;
use deno_core::op2;

use crate::host::{RoomNumber, host};

/// What only a client's socket has: a place in the list of connections, tags, a state that outlives hibernation,
/// broadcasts.
pub trait Connections {
    /// Answers the handshake: from now on the client may speak.
    fn connection_accept(&self, room: RoomNumber, index: u32);
    /// Whether broadcasts reach the connection, and hibernation keeps it.
    fn connection_list(&self, room: RoomNumber, index: u32, listed: bool);
    /// Keeps the connection's state, as structured clone, for the room's next life.
    fn connection_attach(&self, room: RoomNumber, index: u32, bytes: &[u8]);
    /// Keeps the connection's tags for the room's next life.
    fn connection_tags(&self, room: RoomNumber, index: u32, tags: Vec<String>);
    /// Leaves the connection out of the next broadcast.
    fn broadcast_skip(&self, room: RoomNumber, index: u32);
    /// Sends a text to all listed connections that are not left out; answers as
    /// [`socket_send_text`](crate::Sockets::socket_send_text) does.
    fn broadcast_text(&self, room: RoomNumber, text: &str) -> u32;
    /// Sends bytes to all listed connections that are not left out; answers as
    /// [`socket_send_text`](crate::Sockets::socket_send_text) does.
    fn broadcast_binary(&self, room: RoomNumber, bytes: &[u8]) -> u32;
}

#[op2(fast)]
pub(crate) fn op_connection_accept(state: &OpState, #[smi] room: u32, #[smi] index: u32) {
    host(state).connection_accept(room, index);
}

#[op2(fast)]
pub(crate) fn op_connection_list(state: &OpState, #[smi] room: u32, #[smi] index: u32, listed: bool) {
    host(state).connection_list(room, index, listed);
}

#[op2(fast)]
pub(crate) fn op_connection_attach(
    state: &OpState,
    #[smi] room: u32,
    #[smi] index: u32,
    #[buffer] bytes: &[u8],
) {
    host(state).connection_attach(room, index, bytes);
}

#[op2]
pub(crate) fn op_connection_tags(
    state: &OpState,
    #[smi] room: u32,
    #[smi] index: u32,
    #[serde] tags: Vec<String>,
) {
    host(state).connection_tags(room, index, tags);
}

#[op2(fast)]
pub(crate) fn op_broadcast_skip(state: &OpState, #[smi] room: u32, #[smi] index: u32) {
    host(state).broadcast_skip(room, index);
}

#[op2(fast)]
#[smi]
pub(crate) fn op_broadcast_text(state: &OpState, #[smi] room: u32, #[string] text: &str) -> u32 {
    host(state).broadcast_text(room, text)
}

#[op2(fast)]
#[smi]
pub(crate) fn op_broadcast_binary(state: &OpState, #[smi] room: u32, #[buffer] bytes: &[u8]) -> u32 {
    host(state).broadcast_binary(room, bytes)
}
