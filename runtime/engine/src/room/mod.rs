//! Rooms: what one is made of, and its way through a turn. `actor.rs` is where to begin.

pub(crate) mod actor;
pub(crate) mod alarms;
pub(crate) mod edge;
pub(crate) mod event;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod inbox;
pub(crate) mod outgoing;
pub(crate) mod output_gate;
pub(crate) mod proxy;
pub(crate) mod sockets;
