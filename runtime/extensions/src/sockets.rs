//! WebSockets by their index: those of clients, and those to other servers.
//!
//! An index names one socket from its making until [`Sockets::socket_forget`]; what is asked of an unknown one does nothing.
//! What is sent waits behind the output gate while the room has writes that are not durable.

use std::cell::RefCell;
use std::rc::Rc;

use deno_core::OpState;
use deno_core::op2;
use deno_error::JsErrorBox;

use crate::host::{LocalFuture, RoomNumber, host};
use crate::reply::{Reply, ReplyParts};

/// What can be done with any socket of a room, by its index: those of clients, of pairs, and to other servers.
pub trait Sockets {
    /// Sends a text message. Answers [`SENT`](crate::wire::SENT), [`TOO_LONG`](crate::wire::TOO_LONG) or
    /// [`TOO_MUCH_HELD`](crate::wire::TOO_MUCH_HELD).
    fn socket_send_text(&self, room: RoomNumber, index: u32, text: &str) -> u32;
    /// Sends a binary message; answers as [`Sockets::socket_send_text`] does.
    fn socket_send_binary(&self, room: RoomNumber, index: u32, bytes: &[u8]) -> u32;
    /// Closes the socket. A `code` that no close frame may hold, such as [`NO_CODE`](crate::wire::NO_CODE), is left out, and the
    /// reason with it.
    fn socket_close(&self, room: RoomNumber, index: u32, code: i32, reason: &str);
    /// Opens a WebSocket to another server, once what the room has written is durable. Headers are `name\nvalue\n` pairs,
    /// `protocols` is the header's value or empty.
    ///
    /// # Errors
    /// The server could not be reached. One that refuses is a reply without a socket.
    fn socket_connect(
        &self,
        room: RoomNumber,
        url: String,
        protocols: String,
        headers: String,
    ) -> LocalFuture<Result<Reply, JsErrorBox>>;
    /// Its last event has been delivered: the index may name another socket from now on.
    fn socket_forget(&self, room: RoomNumber, index: u32);
    /// Bytes that wait for the network or behind the output gate, with the heads of their frames.
    fn socket_buffered(&self, room: RoomNumber, index: u32) -> usize;
}

#[op2(fast)]
#[smi]
pub(crate) fn op_socket_send_text(
    state: &OpState,
    #[smi] room: u32,
    #[smi] index: u32,
    #[string] text: &str,
) -> u32 {
    host(state).socket_send_text(room, index, text)
}

#[op2(fast)]
#[smi]
pub(crate) fn op_socket_send_binary(
    state: &OpState,
    #[smi] room: u32,
    #[smi] index: u32,
    #[buffer] bytes: &[u8],
) -> u32 {
    host(state).socket_send_binary(room, index, bytes)
}

#[op2(fast)]
pub(crate) fn op_socket_close(
    state: &OpState,
    #[smi] room: u32,
    #[smi] index: u32,
    #[smi] code: i32,
    #[string] reason: &str,
) {
    host(state).socket_close(room, index, code, reason);
}

#[op2]
#[serde]
pub(crate) async fn op_socket_connect(
    state: Rc<RefCell<OpState>>,
    #[smi] room: u32,
    #[string] url: String,
    #[string] protocols: String,
    #[string] headers: String,
) -> Result<ReplyParts, JsErrorBox> {
    let connecting = host(&state.borrow()).socket_connect(room, url, protocols, headers);
    let reply = connecting.await?;
    Ok(ReplyParts::new(&mut state.borrow_mut(), reply))
}

#[op2(fast)]
pub(crate) fn op_socket_forget(state: &OpState, #[smi] room: u32, #[smi] index: u32) {
    host(state).socket_forget(room, index);
}

/// Bytes that wait for the network.
#[op2(fast)]
#[number]
pub(crate) fn op_socket_buffered(state: &OpState, #[smi] room: u32, #[smi] index: u32) -> usize {
    host(state).socket_buffered(room, index)
}
