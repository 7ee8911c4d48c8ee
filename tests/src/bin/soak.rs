//! `soak`: many rooms that talk, store, hibernate and wake for a long time. Memory must not grow and nothing may go
//! wrong.
//!
//! Each room of `fixtures/numbers` has two sockets. A round sends an echo, a put or an alarm to some rooms, lets others
//! hibernate, and opens new sockets. The number of rooms awake varies, and memory with it. So the last line compares the
//! median of the second tenth of the time with that of the last tenth, and counts the lines of the server that look like
//! an error.

use anyhow::{Result, ensure};
use clap::Parser;
use partyrun_tests::running::{self, Place, heard, memory_kib, say};
use partyrun_tests::socket::Socket;
use std::ops::Range;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How much more memory the end may have than the beginning.
const GROWTH_MAX: f64 = 1.1;
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
const ROOMS_PER_ROUND: usize = 20;

#[derive(Debug, Parser)]
#[command(about = "Runs mixed traffic for a while and looks at memory and errors.")]
struct Args {
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    #[arg(long, default_value_t = 200)]
    rooms: usize,
    /// Pause between rounds.
    #[arg(long, default_value_t = 20)]
    pause_ms: u64,
    /// What partyrun's isolates are for: `room` or `worker`.
    #[arg(long)]
    isolation: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    running::raise_descriptors();
    running::run(soak(args))
}

async fn soak(args: Args) -> Result<String> {
    let place = Place::new("numbers", args.isolation.as_deref())?;
    let server = place.start(|_| {}).await?;
    let mut sockets = Vec::new();
    for room in 0..args.rooms {
        sockets.push([place.open(&name(room)).await?, place.open(&name(room)).await?]);
    }
    let (begun, all) = (Instant::now(), Duration::from_secs(args.seconds));
    let mut samples = Vec::new();
    let mut said = 0_u64;
    for round in 0_usize.. {
        for step in 0..ROOMS_PER_ROUND {
            let room = (round * 7 + step * 11) % args.rooms;
            said += act(&place, &mut sockets[room], room, round + step).await?;
        }
        if samples.last().is_none_or(|(at, _)| begun.elapsed() - *at > SAMPLE_EVERY) {
            samples.push((begun.elapsed(), memory_kib(server.id())?));
        }
        if begun.elapsed() > all {
            break;
        }
        tokio::time::sleep(Duration::from_millis(args.pause_ms)).await;
    }
    let early = median(&samples, all / 10..all / 5);
    let late = median(&samples, all / 10 * 9..Duration::MAX);
    let errors: Vec<String> =
        server.output.since(0).into_iter().filter(|line| line.to_lowercase().contains("error")).collect();
    server.stop(Duration::from_secs(10)).await;
    ensure!(errors.is_empty(), "{} error lines, the first: {}", errors.len(), errors[0]);
    ensure!((late as f64) < early as f64 * GROWTH_MAX, "memory grew from {early} KiB to {late} KiB");
    Ok(format!(
        "{said} messages in {} rooms, {} s: {early} KiB early, {late} KiB late, no error line",
        args.rooms, args.seconds
    ))
}

fn median(samples: &[(Duration, u64)], within: Range<Duration>) -> u64 {
    let mut found: Vec<u64> =
        samples.iter().filter(|(at, _)| within.contains(at)).map(|(_, kib)| *kib).collect();
    found.sort_unstable();
    found.get(found.len() / 2).copied().unwrap_or_default()
}

fn name(room: usize) -> String {
    format!("soak-{room}")
}

// One thing that happens in a room; answers how many messages were exchanged.
async fn act(place: &Place, sockets: &mut [Rc<Socket>; 2], room: usize, turn: usize) -> Result<u64> {
    match turn % 7 {
        0..3 => exchange(&sockets[turn % 2], "echo").await,
        3 => exchange(&sockets[0], &format!("put {turn}")).await,
        4 => exchange(&sockets[1], "alarm 50").await,
        5 => {
            // A room that is at work stays; it is tried again in a later round.
            let _slept = place.hibernate(&name(room)).await?;
            Ok(0)
        }
        _ => {
            sockets[0].abort().await;
            sockets[0] = place.open(&name(room)).await?;
            Ok(0)
        }
    }
}

// Alarms of earlier turns may speak in between.
async fn exchange(socket: &Socket, text: &str) -> Result<u64> {
    say(socket, text).await?;
    let word = text.split(' ').next().unwrap_or(text);
    let mut messages = 1;
    loop {
        messages += 1;
        let heard = heard(socket).await?;
        if heard == word {
            return Ok(messages);
        }
        ensure!(heard.starts_with("late "), "expected `{word}`, heard `{heard}`");
    }
}
