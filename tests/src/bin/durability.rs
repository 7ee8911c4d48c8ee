//! `durability`: what a room has reported as stored must be there, whatever happens to the process or the disk.
//!
//! `kill`: many rooms count in steps, and each step is stored and reported (`fixtures/durability`). At a random moment
//! the server is killed with SIGKILL. After its restart every room must know at least the last step that it reported,
//! and at most the last one that was sent, and its three ways of storing a step must agree. `full`: the server may not
//! write files beyond a size, as on a full disk. Puts must fail with an error, reset only their room, lose nothing that
//! was reported, and work again when there is space. A kill alone does not prove that data was synced, because the page
//! cache survives the process: power loss is tested in `partyrun_store`, on a file layer that drops what was not synced.

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use partyrun_tests::frame::Message;
use partyrun_tests::request::Answer;
use partyrun_tests::running::{self, Place, family, say};
use partyrun_tests::socket::Event;
use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Steps of a room that are on their way at the same time.
const IN_FLIGHT: u64 = 4;
/// The size beyond which the server may not write a file in `full`.
const FILE_BYTES_MAX: u64 = 3 << 20;
const BLOB_BYTES: usize = 100_000;

#[derive(Debug, Parser)]
#[command(about = "Kills the server, or fills its disk, and looks for what was told and is gone.")]
struct Args {
    mode: Mode,
    /// How often the server is killed.
    #[arg(long, default_value_t = 30)]
    runs: u32,
    #[arg(long, default_value_t = 100)]
    rooms: usize,
    /// The longest time until a kill.
    #[arg(long, default_value_t = 1500)]
    millis: u64,
    /// What partyrun's isolates are for: `room` or `worker`.
    #[arg(long)]
    isolation: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Kill,
    Full,
}

fn main() -> ExitCode {
    let args = Args::parse();
    running::run(async {
        match args.mode {
            Mode::Kill => kill(&args).await,
            Mode::Full => full(&args).await,
        }
    })
}

async fn stored(place: &Place, room: &str) -> Result<serde_json::Value> {
    let answer = place.ask("GET", &format!("/party/{room}"), String::new()).await?;
    serde_json::from_slice(&answer.body).with_context(|| format!("{room} answered `{}`", answer.text()))
}

async fn put_blob(place: &Place, room: usize) -> Result<Answer> {
    place.ask("POST", &format!("/party/room-{room}"), BLOB_BYTES.to_string()).await
}

// A soft limit, which may be raised again; beyond it writes fail instead of ending the process.
fn limit_files(bytes: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` lives through the call; ignoring a signal has no precondition.
    let outcome = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &limit)
    };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

// --- kill ---------------------------------------------------------------------------------------------------------------

/// What one room was sent and has told.
#[derive(Default)]
struct Counted {
    sent: Cell<u64>,
    told: Cell<u64>,
}

async fn kill(args: &Args) -> Result<String> {
    let place = Rc::new(Place::new("durability", args.isolation.as_deref())?);
    let rooms: Rc<Vec<Counted>> = Rc::new((0..args.rooms).map(|_| Counted::default()).collect());
    let mut random = std::process::id();
    for run in 1..=args.runs {
        let process = place.start(|_| {}).await?;
        check(&place, &rooms).await.with_context(|| format!("before run {run}"))?;
        let counting: Vec<_> = (0..args.rooms)
            .map(|room| tokio::task::spawn_local(count(place.clone(), rooms.clone(), room)))
            .collect();
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let until = 100 + u64::from(random >> 8) % args.millis.max(1);
        tokio::time::sleep(Duration::from_millis(until)).await;
        process.kill().await;
        // What the rooms told before they died may still be on its way: each reads to the end of its connection.
        for task in counting {
            let ended = tokio::time::timeout(ANSWER_MAX, task).await;
            ensure!(ended.is_ok(), "a connection outlived the server");
        }
    }
    let process = place.start(|_| {}).await?;
    check(&place, &rooms).await?;
    process.kill().await;
    let told: u64 = rooms.iter().map(|room| room.told.get()).sum();
    ensure!(told > 0, "no room told anything: nothing was tested");
    Ok(format!("{told} steps told by {} rooms in {} runs, none lost, none torn", args.rooms, args.runs))
}

// Sends steps to one room until the connection breaks.
async fn count(place: Rc<Place>, rooms: Rc<Vec<Counted>>, room: usize) -> Result<()> {
    let counted = &rooms[room];
    let socket = place.open(&format!("room-{room}")).await?;
    // A step that was sent in an earlier life and never told may be stored: counting goes on after it.
    let mut told = counted.sent.get();
    loop {
        while counted.sent.get() < told + IN_FLIGHT {
            let step = counted.sent.get() + 1;
            counted.sent.set(step);
            say(&socket, &step.to_string()).await?;
        }
        match socket.next(ANSWER_MAX).await {
            Some(Event::Message(Message::Text(text))) => {
                told = text.parse().with_context(|| format!("told `{text}`"))?;
                counted.told.set(told);
            }
            _ => return Ok(()),
        }
    }
}

async fn check(place: &Place, rooms: &[Counted]) -> Result<()> {
    for (number, counted) in rooms.iter().enumerate() {
        let stored = stored(place, &format!("room-{number}")).await?;
        let step = |name: &str| stored[name].as_u64().unwrap_or(u64::MAX);
        let (first, second, last) = (step("first"), step("second"), step("last"));
        ensure!(first == second && second == last, "room {number} is torn: {stored}");
        let (told, sent) = (counted.told.get(), counted.sent.get());
        ensure!(first >= told, "room {number} told step {told} and has stored {first}");
        ensure!(first <= sent, "room {number} has step {first}, sent were {sent}");
    }
    Ok(())
}

// --- full ---------------------------------------------------------------------------------------------------------------

async fn full(args: &Args) -> Result<String> {
    let place = Place::new("durability", args.isolation.as_deref())?;
    let limited = |command: &mut tokio::process::Command| {
        // SAFETY: between fork and exec only async-signal-safe system calls are made.
        unsafe { command.pre_exec(|| limit_files(FILE_BYTES_MAX)) };
    };
    let process = place.start(limited).await?;
    let mut told = vec![0_u64; args.rooms.clamp(2, 8)];
    let mut refused = None;
    for round in 0..200 {
        let number = round % told.len();
        let answer = put_blob(&place, number).await?;
        if answer.status == 200 {
            told[number] = answer.text().parse()?;
        } else {
            refused = Some((number, answer));
            break;
        }
    }
    let Some((number, answer)) = refused else { bail!("the disk never became full") };
    ensure!(answer.status == 500, "a put on a full disk was answered with {}", answer.status);
    ensure!(
        answer.text().contains("could not be stored"),
        "the answer does not say why: `{}`",
        answer.text()
    );
    for (room, told) in told.iter().enumerate() {
        let stored = stored(&place, &format!("room-{room}")).await?;
        let (blobs, counted) = (stored["blobs"].as_u64(), stored["counted"].as_u64());
        ensure!(blobs == Some(*told) && counted == Some(*told), "room {room} told {told} and has {stored}");
    }
    for process in family(process.id()) {
        raise_files(process)?;
    }
    let answer = put_blob(&place, number).await?;
    ensure!(
        answer.status == 200,
        "with room again a put was answered with {} `{}`",
        answer.status,
        answer.text()
    );
    process.kill().await;
    let process = place.start(|_| {}).await?;
    let stored = stored(&place, &format!("room-{number}")).await?;
    ensure!(stored["counted"].as_u64() == Some(told[number] + 1), "after a kill: {stored}");
    process.kill().await;
    let blobs: u64 = told.iter().sum();
    Ok(format!(
        "{blobs} blobs told, then `{}`; nothing told was lost, and puts work again",
        answer_text(&answer)
    ))
}

fn answer_text(answer: &Answer) -> String {
    answer.text().chars().take(40).collect()
}

fn raise_files(process: u32) -> Result<()> {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let process = libc::pid_t::try_from(process)?;
    // SAFETY: `limit` lives through the call, and no old limit is asked for.
    let outcome = unsafe { libc::prlimit(process, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    ensure!(outcome == 0, "the limit cannot be raised: {}", std::io::Error::last_os_error());
    Ok(())
}
