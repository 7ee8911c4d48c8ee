//! The load: peers in a closed loop on one thread. A peer that sends has `window` requests in flight, and sends one more
//! for each reply; the others only listen. All replies have one length, so they are counted by their bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::usage::{self, Busy};

/// One connection and its part of the load.
pub struct Peer {
    /// The connection, its first exchange made and checked.
    pub stream: std::net::TcpStream,
    /// What it sends again and again; empty for a peer that only listens.
    pub request: Vec<u8>,
    /// The length of what it gets each time.
    pub reply_bytes: usize,
    /// How many requests are on their way at once.
    pub window: usize,
}

/// How long a load lasts.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Before counting.
    pub warm_up: Duration,
    /// While counting.
    pub measure: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// Replies for each CPU-second of the server.
    pub per_cpu_second: f64,
    /// Replies a second.
    pub per_second: f64,
    /// How busy the load generator was, from 0 to 1.
    pub client_busy: f64,
}

struct Driven {
    stream: TcpStream,
    request: Vec<u8>,
    reply_bytes: usize,
    partial: usize,
    unsent: Vec<u8>,
}

impl Driven {
    // Takes what has arrived; answers how many replies that completed.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<u64> {
        let mut replies = 0;
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a connection under load")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let bytes = self.partial + read;
            self.partial = bytes % self.reply_bytes;
            replies += bytes / self.reply_bytes;
            if read < buffer.len() {
                break;
            }
        }
        if !self.request.is_empty() {
            self.send(replies)?;
        }
        Ok(replies as u64)
    }

    fn send(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.unsent.extend_from_slice(&self.request);
        }
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Runs a load against the server whose processes descend from `pid`.
pub fn run(peers: Vec<Peer>, pid: u32, times: Times) -> io::Result<Throughput> {
    let mut poll = Poll::new()?;
    let mut driven = Vec::with_capacity(peers.len());
    for (index, peer) in peers.into_iter().enumerate() {
        peer.stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(peer.stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let mut one = Driven {
            stream,
            request: peer.request,
            reply_bytes: peer.reply_bytes,
            partial: 0,
            unsent: Vec::new(),
        };
        if !one.request.is_empty() {
            one.send(peer.window)?;
        }
        driven.push(one);
    }
    let mut loop_ = Loop { events: Events::with_capacity(1024), buffer: vec![0; 1 << 16], count: 0 };
    loop_.until(&mut poll, &mut driven, Instant::now() + times.warm_up)?;
    let (began, busy, cpu_before) = (Instant::now(), Busy::start(), usage::cpu(pid));
    loop_.count = 0;
    loop_.until(&mut poll, &mut driven, began + times.measure)?;
    let (wall, client_busy) = (began.elapsed().as_secs_f64(), busy.share());
    let cpu = (usage::cpu(pid) - cpu_before).as_secs_f64();
    let count = loop_.count as f64;
    if count == 0.0 {
        return Err(io::Error::other("the server answered nothing while it was measured"));
    }
    Ok(Throughput { per_cpu_second: count / cpu.max(0.01), per_second: count / wall, client_busy })
}

struct Loop {
    events: Events,
    buffer: Vec<u8>,
    count: u64,
}

impl Loop {
    fn until(&mut self, poll: &mut Poll, driven: &mut [Driven], end: Instant) -> io::Result<()> {
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            match poll.poll(&mut self.events, Some((end - now).min(Duration::from_millis(100)))) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &self.events {
                let Some(one) = driven.get_mut(event.token().0) else { continue };
                if event.is_writable() && !one.unsent.is_empty() {
                    one.send(0)?;
                }
                if event.is_readable() {
                    self.count += one.take(&mut self.buffer)?;
                }
            }
        }
    }
}
