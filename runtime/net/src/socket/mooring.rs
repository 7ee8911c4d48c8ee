//! A connection at rest that another thread may take: that of a socket whose room has left memory, while its own thread is held
//! up by somebody else's long turn.
//!
//! The socket's own thread asks its sink before it touches the connection again, and learns there
//! that another one has it. Here is what the other thread needs: a descriptor that is open as long as it stands here, the
//! connection's place, and whether it is between two messages with nothing left to write.

use std::net::TcpStream;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::deflate::Agreed;
use crate::line::Session;
use crate::upgrade::{Place, Transport};

/// A connection that can be taken.
#[derive(Clone, Debug)]
pub struct Mooring(Arc<Moored>);

#[derive(Debug)]
struct Moored {
    /// Nothing is half read or unwritten.
    clean: AtomicBool,
    agreed: Option<Agreed>,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    /// None once the connection is closed.
    fd: Option<RawFd>,
    session: Option<Session>,
    place: Option<Place>,
    taken: bool,
}

impl Mooring {
    /// That of an open connection. The socket calls [`Mooring::close`] before it closes that.
    pub(super) fn new(
        fd: RawFd,
        session: Option<Session>,
        place: Option<Place>,
        agreed: Option<Agreed>,
    ) -> Self {
        let line = Mutex::new(Line { fd: Some(fd), session, place, taken: false });
        Self(Arc::new(Moored { clean: AtomicBool::new(false), agreed, line }))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the connection could go on elsewhere as it is.
    pub(super) fn note(&self, clean: bool) {
        self.0.clean.store(clean, Ordering::Release);
    }

    /// The connection is about to be closed here. Answers whether it is another thread's by now.
    pub(super) fn close(&self) -> bool {
        let mut line = self.line();
        line.fd = None;
        line.session = None;
        line.taken
    }

    /// Its place among the connections of the process.
    pub(super) fn take_place(&self) -> Option<Place> {
        self.line().place.take()
    }

    // A second descriptor of the connection.
    fn copy(&self) -> Option<TcpStream> {
        if !self.0.clean.load(Ordering::Acquire) {
            return None;
        }
        let line = self.line();
        // SAFETY: it is open while it stands in the locked line.
        let own = unsafe { BorrowedFd::borrow_raw(line.fd?) };
        own.try_clone_to_owned().ok().map(TcpStream::from)
    }

    /// Takes all of these connections, or none where one of them cannot go now. The caller makes sure that their own thread
    /// touches none of them from here on.
    pub fn take_all(moorings: &[Self]) -> Option<Vec<Transport>> {
        let streams: Vec<TcpStream> = moorings.iter().map(Self::copy).collect::<Option<_>>()?;
        let taken = moorings.iter().zip(streams).map(|(mooring, stream)| {
            let mut line = mooring.line();
            line.taken = true;
            let (read, session, agreed) = (Bytes::new(), line.session.take(), mooring.0.agreed);
            Transport::Tcp { stream, session, read, place: line.place.take(), agreed }
        });
        Some(taken.collect())
    }
}
