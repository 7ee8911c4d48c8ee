//! Other rooms of the project, through stubs.

use std::cell::RefCell;
use std::rc::Rc;

use deno_core::JsBuffer;
use deno_core::OpState;
use deno_core::op2;
use deno_error::JsErrorBox;

use crate::body::{Body, body_of};
use crate::host::{LocalFuture, RoomNumber, host};
use crate::reply::{Reply, ReplyParts};

/// A request from an isolate to another room.
pub struct PartyRequest {
    /// The name of the party, as the configuration has it.
    pub party: String,
    /// The room id as user code gave it, not yet encoded.
    pub id: String,
    /// What follows the room in the URL; empty or starting with `/`.
    pub path: String,
    /// The HTTP method.
    pub method: String,
    /// Header pairs, `name\nvalue\n`.
    pub headers: String,
    /// The body.
    pub body: Body,
    /// Whether it is a request from outside that is handed on: it keeps its `cf`.
    pub forwarded: bool,
}

/// Requests and sockets from a room to other rooms of the project.
pub trait Parties {
    /// The URL of a room. The id is percent-encoded where it must be; escapes that are there already stay.
    ///
    /// # Errors
    /// None today.
    fn party_url(&self, party: &str, id: &str, path: &str) -> Result<String, JsErrorBox>;
    /// Asks a room, once what this one has written is durable. An answer of 101 carries a socket.
    ///
    /// # Errors
    /// What the stub's `fetch` rejects with.
    fn party_fetch(&self, room: RoomNumber, request: PartyRequest) -> LocalFuture<Result<Reply, String>>;
}

#[op2]
#[string]
pub(crate) fn op_party_url(
    state: &OpState,
    #[string] party: &str,
    #[string] id: &str,
    #[string] path: &str,
) -> Result<String, JsErrorBox> {
    host(state).party_url(party, id, path)
}

// `place` is party, id and path: a script can give an async op eight arguments at most.
#[op2]
#[serde]
pub(crate) fn op_party_fetch(
    state: Rc<RefCell<OpState>>,
    #[smi] room: u32,
    #[serde] place: (String, String, String),
    #[string] method: String,
    #[string] headers: String,
    #[buffer] bytes: Option<JsBuffer>,
    #[smi] resource: u32,
    forwarded: bool,
) -> Result<impl Future<Output = Result<ReplyParts, JsErrorBox>> + use<>, JsErrorBox> {
    let (party, id, path) = place;
    let fetching = {
        let mut borrowed = state.borrow_mut();
        let body = body_of(&mut borrowed, bytes, resource)?;
        host(&borrowed).party_fetch(room, PartyRequest { party, id, path, method, headers, body, forwarded })
    };
    Ok(async move {
        match fetching.await {
            Ok(reply) => Ok(ReplyParts::new(&mut state.borrow_mut(), reply)),
            Err(message) => Ok(ReplyParts::failed(message)),
        }
    })
}
