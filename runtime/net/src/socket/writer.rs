//! The writing half of a socket: at once as far as the kernel, or the pipe, takes it, then by a task of its own.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::Inner;
use super::outbox::Outbox;
use crate::pipe::{PipeSender, Refused};

/// The writing side of the connection.
pub(super) enum Writer {
    /// There is none yet, or none any more.
    None,
    Tcp(Rc<OwnedWriteHalf>),
    Pipe(PipeSender),
}

/// The descriptor of a connection.
pub(super) fn descriptor(writer: &OwnedWriteHalf) -> RawFd {
    let stream: &TcpStream = writer.as_ref();
    stream.as_raw_fd()
}

/// Drops this side of a connection that goes on elsewhere: it must not be shut.
pub(super) fn forget(writer: &mut Writer) {
    if let Writer::Tcp(writer) = std::mem::replace(writer, Writer::None)
        && let Some(writer) = Rc::into_inner(writer)
    {
        writer.forget();
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
        Writer::Pipe(sender) => !send(inner, sender),
    };
    inner.recount();
    if full {
        inner.writing.set(true);
        tokio::task::spawn_local(write_on(Rc::clone(inner)));
    }
}

/// Writes once; false when the kernel's buffer is full.
fn write(inner: &Inner, writer: &OwnedWriteHalf) -> bool {
    let mut outbox = inner.outbox.borrow_mut();
    let Outbox::Frames(frames) = &mut *outbox else {
        return true;
    };
    let written = frames.write(|slices| match slices {
        [slice] => writer.try_write(slice),
        slices => writer.try_write_vectored(slices),
    });
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
    loop {
        let tcp = match &*inner.writer.borrow() {
            Writer::Tcp(writer) => Ok(Rc::clone(writer)),
            Writer::Pipe(sender) => Err(sender.clone()),
            Writer::None => break,
        };
        let done = match tcp {
            Ok(writer) => writer.writable().await.is_err() || write(&inner, &writer),
            Err(sender) => {
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
