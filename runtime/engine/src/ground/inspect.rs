//! Debugging: each live room and the edge is a target that debuggers attach to (Chrome DevTools protocol).
//!
//! [`Inspector`] is the list of targets. An isolate that is made for a debugged engine has V8's inspector; it enters the
//! list when it gets its room and leaves it when it goes. [`Inspector::connect`] opens a session: two channels to the
//! isolate, which deno_core polls inside the room's turn, so that here, too, only `isolate/mod.rs` enters an isolate. While
//! code is paused at a breakpoint its worker's thread waits, and with it the other rooms of that worker; `--workers
//! per-room` keeps them apart. A room that is debugged is not evicted.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deno_core::futures::StreamExt;
use deno_core::futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use deno_core::{InspectorMsg, InspectorSessionChannels, InspectorSessionKind, InspectorSessionProxy};

use crate::api::Source;

/// What can be debugged, and the sessions' way to it.
#[derive(Debug)]
pub struct Inspector {
    pause_on_start: bool,
    next: AtomicU64,
    secret: RandomState,
    targets: Mutex<BTreeMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    title: String,
    sender: UnboundedSender<InspectorSessionProxy>,
    sessions: Arc<AtomicUsize>,
}

/// A target as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name in URLs, which cannot be guessed.
    pub id: String,
    /// The room (`party/id`), or `edge`.
    pub title: String,
    /// How many debuggers are attached.
    pub sessions: usize,
}

/// A debugger's line to an isolate. It ends when the isolate goes.
#[derive(Debug)]
pub struct Session {
    to_isolate: UnboundedSender<String>,
    from_isolate: UnboundedReceiver<InspectorMsg>,
    title: String,
    sessions: Arc<AtomicUsize>,
}

impl Inspector {
    /// An empty list. With `pause_on_start` every isolate waits before the project's first statement until a debugger
    /// lets it go on.
    pub fn new(pause_on_start: bool) -> Arc<Self> {
        Arc::new(Self {
            pause_on_start,
            next: AtomicU64::new(1),
            secret: RandomState::new(),
            targets: Mutex::default(),
        })
    }

    /// What is live now, the oldest first.
    pub fn targets(&self) -> Vec<Target> {
        let entries = self.entries();
        let target = |entry: &Entry| Target {
            id: entry.id.clone(),
            title: entry.title.clone(),
            sessions: entry.sessions.load(Ordering::Relaxed),
        };
        entries.values().map(target).collect()
    }

    /// Attaches to a target.
    pub fn connect(&self, id: &str) -> Option<Session> {
        let entries = self.entries();
        let entry = entries.values().find(|entry| entry.id == id)?;
        let (to_isolate, rx) = unbounded();
        let (tx, from_isolate) = unbounded();
        let channels = InspectorSessionChannels::Regular { tx, rx };
        let kind = InspectorSessionKind::NonBlocking { wait_for_disconnect: false };
        entry.sender.unbounded_send(InspectorSessionProxy { channels, kind }).ok()?;
        entry.sessions.fetch_add(1, Ordering::Relaxed);
        let (title, sessions) = (entry.title.clone(), entry.sessions.clone());
        Some(Session { to_isolate, from_isolate, title, sessions })
    }

    pub(crate) fn pauses_on_start(&self) -> bool {
        self.pause_on_start
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Two keyed hashes of a number that is used once: 128 bits that only this process can name.
    fn id(&self, number: u64) -> String {
        let half = |salt: u64| {
            let mut hasher = self.secret.build_hasher();
            hasher.write_u64(number);
            hasher.write_u64(salt);
            hasher.finish()
        };
        format!("{:016x}{:016x}", half(1), half(2))
    }
}

impl Session {
    /// The target's title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Sends a message of the protocol to the isolate. False when it is gone.
    pub fn send(&self, message: String) -> bool {
        self.to_isolate.unbounded_send(message).is_ok()
    }

    /// The isolate's next message; none when it is gone.
    pub async fn next(&mut self) -> Option<String> {
        self.from_isolate.next().await.map(|message| message.content)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An isolate's side: its inspector's door, and its place in the list once it has a name.
pub(crate) struct Debuggee {
    inspector: Arc<Inspector>,
    sender: UnboundedSender<InspectorSessionProxy>,
    sessions: Arc<AtomicUsize>,
    listed: Option<u64>,
}

impl Debuggee {
    pub(crate) fn new(inspector: &Arc<Inspector>, sender: UnboundedSender<InspectorSessionProxy>) -> Self {
        Self { inspector: inspector.clone(), sender, sessions: Arc::default(), listed: None }
    }

    /// Enters the list under the name of its room.
    pub(crate) fn list(&mut self, source: &Source) {
        if self.listed.is_some() {
            return;
        }
        let number = self.inspector.next.fetch_add(1, Ordering::Relaxed);
        let title = match source {
            Source::Room(key) => format!("{}/{}", key.party(), key.id()),
            Source::Edge => "edge".to_string(),
        };
        let id = self.inspector.id(number);
        let entry = Entry { id, title, sender: self.sender.clone(), sessions: self.sessions.clone() };
        self.inspector.entries().insert(number, entry);
        self.listed = Some(number);
    }

    /// How many debuggers are attached, at any time.
    pub(crate) fn sessions(&self) -> Arc<AtomicUsize> {
        self.sessions.clone()
    }

    /// Whether a debugger is attached.
    pub(crate) fn attached(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Debuggee {
    fn drop(&mut self) {
        if let Some(number) = self.listed {
            self.inspector.entries().remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use partyrun_store::RoomKey;

    use super::*;

    #[test]
    fn targets_come_and_go() {
        let inspector = Inspector::new(false);
        let (sender, _door) = unbounded();
        let mut room = Debuggee::new(&inspector, sender.clone());
        assert!(inspector.targets().is_empty());
        room.list(&Source::Room(RoomKey::new("main", "a")));
        room.list(&Source::Edge);
        let targets = inspector.targets();
        assert_eq!(targets.iter().map(|target| target.title.as_str()).collect::<Vec<_>>(), ["main/a"]);
        assert_eq!(targets[0].id.len(), 32);
        assert!(inspector.connect("no such id").is_none());
        let session = inspector.connect(&targets[0].id).unwrap();
        assert!(room.attached());
        drop(session);
        assert!(!room.attached());
        drop(room);
        assert!(inspector.targets().is_empty());
    }
}
