//! What carries an HTTP/2 connection, as h2 sees it: a line that takes notes.
//!
//! Every read passes the [`Ledger`], and every read and write tells the connection's [`State`] about it. When a client has
//! sent too much of what has no content, nothing more is read of it. h2 flushes after each frame; what is encrypted goes to the
//! kernel when h2 has nothing more to say, or when half of `http2_unsent_bytes_max` is ready: so a response is one system call,
//! not one for each frame.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use partyrun_limits::Limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ledger::Ledger;
use super::state::State;
use crate::line::Line;

/// A line that takes notes.
pub(super) struct Wire {
    line: Line,
    state: Rc<State>,
    ledger: Ledger,
    /// What was read before, and h2 has not been given.
    ahead: Bytes,
    /// The client sent too much of what has no content.
    flooded: bool,
    /// What was encrypted and not written, and from how much on it is.
    unflushed: usize,
    together: usize,
}

/// A [`Wire`] as h2 has it. The connection's task shares it.
pub(super) struct Io(Rc<RefCell<Wire>>);

impl Io {
    /// h2's part of a stream of which `ahead` has been read, and the task's.
    pub(super) fn new(
        line: Line,
        state: Rc<State>,
        ahead: Bytes,
        limits: &Limits,
    ) -> (Self, Rc<RefCell<Wire>>) {
        let most = limits.http2_unsent_bytes_max.max(2);
        if let Some(session) = &line.session {
            session.bound(most);
        }
        let (ledger, unflushed, together) = (Ledger::new(limits), 0, most / 2);
        let wire = Wire { line, state, ledger, ahead, flooded: false, unflushed, together };
        let wire = Rc::new(RefCell::new(wire));
        (Self(Rc::clone(&wire)), wire)
    }
}

impl Wire {
    /// Whether the client sent too much of what has no content.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded
    }

    /// The line itself.
    pub(super) fn into_line(self) -> Line {
        self.line
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // The connection's task, which looks after each read, ends the connection.
        if self.flooded {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.line).poll_read(context, buffer))?;
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

    /// Writes what h2 has said. It must be called when h2 has nothing more to say for now.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.line).poll_flush(context);
        self.state.note_write(flushed.is_pending());
        ready!(flushed)?;
        self.unflushed = 0;
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.line.session.is_none() {
            let written = Pin::new(&mut self.line).poll_write_vectored(context, slices);
            self.note_written(&written);
            return written;
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.unflushed >= self.together {
                ready!(self.poll_flush(context))?;
            }
            let Some(session) = &self.line.session else { return Poll::Ready(Ok(0)) };
            let taken = session.encrypt(slices)?;
            if taken > 0 {
                self.unflushed += taken;
                self.ledger.note_written(taken);
                return Poll::Ready(Ok(taken));
            }
            ready!(self.poll_flush(context))?;
        }
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
        self.0.borrow_mut().write(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // See [`Wire::poll_flush`].
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().line).poll_shutdown(context)
    }
}
