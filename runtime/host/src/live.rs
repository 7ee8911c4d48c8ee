//! The live log of a project: what its processes print, what the host says about it, and, while somebody follows it, its requests.
//!
//! The last lines are kept in memory and in a file beside the project's data, both bounded. Who reads too slowly loses lines
//! and is told how many.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::common::FOREIGN;

/// Lines that wait for one reader.
const WAITING_MAX: usize = 512;
/// Lines that are kept in memory.
const KEPT_MAX: usize = 200;
/// What a line may take; longer ones are cut by whoever prints them.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

/// The log of one project.
pub(crate) struct Live {
    path: PathBuf,
    bytes_max: usize,
    readers: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: VecDeque<Arc<Value>>,
    kept_bytes: usize,
    sender: Option<broadcast::Sender<Arc<Value>>>,
    file: Option<std::fs::File>,
    file_bytes: usize,
}

impl Live {
    /// A log whose file is `path`, of which the older half is moved aside.
    pub(crate) fn new(path: &Path, bytes_max: usize) -> Self {
        Self { path: path.to_owned(), bytes_max, readers: AtomicUsize::new(0), state: Mutex::default() }
    }

    // Whoever panicked with it left whole lines behind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody follows it.
    pub(crate) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// How many follow it.
    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    /// A line of the host itself.
    pub(crate) fn say(&self, kind: &str, text: &str) {
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        self.add(json!({ "time": time, "type": kind, "text": text }));
    }

    /// A line that is kept.
    pub(crate) fn add(&self, line: Value) {
        let text = line.to_string();
        let line = Arc::new(line);
        let mut state = self.state();
        self.write(&mut state, &text);
        state.kept_bytes += text.len();
        state.kept.push_back(line.clone());
        while state.kept.len() > KEPT_MAX || state.kept_bytes > self.bytes_max / 16 {
            let Some(gone) = state.kept.pop_front() else { break };
            state.kept_bytes = state.kept_bytes.saturating_sub(gone.to_string().len());
        }
        if let Some(sender) = &state.sender {
            let _nobody = sender.send(line);
        }
    }

    /// A line for those who follow now.
    pub(crate) fn pass(&self, line: Value) {
        if let Some(sender) = &self.state().sender {
            let _nobody = sender.send(Arc::new(line));
        }
    }

    // A disk that is full costs the file its lines, and nobody else anything.
    fn write(&self, state: &mut State, text: &str) {
        if state.file_bytes + text.len() > self.bytes_max / 2 {
            state.file = None;
            let _full = std::fs::rename(&self.path, self.path.with_extension("old"));
        }
        if state.file.is_none() {
            let mut options = std::fs::OpenOptions::new();
            options.create(true).append(true).custom_flags(FOREIGN);
            state.file = options.open(&self.path).ok();
            let length =
                state.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
            state.file_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        }
        if let Some(file) = &mut state.file
            && file.write_all(format!("{text}\n").as_bytes()).is_ok()
        {
            state.file_bytes += text.len() + 1;
        }
    }

    /// Closes the file, when the project rests.
    pub(crate) fn rest(&self) {
        self.state().file = None;
    }

    /// What came last, and what comes from now on.
    pub(crate) fn follow(self: &Arc<Self>, last: usize) -> Follower {
        let mut state = self.state();
        let sender = state.sender.get_or_insert_with(|| broadcast::channel(WAITING_MAX).0);
        let receiver = sender.subscribe();
        let skipped = state.kept.len().saturating_sub(last);
        let kept = state.kept.iter().skip(skipped).cloned().collect();
        self.readers.fetch_add(1, Ordering::Relaxed);
        Follower { live: self.clone(), kept, receiver }
    }
}

/// Who follows a log.
pub(crate) struct Follower {
    live: Arc<Live>,
    kept: VecDeque<Arc<Value>>,
    receiver: broadcast::Receiver<Arc<Value>>,
}

impl Follower {
    /// The next line; none when the log is gone.
    pub(crate) async fn next(&mut self) -> Option<Arc<Value>> {
        if let Some(line) = self.kept.pop_front() {
            return Some(line);
        }
        match self.receiver.recv().await {
            Ok(line) => Some(line),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                Some(Arc::new(json!({ "type": "lost", "count": count })))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.live.readers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.live.state().sender = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn followers_get_what_was_and_what_comes_and_hear_of_gaps() {
        let folder = tempfile::tempdir().unwrap();
        let live = Arc::new(Live::new(&folder.path().join("log"), 1 << 20));
        live.say("note", "before");
        assert!(!live.is_read());
        let mut follower = live.follow(10);
        assert!(live.is_read());
        live.pass(json!({ "type": "request" }));
        assert_eq!(follower.next().await.unwrap()["text"], "before");
        assert_eq!(follower.next().await.unwrap()["type"], "request");
        for number in 0..WAITING_MAX + 5 {
            live.pass(json!({ "number": number }));
        }
        assert_eq!(*follower.next().await.unwrap(), json!({ "type": "lost", "count": 5 }));
        assert_eq!(follower.next().await.unwrap()["number"], 5);
        drop(follower);
        assert!(!live.is_read());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let live = Live::new(&path, 64 << 10);
        let text = "x".repeat(1000);
        (0..500).for_each(|_| live.say("note", &text));
        let bytes = |path: &Path| path.metadata().unwrap().len();
        assert!(bytes(&path) + bytes(&path.with_extension("old")) <= 64 << 10);
        assert!(live.state().kept_bytes <= (64 << 10) / 16);
    }

    #[test]
    fn a_pipe_or_a_link_in_place_of_the_file_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        for path in [pipe, link] {
            let live = Live::new(&path, 64 << 10);
            live.say("note", "text");
            assert_eq!(live.state().kept.len(), 1);
        }
        assert!(!folder.path().join("elsewhere").exists());
    }
}
