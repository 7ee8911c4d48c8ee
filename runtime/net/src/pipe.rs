//! A WebSocket inside the process: two ends joined by bounded queues of whole messages.
//!
//! It takes the place of the TCP stream when a room opens a socket to another room, and is behind `WebSocketPair`. Each
//! end plugs into a [`crate::Socket`], on any thread; there are no frames, no masks, no pings. A queue holds at most
//! [`PIPE_MESSAGES_MAX`] messages: beyond that, a sender keeps its messages in its own send queue, under its limit.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::socket::CloseFrame;

/// Messages that wait in one direction.
pub const PIPE_MESSAGES_MAX: usize = 32;

/// One message of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeMessage {
    /// UTF-8 by construction.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// The close handshake's half.
    Close(Option<CloseFrame>),
}

/// One end of a pipe.
#[derive(Debug)]
pub struct PipeEnd {
    pub(crate) sender: mpsc::Sender<PipeMessage>,
    pub(crate) receiver: mpsc::Receiver<PipeMessage>,
}

/// Two joined ends.
pub fn pair() -> (PipeEnd, PipeEnd) {
    let (left_sender, right_receiver) = mpsc::channel(PIPE_MESSAGES_MAX);
    let (right_sender, left_receiver) = mpsc::channel(PIPE_MESSAGES_MAX);
    let left = PipeEnd { sender: left_sender, receiver: left_receiver };
    let right = PipeEnd { sender: right_sender, receiver: right_receiver };
    (left, right)
}
