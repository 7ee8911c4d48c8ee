//! A child process in a process group of its own: its output line by line, its end, and a guarantee that it is killed.
//!
//! Every group is registered until it has ended, so that a panic or Ctrl-C of the runner can kill them all. If the
//! runner itself is killed, the kernel sends the child SIGTERM (`PR_SET_PDEATHSIG`). For that, children must be started
//! on the main thread, because the signal follows the thread that forked.

use regex::Regex;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::Notify;

static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Kills every group that is still registered.
pub fn kill_all() {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    groups.into_iter().for_each(kill_group);
}

fn kill_group(group: i32) {
    signal_group(group, libc::SIGKILL);
}

fn signal_group(group: i32, signal: i32) {
    // SAFETY: killpg takes two integers; the group is one that we created and that is still registered.
    unsafe { libc::killpg(group, signal) };
}

/// What a process has printed so far, and whether it has ended.
#[derive(Debug, Default)]
pub struct Output {
    lines: RefCell<Vec<String>>,
    exit: RefCell<Option<ExitStatus>>,
    open_pipes: RefCell<u8>,
    changed: Notify,
}

impl Output {
    /// How many lines there are; a mark for `find`.
    pub fn mark(&self) -> usize {
        self.lines.borrow().len()
    }

    /// Lines from a mark on.
    pub fn since(&self, mark: usize) -> Vec<String> {
        self.lines.borrow().get(mark..).unwrap_or_default().to_vec()
    }

    /// The last lines, for a failure's report.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines.borrow();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// How the process ended, if it has.
    pub fn exit(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits until `take` gives something; `None` when the time is over.
    pub async fn wait<T>(&self, within: Duration, mut take: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let changed = self.changed.notified();
            if let Some(value) = take(self) {
                return Some(value);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return take(self);
            }
        }
    }

    /// Waits for the end of the process and of its output.
    pub async fn wait_end(&self, within: Duration) -> Option<ExitStatus> {
        self.wait(within, |output| output.exit().filter(|_| *output.open_pipes.borrow() == 0)).await
    }

    fn push(&self, line: &str) {
        self.lines.borrow_mut().push(without_colour(line));
        self.changed.notify_waiters();
    }
}

/// A running child process.
#[derive(Debug)]
pub struct Process {
    group: i32,
    /// What it prints; shared, and readable after its end.
    pub output: Rc<Output>,
}

impl Process {
    /// Starts a command in its own group.
    pub fn start(mut command: Command) -> Result<Self, String> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        // SAFETY: between fork and exec only prctl, an async-signal-safe system call, is made.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let shown = format!("{:?}", command.as_std().get_program());
        let mut child = command.spawn().map_err(|error| format!("could not start {shown}: {error}"))?;
        let group = child.id().map(|id| id as i32).ok_or("the process ended at once")?;
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).insert(group);
        let output = Rc::new(Output::default());
        if let Some(stdout) = child.stdout.take() {
            follow(&output, stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            follow(&output, stderr);
        }
        let ended = output.clone();
        tokio::task::spawn_local(async move {
            let status = child.wait().await.ok();
            *ended.exit.borrow_mut() = status;
            ended.changed.notify_waiters();
        });
        Ok(Self { group, output })
    }

    /// Its process id, which is also that of its group.
    pub fn id(&self) -> u32 {
        self.group.unsigned_abs()
    }

    /// Asks it to end (SIGTERM) and waits; what has not ended by then is killed.
    pub async fn stop(&self, within: Duration) {
        signal_group(self.group, libc::SIGTERM);
        let _ = self.output.wait(within, Output::exit).await;
        self.kill().await;
    }

    /// Kills the whole group outright and waits until it is gone.
    pub async fn kill(&self) {
        kill_group(self.group);
        let _ = self.output.wait(Duration::from_secs(10), Output::exit).await;
        // Its children hold ports and locks until they are gone as well.
        for _ in 0..500 {
            if group_is_gone(self.group) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn group_is_gone(group: i32) -> bool {
    // SAFETY: killpg with signal 0 only asks whether the group has a process.
    unsafe { libc::killpg(group, 0) != 0 }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill_group(self.group);
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.group);
    }
}

fn follow(output: &Rc<Output>, pipe: impl AsyncRead + Unpin + 'static) {
    *output.open_pipes.borrow_mut() += 1;
    let output = output.clone();
    tokio::task::spawn_local(async move {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
            output.push(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
            line.clear();
        }
        *output.open_pipes.borrow_mut() -= 1;
        output.changed.notify_waiters();
    });
}

/// A line without its terminal escapes.
fn without_colour(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if rest.next() == Some('[') {
            let _ = rest.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    out
}

/// Waits for a line that matches, from a mark on; an early end of the process is an error.
pub async fn wait_for_line(
    output: &Output,
    pattern: &Regex,
    mark: usize,
    within: Duration,
) -> Result<String, String> {
    let found = output
        .wait(within, |output| {
            let line = output.since(mark).into_iter().find(|line| pattern.is_match(line));
            line.map(Ok).or_else(|| output.exit().map(Err))
        })
        .await;
    match found {
        Some(Ok(line)) => Ok(line),
        Some(Err(status)) => Err(format!("the server ended ({status}) before it printed /{pattern}/")),
        None => Err(format!("the server did not print /{pattern}/ within {} ms", within.as_millis())),
    }
}

/// A port that nobody listens on, each given out once per run.
///
/// Taken below the range from which the system picks ports for outgoing connections.
pub fn free_port() -> Result<u16, String> {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..COUNT {
        let offset = next.unwrap_or_else(|| (std::process::id() * 97 % u32::from(COUNT)) as u16);
        *next = Some((offset + 1) % COUNT);
        let port = FIRST + offset;
        let free = std::net::TcpListener::bind(("0.0.0.0", port)).is_ok()
            && std::net::TcpStream::connect(("127.0.0.1", port)).is_err();
        if free {
            return Ok(port);
        }
    }
    Err("no free port".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_removed() {
        assert_eq!(without_colour("\u{1b}[32mok\u{1b}[0m \u{1b}[1;31mred"), "ok red");
    }

    #[test]
    fn ports_are_given_once() {
        assert_ne!(free_port().unwrap(), free_port().unwrap());
    }
}
