//! The TCP stream as hyper sees it, with the records that the time limits and the smuggling check need.
//!
//! Every read and write tells the connection's [`State`] about it. hyper gets one message at a time (see `framing.rs`); what
//! came behind it waits here.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::framing::Framing;
use super::state::State;

/// A TCP stream that takes notes.
pub(super) struct Io {
    pub(super) stream: TcpStream,
    pub(super) state: Rc<State>,
    framing: Framing,
    /// What was read behind the current message.
    ahead: Bytes,
}

impl Io {
    /// A stream of which `ahead` has been read.
    pub(super) fn new(stream: TcpStream, state: Rc<State>, ahead: Bytes) -> Self {
        Self { stream, state, framing: Framing::default(), ahead }
    }

    /// The stream, and what was read of it and not given to hyper.
    pub(super) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.ahead)
    }

    /// Whether hyper may have what was read.
    fn passes(&self, read: &[u8]) -> bool {
        !self.framing.is_between() || self.state.passes(read)
    }

    /// How much of what was read hyper gets now.
    fn admit(state: &State, framing: &mut Framing, read: &[u8]) -> usize {
        state.note_read();
        let count = framing.advance(read, &mut state.heads.borrow_mut());
        state.note_part(!framing.is_between());
        count
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            if !this.passes(&this.ahead) {
                return Poll::Pending;
            }
            let ahead = this.ahead.clone();
            let first = ahead.get(..cursor.remaining()).unwrap_or(&ahead);
            let count = Self::admit(&this.state, &mut this.framing, first);
            cursor.put_slice(first.get(..count).unwrap_or_default());
            this.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        // SAFETY: the bytes go only to `ReadBuf::uninit`, which never takes initialized ones away.
        let mut buffer = ReadBuf::uninit(unsafe { cursor.as_mut() });
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        let mut length = read.len();
        if length > 0 && !this.passes(read) {
            this.ahead = Bytes::copy_from_slice(read);
            return Poll::Pending;
        }
        if length > 0 {
            length = Self::admit(&this.state, &mut this.framing, read);
            this.ahead = Bytes::copy_from_slice(read.get(length..).unwrap_or_default());
        }
        // SAFETY: the stream has just filled at least this many bytes of the cursor's buffer.
        unsafe { cursor.advance(length) };
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.state.note_write(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.state.note_write(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP stream has no buffer of its own, and hyper asks when it has written all of its own.
        self.state.note_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
