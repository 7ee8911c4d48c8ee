//! The load: peers in a closed loop on two threads. A peer that sends has `window` requests in flight, and sends one more
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
    /// How busy the busier thread of the load generator was, from 0 to 1.
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

/// One thread would be the slower side where a server is fast.
const THREADS: usize = 2;

/// Runs a load against the server whose processes descend from `pid`.
pub fn run(peers: Vec<Peer>, pid: u32, times: Times) -> io::Result<Throughput> {
    let count = THREADS.min(peers.len()).max(1);
    let mut shares: Vec<Vec<Peer>> = (0..count).map(|_| Vec::new()).collect();
    for (index, peer) in peers.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(index % count) {
            share.push(peer);
        }
    }
    let shares = shares.into_iter().map(Share::new).collect::<io::Result<Vec<_>>>()?;
    let from = Instant::now() + times.warm_up;
    let to = from + times.measure;
    let (began, cpu, counted) = std::thread::scope(|scope| {
        let driving: Vec<_> =
            shares.into_iter().map(|share| scope.spawn(move || share.drive(from, to))).collect();
        let until = |then: Instant| std::thread::sleep(then.saturating_duration_since(Instant::now()));
        until(from);
        let (began, before) = (Instant::now(), usage::cpu(pid));
        until(to);
        let (wall, cpu) = (began.elapsed(), usage::cpu(pid).saturating_sub(before));
        let counted: io::Result<Vec<Counted>> = driving
            .into_iter()
            .map(|driven| {
                driven.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the load panicked")))
            })
            .collect();
        (wall.as_secs_f64(), cpu.as_secs_f64(), counted)
    });
    let counted = counted?;
    let count = counted.iter().map(|counted| counted.replies).sum::<u64>() as f64;
    if count == 0.0 {
        return Err(io::Error::other("the server answered nothing while it was measured"));
    }
    let client_busy = counted.iter().map(|counted| counted.busy).fold(0.0, f64::max);
    Ok(Throughput { per_cpu_second: count / cpu.max(0.01), per_second: count / began, client_busy })
}

/// What one thread has counted.
struct Counted {
    replies: u64,
    /// How busy it was.
    busy: f64,
}

/// The peers of one thread.
struct Share {
    poll: Poll,
    driven: Vec<Driven>,
    events: Events,
    buffer: Vec<u8>,
    count: u64,
}

impl Share {
    fn new(peers: Vec<Peer>) -> io::Result<Self> {
        let poll = Poll::new()?;
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
        Ok(Self { poll, driven, events: Events::with_capacity(1024), buffer: vec![0; 1 << 16], count: 0 })
    }

    // Counts between two moments.
    fn drive(mut self, from: Instant, to: Instant) -> io::Result<Counted> {
        self.until(from)?;
        self.count = 0;
        let busy = Busy::start();
        self.until(to)?;
        Ok(Counted { replies: self.count, busy: busy.share() })
    }

    fn until(&mut self, end: Instant) -> io::Result<()> {
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            match self.poll.poll(&mut self.events, Some((end - now).min(Duration::from_millis(100)))) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &self.events {
                let Some(one) = self.driven.get_mut(event.token().0) else { continue };
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
