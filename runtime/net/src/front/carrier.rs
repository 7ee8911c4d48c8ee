//! What carries an HTTP/2 connection, as h2 sees it: a plain or a TLS stream that takes notes.
//!
//! Every read passes the [`Ledger`], and every read and write tells the connection's [`State`] about it. When a client has
//! sent too much of what has no content, nothing more is read of it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use partyrun_limits::Limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::ledger::Ledger;
use super::state::State;

/// The stream itself.
pub(super) enum Carrier {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

/// Calls the same method of either stream.
macro_rules! either {
    ($carrier:expr, $stream:ident => $call:expr) => {
        match $carrier {
            Carrier::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Carrier::Secured($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl AsyncRead for Carrier {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => stream.poll_shutdown(context))
    }
}

/// A carrier that takes notes.
pub(super) struct Wire {
    carrier: Carrier,
    state: Rc<State>,
    ledger: Ledger,
    /// What was read before, and h2 has not been given.
    ahead: Bytes,
    /// The client sent too much of what has no content.
    flooded: bool,
}

/// A [`Wire`] as h2 has it. The connection's task shares it.
pub(super) struct Io(Rc<RefCell<Wire>>);

impl Io {
    /// h2's part of a stream of which `ahead` has been read, and the task's.
    pub(super) fn new(
        carrier: Carrier,
        state: Rc<State>,
        ahead: Bytes,
        limits: &Limits,
    ) -> (Self, Rc<RefCell<Wire>>) {
        let wire = Wire { carrier, state, ledger: Ledger::new(limits), ahead, flooded: false };
        let wire = Rc::new(RefCell::new(wire));
        (Self(Rc::clone(&wire)), wire)
    }
}

impl Wire {
    /// Whether the client sent too much of what has no content.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded
    }

    /// The stream itself.
    pub(super) fn into_carrier(self) -> Carrier {
        self.carrier
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // The connection's task, which looks after each read, ends the connection.
        if self.flooded {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.carrier).poll_read(context, buffer))?;
        } else {
            let first = self.ahead.get(..buffer.remaining()).unwrap_or(&self.ahead);
            buffer.put_slice(first);
            self.ahead.advance(buffer.filled().len() - before);
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        self.flooded = !self.ledger.advance(read, self.state.second());
        self.state.note_part_frame(self.ledger.is_midway());
        Poll::Ready(Ok(()))
    }

    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        self.state.note_write(written.is_pending());
        if let Poll::Ready(Ok(length)) = written {
            self.ledger.note_written(*length);
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.borrow_mut().read(context, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        let written = Pin::new(&mut wire.carrier).poll_write(context, bytes);
        wire.note_written(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        let written = Pin::new(&mut wire.carrier).poll_write_vectored(context, slices);
        wire.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().carrier.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        let flushed = Pin::new(&mut wire.carrier).poll_flush(context);
        wire.state.note_write(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().carrier).poll_shutdown(context)
    }
}
