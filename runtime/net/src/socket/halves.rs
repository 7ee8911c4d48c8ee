//! The two halves of a connection that carries frames: of a TCP connection, or of a stream of an HTTP/2 connection.
//!
//! A stream belongs to a connection that a thread of the front drives; its halves are used on the room's thread. What is read
//! opens the client's window again, so that a socket that is not read holds no more than `http2_stream_window_bytes`. What is
//! written goes as far as the client has opened its window.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use crate::line::Session;

/// What is handed to an HTTP/2 connection at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// The reading half.
pub(super) enum ReadHalf {
    /// With what decrypts it, if it is secured.
    Tcp(OwnedReadHalf, Option<Session>),
    Stream {
        receiver: RecvStream,
        /// What came and was not taken.
        rest: Bytes,
    },
}

impl ReadHalf {
    /// What encrypts the connection, if it is one of its own and secured.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Tcp(_, session) => session.as_ref(),
            Self::Stream { .. } => None,
        }
    }

    /// Reads what is there. Nothing read is the end.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(reader, None) => Pin::new(reader).poll_read(context, buffer),
            Self::Tcp(reader, Some(session)) => session.poll_read(reader, context, buffer),
            Self::Stream { receiver, rest } => read_stream(receiver, rest, context, buffer),
        }
    }
}

fn read_stream(
    receiver: &mut RecvStream,
    rest: &mut Bytes,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buffer.filled().len();
    while buffer.remaining() > 0 {
        if rest.is_empty() {
            match receiver.poll_data(context) {
                Poll::Ready(Some(Ok(piece))) => *rest = piece,
                // What was read before comes first: the next call finds the same end.
                _ if buffer.filled().len() > before => break,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..length).unwrap_or_default());
        rest.advance(length);
        // A stream that has ended has no window.
        let _ended = receiver.flow_control().release_capacity(length);
    }
    Poll::Ready(Ok(()))
}

/// The writing half of a stream.
pub(super) struct StreamWriter(RefCell<SendStream<Bytes>>);

impl StreamWriter {
    pub(super) fn new(sender: SendStream<Bytes>) -> Self {
        Self(RefCell::new(sender))
    }

    /// Writes as much of `queued` bytes, which begin with these slices, as the client's window has room for.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>], queued: usize) -> io::Result<usize> {
        let mut sender = self.0.borrow_mut();
        sender.reserve_capacity(queued);
        let room = sender.capacity().min(PIECE_BYTES_MAX);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut bytes = BytesMut::with_capacity(room.min(slices.iter().map(|slice| slice.len()).sum()));
        for slice in slices {
            let left = room - bytes.len();
            bytes.extend_from_slice(slice.get(..left).unwrap_or(slice));
        }
        let length = bytes.len();
        sender.send_data(bytes.freeze(), false).map_err(io::Error::other)?;
        Ok(length)
    }

    /// Waits until there is room. An error means that the stream has ended.
    pub(super) async fn writable(&self) -> io::Result<()> {
        let room = std::future::poll_fn(|context| self.0.borrow_mut().poll_capacity(context)).await;
        match room {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(io::Error::other(error)),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn shut(&self) {
        // A stream that is reset already needs no farewell.
        let _broken = self.0.borrow_mut().send_data(Bytes::new(), true);
    }
}
