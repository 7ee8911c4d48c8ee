//! A new server process takes over from the one that runs, without closing a listener or the sockets of rooms that hibernate.
//!
//! The supervisor starts the new process and gives both an end of a socket pair; `partyrun_handover` says what is said over it.
//! [`give`] is the old process's half, [`take`] the new one's.

pub(crate) mod give;
pub(crate) mod take;

use partyrun_handover::LineError;

/// Why this process does not take over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error("The server that runs cannot be taken over from: {0}.")]
    Line(#[from] LineError),
    #[error("The server that runs (process {0}) has closed the line without ending: it goes on by itself.")]
    Alive(u32),
    #[error("The server that runs goes on by itself: {0}")]
    Aborted(String),
    #[error("The server that runs cannot be taken over from: {0}")]
    Io(#[from] std::io::Error),
}
