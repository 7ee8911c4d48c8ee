//! The connection as hyper sees it, with the records that the time limits and the smuggling check need.
//!
//! Every read and write tells the connection's [`State`] about it. hyper gets one message at a time (see `framing.rs`), and
//! the next one only when the answer to the one before is written; what came behind it waits here.

use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::state::State;
use crate::line::Line;

/// How much is read at once while a request is answered.
const WATCHED_BYTES: usize = 4096;

/// A connection that takes notes.
pub(super) struct Wire {
    line: Line,
    state: Rc<State>,
    framing: Framing,
    /// What was read behind the current message.
    ahead: Bytes,
}

/// A [`Wire`] as hyper has it. The connection's task shares it, to see whether the client is still there.
pub(super) struct Io(Rc<RefCell<Wire>>);

impl Io {
    /// hyper's part of a connection of which `ahead` has been read, and the task's.
    pub(super) fn new(line: Line, state: Rc<State>, ahead: Bytes) -> (Self, Rc<RefCell<Wire>>) {
        let wire = Rc::new(RefCell::new(Wire { line, state, framing: Framing::default(), ahead }));
        (Self(Rc::clone(&wire)), wire)
    }
}

impl Wire {
    /// The connection, and what was read of it and not given to hyper.
    pub(super) fn into_parts(self) -> (Line, Bytes) {
        (self.line, self.ahead)
    }

    /// Whether the client has gone while its request is answered. What it says meanwhile is kept.
    pub(super) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        // hyper reads on in a request that is not whole.
        if !self.ahead.is_empty() || !self.framing.is_between() {
            return false;
        }
        let mut bytes = [MaybeUninit::uninit(); WATCHED_BYTES];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut self.line).poll_read(context, &mut buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.ahead = Bytes::copy_from_slice(buffer.filled());
                self.state.note_waiting();
                false
            }
            Poll::Ready(_) => true,
        }
    }

    /// Whether hyper may have what was read.
    fn passes(&self, read: &[u8]) -> bool {
        !self.framing.is_between() || !self.state.is_preface(read) && self.state.passes(read)
    }

    /// How much of what was read hyper gets now.
    fn admit(state: &State, framing: &mut Framing, read: &[u8]) -> usize {
        state.note_read();
        let count = framing.advance(read, &mut state.heads.borrow_mut());
        state.note_part(!framing.is_between());
        count
    }

    fn read(&mut self, context: &mut Context<'_>, mut cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            if !self.passes(&self.ahead) {
                return Poll::Pending;
            }
            let ahead = self.ahead.clone();
            let first = ahead.get(..cursor.remaining()).unwrap_or(&ahead);
            let count = Self::admit(&self.state, &mut self.framing, first);
            cursor.put_slice(first.get(..count).unwrap_or_default());
            self.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        // SAFETY: the bytes go only to `ReadBuf::uninit`, which never takes initialized ones away.
        let mut buffer = ReadBuf::uninit(unsafe { cursor.as_mut() });
        ready!(Pin::new(&mut self.line).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        let mut length = read.len();
        if length > 0 && !self.passes(read) {
            self.ahead = Bytes::copy_from_slice(read);
            return Poll::Pending;
        }
        if length > 0 {
            length = Self::admit(&self.state, &mut self.framing, read);
            self.ahead = Bytes::copy_from_slice(read.get(length..).unwrap_or_default());
        }
        // SAFETY: the stream has just filled at least this many bytes of the cursor's buffer.
        unsafe { cursor.advance(length) };
        Poll::Ready(Ok(()))
    }
}

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.borrow_mut().read(context, cursor)
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        let written = Pin::new(&mut wire.line).poll_write(context, bytes);
        wire.state.note_write(written.is_pending());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.0.borrow_mut();
        let written = Pin::new(&mut wire.line).poll_write_vectored(context, slices);
        wire.state.note_write(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks when it has written all of its own.
        let mut wire = self.0.borrow_mut();
        let flushed = Pin::new(&mut wire.line).poll_flush(context);
        if flushed.is_ready() {
            wire.state.note_flush();
        }
        wire.state.note_write(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        Pin::new(&mut wire.line).poll_shutdown(context)
    }
}
