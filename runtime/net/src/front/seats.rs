//! Connections that live for a while on another thread: the worker whose room they ask again and again.
//!
//! There a request and its answer need no other thread. A *guest* is served by the same code as at the front, under the
//! same limits, and moves back when it asks for anything else. While it waits for its next request it can be taken from
//! its thread by any other: so a worker that is held up by a long turn keeps no connection, unless that waits for an
//! answer of this worker anyway. Each guest has a [`Seat`], which says who may touch the connection now.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, TcpStream};
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use super::listen::Ends;
use super::target;
use crate::line::Session;
use crate::upgrade::Place;

/// Its thread is at work on it.
const BUSY: u8 = 0;
/// It waits for its next request.
const IDLE: u8 = 1;
/// Another thread has it.
const TAKEN: u8 = 2;

/// A connection on its way from one thread to another. It belongs to no reactor.
pub struct Guest {
    pub(super) stream: TcpStream,
    /// What encrypts it, if it is secured.
    pub(super) session: Option<Session>,
    /// What was read of its next request.
    pub(super) read: Bytes,
    pub(super) ends: Ends,
    pub(super) place: Place,
    /// The beginning of its targets, up to the end of the room.
    pub(super) room: String,
    pub(super) patience: u32,
    /// The thread of the front that it came from.
    pub(super) front: usize,
    pub(super) origin: Arc<dyn Origin>,
}

impl fmt::Debug for Guest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guest").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Guest {
    /// Sends it back to where it came from. A front that has ended closes it.
    pub fn go_back(self) {
        let origin = Arc::clone(&self.origin);
        origin.take_back(self);
    }
}

/// The front that guests come from.
pub(super) trait Origin: Send + Sync {
    /// Serves a guest on the thread that calls.
    fn seat(self: Arc<Self>, guests: &Guests, guest: Guest);
    /// Takes a guest back.
    fn take_back(&self, guest: Guest);
    /// One more place for a connection that is at two threads for a moment.
    fn place(&self, peer: IpAddr) -> Place;
}

/// The guests of one thread, as that thread sees them.
pub struct Guests {
    pub(super) seats: Arc<Seats>,
    pub(super) branch: RefCell<Option<Rc<dyn Any>>>,
}

impl fmt::Debug for Guests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guests").finish_non_exhaustive()
    }
}

impl Guests {
    /// A thread without guests; others know it by its seats.
    pub fn new(seats: Arc<Seats>) -> Self {
        Self { seats, branch: RefCell::default() }
    }

    /// Serves a guest. Must be called on a local runtime.
    pub fn seat(&self, guest: Guest) {
        Arc::clone(&guest.origin).seat(self, guest);
    }
}

/// The guests of one thread, as all threads see them.
#[derive(Debug, Default)]
pub struct Seats {
    seats: Mutex<HashMap<u64, Arc<Seat>>>,
    next: AtomicU64,
}

/// Who may touch a guest's connection.
pub(super) struct Seat {
    state: AtomicU8,
    dismissed: AtomicBool,
    /// Since when it waits, in milliseconds of the front's clock.
    idle_since: AtomicU64,
    /// The task that serves it.
    waker: OnceLock<Waker>,
    /// Open while the seat is in its [`Seats`].
    fd: RawFd,
    session: Option<Session>,
    pub(super) room: String,
    patience: u32,
    pub(super) ends: Ends,
    pub(super) front: usize,
    pub(super) origin: Arc<dyn Origin>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Seat").field("room", &self.room).finish_non_exhaustive()
    }
}

impl Seat {
    /// The seat of a guest whose thread is at work on it; the guest's connection is `fd` there.
    pub(super) fn new(
        (fd, session): (RawFd, Option<Session>),
        room: String,
        patience: u32,
        ends: Ends,
        front: usize,
        origin: Arc<dyn Origin>,
    ) -> Self {
        let (state, dismissed) = (AtomicU8::new(BUSY), AtomicBool::new(false));
        let (idle_since, waker) = (AtomicU64::new(0), OnceLock::new());
        Self { state, dismissed, idle_since, waker, fd, session, room, patience, ends, front, origin }
    }

    /// Its thread goes on with the connection: false if another one has it.
    pub(super) fn claim(&self, waker: &Waker) -> bool {
        self.waker.get_or_init(|| waker.clone());
        self.state.compare_exchange(IDLE, BUSY, Ordering::AcqRel, Ordering::Acquire) != Err(TAKEN)
    }

    /// Its thread waits for the connection's next request.
    pub(super) fn release(&self, now: Duration) {
        self.idle_since.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.state.store(IDLE, Ordering::Release);
    }

    /// Whether it is to move back as soon as it can.
    pub(super) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed)
    }

    // The connection itself, if it waits for its next request. The caller has locked the seats.
    fn take(&self) -> Option<Guest> {
        self.state.compare_exchange(IDLE, TAKEN, Ordering::AcqRel, Ordering::Acquire).ok()?;
        // SAFETY: the descriptor is open while the seat is among the locked seats, which its thread leaves before it closes it.
        let own = unsafe { BorrowedFd::borrow_raw(self.fd) };
        let stream = own.try_clone_to_owned().map(TcpStream::from);
        // Its task ends.
        self.waker.get().inspect(|waker| waker.wake_by_ref());
        // Without a descriptor there is no connection any more.
        Some(Guest {
            stream: stream.ok()?,
            session: self.session.clone(),
            read: Bytes::new(),
            ends: self.ends,
            place: self.origin.place(self.ends.peer.ip()),
            room: String::new(),
            patience: self.patience,
            front: self.front,
            origin: Arc::clone(&self.origin),
        })
    }
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        lock(&self.seats)
    }

    /// Whether the thread has no guest now; others may come at any moment.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Sends all guests back that wait for their next request, on any thread; the others stay.
    pub fn rescue(&self) {
        let idle: Vec<Guest> = self.lock().values().filter_map(|seat| seat.take()).collect();
        idle.into_iter().for_each(Guest::go_back);
    }

    /// Sends the guests of a room back, each as soon as it has no request in progress; of all rooms if none is named.
    pub fn dismiss(&self, room: Option<(&str, &str)>) {
        let mut idle = Vec::new();
        for seat in self.lock().values() {
            if room.is_none() || room == target::names(&seat.room) {
                seat.dismissed.store(true, Ordering::Relaxed);
                idle.extend(seat.take());
            }
        }
        idle.into_iter().for_each(Guest::go_back);
    }

    /// Since when the guest that has waited longest waits.
    pub(super) fn longest_idle(&self) -> Option<u64> {
        let idle_since = |seat: &Arc<Seat>| {
            (seat.state.load(Ordering::Relaxed) == IDLE).then(|| seat.idle_since.load(Ordering::Relaxed))
        };
        self.lock().values().filter_map(idle_since).min()
    }

    /// Ends the guest that has waited longest. False if none waits.
    pub(super) fn end_longest_idle(&self) -> bool {
        let seats = self.lock();
        let mut idle: Vec<&Arc<Seat>> = seats.values().collect();
        idle.sort_by_key(|seat| seat.idle_since.load(Ordering::Relaxed));
        idle.into_iter().any(|seat| seat.take().is_some())
    }

    /// Takes a seat in. It must be left before its connection is closed.
    pub(super) fn join(self: &Arc<Self>, seat: Seat) -> (Arc<Seat>, Seated) {
        let seat = Arc::new(seat);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, Arc::clone(&seat));
        (seat, Seated { seats: Arc::clone(self), id })
    }
}

/// A guest's place among the seats; it must go before the connection is closed.
#[derive(Debug)]
pub(super) struct Seated {
    seats: Arc<Seats>,
    id: u64,
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.id);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
