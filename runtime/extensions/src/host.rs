//! What an isolate may ask of the outside, as one trait for each noun.
//!
//! An op lives in three files of one name: `js/NN_NOUN.js` calls it, `NOUN.rs` beside this file declares it and the method
//! behind it, and the engine implements that method in `room/host/NOUN.rs`. Ops are thin: each checks the kinds of its
//! arguments and calls a method of the [`Host`]. Whose op it is says its first argument, the number that the room has in its
//! isolate; ops without one belong to the edge, or to the isolate as a whole. Methods never call back into V8, never block on
//! I/O except for reads of the local database, and never panic. Indexes and ids come from JavaScript, so that every
//! implementation must treat an unknown one as nothing to do.

use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use deno_core::OpState;
use deno_core::convert::Uint8Array;

use crate::{
    Assets, Bindings, Bundle, Connections, Console, Edge, Parties, Responses, Room, Sockets, Storage, Traces,
};

/// A future that stays on the worker's thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Which room of the isolate asks. What an op of an unknown room asks for is nothing to do.
pub type RoomNumber = u32;

/// Everything an isolate reaches outside itself.
pub trait Host:
    Console
    + Room
    + Sockets
    + Connections
    + Responses
    + Storage
    + Parties
    + Assets
    + Bindings
    + Edge
    + Bundle
    + Traces
{
}

impl<T> Host for T where
    T: Console
        + Room
        + Sockets
        + Connections
        + Responses
        + Storage
        + Parties
        + Assets
        + Bindings
        + Edge
        + Bundle
        + Traces
{
}

/// The host of an isolate, as the ops find it.
#[derive(Clone)]
pub struct HostRef(pub Rc<dyn Host>);

pub(crate) fn host(state: &OpState) -> &dyn Host {
    &*state.borrow::<HostRef>().0
}

pub(crate) fn bytes_of(values: Bytes) -> Uint8Array {
    Uint8Array::from(Vec::from(values))
}
