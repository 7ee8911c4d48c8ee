//! What the engine and whoever starts it name to each other: the vocabulary of the crate, on which every floor stands.

pub(crate) mod admin;

use std::time::Duration;

use futures_util::future::BoxFuture;
use partyrun_extensions::{BindingCall, BindingReply};
use partyrun_net::{Request, Response};
use partyrun_store::RoomKey;
use partyrun_telemetry::{Eviction, Reset};
use serde::Deserialize;

/// Where console output comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A room.
    Room(RoomKey),
    /// The static handlers.
    Edge,
}

/// Which rooms share an isolate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// None do: what a room does to its globals nobody else sees.
    #[default]
    Room,
    /// All rooms of a worker do, as on the original's platform: they share what modules hold, code is compiled once, and a
    /// room costs no more than its objects.
    Worker,
}

/// The code with which sockets are closed that a restart or another version of the code ends: 1012, unless clients take that
/// for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartCode(pub u16);

impl Default for RestartCode {
    fn default() -> Self {
        Self(1012)
    }
}

/// How urgent console output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `console.debug`.
    Debug,
    /// `console.log`, `console.info`.
    Log,
    /// `console.warn`.
    Warn,
    /// `console.error`, and errors that the runtime reports.
    Error,
}

/// What happened to a room.
#[derive(Clone, Copy, Debug)]
pub enum RoomChange<'a> {
    /// Its `onStart` has ended.
    Started {
        /// Its connections were there before.
        woke: bool,
        /// The time since the event that needed it.
        took: Duration,
    },
    /// It left its isolate, and its connections stay.
    Hibernated(Eviction),
    /// It left memory.
    Evicted(Eviction),
    /// Its life was ended, because something went wrong or somebody asked for it.
    Reset {
        /// What kind of thing.
        why: Reset,
        /// It, for people; it may have a stack.
        reason: &'a str,
    },
}

/// What the engine tells and asks the process that it runs in.
pub trait Observer: Send + Sync {
    /// User code, or the runtime on its behalf, printed `text`, which ends with a line feed.
    fn console(&self, source: &Source, level: Level, text: &str);

    /// Something happened to a room. Most of the time nobody wants to know: look at that first.
    fn changed(&self, _room: &RoomKey, _change: &RoomChange<'_>) {}

    /// `assets.fetch(path)`: the file, or `None` where there is none.
    fn assets(&self, path: String) -> BoxFuture<'static, Option<Response>>;

    /// Something that whoever runs the process should know.
    fn warn(&self, text: &str) {
        self.console(&Source::Edge, Level::Warn, &format!("{text}\n"));
    }

    /// A call of a local binding (spec 2.14); an error is what the caller's promise rejects with.
    fn binding(&self, call: BindingCall) -> BoxFuture<'static, Result<BindingReply, String>> {
        let refused = format!("there is no local {} here", call.kind);
        Box::pin(async move { Err(refused) })
    }
}

/// What a static `onBeforeConnect` or `onBeforeRequest` decided.
#[derive(Debug)]
pub enum Before {
    /// This is the answer.
    Respond(Box<Response>),
    /// The room gets this request.
    Forward {
        /// The request as the handler left it.
        request: Box<Request>,
        /// Whether `request.cf` goes with it: a request that was made anew has none.
        keeps_cf: bool,
    },
}

/// What a static `onFetch` decided.
#[derive(Debug)]
pub enum Fetched {
    /// This is the answer.
    Respond(Response),
    /// It returned nothing; the request goes on without its body.
    Pass(Request),
}

/// How a run of `onCron` ended.
#[derive(Debug)]
pub struct CronOutcome {
    /// What a run by hand answers: 200, or 500 with the message.
    pub response: Response,
    /// The handler did not call `noRetry()`.
    pub may_retry: bool,
}

/// Why an engine, or a new program, could not start.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// The project's code threw: the exception with its stack.
    #[error("{0}")]
    Program(String),
    /// What the module of a party exports cannot be served.
    #[error("{problem}")]
    Export {
        /// The party.
        party: String,
        /// What is wrong.
        problem: String,
    },
    /// The machine.
    #[error("{0}")]
    Machine(String),
}

/// How much is in memory; see [`crate::Engine::counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rooms that have an isolate, or a place in one that they share. Hibernating rooms do not count.
    pub live_rooms: usize,
    /// Isolates that have evaluated the project and wait for a room.
    pub spares: usize,
}

/// What a room takes that has just started, and has an isolate of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomCost {
    /// The party whose room it was: the one that is imported the longest.
    pub party: String,
    /// CPU time of making the isolate and importing the project.
    pub cpu: Duration,
    /// Memory after a garbage collection, V8's own tables included.
    pub bytes: usize,
}

/// A room that is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomState {
    /// Its name.
    pub key: RoomKey,
    /// Whether it has an isolate; one without is hibernated.
    pub live: bool,
    /// Open WebSocket connections, those of a hibernating room included.
    pub connections: usize,
}

/// Which handlers a party's module declares.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct PartyDescription {
    /// The party.
    pub name: String,
    /// It has a static `onBeforeConnect`.
    pub before_connect: bool,
    /// It has a static `onBeforeRequest`.
    pub before_request: bool,
    /// Its prototype has `onRequest`.
    pub request: bool,
    /// It has a static `onFetch`; only that of `main` is used.
    pub fetch: bool,
    /// It has a static `onSocket`; only that of `main` is used.
    pub socket: bool,
    /// It has a static `onCron`; only that of `main` is used.
    pub cron: bool,
    /// Milliseconds that its modules took to be evaluated, but for what they waited for; 0 where nobody measured.
    pub import_ms: u32,
}

/// What `describe` of js/80_edge.js answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    /// Why the server must not start: the party whose module is wrong, and what is.
    pub(crate) problem: Option<(String, String)>,
    pub(crate) parties: Vec<PartyDescription>,
}

impl Described {
    /// How long the modules of each party took.
    pub(crate) fn import_times(&self) -> impl Iterator<Item = (String, Duration)> {
        let time =
            |party: &PartyDescription| (party.name.clone(), Duration::from_millis(party.import_ms.into()));
        self.parties.iter().map(time)
    }
}

/// Why nobody answers for a room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gone {
    /// Its life ended; the text says why, as far as a client may know.
    #[error("{0}")]
    Reset(String),
    /// The server is stopping.
    #[error("The server is stopping.")]
    Stopping,
}

impl Gone {
    /// The room was reset, and no more is said about it.
    pub(crate) fn reset() -> Self {
        Self::Reset("The room was reset.".to_string())
    }
}

/// A handler failed, and whoever asked through a stub hears of it; the text is the error's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Rejected(pub(crate) String);
