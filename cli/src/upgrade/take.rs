//! The new process's half: it loads and tries the project, and then takes what the old one gives.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use partyrun_engine::{Connection, Parcel};
use partyrun_handover::{Greeting, Line, LineError, Passenger, Room, Said, VERSION};
use partyrun_limits::Limits;
use partyrun_net::{Agreed, Compression, FrontOptions, Transport, Visit, Witness};
use partyrun_store::{RoomKey, SCHEMA_VERSION};

use super::TakeError;
use crate::inherit;

/// How long it is waited for the end of a process that has closed the line.
const END_WAIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A process that takes over.
pub(crate) struct Taker {
    line: Line,
    /// The other process.
    other: u32,
    /// The other one gives more than its listeners.
    whole: bool,
    /// The other one is there, and would go on.
    joined: bool,
}

/// What it gets.
#[derive(Default)]
pub(crate) struct Estate {
    /// The lock of the data folder.
    pub(crate) lock: Option<OwnedFd>,
    /// Crons that were due up to this time, in milliseconds since 1970, have been run.
    pub(crate) crons_looked_ms: Option<i64>,
    rooms: Vec<(Room, Vec<(Passenger, OwnedFd)>)>,
}

impl Taker {
    /// Greets the old process, and gets its listeners.
    pub(crate) fn greet(stream: UnixStream, limits: &Limits) -> Result<Self, TakeError> {
        // The sockets of another process come to this one's own.
        partyrun_net::front::raise_descriptor_limit();
        let mut line = Line::new(stream, limits.upgrade_time_max + 2 * limits.upgrade_drain_max)?;
        let program = env!("CARGO_PKG_VERSION").to_string();
        line.say(&Said::Greeting(Greeting { version: VERSION, schema: SCHEMA_VERSION, program }))?;
        match line.hear()? {
            Said::Listeners(version, other, listeners) => {
                inherit::take_in(listeners);
                Ok(Self { line, other, whole: version == Some(VERSION), joined: true })
            }
            Said::Abort(why) => Err(TakeError::Aborted(why)),
            _ => Err(LineError::Malformed.into()),
        }
    }

    /// Says that the project works, and gets everything. A process that has ended without a word has left what it gave so far.
    pub(crate) fn receive(&mut self) -> Result<Estate, TakeError> {
        let mut estate = Estate::default();
        if !self.say(&Said::Prepared)? {
            return Ok(estate);
        }
        loop {
            match self.line.hear() {
                Ok(Said::Lock(lock)) if self.whole => estate.lock = Some(lock),
                Ok(Said::Crons(up_to_ms)) if self.whole => estate.crons_looked_ms = Some(up_to_ms),
                Ok(Said::Room(room)) if self.whole => estate.rooms.push((room, Vec::new())),
                Ok(Said::Sockets(sockets)) if self.whole => match estate.rooms.last_mut() {
                    Some((_, all)) => all.extend(sockets),
                    None => return Err(LineError::Malformed.into()),
                },
                Ok(Said::End) if self.whole => break,
                Ok(Said::Abort(why)) => return Err(TakeError::Aborted(why)),
                Err(LineError::Ended) => {
                    self.wait_for_end()?;
                    break;
                }
                Ok(_) => return Err(LineError::Malformed.into()),
                Err(error) => return Err(error.into()),
            }
        }
        // A room that has not come whole is not taken apart: its sockets end with the process that had them.
        estate.rooms.retain(|(room, sockets)| room.sockets == sockets.len());
        Ok(estate)
    }

    /// Says that the data is open, and waits until the old process is done with it.
    pub(crate) fn begin(&mut self) -> Result<(), TakeError> {
        if !self.joined {
            return Ok(());
        }
        if !self.say(&Said::Ready)? {
            return Ok(());
        }
        let heard = self.line.hear();
        self.joined = false;
        match heard {
            Ok(Said::Commit) => Ok(()),
            Err(LineError::Ended) => self.wait_for_end(),
            Ok(Said::Abort(why)) => Err(TakeError::Aborted(why)),
            Ok(_) => Err(LineError::Malformed.into()),
            Err(error) => Err(error.into()),
        }
    }

    // Answers whether the other process is there to hear it.
    fn say(&mut self, said: &Said) -> Result<bool, TakeError> {
        match self.line.say(said) {
            Ok(()) => Ok(true),
            Err(LineError::Ended) => self.wait_for_end().map(|()| false),
            Err(error) => Err(error.into()),
        }
    }

    // Until the other process is gone; one that lives without the line still has what it had.
    fn wait_for_end(&mut self) -> Result<(), TakeError> {
        self.joined = false;
        let until = Instant::now() + END_WAIT;
        while is_alive(self.other) {
            if Instant::now() > until {
                return Err(TakeError::Alive(self.other));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Says why this process does not take over, if the old one is still there to hear it.
    pub(crate) fn give_up(&mut self, why: &str) {
        if self.joined {
            let _gone = self.line.say(&Said::Abort(why.to_string()));
        }
    }
}

// A process that has ended and was not waited for counts as alive: the supervisor does that at once.
fn is_alive(process: u32) -> bool {
    let Ok(process) = libc::pid_t::try_from(process) else { return false };
    // SAFETY: kill takes integers, and signal 0 only asks.
    process > 0 && unsafe { libc::kill(process, 0) } == 0
}

impl Estate {
    /// How many rooms and sockets there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.rooms.len(), self.rooms.iter().map(|(_, sockets)| sockets.len()).sum())
    }

    /// The rooms, for the engine; their sockets get places of this process.
    pub(crate) fn rooms(
        self,
        front: &FrontOptions,
        limits: &Limits,
        witness: impl Fn(Visit) -> Witness,
    ) -> Vec<(RoomKey, Parcel)> {
        let arrive = |(passenger, socket): (Passenger, OwnedFd)| {
            let client = passenger.visit.as_ref().and_then(|visit| visit.client.parse().ok());
            let mut place = front.place(client);
            if let (Some(visit), Some(client)) = (passenger.visit, client) {
                place.arrive(witness(Visit { path: visit.path, client, begun: begun(visit.lasted_ms) }));
            }
            let connection = Connection {
                id: passenger.id,
                uri: passenger.uri,
                tags: passenger.tags,
                attachment: passenger.attachment,
            };
            let compression = front.compression.unwrap_or_else(|| Compression::new(limits));
            let agreed = passenger.window_bits.map(|bits| Agreed {
                out_bits: bits.clamp(8, 15),
                keeps_out: false,
                keeps_in: false,
                compression,
            });
            let (stream, read) = (TcpStream::from(socket), Bytes::from(passenger.unread));
            let transport = Transport::Tcp { stream, session: None, read, place: Some(place), agreed };
            (Arc::new(connection), transport)
        };
        let rooms = self.rooms.into_iter().map(|(room, sockets)| {
            let connections = sockets.into_iter().map(&arrive).collect();
            (RoomKey::new(room.party, room.id), Parcel { connections, slow: room.slow })
        });
        rooms.collect()
    }
}

fn begun(lasted_ms: u64) -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_millis(lasted_ms)).unwrap_or(now)
}
