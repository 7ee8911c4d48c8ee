//! The TCP stream as hyper sees it, with the records that the time limits and the smuggling check need.
//!
//! Every read and write updates the connection's [`State`]. The bytes of a head are kept until its request is served:
//! hyper drops a `Content-Length` beside a `Transfer-Encoding` before a service sees it, so [`has_content_length`] looks
//! at the bytes that came (RFC 9112, 6.1).

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::state::{Phase, State};

/// A head's copy above this size gives its memory back.
const HEAD_KEPT_MAX: usize = 1024;

/// A TCP stream that takes notes.
pub(super) struct Io {
    pub(super) stream: TcpStream,
    pub(super) state: Rc<State>,
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: the bytes go only to `ReadBuf::uninit`, which never takes initialized ones away.
        let mut buffer = ReadBuf::uninit(unsafe { cursor.as_mut() });
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        let length = read.len();
        if length > 0 {
            self.state.note_read();
            if matches!(self.state.phase(), Phase::FirstHead | Phase::Head) {
                self.state.head.borrow_mut().extend_from_slice(read);
            }
        }
        // SAFETY: the stream has just filled this many bytes of the cursor's buffer.
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
        // A TCP stream has no buffer of its own.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Forgets the head that was read.
pub(super) fn forget_head(state: &State) {
    let mut head = state.head.borrow_mut();
    head.clear();
    head.shrink_to(HEAD_KEPT_MAX);
}

/// Whether the head that was just read says how long its body is.
pub(super) fn has_content_length(state: &State) -> bool {
    const NAME: &[u8] = b"content-length:";
    let head = state.head.borrow();
    let lines = head.split(|&byte| byte == b'\n').skip(1);
    lines
        .take_while(|line| !line.trim_ascii().is_empty())
        .any(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))
}
