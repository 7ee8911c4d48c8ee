//! Many people type into one document: each client sends its updates at its own pace, and hears those of all.
//!
//! Unlike the closed loops of `load`, the pace is fixed, so that the figure is what an update costs the server, and a server
//! that is not quick enough is an error.

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
/// Of the deliveries so many have to come in time.
const DELIVERED_MIN: f64 = 0.95;
/// What is on its way when counting ends.
const SETTLE: Duration = Duration::from_millis(500);

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
    let begun = Instant::now();
    let step = Duration::from_secs(1) / (PACE * CLIENTS) as u32;
    let (mut sent, mut before) = (0_u64, None);
    for (number, (who, frame)) in updates.iter().enumerate() {
        let due = step * u32::try_from(number).unwrap_or(u32::MAX);
        if due >= all {
            break;
        }
        if due >= times.warm_up && before.is_none() {
            before = Some((usage::cpu(server.pid), delivered.load(Ordering::Relaxed)));
        }
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        streams[*who].write_all(frame)?;
        sent += u64::from(before.is_some());
    }
    std::thread::sleep(SETTLE);
    let (cpu_before, delivered_before) = before.unwrap_or_default();
    let cpu = usage::cpu(server.pid).saturating_sub(cpu_before);
    let delivered = delivered.load(Ordering::Relaxed) - delivered_before;
    let expected = sent * CLIENTS as u64;
    if (delivered as f64) < expected as f64 * DELIVERED_MIN {
        return Err(io::Error::other(format!("{delivered} of {expected} deliveries came in time")));
    }
    Ok(cpu.as_secs_f64() * 1000.0 / sent.max(1) as f64)
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
