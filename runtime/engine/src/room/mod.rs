//! The floor of rooms: what one is made of, and its way through a turn. Begin with `actor.rs` (what a room is) and `home.rs`
//! (an isolate with its rooms, and what a turn is).

pub(crate) mod actor;
pub(crate) mod administer;
pub(crate) mod alarms;
pub(crate) mod edge;
pub(crate) mod event;
pub(crate) mod home;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod inbox;
pub(crate) mod leave;
pub(crate) mod line;
pub(crate) mod lodging;
pub(crate) mod outgoing;
pub(crate) mod output_gate;
pub(crate) mod placing;
pub(crate) mod proxy;
pub(crate) mod records;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod rest;
pub(crate) mod shared;
pub(crate) mod sockets;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod traces;
pub(crate) mod turn;
