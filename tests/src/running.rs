//! A partyrun server with one fixture, for the programs that measure it or kill it (`durability`, `numbers`, `soak`).

use crate::frame::Message;
use crate::project::Project;
use crate::request::{Answer, Ask, exchange};
use crate::runtime::{Programs, READY_PATTERN, Runtime};
use crate::server::{Process, free_port, wait_for_line};
use crate::socket::{self, Event, Opened, Socket};
use anyhow::{Context, Result, bail, ensure};
use regex::Regex;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::process::Command;

const START_MAX: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A copy of a fixture, and the port on which servers of it listen one after the other.
pub struct Place {
    project: Project,
    programs: Programs,
    /// The port.
    pub port: u16,
}

impl Place {
    /// Copies `fixtures/NAME`, whose rooms are isolated as `isolation` says. The program is `PARTYRUN_BIN`, or `partyrun` beside
    /// this one.
    pub fn new(fixture: &str, isolation: Option<&str>) -> Result<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let partyrun = match std::env::var_os("PARTYRUN_BIN") {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe()?.with_file_name("partyrun"),
        };
        ensure!(
            partyrun.is_file(),
            "no such program: `{}`; build it or set PARTYRUN_BIN",
            partyrun.display()
        );
        let project = Project::copy(&tests.join("../fixtures").join(fixture), tests)?;
        let port = free_port().map_err(anyhow::Error::msg)?;
        Ok(Self {
            project,
            programs: Programs {
                partyrun,
                packages: tests.to_owned(),
                isolation: isolation.map(str::to_owned),
            },
            port,
        })
    }

    /// The folder of the copy.
    pub fn path(&self) -> &Path {
        self.project.path()
    }

    /// Starts a server and waits until it takes requests. `prepare` sees the command first.
    pub async fn start(&self, prepare: impl FnOnce(&mut Command)) -> Result<Process> {
        let args = self.programs.dev_args(Runtime::Partyrun, Some("server.ts"), self.port, &[]);
        let mut command = self.programs.command(Runtime::Partyrun, self.path(), &args);
        prepare(&mut command);
        let process = Process::start(command).map_err(anyhow::Error::msg)?;
        let ready = Regex::new(READY_PATTERN)?;
        wait_for_line(&process.output, &ready, 0, START_MAX).await.map_err(anyhow::Error::msg)?;
        Ok(process)
    }

    /// Sends a request.
    pub async fn ask(&self, method: &str, target: &str, body: String) -> Result<Answer> {
        let ask = Ask {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        };
        let answer = tokio::time::timeout(ANSWER_MAX, exchange(self.port, &ask)).await;
        answer.context("no answer in time")?.map_err(anyhow::Error::msg)
    }

    /// Opens a socket to a room.
    pub async fn open(&self, room: &str) -> Result<Rc<Socket>> {
        let opened = socket::open(self.port, &format!("/party/{room}"), &[], &[]).await;
        match opened.map_err(anyhow::Error::msg)? {
            Opened::Socket(socket, _) => Ok(socket),
            Opened::Refused(answer) => bail!("refused with {}: {}", answer.status, answer.text()),
        }
    }

    /// Takes a room out of memory; false if it is at work.
    pub async fn hibernate(&self, room: &str) -> Result<bool> {
        let target = format!("/__partyrun__/rooms/main/{room}/hibernate");
        Ok(self.ask("POST", &target, String::new()).await?.status == 204)
    }
}

/// Sends a text message.
pub async fn say(socket: &Socket, text: &str) -> Result<()> {
    socket.send(1, text.as_bytes()).await.map_err(anyhow::Error::msg)
}

/// The next message, which must be a text.
pub async fn heard(socket: &Socket) -> Result<String> {
    match socket.next(ANSWER_MAX).await {
        Some(Event::Message(Message::Text(text))) => Ok(text),
        other => bail!("no answer but {other:?}"),
    }
}

/// The process and all that it has started: the server runs under a supervisor.
pub fn family(process: u32) -> Vec<u32> {
    let list =
        std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children = list.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(family).chain([process]).collect()
}

/// Proportional memory of the process and of all that it has started, in KiB.
pub fn memory_kib(process: u32) -> Result<u64> {
    let mut sum = 0;
    for process in family(process) {
        let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
        sum += line.split_whitespace().nth(1).context("no number")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// Lets this process hold as many sockets as the system allows.
pub fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Runs a program's future on this thread, kills what it started, and prints its last line or its error.
pub fn run(work: impl Future<Output = Result<String>>) -> std::process::ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.map_err(Into::into).and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, work));
    crate::server::kill_all();
    match outcome {
        Ok(line) => {
            println!("{line}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("FAILED {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
