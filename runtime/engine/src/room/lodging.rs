//! What is left of a room that hibernates: its connections. While its worker is held up by another room's long turn, any thread
//! may take them from it and give them to another worker.
//!
//! A room's own thread has the [`Lodger`], and claims the room before it touches anything of it. Others have the [`Lodging`],
//! and take the room while it rests. Which of the two comes first is decided under a lock; a room that is awake never takes
//! that lock.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use partyrun_net::{Mooring, Transport};

/// What a connection needs to come back after hibernation.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// The URL of its handshake.
    pub uri: String,
    /// What `getConnections` finds it by.
    pub tags: Vec<String>,
    /// Its state, as the script has written it.
    pub attachment: Option<Vec<u8>>,
}

/// A connection that rests with its room.
#[derive(Debug)]
pub(crate) struct Berth {
    pub(crate) connection: Arc<Connection>,
    pub(crate) mooring: Mooring,
}

/// A room on its way to another worker, or to another process.
#[derive(Debug)]
pub struct Parcel {
    /// In the order of their arrival.
    pub connections: Vec<(Arc<Connection>, Transport)>,
    /// A step of the room took long.
    pub slow: bool,
}

#[derive(Debug)]
struct Resting {
    berths: Vec<Berth>,
    slow: bool,
}

#[derive(Debug)]
enum State {
    /// Its own thread has it.
    Awake,
    /// It may be taken.
    Resting(Resting),
    /// Another worker has it.
    Taken,
}

/// A room as other threads see it.
#[derive(Debug)]
pub(crate) struct Lodging(Mutex<State>);

impl Lodging {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the room, if it rests with at most so many connections and none of them is in the middle of something.
    pub(crate) fn take(&self, connections_max: usize) -> Option<Parcel> {
        let mut state = self.state();
        let State::Resting(resting) = &mut *state else { return None };
        if resting.berths.len() > connections_max {
            return None;
        }
        let moorings: Vec<Mooring> = resting.berths.iter().map(|berth| berth.mooring.clone()).collect();
        let transports = Mooring::take_all(&moorings)?;
        let connections = std::mem::take(&mut resting.berths).into_iter().map(|berth| berth.connection);
        let parcel = Parcel { connections: connections.zip(transports).collect(), slow: resting.slow };
        *state = State::Taken;
        Some(parcel)
    }
}

/// A room as its own thread sees it.
pub(crate) struct Lodger {
    lodging: Arc<Lodging>,
    /// Others may take the room, or have it.
    rests: Cell<bool>,
    /// What it rests with again if it was claimed for nothing.
    kept: RefCell<Option<Resting>>,
}

impl Default for Lodger {
    fn default() -> Self {
        Self {
            lodging: Arc::new(Lodging(Mutex::new(State::Awake))),
            rests: Cell::default(),
            kept: RefCell::default(),
        }
    }
}

impl Lodger {
    /// From now on others may take the room with these connections.
    pub(crate) fn rest(&self, berths: Vec<Berth>, slow: bool) -> Arc<Lodging> {
        self.put(Resting { berths, slow });
        self.lodging.clone()
    }

    fn put(&self, resting: Resting) {
        self.rests.set(true);
        *self.lodging.state() = State::Resting(resting);
    }

    /// Takes the room back for its own thread. False where another one has it: then nothing of it may be touched.
    pub(crate) fn claim(&self) -> bool {
        if !self.rests.get() {
            return true;
        }
        let mut state = self.lodging.state();
        match std::mem::replace(&mut *state, State::Awake) {
            State::Taken => {
                *state = State::Taken;
                return false;
            }
            State::Resting(resting) => *self.kept.borrow_mut() = Some(resting),
            State::Awake => {}
        }
        self.rests.set(false);
        true
    }

    /// Lets others have the room again: there was nothing for it.
    pub(crate) fn settle(&self) {
        if let Some(resting) = self.kept.take() {
            self.put(resting);
        }
    }

    /// The room begins a life.
    pub(crate) fn wake(&self) {
        *self.kept.borrow_mut() = None;
    }

    /// Whether another worker has the room.
    pub(crate) fn is_gone(&self) -> bool {
        self.rests.get() && matches!(*self.lodging.state(), State::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_its_own_threads_or_taken() {
        let lodger = Lodger::default();
        assert!(lodger.claim());
        let lodging = lodger.rest(Vec::new(), true);
        assert!(lodger.claim() && lodging.take(10).is_none(), "it is awake");
        lodger.settle();
        assert!(lodging.take(10).is_some_and(|parcel| parcel.slow));
        assert!(!lodger.claim() && lodger.is_gone() && lodging.take(10).is_none());
        lodger.settle();
        assert!(!lodger.claim(), "it is gone for good");
    }

    #[test]
    fn a_room_that_lives_cannot_be_taken() {
        let lodger = Lodger::default();
        let lodging = lodger.rest(Vec::new(), false);
        assert!(lodger.claim());
        lodger.wake();
        lodger.settle();
        assert!(lodging.take(10).is_none() && !lodger.is_gone());
    }
}
