//! What a room costs and how fast things happen: latency of new rooms, memory of idle rooms and sockets, churn, the time
//! from start to first answer, the time from saving a file to the new code's first answer.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::client;
use super::contender::{Contender, Places, Running};
use super::usage;

/// A number of samples, sorted.
pub struct Samples(Vec<f64>);

impl Samples {
    /// Sorts the samples.
    pub fn new(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// The value below which the given share of the samples lies.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// From the request to the answer of a room that did not exist, one after the other; `pause` gives spares their time.
pub fn new_rooms(server: &Running, count: usize, pause: Duration) -> io::Result<Samples> {
    let mut stream = client::connect(server.address)?;
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        let request = client::get_request(server.address, &format!("/party/new-{number}"));
        let began = Instant::now();
        let answer = client::ask(&mut stream, &request)?;
        samples.push(milliseconds(began));
        if answer.status != 200 {
            return Err(io::Error::other(format!("a new room answered {}: {}", answer.status, answer.body)));
        }
        std::thread::sleep(pause);
    }
    Ok(Samples::new(samples))
}

/// Memory in KiB of an idle room with one socket, and of a further idle socket of one room.
pub struct Idle {
    /// Of a room with the socket that keeps it.
    pub room_kib: f64,
    /// Of a socket.
    pub socket_kib: f64,
}

/// Opens `sockets` sockets of one room, then `rooms` rooms with a socket each, and looks at the memory each time.
pub fn idle_memory(server: &Running, rooms: usize, sockets: usize) -> io::Result<Idle> {
    let mut kept: Vec<TcpStream> = Vec::with_capacity(rooms + sockets);
    // What the first ones cost is the server's, not theirs.
    for number in 0..rooms.min(50) {
        kept.push(client::open_socket(server.address, "/party/hall")?);
        kept.push(client::open_socket(server.address, &format!("/party/warm-{number}"))?);
    }
    let start = settled(server.pid);
    for _ in 0..sockets {
        kept.push(client::open_socket(server.address, "/party/hall")?);
    }
    let with_sockets = settled(server.pid);
    for number in 0..rooms {
        kept.push(client::open_socket(server.address, &format!("/party/idle-{number}"))?);
    }
    let with_rooms = settled(server.pid);
    let each =
        |more: u64, less: u64, count: usize| more.saturating_sub(less) as f64 / 1024.0 / count.max(1) as f64;
    Ok(Idle {
        room_kib: each(with_rooms, with_sockets, rooms),
        socket_kib: each(with_sockets, start, sockets),
    })
}

/// The memory once it stands still, or after some seconds.
fn settled(pid: u32) -> u64 {
    let mut last = usage::memory_bytes(pid);
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(500));
        let now = usage::memory_bytes(pid);
        if now.abs_diff(last) < 256 * 1024 {
            return now;
        }
        last = now;
    }
    last
}

/// Memory in bytes after the first rooms were retired, and after many more.
pub struct Churn {
    /// After the first.
    pub first: u64,
    /// After all.
    pub last: u64,
    /// The most that was seen.
    pub most: u64,
}

/// By then a server that collects what it gives back to the system has given it (partyrun: five seconds after the last time).
const GIVEN_BACK_AFTER: Duration = Duration::from_secs(8);

/// Makes rooms and lets them go. `idle` is how long the server keeps an idle room.
pub fn churn(server: &Running, first: usize, all: usize, idle: Duration) -> io::Result<Churn> {
    let mut most = 0;
    let mut round = |from: usize, to: usize| -> io::Result<u64> {
        let mut stream = client::connect(server.address)?;
        for number in from..to {
            let request = client::get_request(server.address, &format!("/party/churn-{number}"));
            let answer = client::ask(&mut stream, &request)?;
            if answer.status != 200 {
                return Err(io::Error::other(format!("a room answered {}: {}", answer.status, answer.body)));
            }
            if number.is_multiple_of(100) {
                most = most.max(usage::memory_bytes(server.pid));
            }
        }
        std::thread::sleep(idle + GIVEN_BACK_AFTER);
        Ok(settled(server.pid))
    };
    let after_first = round(0, first)?;
    let after_all = round(first, all)?;
    Ok(Churn { first: after_first, last: after_all, most })
}

/// What a server puts on disk for its next start is there by then.
const KEPT_AFTER: Duration = Duration::from_millis(2500);

/// How long the port of a server that was killed may go on answering.
const GONE_MAX: Duration = Duration::from_secs(20);

/// From the start of the process to its first answer: in a project that was never served, and in the same once more.
pub fn first_answers(contender: Contender, places: &Places, count: usize) -> io::Result<(Samples, Samples)> {
    let (mut first, mut again) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let sample = |server: &Running| server.first_answer.as_secs_f64() * 1000.0;
    for _ in 0..count {
        let server = contender.start(places, "chat", &[])?;
        first.push(sample(&server));
        // On the same port, which is part of what the code is told (`PARTYKIT_HOST`).
        let (project, address) = (server.project.clone(), server.address);
        std::thread::sleep(KEPT_AFTER);
        drop(server);
        wait_until_gone(address, GONE_MAX)?;
        again.push(sample(&contender.start_in(project, address.port(), places, &[])?));
    }
    Ok((Samples::new(first), Samples::new(again)))
}

/// Processes that were killed may end a little later.
fn wait_until_gone(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let began = Instant::now();
    while TcpStream::connect(address).is_ok() {
        if began.elapsed() > limit {
            return Err(io::Error::other(format!(
                "{address} still answers {limit:?} after its server was killed: another program listens there"
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

const SWAP_MAX: Duration = Duration::from_secs(20);

/// From saving a file to the first answer of the new code, and the memory before and after all of that.
pub struct Swaps {
    /// Milliseconds.
    pub times: Samples,
    /// After the first tenth of the reloads.
    pub early: u64,
    /// After all.
    pub late: u64,
}

/// Saves the chat's server again and again, each time with another answer.
pub fn swaps(server: &Running, count: usize) -> io::Result<Swaps> {
    let entry = server.project.path().join("server.ts");
    let original = std::fs::read_to_string(&entry)?;
    let mut samples = Vec::with_capacity(count);
    let mut early = 0;
    for number in 0..count {
        if number == (count / 10).max(1) {
            early = settled(server.pid);
        }
        let edited =
            original.replacen("room: this.room.id,", &format!("version: {number}, room: this.room.id,"), 1);
        if edited == original {
            return Err(io::Error::other("the chat's server has no line that could be edited"));
        }
        // Watchers may still be busy with the last change.
        std::thread::sleep(Duration::from_millis(150));
        let began = Instant::now();
        std::fs::write(&entry, edited)?;
        let version = format!("\"version\":{number},");
        wait_for_version(server, &version, began)?;
        samples.push(milliseconds(began));
    }
    Ok(Swaps { times: Samples::new(samples), early, late: settled(server.pid) })
}

fn wait_for_version(server: &Running, version: &str, began: Instant) -> io::Result<()> {
    let request = client::get_request(server.address, "/party/swap");
    loop {
        // While the original reloads it may refuse connections.
        let answer =
            client::connect(server.address).and_then(|mut stream| client::ask(&mut stream, &request));
        if answer.is_ok_and(|answer| answer.body.contains(version)) {
            return Ok(());
        }
        if began.elapsed() > SWAP_MAX {
            return Err(io::Error::other(format!("the answer never held {version}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_goes_on_answering_is_not_waited_for_for_ever() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let error = wait_until_gone(address, Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("still answers"), "{error}");
        drop(listener);
        wait_until_gone(address, GONE_MAX).unwrap();
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_samples() {
        let samples = Samples::new((0..=100).rev().map(f64::from).collect());
        assert_eq!(
            (samples.quantile(0.5), samples.quantile(0.99), samples.quantile(1.0)),
            (50.0, 99.0, 100.0)
        );
        assert!(Samples::new(Vec::new()).quantile(0.5).is_nan());
    }
}
