//! The old process's half: it gives everything away, or goes on as before.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use partyrun_engine::Parcel;
use partyrun_handover::{Line, LineError, Passenger, Room, Said, VERSION, Visit};
use partyrun_limits::Limits;
use partyrun_net::Transport;
use partyrun_store::{RoomKey, SCHEMA_VERSION};

use crate::inherit;
use crate::serve::Running;
use crate::stop::{GAVE, Link};

/// A message with sockets is sent when it is about this long.
const BATCH_BYTES: usize = 1 << 20;

/// How it ended.
pub(crate) enum Outcome {
    /// The new process has everything; this one ends.
    Given,
    /// The new process takes the listeners only, and waits until this one has stopped.
    Stop(String),
    /// This process goes on, because of this.
    Stays(String),
}

/// Gives what `running` has to the process at the other end of `stream`.
pub(crate) async fn hand_over(
    stream: UnixStream,
    link: &Link,
    running: &mut Running,
    limits: &Limits,
) -> Outcome {
    let patience = limits.upgrade_time_max;
    let greeting = blocking(move || {
        let mut line = Line::new(stream, patience)?;
        let greeted = greet(&mut line);
        take_back(&mut line, &greeted);
        Ok((line, greeted?))
    });
    let line = match greeting.await {
        Ok((line, None)) => line,
        Ok((line, Some(version))) => {
            // It stays open until this process ends.
            std::mem::forget(line);
            return Outcome::Stop(version);
        }
        Err(error) => return Outcome::Stays(because(&error)),
    };
    let parcels = running.rest(limits.upgrade_drain_max).await;
    let (lock, crons) = (running.lock(), running.crons_looked_ms());
    let giving = move || {
        let mut line = line;
        let given = give(&mut line, lock, crons, &parcels);
        take_back(&mut line, &given);
        Ok((line, parcels, given))
    };
    let (line, parcels, given) = match blocking(giving).await {
        Ok(given) => given,
        Err(error) => return Outcome::Stays(because(&error)),
    };
    if let Err(error) = given {
        running.go_on(parcels);
        return Outcome::Stays(because(&error));
    }
    let mut parcels = parcels;
    // From here on the supervisor counts on the other one.
    link.voice().say(GAVE);
    running.give_up(&mut parcels).await;
    let said = blocking(move || {
        let mut line = line;
        line.say(&Said::Commit)
    });
    // Without this word it hears of the end of this process, which says the same.
    let _gone = said.await;
    Outcome::Given
}

// After this the other process cannot take the end of the line for the end of this process.
fn take_back<T>(line: &mut Line, given: &Result<T, LineError>) {
    if let Err(error) = given {
        let _gone = line.say(&Said::Abort(because(error)));
    }
}

// Answers the version of the other program where its protocol is another one.
fn greet(line: &mut Line) -> Result<Option<String>, LineError> {
    let Said::Greeting(greeting) = line.hear()? else { return Err(LineError::Malformed) };
    let same = greeting.version == VERSION && greeting.schema == SCHEMA_VERSION;
    line.say(&Said::Listeners(same.then_some(VERSION), std::process::id(), inherit::kept()?))?;
    match line.hear()? {
        Said::Prepared => Ok((!same).then_some(greeting.program)),
        Said::Abort(why) => Err(LineError::Io(std::io::Error::other(why))),
        _ => Err(LineError::Malformed),
    }
}

fn give(
    line: &mut Line,
    lock: Option<OwnedFd>,
    crons: Option<i64>,
    parcels: &[(RoomKey, Parcel)],
) -> Result<(), LineError> {
    if let Some(lock) = lock {
        line.say(&Said::Lock(lock))?;
    }
    if let Some(up_to_ms) = crons {
        line.say(&Said::Crons(up_to_ms))?;
    }
    for (key, parcel) in parcels {
        give_room(line, key, parcel)?;
    }
    line.say(&Said::End)?;
    match line.hear()? {
        Said::Ready => Ok(()),
        Said::Abort(why) => Err(LineError::Io(std::io::Error::other(why))),
        _ => Err(LineError::Malformed),
    }
}

fn give_room(line: &mut Line, key: &RoomKey, parcel: &Parcel) -> Result<(), LineError> {
    line.say(&Said::Room(Room {
        party: key.party().to_string(),
        id: key.id().to_string(),
        slow: parcel.slow,
        sockets: parcel.connections.len(),
    }))?;
    let (mut batch, mut weight) = (Vec::new(), 0);
    for (connection, transport) in &parcel.connections {
        let Transport::Tcp { stream, session: None, read, place, agreed } = transport else {
            return Err(LineError::Malformed);
        };
        let visit = place.as_ref().and_then(|place| place.visit()).map(|visit| Visit {
            path: visit.path.clone(),
            client: visit.client.to_string(),
            lasted_ms: u64::try_from(visit.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        let passenger = Passenger {
            id: connection.id.clone(),
            uri: connection.uri.clone(),
            tags: connection.tags.clone(),
            attachment: connection.attachment.clone(),
            unread: read.to_vec(),
            window_bits: agreed.map(|agreed| agreed.out_bits),
            visit,
        };
        weight += passenger.weight();
        batch.push((passenger, OwnedFd::from(stream.try_clone()?)));
        if batch.len() == Said::SOCKETS_MAX || weight > BATCH_BYTES {
            line.say(&Said::Sockets(std::mem::take(&mut batch)))?;
            weight = 0;
        }
    }
    if batch.is_empty() { Ok(()) } else { line.say(&Said::Sockets(batch)) }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LineError> + Send + 'static,
) -> Result<T, LineError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| Err(LineError::Io(std::io::Error::other(panicked))))
}

fn because(error: &LineError) -> String {
    match error {
        LineError::Ended => "it ended before it was ready".to_string(),
        LineError::Late => "it was not ready in time (limit `upgrade_time_max`)".to_string(),
        other => other.to_string(),
    }
}
