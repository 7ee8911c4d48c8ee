//! A WebSocket inside the process: two ends joined by bounded queues of whole messages.
//!
//! It takes the place of the TCP stream when a room opens a socket to another room, and is behind `WebSocketPair`. Each
//! end plugs into a [`crate::Socket`], on any thread; there are no frames, no masks, no pings. A queue holds at most
//! [`PIPE_MESSAGES_MAX`] messages of one MiB together: beyond that, a sender keeps its messages in its own send queue,
//! under its limit.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::close::CloseFrame;

/// Messages that wait in one direction.
pub const PIPE_MESSAGES_MAX: usize = 32;
/// Bytes are counted in such units.
const UNIT_BYTES: usize = 1024;
/// Units that wait in one direction.
const PIPE_UNITS_MAX: usize = 1024;

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

/// One end of a pipe, for [`crate::Socket::attach`]. Dropping it is a lost connection for the other end.
#[derive(Debug)]
pub struct PipeEnd {
    pub(crate) sender: PipeSender,
    pub(crate) receiver: PipeReceiver,
}

/// The way into a pipe.
#[derive(Clone, Debug)]
pub(crate) struct PipeSender {
    messages: mpsc::Sender<Carried>,
    room: Arc<Semaphore>,
}

/// The way out of a pipe.
#[derive(Debug)]
pub(crate) struct PipeReceiver(mpsc::Receiver<Carried>);

// A message with the room that it takes until it is received.
#[derive(Debug)]
struct Carried {
    message: PipeMessage,
    _room: OwnedSemaphorePermit,
}

/// Why a message did not go into a pipe.
pub(crate) enum Refused {
    /// Too much is in it; here is the message.
    Full(PipeMessage),
    /// The other end is gone.
    Gone,
}

impl PipeSender {
    /// Sends a message if there is room.
    pub(crate) fn try_send(&self, message: PipeMessage) -> Result<(), Refused> {
        let Ok(room) = self.room.clone().try_acquire_many_owned(weight(&message)) else {
            return Err(if self.messages.is_closed() { Refused::Gone } else { Refused::Full(message) });
        };
        self.messages.try_send(Carried { message, _room: room }).map_err(|error| match error {
            TrySendError::Full(carried) => Refused::Full(carried.message),
            TrySendError::Closed(_) => Refused::Gone,
        })
    }

    /// Sends a message when there is room. An error means that the other end is gone.
    pub(crate) async fn send(&self, message: PipeMessage) -> Result<(), Gone> {
        let room = self.room.clone().acquire_many_owned(weight(&message)).await.map_err(|_| Gone)?;
        self.messages.send(Carried { message, _room: room }).await.map_err(|_| Gone)
    }

    /// Waits until there is room for a message of `bytes`. An error means that the other end is gone.
    pub(crate) async fn has_room(&self, bytes: usize) -> Result<(), Gone> {
        drop(self.room.acquire_many(weight_of(bytes)).await.map_err(|_| Gone)?);
        self.messages.reserve().await.map(drop).map_err(|_| Gone)
    }
}

/// The other end of the pipe is gone.
pub(crate) struct Gone;

impl PipeReceiver {
    /// The next message; none when the other end is gone.
    pub(crate) async fn recv(&mut self) -> Option<PipeMessage> {
        Some(self.0.recv().await?.message)
    }

    /// [`PipeReceiver::recv`] for those who poll.
    pub(crate) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<PipeMessage>> {
        self.0.poll_recv(context).map(|carried| Some(carried?.message))
    }

    /// A message that is there already.
    pub(crate) fn try_recv(&mut self) -> Option<PipeMessage> {
        Some(self.0.try_recv().ok()?.message)
    }
}

fn weight(message: &PipeMessage) -> u32 {
    match message {
        PipeMessage::Text(bytes) | PipeMessage::Binary(bytes) => weight_of(bytes.len()),
        PipeMessage::Close(_) => 0,
    }
}

// One message always may, however long.
fn weight_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES).min(PIPE_UNITS_MAX)).unwrap_or(u32::MAX)
}

/// Makes two joined ends: what one sends, the other receives.
pub fn pair() -> (PipeEnd, PipeEnd) {
    let ((left_sender, right_receiver), (right_sender, left_receiver)) = (one_way(), one_way());
    let left = PipeEnd { sender: left_sender, receiver: left_receiver };
    let right = PipeEnd { sender: right_sender, receiver: right_receiver };
    (left, right)
}

fn one_way() -> (PipeSender, PipeReceiver) {
    let (messages, receiver) = mpsc::channel(PIPE_MESSAGES_MAX);
    (PipeSender { messages, room: Arc::new(Semaphore::new(PIPE_UNITS_MAX)) }, PipeReceiver(receiver))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pipe_holds_so_many_bytes() {
        let (left, mut right) = pair();
        let large = || PipeMessage::Binary(Bytes::from(vec![0; PIPE_UNITS_MAX * UNIT_BYTES / 2]));
        assert!(left.sender.try_send(large()).is_ok() && left.sender.try_send(large()).is_ok());
        assert!(matches!(left.sender.try_send(large()), Err(Refused::Full(message)) if message == large()));
        assert!(left.sender.try_send(PipeMessage::Close(None)).is_ok());
        assert_eq!(right.receiver.recv().await, Some(large()));
        assert!(left.sender.has_room(UNIT_BYTES).await.is_ok());
        let huge = PipeMessage::Binary(Bytes::from(vec![0; 3 * PIPE_UNITS_MAX * UNIT_BYTES]));
        assert!(matches!(left.sender.try_send(huge.clone()), Err(Refused::Full(_))));
        while right.receiver.try_recv().is_some() {}
        assert!(left.sender.try_send(huge).is_ok(), "one message always may");
        drop(right);
        assert!(left.sender.has_room(UNIT_BYTES).await.is_err() && left.sender.send(large()).await.is_err());
    }
}
