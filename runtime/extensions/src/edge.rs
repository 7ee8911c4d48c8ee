//! What only the edge isolate does: hand requests on, let them pass, answer handshakes itself.

use deno_core::JsBuffer;
use deno_core::OpState;
use deno_core::op2;
use deno_error::JsErrorBox;

use crate::body::{Body, body_of};
use crate::host::host;

/// A request that a static handler forwards to its room.
pub struct Forwarded {
    /// The HTTP method.
    pub method: String,
    /// The URL that the room sees, which the handler may have changed.
    pub url: String,
    /// Header pairs, `name\nvalue\n`.
    pub headers: String,
    /// The body.
    pub body: Body,
    /// Whether it is the request that came in, or a copy of it: those keep their `cf`.
    pub keeps_cf: bool,
}

/// How static handlers end, besides with a response.
pub trait Edge {
    /// Hands request `id` on to its room, in the shape that the handler gave it.
    fn edge_forward(&self, id: u32, request: Forwarded);
    /// `onFetch` has nothing to say to request `id`: static files and 404 follow.
    fn edge_pass(&self, id: u32);
    /// Counts what `waitUntil` waits for, up or down by `change`.
    fn edge_wait(&self, change: i32);
    /// Answers the handshake that request `id` is with 101 and `headers`. Answers the socket's index.
    fn edge_accept(&self, id: u32, headers: &str) -> u32;
    /// Joins a client's socket and another one for good; the isolate hears of neither any more.
    fn edge_relay(&self, client: u32, socket: u32);
    /// Answers the handshake of an unaccepted socket with status 500 and `message`.
    fn edge_refuse(&self, index: u32, message: &str);
    /// Makes a socket of the handshake that request `id` is, to be accepted or refused later. Answers its index.
    fn edge_open(&self, id: u32) -> u32;
}

#[op2]
pub(crate) fn op_edge_forward(
    state: &mut OpState,
    #[smi] id: u32,
    #[string] method: String,
    #[string] url: String,
    #[string] headers: String,
    #[buffer] bytes: Option<JsBuffer>,
    #[smi] resource: u32,
    keeps_cf: bool,
) -> Result<(), JsErrorBox> {
    let body = body_of(state, bytes, resource)?;
    host(state).edge_forward(id, Forwarded { method, url, headers, body, keeps_cf });
    Ok(())
}

#[op2(fast)]
pub(crate) fn op_edge_pass(state: &OpState, #[smi] id: u32) {
    host(state).edge_pass(id);
}

#[op2(fast)]
pub(crate) fn op_edge_wait(state: &OpState, #[smi] change: i32) {
    host(state).edge_wait(change);
}

#[op2(fast)]
#[smi]
pub(crate) fn op_edge_accept(state: &OpState, #[smi] id: u32, #[string] headers: &str) -> u32 {
    host(state).edge_accept(id, headers)
}

#[op2(fast)]
pub(crate) fn op_edge_relay(state: &OpState, #[smi] client: u32, #[smi] socket: u32) {
    host(state).edge_relay(client, socket);
}

#[op2(fast)]
pub(crate) fn op_edge_refuse(state: &OpState, #[smi] index: u32, #[string] message: &str) {
    host(state).edge_refuse(index, message);
}

#[op2(fast)]
#[smi]
pub(crate) fn op_edge_open(state: &OpState, #[smi] id: u32) -> u32 {
    host(state).edge_open(id)
}
