//! The supervisor: starts the server as a child process, restarts it after a fatal end, and replaces it by another one.
//!
//! The first server is a fork, which saves loading the program again. Later ones are started as new programs, so that
//! nothing of the state of the first one matters to them.
//!
//! V8 has fatal errors that nothing inside the process can stop (an exhausted hard heap limit, an invalid table size),
//! and the kernel may kill a process for its memory. Rooms then start again from what was stored, and clients reconnect
//! to the server on the same port within a second. The child reports through a socket pair (see `stop.rs`). If either side is
//! gone, the other one sees the end of the stream. A server that was asked to stop and does not stop in time is killed.
//!
//! SIGUSR2 has `start` replaced: the program that is now at this one's path is started beside the old server, takes over from it
//! (`upgrade`), and then this process becomes that program as well, with the same process id. If the new server does not come
//! up, everything stays as it was. SIGHUP goes to the server, unless it says that the terminal is gone.
//!
//! This is the process that systemd sees, so that it is the one which tells systemd that the server is ready, loads anew,
//! stops, or works: that only when the server has just said so.

use std::ffi::{CString, OsString};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use sd_notify::NotifyState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::doors::{self, Passed};
use crate::stop::{ALIVE, Asked, GAVE, Link, RELOADED, REPLACE, STAYS, StopRequests};

/// Names the child's end of the line, by its descriptor. `off` runs the server without a supervisor.
const LINK: &str = "PARTYRUN_SUPERVISOR";
/// The port of the life before.
const PORT: &str = "PARTYRUN_SUPERVISOR_PORT";
/// The line to the server that is taken over from, by its descriptor.
const HEIR: &str = "PARTYRUN_SUPERVISOR_HEIR";
/// The server that this process supervises already, as the program that it was before: process, descriptor, port.
const KEEPS: &str = "PARTYRUN_SUPERVISOR_KEEPS";
/// This program, also after another one has come to its path.
const SELF: &str = "/proc/self/exe";
/// A server that lived so long is started again at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// The pauses between lives that were short.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);
/// How long a server that shall not take over may take to say why and to end.
const DISMISSED_TIME_MAX: Duration = Duration::from_secs(1);
/// What a new server gets beyond its limits before it is killed.
const UPGRADE_MARGIN: Duration = Duration::from_secs(10);

/// What the supervisor of a command does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// It prints JSON lines.
    pub(crate) json: bool,
    /// SIGHUP and SIGUSR2 are for the server.
    pub(crate) upgrades: bool,
}

/// Runs `serve` under a supervisor: this process becomes the supervisor, or is the server already.
pub(crate) fn supervised(manner: Manner, limits: &Limits, serve: impl FnOnce(Link) -> ExitCode) -> ExitCode {
    let [said, port, heir, keeps] = [LINK, PORT, HEIR, KEEPS].map(|name| std::env::var(name).ok());
    // SAFETY: no other thread exists yet. A program that the project starts must not take these for its own.
    let passed = unsafe {
        [LINK, PORT, HEIR, KEEPS].into_iter().for_each(|name| std::env::remove_var(name));
        Passed::take()
    };
    let port = port.and_then(|port| port.parse().ok());
    let line = |text: Option<String>| text.and_then(|text| text.parse().ok()).and_then(line_of_child);
    match (said.as_deref(), keeps) {
        (Some("off"), _) => serve(Link { port, passed, ..Link::default() }),
        (Some(_), _) => serve(Link { stream: line(said), port, passed, heir: line(heir) }),
        (None, keeps) => {
            // A request to stop that comes before the supervisor listens would end it alone.
            let held = HeldSignals::new();
            let kept = keeps.as_deref().and_then(kept_server);
            let is_up = kept.is_some();
            let (first, port) = match kept {
                Some((server, port)) => (server, port),
                None => match fork() {
                    Ok(Side::Server(stream)) => {
                        drop(held);
                        // SAFETY: no other thread exists yet. Only the supervisor speaks with systemd.
                        unsafe { forget_systemd() };
                        return serve(Link { stream: Some(stream), passed, ..Link::default() });
                    }
                    Ok(Side::Supervisor(first)) => (first, None),
                    Err(error) => return cannot_start(&error),
                },
            };
            let supervising = Supervisor::new(manner, limits, port, passed).and_then(|mut this| {
                this.is_up = is_up;
                this.run(first, held)
            });
            supervising.unwrap_or_else(|error| cannot_start(&error))
        }
    }
}

/// Signals to the supervisor wait until this is dropped.
struct HeldSignals(libc::sigset_t);

impl HeldSignals {
    /// Only the first thread of the process may ask for it, before there are others.
    fn new() -> Self {
        // SAFETY: a set of signals is plain data, which sigemptyset makes valid; the calls get valid places.
        unsafe {
            let mut held = std::mem::zeroed();
            libc::sigemptyset(&raw mut held);
            for stop in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR2] {
                libc::sigaddset(&raw mut held, stop);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &raw const held, std::ptr::null_mut());
            Self(held)
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // The program before this one may have held them already.
        // SAFETY: the set was made above.
        unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const self.0, std::ptr::null_mut()) };
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

// A descriptor that was left open for this program, closed for the programs that it starts.
fn line_of_child(descriptor: RawFd) -> Option<StdStream> {
    if descriptor <= 2 {
        return None;
    }
    // SAFETY: fcntl takes integers; a descriptor that is not open makes it fail.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it is open, and was given to this process alone.
    Some(unsafe { StdStream::from_raw_fd(descriptor) })
}

// The server of the program that this process was before.
fn kept_server(text: &str) -> Option<(Server, Option<u16>)> {
    let mut numbers = text.split(':').map(|number| number.parse::<i32>().ok());
    let (process, descriptor, port) = (numbers.next()??, numbers.next()??, numbers.next()?);
    let line = line_of_child(descriptor)?;
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    (process > 0).then_some((Server { process, line }, port))
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

/// What the supervisor knows beside its server.
struct Supervisor<'a> {
    manner: Manner,
    limits: &'a Limits,
    /// The port of the last server that was up.
    port: Option<u16>,
    /// What systemd passed.
    passed: Passed,
    /// Where the program was found, which another one may replace.
    program: PathBuf,
    terminal: Terminal,
    /// The server has taken over from another one, and is not known to be up.
    took_over: bool,
    /// The server has said to the program before this one that it is up.
    is_up: bool,
    /// Servers that were to take over and shall not.
    dismissed: Vec<Heir>,
}

impl<'a> Supervisor<'a> {
    fn new(manner: Manner, limits: &'a Limits, port: Option<u16>, passed: Passed) -> std::io::Result<Self> {
        let (program, terminal) = (program()?, Terminal::remember());
        Ok(Self {
            manner,
            limits,
            port,
            passed,
            program,
            terminal,
            took_over: false,
            is_up: false,
            dismissed: Vec::new(),
        })
    }

    fn run(mut self, first: Server, held: HeldSignals) -> std::io::Result<ExitCode> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            // Without a line of its own the supervisor listens to signals.
            let mut requests = Requests {
                requests: Link::default().requests()?,
                upgrade: signal(SignalKind::user_defined2())?,
                upgrades: self.manner.upgrades,
            };
            if self.manner.upgrades {
                requests.requests.heed_hangups();
            }
            let mut children = signal(SignalKind::child())?;
            let mut watchdog = sd_notify::watchdog_enabled().map(|time| tokio::time::interval(time / 3));
            drop(held);
            let mut pause = PAUSE_FIRST;
            let mut server = Some(first);
            loop {
                let begun = Instant::now();
                let running = match server.take() {
                    Some(server) => server,
                    None => self.spawn(Path::new(SELF), None)?,
                };
                let end = self.watch(running, &mut requests, &mut children, &mut watchdog).await?;
                self.took_over = end.heir.is_some();
                if let Some(heir) = end.heir {
                    server = Some(heir);
                    continue;
                }
                self.terminal.restore();
                if let Some(waited) = end.killed {
                    self.print(&self.killed(waited));
                    return Ok(ExitCode::FAILURE);
                }
                if end.asked || !(is_fatal(end.status) || end.gave) {
                    return Ok(exit_code(end.status));
                }
                if !end.was_ready && self.port.is_none() {
                    let text = format!("The server could not start: it ended with {}.", shown(end.status));
                    self.print(&text);
                    return Ok(ExitCode::FAILURE);
                }
                self.print(&format!("The server ended with {}; it is started again.", shown(end.status)));
                if begun.elapsed() >= HEALTHY_AFTER {
                    pause = PAUSE_FIRST;
                    continue;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_LAST),
                    () = requests.stop() => return Ok(ExitCode::SUCCESS),
                }
            }
        })
    }

    fn killed(&self, waited: Duration) -> String {
        let again = waited == self.limits.stop_again_time_max;
        let limit = self.limits.cite(if again { "stop_again_time_max" } else { "stop_time_max" });
        format!(
            "The server did not stop in time ({limit}) and was killed. Everything that was on disk is safe."
        )
    }

    // Starts a server; one with an `heir` line takes over from the server at the other end of that.
    fn spawn(&self, program: &Path, heir: Option<&StdStream>) -> std::io::Result<Server> {
        let (ours, theirs) = StdStream::pair()?;
        let mut given: Vec<RawFd> =
            [Some(&theirs), heir].into_iter().flatten().map(AsRawFd::as_raw_fd).collect();
        let mut command = std::process::Command::new(program);
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env(LINK, theirs.as_raw_fd().to_string());
        if let Some(heir) = heir {
            command.env(HEIR, heir.as_raw_fd().to_string());
        }
        if let Some(port) = self.port {
            command.env(PORT, port.to_string());
        }
        for name in SYSTEMD {
            command.env_remove(name);
        }
        if let Some((told, descriptors)) = self.passed.told() {
            command.env(doors::SOCKETS, told);
            given.extend(descriptors);
        }
        // SAFETY: between fork and exec only fcntl, an async-signal-safe system call, is made.
        unsafe {
            command.pre_exec(move || given.iter().copied().try_for_each(doors::pass_to_next));
        }
        let child = command.spawn()?;
        Ok(Server { process: child.id().cast_signed(), line: ours })
    }

    // Starts the program that is at this one's path now, beside the server, which hears of it.
    fn begin_upgrade(&self, line: &UnixStream) -> std::io::Result<Heir> {
        let (old, new) = StdStream::pair()?;
        let server = self.spawn(&self.program, Some(&new))?;
        let until = self.limits.upgrade_time_max * 2 + self.limits.upgrade_drain_max * 2 + UPGRADE_MARGIN;
        let heir = Heir { line: Line::new(server)?, until: tokio::time::Instant::now() + until };
        partyrun_handover::pass(line.as_fd(), Asked::HAND_OVER, old.as_fd())?;
        Ok(heir)
    }

    // Becomes the program whose server has taken over. It comes back only where that fails.
    fn become_program(&self, server: &Line) {
        let arguments: Option<Vec<CString>> =
            std::env::args_os().map(|argument| CString::new(argument.into_vec()).ok()).collect();
        let keeps = format!("{}:{}:{}", server.process, server.stream.as_raw_fd(), self.port.unwrap_or(0));
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        environment.push((KEEPS.into(), keeps.into()));
        let mut given = vec![server.stream.as_raw_fd()];
        if let Some((told, descriptors)) = self.passed.told() {
            environment.push((doors::SOCKETS.into(), told.into()));
            given.extend(descriptors);
        }
        let environment: Option<Vec<CString>> = environment
            .into_iter()
            .map(|(name, value)| CString::new([name.into_vec(), value.into_vec()].join(&b'=')).ok())
            .collect();
        let program = CString::new(self.program.clone().into_os_string().into_vec()).ok();
        let (Some(arguments), Some(environment), Some(program)) = (arguments, environment, program) else {
            return;
        };
        let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (arguments, environment) = (&arguments, &environment);
        let (argument_pointers, environment_pointers) = (pointers(arguments), pointers(environment));
        let held = HeldSignals::new();
        let inherited = given.iter().copied().try_for_each(doors::pass_to_next);
        let error = inherited.err().unwrap_or_else(|| {
            // SAFETY: the arrays end with a null pointer, and what they point to lives in this function. This is the process's
            // only thread that does anything, and what it has open is closed by the kernel, but for what the next one needs.
            unsafe {
                libc::execve(program.as_ptr(), argument_pointers.as_ptr(), environment_pointers.as_ptr());
            }
            std::io::Error::last_os_error()
        });
        for fd in given {
            // SAFETY: fcntl takes integers.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        drop(held);
        self.print(&format!("The supervisor stays the program that it was: {error}."));
    }

    fn print(&self, text: &str) {
        if self.manner.json {
            let line = serde_json::json!({ "time": crate::output::time(), "type": "error", "text": text });
            eprintln!("{}", crate::output::json_line(&line));
        } else {
            eprintln!("{text}");
        }
    }

    // Until the server has ended, or another one has taken over from it.
    async fn watch(
        &mut self,
        server: Server,
        requests: &mut Requests,
        children: &mut Signal,
        watchdog: &mut Option<tokio::time::Interval>,
    ) -> std::io::Result<End> {
        let mut line = Line::new(server)?;
        // A server that took over was up before its predecessor ended.
        let is_up = std::mem::take(&mut self.is_up);
        let mut end = End { was_ready: self.took_over || is_up, ..End::default() };
        let mut patience = None;
        let mut heir: Option<Heir> = None;
        loop {
            let heir_until = heir.as_ref().map(|heir| (heir.until, Duration::ZERO));
            let dismissed_until = self.dismissed.iter().map(|heir| (heir.until, Duration::ZERO)).min();
            tokio::select! {
                ended = ended(children) => match ended? {
                    (process, status) if process == line.process => {
                        end.status = status;
                        end.heir = heir.take().map(|heir| heir.line.into_server()).transpose()?;
                        return Ok(end);
                    }
                    (process, status) => {
                        let is_it = |heir: &Heir| heir.line.process == process;
                        let known = heir.take_if(|heir| is_it(heir)).is_some();
                        let dismissed = self.dismissed.iter().any(is_it);
                        self.dismissed.retain(|heir| !is_it(heir));
                        if known || (dismissed && status.signal() != Some(libc::SIGKILL)) {
                            self.print(&format!("The new server ended with {}.", shown(status)));
                        }
                    }
                },
                request = requests.next() => match request {
                    Request::Stop => {
                        tell_systemd(&[NotifyState::Stopping]);
                        let limits = self.limits;
                        let most = if end.asked { limits.stop_again_time_max } else { limits.stop_time_max };
                        let until = tokio::time::Instant::now() + most;
                        if patience.is_none_or(|(known, _)| until < known) {
                            patience = Some((until, most));
                        }
                        end.asked = true;
                        heir.take().iter().for_each(|heir| heir.line.kill());
                        // A child that is gone is seen by its end.
                        let _gone = line.stream.write_all(&[Asked::STOP]).await;
                    }
                    Request::Reload => {
                        if let Ok(now) = NotifyState::monotonic_usec_now() {
                            tell_systemd(&[NotifyState::Reloading, now]);
                        }
                        // A server that is gone loads everything at its next start.
                        let _gone = line.stream.write_all(&[Asked::RELOAD]).await;
                    }
                    Request::Upgrade => self.upgrade(&line, &mut heir, &end),
                },
                () = ticked(watchdog), if end.was_ready => {
                    drop(line.stream.write_all(&[Asked::LOOK]).await);
                }
                waited = out_of(patience), if end.killed.is_none() => {
                    end.killed = Some(waited);
                    line.kill();
                }
                _late = out_of(dismissed_until) => {
                    let now = tokio::time::Instant::now();
                    self.dismissed.iter().filter(|heir| heir.until <= now).for_each(|heir| heir.line.kill());
                    self.dismissed.iter_mut().for_each(|heir| heir.until += DISMISSED_TIME_MAX);
                }
                _late = out_of(heir_until), if heir.is_some() => {
                    heir.take().iter().for_each(|heir| heir.line.kill());
                    self.print("The new server was not ready in time and was killed.");
                }
                said = line.hear() => match said.as_str() {
                    STAYS => self.dismiss(heir.take()),
                    GAVE => end.gave = true,
                    REPLACE => self.upgrade(&line, &mut heir, &end),
                    ALIVE => tell_systemd(&[NotifyState::Watchdog]),
                    RELOADED => tell_systemd(&[NotifyState::Ready]),
                    port => {
                        self.port = port.parse().ok().or(self.port);
                        end.was_ready = true;
                        tell_systemd(&[NotifyState::Ready]);
                        if std::mem::take(&mut self.took_over) {
                            self.become_program(&line);
                        }
                    }
                },
            }
        }
    }

    // It ends by itself, and says why, or is killed in a moment.
    fn dismiss(&mut self, heir: Option<Heir>) {
        let until = tokio::time::Instant::now() + DISMISSED_TIME_MAX;
        self.dismissed.extend(heir.map(|heir| Heir { until, ..heir }));
    }

    fn upgrade(&self, line: &Line, heir: &mut Option<Heir>, end: &End) {
        if heir.is_some() || !end.was_ready || end.asked || self.took_over {
            self.print("The server cannot be replaced now: it starts, stops or is replaced already.");
            return;
        }
        match self.begin_upgrade(&line.stream) {
            Ok(begun) => *heir = Some(begun),
            Err(error) => {
                let program = self.program.display();
                self.print(&format!("{program} cannot be started: {error}. The server goes on."));
            }
        }
    }
}

// Where this program was found: by its name, which may be a link that leads elsewhere later, or else where it is.
fn program() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = if name.components().count() > 1 {
        std::path::absolute(&name).ok()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|path| path.is_file())
    };
    let is_own = |path: &PathBuf| path.canonicalize().ok() == own.canonicalize().ok();
    Ok(found.filter(is_own).unwrap_or(own))
}

/// What signals ask the supervisor for.
enum Request {
    Stop,
    Reload,
    Upgrade,
}

struct Requests {
    requests: StopRequests,
    upgrade: Signal,
    /// SIGHUP and SIGUSR2 are for the server.
    upgrades: bool,
}

impl Requests {
    async fn next(&mut self) -> Request {
        tokio::select! {
            asked = self.requests.asked() => match asked {
                Asked::Reload => Request::Reload,
                _ => Request::Stop,
            },
            _ = self.upgrade.recv(), if self.upgrades => Request::Upgrade,
        }
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Request::Stop) {}
    }
}

/// The line to a server's process.
struct Line {
    process: libc::pid_t,
    stream: UnixStream,
    open: bool,
    said: Vec<u8>,
}

impl Line {
    fn new(server: Server) -> std::io::Result<Self> {
        let Server { process, line } = server;
        line.set_nonblocking(true)?;
        let stream = UnixStream::from_std(line)?;
        Ok(Self { process, stream, open: true, said: Vec::new() })
    }

    fn into_server(self) -> std::io::Result<Server> {
        Ok(Server { process: self.process, line: self.stream.into_std()? })
    }

    // The next line that the server says.
    async fn hear(&mut self) -> String {
        let mut buffer = [0; 64];
        loop {
            if let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
                let rest = self.said.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.said, rest);
                line.truncate(end);
                return String::from_utf8_lossy(&line).into_owned();
            }
            if !self.open {
                return std::future::pending().await;
            }
            match self.stream.read(&mut buffer).await {
                Ok(count) if count > 0 => {
                    self.said.extend_from_slice(buffer.get(..count).unwrap_or_default())
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => self.open = false,
            }
        }
    }

    fn kill(&self) {
        // SAFETY: kill takes integers. The process is a child whose end was not heard yet, so that it is still that one.
        unsafe { libc::kill(self.process, libc::SIGKILL) };
    }
}

/// A server that is to take over.
struct Heir {
    line: Line,
    /// When it is killed if it has not.
    until: tokio::time::Instant,
}

/// How the watch over a server ended.
#[derive(Default)]
struct End {
    status: ExitStatus,
    asked: bool,
    was_ready: bool,
    /// It has given everything to another one.
    gave: bool,
    /// It was killed, after it had this long to stop.
    killed: Option<Duration>,
    /// The one that takes over.
    heir: Option<Server>,
}

// The end of a child.
async fn ended(children: &mut Signal) -> std::io::Result<(libc::pid_t, ExitStatus)> {
    loop {
        let mut status = 0;
        // SAFETY: waitpid writes the one integer that it is given.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            0 => {}
            -1 => {
                let error = std::io::Error::last_os_error();
                if error.kind() == ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            process => return Ok((process, ExitStatus::from_raw(status))),
        }
        children.recv().await;
    }
}

// The next time that systemd must hear of the server; never if it does not want to.
async fn ticked(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(watchdog) => {
            watchdog.tick().await;
        }
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

fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code() {
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
