//! Debugging: each live room and the edge is a target that debuggers attach to (Chrome DevTools protocol).
//!
//! [`Inspector`] is the list of targets. An isolate that is made for a debugged engine has V8's inspector; it enters the
//! list when it gets its room and leaves it when it goes. [`Inspector::connect`] opens a session: two channels to the
//! isolate, which deno_core polls inside the room's turn, so that here, too, only `isolate/mod.rs` enters an isolate.
//! [`Inspector::follow`] opens one to every target that there is and that comes; an isolate may then wait before the project's
//! first statement, until the follower has set its breakpoints. A session that ends lets its isolate go on. While
//! code is paused at a breakpoint its worker's thread waits, and with it the other rooms of that worker; `--workers
//! per-room` keeps them apart. A room that is debugged is not evicted.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deno_core::futures::StreamExt;
use deno_core::futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use deno_core::{InspectorMsg, InspectorSessionChannels, InspectorSessionKind, InspectorSessionProxy};

use crate::api::Source;

/// Rooms of a shared isolate that its title names.
const ROOMS_NAMED_MAX: usize = 4;
/// The method that lets an isolate go on that waits at its start.
const GO_ON: &str = "Runtime.runIfWaitingForDebugger";

/// What can be debugged, and the sessions' way to it.
#[derive(Debug)]
pub struct Inspector {
    pause_on_start: bool,
    next: AtomicU64,
    secret: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    targets: BTreeMap<u64, Entry>,
    followers: BTreeMap<u64, Follower>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    names: Vec<String>,
    sender: UnboundedSender<InspectorSessionProxy>,
    sessions: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Follower {
    sender: UnboundedSender<Arrival>,
    waits: bool,
}

/// A target as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name in URLs, which cannot be guessed. A room keeps it as long as the process lives.
    pub id: String,
    /// The room (`party/id`), or `edge`; where rooms share an isolate, several.
    pub title: String,
    /// How many debuggers are attached to it now.
    pub sessions: usize,
}

/// A debugger's line to an isolate. It ends when the isolate goes.
#[derive(Debug)]
pub struct Session {
    to_isolate: UnboundedSender<String>,
    from_isolate: UnboundedReceiver<InspectorMsg>,
    title: String,
    sessions: Arc<AtomicUsize>,
    // The isolate waits until this session lets it go on.
    waits: bool,
}

/// A target that came, with a session of the follower's.
#[derive(Debug)]
pub struct Arrival {
    /// What it is.
    pub target: Target,
    /// The line to it.
    pub session: Session,
    /// Whether it waits before the project's first statement.
    pub waits: bool,
}

/// Hears of every target, until it is dropped.
#[derive(Debug)]
pub struct Follow {
    inspector: Arc<Inspector>,
    number: u64,
    arrivals: UnboundedReceiver<Arrival>,
}

impl Inspector {
    /// An empty list. With `pause_on_start` every isolate waits before the project's first statement until a debugger
    /// lets it go on.
    pub fn new(pause_on_start: bool) -> Arc<Self> {
        Arc::new(Self {
            pause_on_start,
            next: AtomicU64::new(1),
            secret: RandomState::new(),
            state: Mutex::default(),
        })
    }

    /// What is live now, the oldest first.
    pub fn targets(&self) -> Vec<Target> {
        self.state().targets.values().map(Entry::target).collect()
    }

    /// Attaches to a target by its id or the name of a room in it. Of two with one name the newer one is meant: the other
    /// is about to go.
    pub fn connect(&self, id_or_name: &str) -> Option<Session> {
        let state = self.state();
        let mut entries = state.targets.values().rev();
        entries.find(|entry| entry.answers_to(id_or_name))?.open(false)
    }

    /// Attaches to everything that is live and that comes. What comes waits for the follower if it `waits`.
    pub fn follow(self: &Arc<Self>, waits: bool) -> Follow {
        let number = self.number();
        let (sender, arrivals) = unbounded();
        let mut state = self.state();
        for entry in state.targets.values() {
            entry.arrive(&sender, false);
        }
        state.followers.insert(number, Follower { sender, waits });
        drop(state);
        Follow { inspector: self.clone(), number, arrivals }
    }

    /// Whether somebody follows: then rooms are made when they are asked for, so that breakpoints hold in all of their code.
    pub(crate) fn is_followed(&self) -> bool {
        !self.state().followers.is_empty()
    }

    pub(crate) fn pauses_on_start(&self) -> bool {
        self.pause_on_start
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Two keyed hashes of a name: 128 bits that only this process can tell.
    pub fn id(&self, name: &str) -> String {
        let half = |salt: u64| {
            let mut hasher = self.secret.build_hasher();
            name.hash(&mut hasher);
            hasher.write_u64(salt);
            hasher.finish()
        };
        format!("{:016x}{:016x}", half(1), half(2))
    }
}

impl Entry {
    fn title(&self) -> String {
        let more = self.names.len().saturating_sub(ROOMS_NAMED_MAX);
        let named = self.names.iter().take(ROOMS_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        match (self.names.is_empty(), more) {
            (true, _) => "an isolate without rooms".to_string(),
            (_, 0) => named,
            _ => format!("{named} and {more} more"),
        }
    }

    fn target(&self) -> Target {
        let sessions = self.sessions.load(Ordering::Relaxed);
        Target { id: self.id.clone(), title: self.title(), sessions }
    }

    fn answers_to(&self, id_or_name: &str) -> bool {
        self.id == id_or_name || self.names.iter().any(|name| name == id_or_name)
    }

    fn open(&self, waits: bool) -> Option<Session> {
        let (to_isolate, rx) = unbounded();
        let (tx, from_isolate) = unbounded();
        let channels = InspectorSessionChannels::Regular { tx, rx };
        let kind = InspectorSessionKind::NonBlocking { wait_for_disconnect: false };
        self.sender.unbounded_send(InspectorSessionProxy { channels, kind }).ok()?;
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Some(Session {
            to_isolate,
            from_isolate,
            title: self.title(),
            sessions: self.sessions.clone(),
            waits,
        })
    }

    // Whether the follower got it.
    fn arrive(&self, follower: &UnboundedSender<Arrival>, waits: bool) -> bool {
        let target = self.target();
        let Some(session) = self.open(waits) else { return false };
        follower.unbounded_send(Arrival { target, session, waits }).is_ok()
    }
}

impl Session {
    /// The target's title, as it was when the session was opened.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Sends a message of the protocol to the isolate. False when it is gone.
    pub fn send(&mut self, message: String) -> bool {
        if self.waits && message.contains(GO_ON) {
            self.waits = false;
        }
        self.to_isolate.unbounded_send(message).is_ok()
    }

    /// The isolate's next message; none when it is gone.
    pub async fn next(&mut self) -> Option<String> {
        self.from_isolate.next().await.map(|message| message.content)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.waits {
            let message = format!("{{\"id\":1,\"method\":\"{GO_ON}\"}}");
            let _gone = self.to_isolate.unbounded_send(message);
        }
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Follow {
    /// The next target that comes; those that were there come first.
    pub async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.next().await
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // What arrived and was not taken is dropped with the channel, and goes on.
        self.inspector.state().followers.remove(&self.number);
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

    /// Enters the list under the name of its room, or under that of one more. Answers whether it must wait for a debugger
    /// before it goes on.
    pub(crate) fn list(&mut self, source: &Source) -> bool {
        let name = name(source);
        if let Some(number) = self.listed {
            let mut state = self.inspector.state();
            let entry = state.targets.get_mut(&number);
            if let Some(entry) = entry.filter(|entry| !entry.names.contains(&name)) {
                entry.names.push(name);
            }
            return false;
        }
        let number = self.inspector.number();
        let id = self.inspector.id(&name);
        let (sender, sessions) = (self.sender.clone(), self.sessions.clone());
        let entry = Entry { id, names: vec![name], sender, sessions };
        let mut state = self.inspector.state();
        let mut must_wait = false;
        for follower in state.followers.values() {
            must_wait |= entry.arrive(&follower.sender, follower.waits) && follower.waits;
        }
        state.targets.insert(number, entry);
        self.listed = Some(number);
        must_wait
    }

    /// A room has left an isolate that others go on in.
    pub(crate) fn unlist(&self, source: &Source) {
        let Some(number) = self.listed else { return };
        if let Some(entry) = self.inspector.state().targets.get_mut(&number) {
            let name = name(source);
            entry.names.retain(|known| *known != name);
        }
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
            self.inspector.state().targets.remove(&number);
        }
    }
}

fn name(source: &Source) -> String {
    match source {
        Source::Room(key) => format!("{}/{}", key.party(), key.id()),
        Source::Edge => "edge".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use partyrun_store::RoomKey;

    use super::*;

    fn room(id: &str) -> Source {
        Source::Room(RoomKey::new("main", id))
    }

    #[test]
    fn targets_come_and_go() {
        let inspector = Inspector::new(false);
        let (sender, _door) = unbounded();
        let mut debuggee = Debuggee::new(&inspector, sender.clone());
        assert!(inspector.targets().is_empty());
        debuggee.list(&room("a"));
        let targets = inspector.targets();
        assert_eq!(targets.iter().map(|target| target.title.as_str()).collect::<Vec<_>>(), ["main/a"]);
        assert_eq!(targets[0].id.len(), 32);
        assert!(inspector.connect("no such id").is_none());
        let session = inspector.connect(&targets[0].id).unwrap();
        assert!(debuggee.attached());
        drop(session);
        assert!(!debuggee.attached());
        assert!(inspector.connect("main/a").is_some());
        drop(debuggee);
        assert!(inspector.targets().is_empty());
        // A room has the same address in its next life.
        let mut again = Debuggee::new(&inspector, sender);
        again.list(&room("a"));
        assert_eq!(inspector.targets()[0].id, targets[0].id);
    }

    #[test]
    fn a_shared_isolate_names_its_rooms() {
        let inspector = Inspector::new(false);
        let (sender, _door) = unbounded();
        let mut debuggee = Debuggee::new(&inspector, sender);
        for id in ["a", "b", "a"] {
            debuggee.list(&room(id));
        }
        assert_eq!(inspector.targets()[0].title, "main/a, main/b");
        for id in ["c", "d", "e", "f"] {
            debuggee.list(&room(id));
        }
        assert_eq!(inspector.targets()[0].title, "main/a, main/b, main/c, main/d and 2 more");
        assert!(inspector.connect("main/f").is_some());
        for id in ["a", "b", "c", "d", "e"] {
            debuggee.unlist(&room(id));
        }
        assert_eq!(inspector.targets()[0].title, "main/f");
        debuggee.unlist(&room("f"));
        assert_eq!(inspector.targets()[0].title, "an isolate without rooms");
    }

    #[test]
    fn what_comes_waits_for_its_follower() {
        let inspector = Inspector::new(false);
        let (sender, mut door) = unbounded();
        let mut first = Debuggee::new(&inspector, sender.clone());
        assert!(!first.list(&room("a")));
        let mut follow = inspector.follow(true);
        let arrived = follow.arrivals.try_recv().unwrap();
        assert!(!arrived.waits && arrived.target.title == "main/a");
        let mut second = Debuggee::new(&inspector, sender.clone());
        assert!(second.list(&room("b")));
        // A follower that goes without a word lets it go on.
        drop(follow);
        let mut received = Vec::new();
        while let Ok(proxy) = door.try_recv() {
            if let InspectorSessionChannels::Regular { mut rx, .. } = proxy.channels {
                received.extend(std::iter::from_fn(|| rx.try_recv().ok()));
            }
        }
        assert_eq!(received, [format!("{{\"id\":1,\"method\":\"{GO_ON}\"}}")]);
        assert!(!second.attached());
        assert!(!Debuggee::new(&inspector, sender).list(&room("c")));
    }
}
