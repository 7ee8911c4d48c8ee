//! The supervisor: starts the server as a child process, and restarts it after a fatal end.
//!
//! The first server is a fork, which saves loading the program again. Later ones are started as new programs, so that
//! nothing of the state of the first one matters to them.
//!
//! V8 has fatal errors that nothing inside the process can stop (an exhausted hard heap limit, an invalid table size),
//! and the kernel may kill a process for its memory. Rooms then start again from what was stored, and clients reconnect
//! to the server on the same port within a second. The child reports through a socket pair: it sends its port when it is
//! up, and the supervisor sends one byte for each request to stop. If either side is gone, the other one sees the end of
//! the stream. A server that was asked to stop and
//! does not stop in time is killed.
//!
//! This is the process that systemd sees, so that it is the one which tells systemd that the server is ready, reads its certificates
//! again, stops, or works: that only when the server has just said so.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

use sd_notify::NotifyState;

use crate::doors::Passed;
use crate::stop::{ALIVE, Asked, Link, RELOADED, StopRequests};

/// Names the child's end of the line, by its descriptor. `off` runs the server without a supervisor.
const LINK: &str = "PARTYRUN_SUPERVISOR";
/// The port of the life before.
const PORT: &str = "PARTYRUN_SUPERVISOR_PORT";
/// A server that lived so long is started again at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// The pauses between lives that were short.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// Runs `serve` under a supervisor: this process becomes the supervisor, or is the server already. `reloads` says whether the server
/// has something to read again.
pub(crate) fn supervised(
    json: bool,
    limits: &Limits,
    reloads: bool,
    serve: impl FnOnce(Link) -> ExitCode,
) -> ExitCode {
    let said = std::env::var(LINK).ok();
    let port = std::env::var(PORT).ok().and_then(|port| port.parse().ok());
    // SAFETY: no other thread exists yet. A program that the project starts must not take these for its own.
    let passed = unsafe {
        std::env::remove_var(LINK);
        std::env::remove_var(PORT);
        Passed::take()
    };
    match said.as_deref() {
        Some("off") => serve(Link { stream: None, port, passed }),
        Some(descriptor) => match descriptor.parse().ok().and_then(line_of_child) {
            Some(stream) => serve(Link { stream: Some(stream), port, passed }),
            None => serve(Link { stream: None, port, passed }),
        },
        None => {
            // A request to stop that comes before the supervisor listens would end it alone.
            let held = HeldSignals::new();
            match fork() {
                Ok(Side::Server(stream)) => {
                    drop(held);
                    // SAFETY: no other thread exists yet. Only the supervisor speaks with systemd.
                    unsafe { forget_systemd() };
                    serve(Link { stream: Some(stream), port: None, passed })
                }
                Ok(Side::Supervisor(first)) => {
                    let told = Told { json, reloads, passed };
                    supervise(&told, limits, first, held).unwrap_or_else(|error| cannot_start(&error))
                }
                Err(error) => cannot_start(&error),
            }
        }
    }
}

/// Signals that ask to stop wait until this is dropped.
struct HeldSignals(libc::sigset_t);

impl HeldSignals {
    /// Only the first thread of the process may ask for it, before there are others.
    fn new() -> Self {
        // SAFETY: a set of signals is plain data, which sigemptyset makes valid; the calls get valid places.
        unsafe {
            let (mut stops, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&raw mut stops);
            libc::sigemptyset(&raw mut before);
            for stop in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&raw mut stops, stop);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &raw const stops, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: the set is the one that sigprocmask gave.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

fn cannot_start(error: &std::io::Error) -> ExitCode {
    eprintln!("The server's process cannot be started: {error}");
    ExitCode::FAILURE
}

/// Which of the two processes this is after the fork.
enum Side {
    Server(StdStream),
    Supervisor(Server),
}

/// A process that serves, and the supervisor's end of the line to it.
struct Server {
    process: libc::pid_t,
    line: StdStream,
}

fn fork() -> std::io::Result<Side> {
    let (ours, theirs) = StdStream::pair()?;
    // SAFETY: no other thread exists yet that could hold a lock which the child would wait for.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => Ok(Side::Server(theirs)),
        process => Ok(Side::Supervisor(Server { process, line: ours })),
    }
}

// The descriptor that the supervisor left open, closed for the programs that the server starts.
fn line_of_child(descriptor: RawFd) -> Option<StdStream> {
    if descriptor <= 2 {
        return None;
    }
    // SAFETY: fcntl takes integers; a descriptor that is not open makes it fail.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it is open, and the supervisor gave it to this process alone.
    Some(unsafe { StdStream::from_raw_fd(descriptor) })
}

/// The variables by which systemd is spoken with.
const SYSTEMD: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// # Safety
/// No other thread may exist.
unsafe fn forget_systemd() {
    for name in SYSTEMD {
        // SAFETY: the caller promises it.
        unsafe { std::env::remove_var(name) };
    }
}

/// Tells systemd, if it wants to know.
fn tell_systemd(states: &[NotifyState<'_>]) {
    // Nobody listens.
    let _gone = sd_notify::notify(states);
}

/// What the supervisor was told at its start.
struct Told {
    json: bool,
    reloads: bool,
    passed: Passed,
}

fn supervise(told: &Told, limits: &Limits, first: Server, held: HeldSignals) -> std::io::Result<ExitCode> {
    let json = told.json;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Without a line of its own the supervisor listens to signals.
        let mut requests = Link::default().requests()?;
        if told.reloads {
            requests.heed_hangups();
        }
        let mut watchdog = sd_notify::watchdog_enabled().map(|time| tokio::time::interval(time / 3));
        drop(held);
        let mut children = signal(SignalKind::child())?;
        let terminal = Terminal::remember();
        let mut port = None;
        let mut pause = PAUSE_FIRST;
        let mut server = Some(first);
        loop {
            let begun = Instant::now();
            let server = match server.take() {
                Some(first) => first,
                None => spawn(port, &told.passed)?,
            };
            let heard = Heard { children: &mut children, requests: &mut requests, watchdog: &mut watchdog };
            let end = watch(server, limits, heard, &mut port).await?;
            terminal.restore();
            if let Some(waited) = end.killed {
                let again = waited == limits.stop_again_time_max;
                let limit = limits.cite(if again { "stop_again_time_max" } else { "stop_time_max" });
                let text = format!(
                    "The server did not stop in time ({limit}) and was killed. Everything that was on disk is safe."
                );
                print(json, &text);
                return Ok(ExitCode::FAILURE);
            }
            if end.asked || !is_fatal(end.status) {
                return Ok(exit_code(&end));
            }
            if !end.was_ready && port.is_none() {
                print(json, &format!("The server could not start: it ended with {}.", shown(end.status)));
                return Ok(ExitCode::FAILURE);
            }
            print(json, &format!("The server ended with {}; it is started again.", shown(end.status)));
            if begun.elapsed() >= HEALTHY_AFTER {
                pause = PAUSE_FIRST;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
                () = requests.next() => return Ok(ExitCode::SUCCESS),
            }
        }
    })
}

struct End {
    status: ExitStatus,
    asked: bool,
    was_ready: bool,
    /// It was killed, after it had this long to stop.
    killed: Option<Duration>,
}

fn spawn(port: Option<u16>, passed: &Passed) -> std::io::Result<Server> {
    let (ours, theirs) = StdStream::pair()?;
    let descriptor = theirs.as_raw_fd();
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(LINK, descriptor.to_string());
    if let Some(port) = port {
        command.env(PORT, port.to_string());
    }
    for name in SYSTEMD {
        command.env_remove(name);
    }
    let mut inherited = vec![descriptor];
    if let Some((told, descriptors)) = passed.told() {
        command.env(crate::doors::SOCKETS, told);
        inherited.extend(descriptors);
    }
    // SAFETY: between fork and exec only fcntl, an async-signal-safe system call, is made.
    unsafe {
        command.pre_exec(move || inherited.iter().copied().try_for_each(crate::doors::inherit));
    }
    let child = command.spawn()?;
    Ok(Server { process: child.id().cast_signed(), line: ours })
}

// The end of a child.
async fn ended(process: libc::pid_t, children: &mut Signal) -> std::io::Result<ExitStatus> {
    loop {
        let mut status = 0;
        // SAFETY: waitpid writes the one integer that it is given.
        match unsafe { libc::waitpid(process, &raw mut status, libc::WNOHANG) } {
            0 => {}
            -1 => {
                let error = std::io::Error::last_os_error();
                if error.kind() == ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            _ => return Ok(ExitStatus::from_raw(status)),
        }
        children.recv().await;
    }
}

/// What the supervisor hears besides its child.
struct Heard<'all> {
    children: &'all mut Signal,
    requests: &'all mut StopRequests,
    /// When it is asked whether the server works.
    watchdog: &'all mut Option<tokio::time::Interval>,
}

// Until the child has ended.
async fn watch(
    server: Server,
    limits: &Limits,
    heard: Heard<'_>,
    port: &mut Option<u16>,
) -> std::io::Result<End> {
    let Heard { children, requests, watchdog } = heard;
    server.line.set_nonblocking(true)?;
    let mut line = UnixStream::from_std(server.line)?;
    let (mut asked, mut was_ready, mut open) = (false, false, true);
    let (mut patience, mut killed) = (None, None);
    let mut said = Vec::new();
    let mut buffer = [0; 64];
    loop {
        tokio::select! {
            status = ended(server.process, children) =>
                return Ok(End { status: status?, asked, was_ready, killed }),
            wanted = requests.asked() => {
                if wanted != Asked::Stop {
                    reload(&mut line).await;
                    continue;
                }
                tell_systemd(&[NotifyState::Stopping]);
                let most = if asked { limits.stop_again_time_max } else { limits.stop_time_max };
                let end = tokio::time::Instant::now() + most;
                if patience.is_none_or(|(known, _)| end < known) {
                    patience = Some((end, most));
                }
                asked = true;
                // A child that is gone is seen by its end.
                let _gone = line.write_all(&[Asked::Stop.byte()]).await;
            }
            () = ticked(watchdog), if was_ready => drop(line.write_all(&[Asked::Look.byte()]).await),
            waited = out_of(patience), if killed.is_none() => {
                killed = Some(waited);
                // SAFETY: kill takes integers. The process is a child whose end was not heard yet, so that it is still that one.
                unsafe { libc::kill(server.process, libc::SIGKILL) };
            }
            read = line.read(&mut buffer), if open => match read {
                Ok(count) if count > 0 => {
                    said.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
                        let word: Vec<u8> = said.drain(..=end).collect();
                        was_ready |= hear(String::from_utf8_lossy(&word).trim_end(), port);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => open = false,
            },
        }
    }
}

// A word of the server; true where it says that it is up.
fn hear(word: &str, port: &mut Option<u16>) -> bool {
    match word {
        ALIVE => tell_systemd(&[NotifyState::Watchdog]),
        RELOADED => tell_systemd(&[NotifyState::Ready]),
        word => {
            *port = word.parse().ok().or(*port);
            tell_systemd(&[NotifyState::Ready]);
            return true;
        }
    }
    false
}

// Has the server read its certificates again.
async fn reload(line: &mut UnixStream) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell_systemd(&[NotifyState::Reloading, now]);
    }
    // A server that is gone reads them at its next start.
    let _gone = line.write_all(&[Asked::Reload.byte()]).await;
}

// The next time that systemd must hear of the server; never if it does not want to.
async fn ticked(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(watchdog) => drop(watchdog.tick().await),
        None => std::future::pending().await,
    }
}

// Waits until the patience is over, and answers how long it was. Without any it lasts.
async fn out_of(patience: Option<(tokio::time::Instant, Duration)>) -> Duration {
    match patience {
        Some((end, most)) => {
            tokio::time::sleep_until(end).await;
            most
        }
        None => std::future::pending().await,
    }
}

// Ended by a signal, or by a panic that reached the end of `main`.
fn is_fatal(status: ExitStatus) -> bool {
    match status.signal() {
        Some(signal) => !matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP),
        None => status.code() == Some(101),
    }
}

fn exit_code(end: &End) -> ExitCode {
    match end.status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        // Ctrl-C while the server was still starting.
        None => ExitCode::SUCCESS,
    }
}

fn shown(status: ExitStatus) -> String {
    let name = match status.signal() {
        Some(libc::SIGABRT) => " (SIGABRT)",
        Some(libc::SIGSEGV) => " (SIGSEGV)",
        Some(libc::SIGILL) => " (SIGILL)",
        Some(libc::SIGTRAP) => " (SIGTRAP)",
        Some(libc::SIGKILL) => " (SIGKILL: perhaps the machine ran out of memory)",
        _ => "",
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}{name}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "an unknown status".to_string(),
    }
}

fn print(json: bool, text: &str) {
    if json {
        let line = serde_json::json!({ "time": crate::output::time(), "type": "error", "text": text });
        eprintln!("{}", crate::output::json_line(&line));
    } else {
        eprintln!("{text}");
    }
}

// A server that dies leaves the terminal as its hot keys needed it.
struct Terminal(Option<libc::termios>);

impl Terminal {
    fn remember() -> Self {
        let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: tcgetattr writes the whole struct when it succeeds, and only then it is read.
        let known = unsafe { libc::tcgetattr(libc::STDIN_FILENO, settings.as_mut_ptr()) == 0 };
        // SAFETY: as above.
        Self(known.then(|| unsafe { settings.assume_init() }))
    }

    fn restore(&self) {
        if let Some(settings) = &self.0 {
            // SAFETY: the struct is one that the system filled in.
            unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, settings) };
        }
    }
}
