//! Many people type into one document: each client sends its updates at its own pace, and hears those of all.
//!
//! Unlike the closed loops of `load`, the pace is fixed, and the figure is what an update costs the server. One that is slower
//! than people type falls behind, and is waited for.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::client;
use super::contender::{Places, Running};
use super::load::Times;
use super::usage;

/// People in the room.
pub const CLIENTS: usize = 40;
/// Updates a second of each.
const PACE: usize = 25;
/// What was sent in time may be delivered late, but not without an end.
const DELIVERED_WITHIN: Duration = Duration::from_secs(60);

/// Milliseconds of the server's CPU time for an update with its deliveries.
pub fn run(server: &Running, places: &Places, times: Times) -> io::Result<f64> {
    let all = times.warm_up + times.measure;
    let turns = (all.as_secs_f64() * PACE as f64).ceil() as usize;
    let updates = updates(places, turns)?;
    let delivered = Arc::new(AtomicU64::new(0));
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let stream = client::open_socket(server.address, "/parties/main/document")?;
        let (reader, delivered) = (stream.try_clone()?, delivered.clone());
        reader.set_read_timeout(None)?;
        std::thread::spawn(move || listen(reader, &delivered));
        streams.push(stream);
    }
    let warm = (times.warm_up.as_secs_f64() * PACE as f64).ceil() as usize * CLIENTS;
    let (first, rest) = updates.split_at(warm.min(updates.len()));
    send(&mut streams, first, &delivered)?;
    let before = usage::cpu(server.pid);
    send(&mut streams, rest, &delivered)?;
    let cpu = usage::cpu(server.pid).saturating_sub(before);
    Ok(cpu.as_secs_f64() * 1000.0 / rest.len().max(1) as f64)
}

// Sends updates at the pace of people, and waits until all have heard them.
fn send(streams: &mut [TcpStream], updates: &[(usize, Vec<u8>)], delivered: &AtomicU64) -> io::Result<()> {
    let expected = delivered.load(Ordering::Relaxed) + (updates.len() * CLIENTS) as u64;
    let step = Duration::from_secs(1) / (PACE * CLIENTS) as u32;
    let begun = Instant::now();
    for (number, (who, frame)) in (0..).zip(updates) {
        std::thread::sleep((step * number).saturating_sub(begun.elapsed()));
        if let Some(stream) = streams.get_mut(*who) {
            stream.write_all(frame)?;
        }
    }
    let sent = Instant::now();
    while delivered.load(Ordering::Relaxed) < expected {
        if sent.elapsed() > DELIVERED_WITHIN {
            let missing = expected - delivered.load(Ordering::Relaxed);
            return Err(io::Error::other(format!("{missing} of {expected} deliveries never came")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

// What each client sends, in the order of sending: its number, and a frame with a mask of zeros.
fn updates(places: &Places, turns: usize) -> io::Result<Vec<(usize, Vec<u8>)>> {
    let program = places.tests.join("bench/editor.mjs");
    let arguments = ["updates".to_owned(), CLIENTS.to_string(), turns.to_string()];
    let output = Command::new("node").arg(program).args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |line: &str| {
        let (who, digits) = line.split_once(' ')?;
        let who: usize = who.parse().ok().filter(|who| *who < CLIENTS)?;
        let bytes =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
        let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
        let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 126)?;
        Some((who, [&[0x82, 0x80 | length, 0, 0, 0, 0], &bytes[..]].concat()))
    };
    let updates: Option<Vec<_>> = text.lines().map(read).collect();
    updates.filter(|updates| updates.len() == turns * CLIENTS).ok_or_else(|| {
        io::Error::other(format!("no updates were made: {}", String::from_utf8_lossy(&output.stderr)))
    })
}

// Counts the messages with updates, until the connection ends.
fn listen(stream: TcpStream, delivered: &AtomicU64) {
    let mut reader = io::BufReader::with_capacity(64 << 10, stream);
    while let Ok(true) = next(&mut reader) {
        delivered.fetch_add(1, Ordering::Relaxed);
    }
}

// Reads up to the end of the next message with an update.
fn next(reader: &mut impl Read) -> io::Result<bool> {
    loop {
        let mut head = [0; 2];
        reader.read_exact(&mut head)?;
        let length = match head[1] & 127 {
            126 => {
                let mut long = [0; 2];
                reader.read_exact(&mut long)?;
                usize::from(u16::from_be_bytes(long))
            }
            127 => return Err(io::Error::other("no message of an editor is so long")),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload)?;
        if head[0] & 15 == 2 && payload.starts_with(&[0, 2]) {
            return Ok(true);
        }
    }
}
