//! The writing half of a socket: at once as far as the kernel, or the pipe, takes it, then by a task of its own.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::Inner;
use super::halves::StreamWriter;
use super::outbox::{Frames, Outbox};
use crate::line::Session;
use crate::pipe::{PipeSender, Refused};

/// The writing side of the connection.
pub(super) enum Writer {
    /// There is none yet, or none any more.
    None,
    Tcp(Rc<Outward>),
    Stream(Rc<StreamWriter>),
    Pipe(PipeSender),
}

/// The outgoing side of a connection, plain or secured.
pub(super) struct Outward {
    pub(super) half: OwnedWriteHalf,
    pub(super) session: Option<Session>,
}

impl Outward {
    /// The connection itself.
    pub(super) fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// The descriptor of the connection.
    pub(super) fn descriptor(&self) -> RawFd {
        self.stream().as_raw_fd()
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&self.session, slices) {
            (Some(session), slices) => session.try_write(self.stream(), slices),
            (None, [slice]) => self.half.try_write(slice),
            (None, slices) => self.half.try_write_vectored(slices),
        }
    }

    /// Whether the kernel has everything; a plain connection keeps nothing from it.
    fn try_flush(&self) -> io::Result<()> {
        self.session.as_ref().map_or(Ok(()), |session| session.try_flush(self.stream()))
    }
}

/// Drops this side of a connection that goes on elsewhere: it must not be shut.
pub(super) fn forget(writer: &mut Writer) {
    if let Writer::Tcp(writer) = std::mem::replace(writer, Writer::None)
        && let Some(writer) = Rc::into_inner(writer)
    {
        writer.half.forget();
    }
}

/// Writes what is queued; a task takes over where the kernel, or the pipe, is full.
pub(super) fn flush(inner: &Rc<Inner>) {
    if inner.writing.get() || inner.outbox.borrow().queued() == 0 {
        return;
    }
    let full = match &*inner.writer.borrow() {
        Writer::None => false,
        Writer::Tcp(writer) => !write(inner, writer),
        Writer::Stream(writer) => !write_stream(inner, writer),
        Writer::Pipe(sender) => !send(inner, sender),
    };
    inner.recount();
    if full {
        inner.writing.set(true);
        tokio::task::spawn_local(write_on(Rc::clone(inner)));
    }
}

/// Writes once; false when the kernel's buffer is full.
fn write(inner: &Inner, writer: &Outward) -> bool {
    let mut outbox = inner.outbox.borrow_mut();
    let Outbox::Frames(frames) = &mut *outbox else {
        return true;
    };
    let written = frames.write(|slices, _| writer.try_write(slices));
    let flushed = written.and_then(|done| writer.try_flush().map(|()| done));
    settle(frames, flushed)
}

/// The same for a stream; false when its window is full.
fn write_stream(inner: &Inner, writer: &StreamWriter) -> bool {
    let mut outbox = inner.outbox.borrow_mut();
    let Outbox::Frames(frames) = &mut *outbox else {
        return true;
    };
    let written = frames.write(|slices, queued| writer.try_write(slices, queued));
    settle(frames, written)
}

/// Whether nothing more is to be written after that.
fn settle(frames: &mut Frames, written: io::Result<bool>) -> bool {
    match written {
        Ok(done) => done,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(_) => {
            // The peer is gone. What it sent before, perhaps a close frame, is still for the reader to find.
            frames.clear();
            true
        }
    }
}

/// Sends into a pipe; false when it is full.
fn send(inner: &Inner, sender: &PipeSender) -> bool {
    let mut outbox = inner.outbox.borrow_mut();
    let Outbox::Messages(messages) = &mut *outbox else {
        return true;
    };
    while let Some(message) = messages.pop() {
        match sender.try_send(message) {
            Ok(()) => {}
            Err(Refused::Full(message)) => {
                messages.unpop(message);
                return false;
            }
            Err(Refused::Gone) => {
                *messages = Default::default();
                return true;
            }
        }
    }
    true
}

/// Writes whenever there is room, until all is written.
async fn write_on(inner: Rc<Inner>) {
    enum Way {
        Tcp(Rc<Outward>),
        Stream(Rc<StreamWriter>),
        Pipe(PipeSender),
    }
    loop {
        let way = match &*inner.writer.borrow() {
            Writer::Tcp(writer) => Way::Tcp(Rc::clone(writer)),
            Writer::Stream(writer) => Way::Stream(Rc::clone(writer)),
            Writer::Pipe(sender) => Way::Pipe(sender.clone()),
            Writer::None => break,
        };
        let done = match way {
            Way::Tcp(writer) => writer.half.writable().await.is_err() || write(&inner, &writer),
            Way::Stream(writer) => match writer.writable().await {
                Ok(()) => write_stream(&inner, &writer),
                Err(error) => match &mut *inner.outbox.borrow_mut() {
                    Outbox::Frames(frames) => settle(frames, Err(error)),
                    Outbox::Messages(_) => true,
                },
            },
            Way::Pipe(sender) => {
                let next = inner.outbox.borrow().next_length();
                sender.has_room(next).await.is_err() || send(&inner, &sender)
            }
        };
        inner.recount();
        if done {
            break;
        }
    }
    inner.writing.set(false);
    inner.order(|_| {});
}
