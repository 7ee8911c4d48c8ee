//! One process of a project: `partyrun start` with a listener that the host has opened, the project's variables in a file
//! that only it can read, and a line to the host.
//!
//! The host is the process's supervisor and speaks as one: it sends a byte that asks to stop, and gets the port when the
//! server is ready, and `due MS` when the next alarm or cron changes. The end of the line ends the process, so that none
//! outlives its host. Because the listener is the host's, clients may connect before the process is ready.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream as StdStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use partyrun_limits::Limits;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use crate::live::{LINE_BYTES_MAX, Live};
use crate::quota::Bounds;

/// Names the process's end of the line. `partyrun start` knows it as its supervisor's.
const LINK: &str = "PARTYRUN_SUPERVISOR";
/// Names the listener's descriptor, as a supervisor does that got it from systemd.
const SOCKETS: &str = "PARTYRUN_SUPERVISOR_SOCKETS";
/// Names the file that says what the process is for.
const HOSTED: &str = "PARTYRUN_HOSTED";
/// Stands for no alarm and no cron.
pub(crate) const NEVER: i64 = i64::MAX;

/// What a process is started for.
pub(crate) struct Plan<'a> {
    pub(crate) program: &'a Path,
    pub(crate) release: &'a Path,
    /// The working folder.
    pub(crate) folder: &'a Path,
    /// The data folder; without one the process only shows that the release starts.
    pub(crate) data: Option<&'a Path>,
    pub(crate) environment: &'a [(String, String)],
    pub(crate) listener: UnixListener,
    /// What it keeps open as long as it lives.
    pub(crate) lock: Option<std::fs::File>,
    pub(crate) bounds: Bounds,
    pub(crate) limits: &'a Limits,
    /// Limits that the process is started with, as `NAME=VALUE`.
    pub(crate) settings: &'a [String],
}

/// How far a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    /// It ended, as the text says.
    Ended(String),
}

/// What a process is told.
enum Order {
    /// To stop within this time.
    Stop(Duration),
    /// To load anew what it serves.
    Reload,
}

/// A process that was started.
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) phase: watch::Receiver<Phase>,
    /// When the next alarm or cron is due, as far as the process has told.
    pub(crate) due: Arc<AtomicI64>,
    orders: mpsc::Sender<Order>,
    /// Whether each reload has succeeded.
    reloads: tokio::sync::Mutex<mpsc::Receiver<bool>>,
    /// The last lines that it printed which are no JSON, or say that something went wrong.
    words: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Child {
    /// Starts a process.
    pub(crate) fn start(plan: Plan<'_>, live: Option<Arc<Live>>) -> std::io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        let told = json!({
            "probe": plan.data.is_none(),
            "environment": plan.environment.iter().map(|(name, value)| (name.clone(), value.clone().into()))
                .collect::<serde_json::Map<_, _>>(),
        });
        let hosted = in_memory(told.to_string().as_bytes())?;
        let mut command = tokio::process::Command::new(plan.program);
        command.arg("start").arg(plan.release).args(["--json", "--listen", "systemd:host"]);
        // The only client is the host, which says who the real one is.
        command.args(["--trusted-proxy", "127.0.0.1"]);
        match plan.data {
            Some(data) => command.arg("--persist").arg(data),
            None => command.args(["--persist", "false"]),
        };
        for setting in plan.settings {
            command.arg("--limit").arg(setting);
        }
        command.current_dir(plan.folder).env_clear();
        command.env(SOCKETS, format!("{}=host", plan.listener.as_raw_fd()));
        command.env(LINK, theirs.as_raw_fd().to_string()).env(HOSTED, hosted.as_raw_fd().to_string());
        command.env("TMPDIR", plan.folder).env("HOME", plan.folder).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let (line, lock) = (theirs.as_raw_fd(), plan.lock.as_ref().map(AsRawFd::as_raw_fd));
        // Where there is none, the line counts twice.
        let passed: [RawFd; 4] = [line, hosted.as_raw_fd(), plan.listener.as_raw_fd(), lock.unwrap_or(line)];
        let bounds = plan.bounds;
        // SAFETY: between fork and exec only system calls are made, which are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                for descriptor in passed {
                    if libc::fcntl(descriptor, libc::F_SETFD, 0) != 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                // Signals of the host's terminal are the host's.
                if libc::setpgid(0, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                bounds.apply()
            });
        }
        let mut process = command.spawn()?;
        let pid = process.id().unwrap_or_default();
        ours.set_nonblocking(true)?;
        let line = UnixStream::from_std(ours)?;
        let (phase, phases) = watch::channel(Phase::Starting);
        let (orders, ordered) = mpsc::channel(4);
        let (reloaded, reloads) = mpsc::channel(4);
        let due = Arc::new(AtomicI64::new(NEVER));
        let words = Arc::default();
        let rate = plan.limits.host_log_bytes_per_second_max.max(1024);
        let out = process.stdout.take().map(|out| read(out, live.clone(), Arc::clone(&words), rate));
        let errors = process.stderr.take().map(|out| read(out, live.clone(), Arc::clone(&words), rate));
        let heard = Heard { phase, due: due.clone(), reloaded };
        tokio::spawn(async move {
            let status = watch_over(process, line, &heard, ordered).await;
            // What it said last explains its end.
            let reading = async {
                for read in [out, errors].into_iter().flatten() {
                    let _done = read.await;
                }
            };
            let _held_open = tokio::time::timeout(Duration::from_millis(500), reading).await;
            heard.phase.send_replace(Phase::Ended(status));
        });
        Ok(Self { pid, phase: phases, due, orders, reloads: tokio::sync::Mutex::new(reloads), words })
    }

    /// Waits until it is ready; else says how it ended.
    pub(crate) async fn ready(&self, within: Duration) -> Result<(), String> {
        let mut phase = self.phase.clone();
        let waiting = phase.wait_for(|phase| *phase != Phase::Starting);
        let text = match tokio::time::timeout(within, waiting).await {
            Ok(Ok(phase)) => match &*phase {
                Phase::Ended(text) => text.clone(),
                Phase::Starting | Phase::Ready => return Ok(()),
            },
            Ok(Err(_)) => "it is gone".to_string(),
            Err(_) => {
                self.kill();
                return Err(format!(
                    "it was not ready within {} s (limit `host_start_time_max`)",
                    within.as_secs()
                ));
            }
        };
        let words = self.words.lock().unwrap_or_else(std::sync::PoisonError::into_inner).join("\n");
        Err(if words.is_empty() { text } else { format!("{text}\n{words}") })
    }

    /// Asks it to stop, and waits for its end; after `grace` it is killed.
    pub(crate) async fn stop(&self, grace: Duration) {
        let _gone = self.orders.send(Order::Stop(grace)).await;
        let mut phase = self.phase.clone();
        let _gone = phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await;
    }

    /// Ends it now.
    pub(crate) fn kill(&self) {
        let _gone = self.orders.try_send(Order::Stop(Duration::ZERO));
    }

    /// Asks it to load anew what it serves, and waits for whether it has.
    pub(crate) async fn reload(&self, within: Duration) -> bool {
        let mut reloads = self.reloads.lock().await;
        // What comes late belongs to an earlier one.
        while reloads.try_recv().is_ok() {}
        if self.orders.send(Order::Reload).await.is_err() {
            return false;
        }
        matches!(tokio::time::timeout(within, reloads.recv()).await, Ok(Some(true)))
    }
}

// A file in memory, read from its beginning by whoever inherits it.
fn in_memory(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    use std::io::{Seek, Write};
    // SAFETY: the name is a C string; the call answers a new descriptor or an error.
    let descriptor = unsafe { libc::memfd_create(c"partyrun-hosted".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: it was just made and is nobody else's.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

// Until its end, which is answered.
async fn watch_over(
    mut process: tokio::process::Child,
    mut line: UnixStream,
    heard: &Heard,
    mut orders: mpsc::Receiver<Order>,
) -> String {
    const LAST_WORDS_MAX: Duration = Duration::from_millis(200);
    let (mut said, mut open, mut owned) = (Vec::new(), true, true);
    let mut buffer = [0; 256];
    let mut deadline = None;
    let status = loop {
        tokio::select! {
            status = process.wait() => break status,
            order = orders.recv(), if owned => match order {
                Some(Order::Reload) => {
                    let _gone = line.write_all(b"r").await;
                }
                Some(Order::Stop(grace)) => {
                    let end = tokio::time::Instant::now() + grace;
                    deadline = Some(deadline.map_or(end, |known: tokio::time::Instant| known.min(end)));
                    let _gone = line.write_all(b"s").await;
                }
                // Whoever started it has given it up, perhaps in the middle of its start: nobody else would end it.
                None => {
                    owned = false;
                    deadline.get_or_insert_with(tokio::time::Instant::now);
                }
            },
            () = out_of(deadline) => {
                deadline = None;
                let _gone = process.start_kill();
            }
            read = line.read(&mut buffer), if open => match read {
                Ok(count @ 1..) => heard.take(&mut said, buffer.get(..count).unwrap_or_default()),
                _ => open = false,
            },
        }
    };
    // What it said before it ended.
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(LAST_WORDS_MAX, line.read(&mut buffer)).await {
        heard.take(&mut said, buffer.get(..count).unwrap_or_default());
    }
    match status {
        Ok(status) => shown(status),
        Err(error) => error.to_string(),
    }
}

/// Where what a process says goes.
struct Heard {
    phase: watch::Sender<Phase>,
    due: Arc<AtomicI64>,
    reloaded: mpsc::Sender<bool>,
}

impl Heard {
    // Lines may come in pieces. Nobody who keeps to the protocol says much at once.
    fn take(&self, said: &mut Vec<u8>, bytes: &[u8]) {
        const LINE_BYTES_MAX: usize = 256;
        said.extend_from_slice(bytes);
        while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let rest = said.split_off(end + 1);
            self.line(&std::mem::replace(said, rest));
        }
        if said.len() > LINE_BYTES_MAX {
            said.clear();
        }
    }

    fn line(&self, line: &[u8]) {
        let Ok(text) = std::str::from_utf8(line) else { return };
        let text = text.trim_end();
        if let Some(at) = text.strip_prefix("due ") {
            self.due.store(at.parse().unwrap_or(NEVER), Ordering::Relaxed);
        } else if let Some(done) = text.strip_prefix("swapped ") {
            let _nobody = self.reloaded.try_send(done == "yes");
        } else if text.parse::<u16>().is_ok() {
            self.phase.send_replace(Phase::Ready);
        }
    }
}

async fn out_of(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn shown(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(libc::SIGKILL), _) => "it was killed (SIGKILL)".to_string(),
        (Some(signal), _) => format!("it ended with signal {signal}"),
        (None, Some(code)) => format!("it ended with exit code {code}"),
        (None, None) => "it ended".to_string(),
    }
}

// Reads what it prints, no faster than `rate` bytes per second: what is not read in time, the process drops and counts.
fn read(
    out: impl AsyncRead + Unpin + Send + 'static,
    live: Option<Arc<Live>>,
    words: Arc<std::sync::Mutex<Vec<String>>>,
    rate: usize,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut reader = BufReader::with_capacity(16 << 10, out);
        let mut line = Vec::new();
        let (mut left, mut second) = (rate, tokio::time::Instant::now() + Duration::from_secs(1));
        loop {
            let Ok(read) = reader.fill_buf().await else { return };
            if read.is_empty() {
                return;
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(read.len(), |end| end + 1);
            // Of a line that is too long only the beginning is kept.
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            line.extend_from_slice(read.get(..taken.min(room)).unwrap_or_default());
            reader.consume(taken);
            if end.is_some() {
                take_line(&line, live.as_ref(), &words);
                line.clear();
            }
            left = left.saturating_sub(taken);
            if left == 0 {
                tokio::time::sleep_until(second).await;
                (left, second) = (rate, tokio::time::Instant::now() + Duration::from_secs(1));
            }
        }
    })
}

fn take_line(line: &[u8], live: Option<&Arc<Live>>, words: &std::sync::Mutex<Vec<String>>) {
    const WORDS_MAX: usize = 30;
    let text = String::from_utf8_lossy(line).trim_end().to_string();
    let parsed: Option<Value> = serde_json::from_str(&text).ok().filter(Value::is_object);
    let kind = parsed.as_ref().and_then(|line| line.get("type")?.as_str());
    // The host has its own lines of requests, and what a server says of its own start means nothing to those who follow.
    if matches!(kind, Some("request" | "ready" | "note")) {
        return;
    }
    let is_word = parsed.is_none() || matches!(kind, Some("error" | "warning"));
    if is_word && !text.is_empty() {
        let said = parsed.as_ref().and_then(|line| line.get("text")?.as_str()).unwrap_or(&text);
        let mut words = words.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if words.len() == WORDS_MAX {
            words.remove(0);
        }
        words.push(said.chars().take(1000).collect());
    }
    if let Some(live) = live {
        match parsed {
            Some(line) => live.add(line),
            None if text.is_empty() => {}
            None => live.say("output", &text),
        }
    }
}
