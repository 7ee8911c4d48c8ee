//! `numbers`: what a hibernated room costs, and how quickly rooms wake and store.
//!
//! It starts partyrun with `fixtures/numbers` and prints a line for each measurement: the time from a message to the
//! answer of a hibernated room, the memory of sockets whose rooms hibernate, a broadcast to a crowd in one room, the
//! lateness of alarms in an idle process, and a lone durable put compared with one fdatasync on the same disk in the
//! same run.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use partyrun_tests::running::{self, Place, heard, memory_kib, say};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Parser)]
#[command(about = "Measures hibernation, alarms and a lone put.")]
struct Args {
    /// Rooms that hibernate for the memory figure.
    #[arg(long, default_value_t = 1000)]
    rooms: usize,
    /// Sockets in each.
    #[arg(long, default_value_t = 10)]
    sockets: usize,
    /// Sockets in one room that hear a broadcast.
    #[arg(long, default_value_t = 10_000)]
    crowd: usize,
    /// Repetitions of the other measurements.
    #[arg(long, default_value_t = 100)]
    times: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    running::raise_descriptors();
    running::run(measure(args))
}

async fn measure(args: Args) -> Result<String> {
    let place = Place::new("numbers", None)?;
    let server = place.start(|_| {}).await?;
    println!("{}", memory(&place, server.id(), args.rooms, args.sockets).await?);
    server.kill().await;
    let server = place.start(|_| {}).await?;
    println!("{}", crowd(&place, server.id(), args.crowd).await?);
    server.kill().await;
    let server = place.start(|_| {}).await?;
    println!("{}", wake(&place, args.times).await?);
    println!("{}", alarms(&place, args.times).await?);
    let put = put(&place, args.times).await?;
    server.kill().await;
    Ok(put)
}

async fn hibernate(place: &Place, room: &str) -> Result<()> {
    ensure!(place.hibernate(room).await?, "{room} does not hibernate");
    Ok(())
}

// The value below which `share` of all are.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 - 1.0) * share).round() as usize;
    values.get(place).copied().unwrap_or(f64::NAN)
}

async fn wake(place: &Place, times: usize) -> Result<String> {
    let socket = place.open("wake").await?;
    let mut took = Vec::new();
    for _ in 0..times {
        say(&socket, "warm").await?;
        heard(&socket).await?;
        hibernate(place, "wake").await?;
        // The spare that the last wake took is made again, as it is in a room that really slept.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let begun = Instant::now();
        say(&socket, "echo").await?;
        heard(&socket).await?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let (p50, p99) = (percentile(&mut took, 0.5), percentile(&mut took, 0.99));
    Ok(format!("wake of a hibernated room by a message: p50 {p50:.2} ms, p99 {p99:.2} ms"))
}

async fn alarms(place: &Place, times: usize) -> Result<String> {
    let mut sockets = Vec::new();
    for number in 0..times {
        let room = format!("alarm-{number}");
        let socket = place.open(&room).await?;
        say(&socket, &format!("alarm {}", 3000 + 40 * number)).await?;
        heard(&socket).await?;
        hibernate(place, &room).await?;
        sockets.push(socket);
    }
    let mut late = Vec::new();
    for socket in sockets {
        let text = heard(&socket).await?;
        late.push(text.strip_prefix("late ").context("not a lateness")?.parse::<f64>()?);
    }
    let (p50, p99) = (percentile(&mut late, 0.5), percentile(&mut late, 0.99));
    Ok(format!("lateness of {times} alarms, each waking its room: p50 {p50:.0} ms, p99 {p99:.0} ms"))
}

async fn put(place: &Place, times: usize) -> Result<String> {
    let path = place.path().join("fdatasync");
    let mut file = std::fs::File::create(&path)?;
    let socket = place.open("put").await?;
    let (mut puts, mut syncs, mut echoes) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..times {
        let begun = Instant::now();
        file.write_all(&[b'x'; 4096])?;
        file.sync_data()?;
        syncs.push(begun.elapsed().as_secs_f64() * 1000.0);
        for (word, took) in [(format!("put {number}"), &mut puts), ("echo".to_owned(), &mut echoes)] {
            let begun = Instant::now();
            say(&socket, &word).await?;
            heard(&socket).await?;
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let (put, sync, echo) =
        (percentile(&mut puts, 0.5), percentile(&mut syncs, 0.5), percentile(&mut echoes, 0.5));
    Ok(format!(
        "one lone put: p50 {put:.2} ms; one fdatasync: p50 {sync:.2} ms; ratio {:.2} (an echo takes {echo:.2} ms)",
        put / sync
    ))
}

async fn crowd(place: &Place, process: u32, count: usize) -> Result<String> {
    let mut crowd = Vec::with_capacity(count);
    for _ in 0..count {
        crowd.push(place.open("crowd").await?);
    }
    let speaker = crowd.first().context("a crowd needs a socket")?;
    let begun = Instant::now();
    say(speaker, "all").await?;
    for socket in &crowd {
        let text = heard(socket).await?;
        ensure!(text == "for all", "a socket of the crowd heard {text}");
    }
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let memory = memory_kib(process)? / 1024;
    Ok(format!(
        "broadcast to {count} sockets of one room: all heard it after {took:.0} ms; the server holds {memory} MiB"
    ))
}

async fn memory(place: &Place, process: u32, rooms: usize, sockets: usize) -> Result<String> {
    // What the first rooms leave behind for good, such as compiled code, is no cost of a socket.
    for number in 0..20 {
        let name = format!("first-{number}");
        let socket = place.open(&name).await?;
        say(&socket, "echo").await?;
        heard(&socket).await?;
        hibernate(place, &name).await?;
    }
    let before = memory_kib(process)?;
    let mut open = Vec::new();
    for room in 0..rooms {
        let name = format!("sleeper-{room}");
        for _ in 0..sockets {
            let socket = place.open(&name).await?;
            say(&socket, "echo").await?;
            heard(&socket).await?;
            open.push(socket);
        }
        hibernate(place, &name).await?;
    }
    let after = memory_kib(process)?;
    let each = (after.saturating_sub(before)) as f64 / (rooms * sockets) as f64;
    Ok(format!(
        "memory of {} sockets in {rooms} hibernated rooms: {} KiB to {} KiB, {each:.1} KiB each",
        rooms * sockets,
        before,
        after
    ))
}
