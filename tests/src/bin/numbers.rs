//! `numbers`: what a sleeping room costs, and how quickly rooms wake and store.
//!
//! It starts partyrun with `fixtures/numbers` and prints a line for each measurement: the time from a message to the
//! answer of a hibernated room, the memory of sockets whose rooms hibernate, the lateness of alarms in an idle process, and
//! a lone durable put beside one fdatasync on the same disk in the same run.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use partyrun_tests::frame::Message;
use partyrun_tests::project::Project;
use partyrun_tests::request::{Ask, exchange};
use partyrun_tests::runtime::{Programs, READY_PATTERN, Runtime};
use partyrun_tests::server::{self, Process, free_port, wait_for_line};
use partyrun_tests::socket::{self, Event, Opened, Socket};
use regex::Regex;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

const ANSWER_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Parser)]
#[command(about = "Measures hibernation, alarms and a lone put.")]
struct Args {
    /// Rooms that hibernate for the memory figure.
    #[arg(long, default_value_t = 1000)]
    rooms: usize,
    /// Sockets in each.
    #[arg(long, default_value_t = 10)]
    sockets: usize,
    /// Repetitions of the other measurements.
    #[arg(long, default_value_t = 100)]
    times: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, measure(&args)));
    server::kill_all();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<()> {
    raise_descriptors();
    let server = Server::start().await?;
    memory(&server, args.rooms, args.sockets).await?;
    server.process.kill().await;
    let server = Server::start().await?;
    wake(&server, args.times).await?;
    alarms(&server, args.times).await?;
    put(&server, args.times).await?;
    server.process.kill().await;
    Ok(())
}

// Each socket is a descriptor here, too.
fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

struct Server {
    process: Process,
    project: Project,
    port: u16,
}

impl Server {
    async fn start() -> Result<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let partyrun = match std::env::var_os("PARTYRUN_BIN") {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe()?.with_file_name("partyrun"),
        };
        let project = Project::copy(&tests.join("../fixtures/numbers"), tests)?;
        let port = free_port().map_err(anyhow::Error::msg)?;
        let programs = Programs { partyrun, packages: tests.to_owned() };
        let args = programs.dev_args(Runtime::Partyrun, Some("server.ts"), port, &[]);
        let command = programs.command(Runtime::Partyrun, project.path(), &args);
        let process = Process::start(command).map_err(anyhow::Error::msg)?;
        let ready = Regex::new(READY_PATTERN)?;
        let within = Duration::from_secs(60);
        wait_for_line(&process.output, &ready, 0, within).await.map_err(anyhow::Error::msg)?;
        Ok(Self { process, project, port })
    }

    async fn open(&self, room: &str) -> Result<Rc<Socket>> {
        let opened = socket::open(self.port, &format!("/party/{room}"), &[], &[]).await;
        match opened.map_err(anyhow::Error::msg)? {
            Opened::Socket(socket, _) => Ok(socket),
            Opened::Refused(answer) => bail!("refused with {}: {}", answer.status, answer.text()),
        }
    }

    async fn hibernate(&self, room: &str) -> Result<()> {
        let target = format!("/__partyrun__/rooms/main/{room}/hibernate");
        let ask = Ask { method: "POST".into(), target, headers: Vec::new(), body: Default::default() };
        let answer = exchange(self.port, &ask).await.map_err(anyhow::Error::msg)?;
        ensure!(answer.status == 204, "{room} does not hibernate: {} {}", answer.status, answer.text());
        Ok(())
    }

    // Proportional memory of the server and of all that it has started, in KiB.
    fn memory_kib(&self) -> Result<u64> {
        let mut sum = 0;
        for process in descendants(self.process.id()) {
            let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
            let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
            sum += line.split_whitespace().nth(1).context("no number")?.parse::<u64>()?;
        }
        Ok(sum)
    }
}

fn descendants(process: u32) -> Vec<u32> {
    let list =
        std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children = list.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(descendants).chain([process]).collect()
}

async fn heard(socket: &Socket) -> Result<String> {
    match socket.next(ANSWER_MAX).await {
        Some(Event::Message(Message::Text(text))) => Ok(text),
        other => bail!("no answer but {other:?}"),
    }
}

async fn say(socket: &Socket, text: &str) -> Result<()> {
    socket.send(1, text.as_bytes()).await.map_err(anyhow::Error::msg)
}

// The value below which `share` of all are.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 - 1.0) * share).round() as usize;
    values.get(place).copied().unwrap_or(f64::NAN)
}

async fn wake(server: &Server, times: usize) -> Result<()> {
    let socket = server.open("wake").await?;
    let mut took = Vec::new();
    for _ in 0..times {
        say(&socket, "warm").await?;
        heard(&socket).await?;
        server.hibernate("wake").await?;
        // The spare that the last wake took is made again, as it is in a room that really slept.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let begun = Instant::now();
        say(&socket, "echo").await?;
        heard(&socket).await?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let (p50, p99) = (percentile(&mut took, 0.5), percentile(&mut took, 0.99));
    println!("wake of a hibernated room by a message: p50 {p50:.2} ms, p99 {p99:.2} ms");
    Ok(())
}

async fn alarms(server: &Server, times: usize) -> Result<()> {
    let mut sockets = Vec::new();
    for number in 0..times {
        let room = format!("alarm-{number}");
        let socket = server.open(&room).await?;
        say(&socket, &format!("alarm {}", 3000 + 40 * number)).await?;
        heard(&socket).await?;
        server.hibernate(&room).await?;
        sockets.push(socket);
    }
    let mut late = Vec::new();
    for socket in sockets {
        let text = heard(&socket).await?;
        late.push(text.strip_prefix("late ").context("not a lateness")?.parse::<f64>()?);
    }
    let (p50, p99) = (percentile(&mut late, 0.5), percentile(&mut late, 0.99));
    println!("lateness of {times} alarms, each waking its room: p50 {p50:.0} ms, p99 {p99:.0} ms");
    Ok(())
}

async fn put(server: &Server, times: usize) -> Result<()> {
    let path = server.project.path().join("fdatasync");
    let mut file = std::fs::File::create(&path)?;
    let socket = server.open("put").await?;
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
    println!(
        "one lone put: p50 {put:.2} ms; one fdatasync: p50 {sync:.2} ms; ratio {:.2} (an echo takes {echo:.2} ms)",
        put / sync
    );
    Ok(())
}

async fn memory(server: &Server, rooms: usize, sockets: usize) -> Result<()> {
    // What the first rooms leave behind for good, such as compiled code, is no cost of a socket.
    for number in 0..20 {
        let name = format!("first-{number}");
        let socket = server.open(&name).await?;
        say(&socket, "echo").await?;
        heard(&socket).await?;
        server.hibernate(&name).await?;
    }
    let before = server.memory_kib()?;
    let mut open = Vec::new();
    for room in 0..rooms {
        let name = format!("sleeper-{room}");
        for _ in 0..sockets {
            let socket = server.open(&name).await?;
            say(&socket, "echo").await?;
            heard(&socket).await?;
            open.push(socket);
        }
        server.hibernate(&name).await?;
    }
    let after = server.memory_kib()?;
    let each = (after.saturating_sub(before)) as f64 / (rooms * sockets) as f64;
    println!(
        "memory of {} sockets in {rooms} hibernated rooms: {} KiB to {} KiB, {each:.1} KiB each",
        rooms * sockets,
        before,
        after
    );
    Ok(())
}
