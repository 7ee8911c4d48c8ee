//! Answers to requests, by the request's id. An id is answered once; an unknown one, or a second answer, does nothing.

use std::borrow::Cow;

use bytes::Bytes;
use deno_core::OpState;
use deno_core::op2;
use deno_error::JsErrorBox;

use crate::body::Body;
use crate::host::{RoomNumber, host};

/// How a room answers the requests that it was given. An id that is answered already, or unknown, is ignored.
pub trait Responses {
    /// Answers request `id`, behind the output gate. `status` may have [`PACKED`](crate::wire::PACKED) added; headers are
    /// `name\nvalue\n` pairs.
    fn response(&self, room: RoomNumber, id: u32, status: u32, headers: &str, body: Body);
    /// The reason phrase of the answer that follows.
    fn response_reason(&self, room: RoomNumber, id: u32, reason: &str);
    /// Lets the stub that asked reject with `message`; a client's request is dropped.
    fn response_reject(&self, room: RoomNumber, id: u32, message: &str);
}

#[op2(fast)]
pub(crate) fn op_response_static(
    state: &OpState,
    #[smi] room: u32,
    #[smi] id: u32,
    #[smi] status: u32,
    #[string] headers: &str,
    #[string] body: Cow<'_, str>,
) {
    let body =
        if body.is_empty() { Body::None } else { Body::Bytes(Bytes::copy_from_slice(body.as_bytes())) };
    host(state).response(room, id, status, headers, body);
}

#[op2(fast)]
pub(crate) fn op_response_bytes(
    state: &OpState,
    #[smi] room: u32,
    #[smi] id: u32,
    #[smi] status: u32,
    #[string] headers: &str,
    #[buffer] body: &[u8],
) {
    host(state).response(room, id, status, headers, Body::Bytes(Bytes::copy_from_slice(body)));
}

#[op2(fast)]
pub(crate) fn op_response_reason(state: &OpState, #[smi] room: u32, #[smi] id: u32, #[string] reason: &str) {
    host(state).response_reason(room, id, reason);
}

#[op2(fast)]
pub(crate) fn op_response_reject(state: &OpState, #[smi] room: u32, #[smi] id: u32, #[string] message: &str) {
    host(state).response_reject(room, id, message);
}

#[op2(fast)]
pub(crate) fn op_response_stream(
    state: &mut OpState,
    #[smi] room: u32,
    #[smi] id: u32,
    #[smi] status: u32,
    #[string] headers: &str,
    #[smi] resource: u32,
) -> Result<(), JsErrorBox> {
    let resource = state.resource_table.take_any(resource).map_err(JsErrorBox::from_err)?;
    host(state).response(room, id, status, headers, Body::Resource(resource));
    Ok(())
}
