//! The answer of another room, of a file or of another server, as it crosses into an isolate.

use deno_core::OpState;
use deno_core::ToJsBuffer;
use serde::Serialize;

use crate::body::{Body, add_stream};
use crate::wire::{NO_RESOURCE, NO_SOCKET};

/// The answer to a [`PartyRequest`](crate::PartyRequest), to an asset look-up or to an opened socket.
pub struct Reply {
    /// The status code, 101 if the reply carries a socket.
    pub status: u16,
    /// The reason phrase; empty for the standard one.
    pub reason: String,
    /// Header pairs, `name\nvalue\n`.
    pub headers: String,
    /// The body.
    pub body: Body,
    /// The socket that a 101 answer carries.
    pub socket: Option<u32>,
}

/// A [`Reply`] as JavaScript takes it; see `js/60_parties.js`.
#[derive(Serialize)]
pub(crate) struct ReplyParts {
    error: Option<String>,
    status: u16,
    reason: String,
    headers: String,
    bytes: Option<ToJsBuffer>,
    resource: u32,
    socket: i32,
}

impl ReplyParts {
    pub(crate) fn new(state: &mut OpState, reply: Reply) -> Self {
        let (bytes, resource) = match reply.body {
            Body::None => (None, NO_RESOURCE),
            Body::Bytes(bytes) => (Some(ToJsBuffer::from(Vec::from(bytes))), NO_RESOURCE),
            Body::Stream(stream) => (None, add_stream(state, stream)),
            Body::Resource(resource) => (None, state.resource_table.add_rc_dyn(resource)),
        };
        let socket = reply.socket.map_or(NO_SOCKET, |index| index as i32);
        Self {
            error: None,
            status: reply.status,
            reason: reply.reason,
            headers: reply.headers,
            bytes,
            resource,
            socket,
        }
    }

    pub(crate) fn failed(message: String) -> Self {
        Self {
            error: Some(message),
            status: 0,
            reason: String::new(),
            headers: String::new(),
            bytes: None,
            resource: NO_RESOURCE,
            socket: NO_SOCKET,
        }
    }
}
