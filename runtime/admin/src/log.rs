//! The live log: what user code prints, what the server says, requests, closed sockets, and what happens to rooms, for whoever
//! follows it.
//!
//! The last lines are kept, so that somebody who comes late sees what led there, and so that a room's last errors can be
//! asked for. Each reader has a bounded queue. One that reads too slowly loses lines and is told how many; nothing waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use partyrun_engine::{Level, RoomChange, Source};
use partyrun_limits::Limits;
use partyrun_store::RoomKey;
use serde::Serialize;
use tokio::sync::Notify;

/// Bytes of a text that are kept.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// What a line takes beside its texts.
const LINE_BYTES: usize = 160;

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogLine {
    /// Counts lines; where one is missing, it was lost.
    pub n: u64,
    /// When, as ISO 8601.
    pub time: String,
    /// What: `console`, `note`, `warning`, `request`, `close` or `room`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// How urgent.
    pub level: &'static str,
    /// The party, if it is about a room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// The room's id, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// What it says.
    pub text: String,
}

impl LogLine {
    fn bytes(&self) -> usize {
        LINE_BYTES + self.text.len() + self.room.as_ref().map_or(0, String::len)
    }
}

/// Which lines a reader wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// These kinds only, if any are named.
    pub(crate) kinds: Vec<String>,
    /// This level and more urgent ones.
    pub(crate) level: Option<&'static str>,
    pub(crate) party: Option<String>,
    pub(crate) room: Option<String>,
}

/// The levels, the least urgent first.
pub(crate) const LEVELS: [&str; 5] = ["debug", "log", "info", "warn", "error"];

fn urgency(level: &str) -> usize {
    LEVELS.iter().position(|known| *known == level).unwrap_or(0)
}

impl Filter {
    fn wants(&self, line: &LogLine) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == line.kind))
            && self.level.is_none_or(|level| urgency(line.level) >= urgency(level))
            && same(&self.party, &line.party)
            && same(&self.room, &line.room)
    }
}

/// The live log of a process.
pub struct Log {
    state: Mutex<State>,
    readers: AtomicUsize,
    kept_bytes_max: usize,
    reader_bytes_max: usize,
}

#[derive(Default)]
struct State {
    next: u64,
    kept: VecDeque<Arc<LogLine>>,
    kept_bytes: usize,
    readers: Vec<Weak<Queue>>,
}

impl Log {
    /// An empty one.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            readers: AtomicUsize::new(0),
            kept_bytes_max: limits.admin_log_bytes_max,
            reader_bytes_max: limits.admin_reader_bytes_max,
        })
    }

    // A thread that panicked with it has left a whole value behind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What user code printed.
    pub fn console(&self, source: &Source, level: Level, text: &str) {
        let level = match level {
            Level::Debug => "debug",
            Level::Log => "log",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let room = match source {
            Source::Room(key) => Some(key),
            Source::Edge => None,
        };
        self.add("console", level, room, text.strip_suffix('\n').unwrap_or(text), true);
    }

    /// What the server says itself.
    pub fn warning(&self, text: &str) {
        self.add("warning", "warn", None, text, true);
    }

    /// Whether somebody reads: requests, closed sockets and what happens to rooms are for readers only.
    pub fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// A request that was answered.
    pub fn request(&self, room: Option<&RoomKey>, method: &str, path: &str, status: u16, took: Duration) {
        if self.is_read() {
            let text = format!("{method} {path} {status} ({:.1} ms)", took.as_secs_f64() * 1e3);
            self.add("request", "info", room, &text, false);
        }
    }

    /// A WebSocket that ended.
    pub fn close(&self, room: Option<&RoomKey>, path: &str, code: u16, lasted: Duration) {
        if self.is_read() {
            let text = format!("WebSocket {path} closed with {code} ({:.1} s)", lasted.as_secs_f64());
            self.add("close", "info", room, &text, false);
        }
    }

    /// Something happened to a room.
    pub fn changed(&self, room: &RoomKey, change: &RoomChange<'_>) {
        if !self.is_read() {
            return;
        }
        let (level, text) = match change {
            RoomChange::Started { woke, took } => {
                let what = if *woke { "woke" } else { "started" };
                ("info", format!("{what} ({:.1} ms)", took.as_secs_f64() * 1e3))
            }
            RoomChange::Hibernated(why) => ("info", format!("hibernated ({})", why.name())),
            RoomChange::Evicted(why) => ("info", format!("left memory ({})", why.name())),
            RoomChange::Reset { why, reason } => ("warn", format!("was reset ({}): {reason}", why.name())),
        };
        self.add("room", level, Some(room), &text, false);
    }

    fn add(&self, kind: &'static str, level: &'static str, room: Option<&RoomKey>, text: &str, keep: bool) {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < text.len() { " ..." } else { "" };
        let text = format!("{}{cut}", text.get(..end).unwrap_or_default());
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let (party, id) = room.map(|key| (key.party().to_string(), key.id().to_string())).unzip();
        let mut state = self.state();
        let line = Arc::new(LogLine { n: state.next, time, kind, level, party, room: id, text });
        state.next += 1;
        if keep {
            state.kept_bytes += line.bytes();
            state.kept.push_back(line.clone());
            while state.kept_bytes > self.kept_bytes_max {
                let Some(gone) = state.kept.pop_front() else { break };
                state.kept_bytes -= gone.bytes();
            }
        }
        let mut gone = 0;
        state.readers.retain(|reader| match reader.upgrade() {
            Some(queue) => {
                queue.add(&line);
                true
            }
            None => {
                gone += 1;
                false
            }
        });
        self.readers.fetch_sub(gone, Ordering::Relaxed);
    }

    /// The last lines of a room that are errors, the newest last.
    pub(crate) fn errors_of(&self, room: &RoomKey, count: usize) -> Vec<Arc<LogLine>> {
        let state = self.state();
        let own = |line: &&Arc<LogLine>| {
            line.level == "error"
                && line.party.as_deref() == Some(room.party())
                && line.room.as_deref() == Some(room.id())
        };
        let mut found: Vec<Arc<LogLine>> = state.kept.iter().rev().filter(own).take(count).cloned().collect();
        found.reverse();
        found
    }

    /// A reader of the lines that pass the filter, who first gets up to `tail` of those that are kept.
    pub(crate) fn follow(self: &Arc<Self>, filter: Filter, tail: usize) -> Reader {
        let queue = Arc::new(Queue {
            filter,
            bytes_max: self.reader_bytes_max,
            waiting: Mutex::default(),
            news: Notify::new(),
        });
        let mut state = self.state();
        let kept = state.kept.iter().rev().filter(|line| queue.filter.wants(line)).take(tail).cloned();
        let kept: Vec<Arc<LogLine>> = kept.collect();
        kept.iter().rev().for_each(|line| queue.add(line));
        state.readers.push(Arc::downgrade(&queue));
        self.readers.fetch_add(1, Ordering::Relaxed);
        Reader { queue }
    }
}

struct Queue {
    filter: Filter,
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    lost: u64,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &Arc<LogLine>) {
        if !self.filter.wants(line) {
            return;
        }
        let mut waiting = self.waiting();
        // What is lost is what comes last: the reader sees no line behind a gap before it hears of the gap.
        if waiting.lost > 0 || waiting.bytes + line.bytes() > self.bytes_max {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += line.bytes();
        waiting.lines.push_back(line.clone());
        drop(waiting);
        self.news.notify_one();
    }
}

/// Who follows the log.
pub(crate) struct Reader {
    queue: Arc<Queue>,
}

/// What a reader gets next.
#[derive(Debug, PartialEq)]
pub(crate) enum News {
    Line(Arc<LogLine>),
    /// So many lines were lost here.
    Lost(u64),
}

impl Reader {
    /// What is there now.
    pub(crate) fn take(&self) -> Option<News> {
        let mut waiting = self.queue.waiting();
        if let Some(line) = waiting.lines.pop_front() {
            waiting.bytes -= line.bytes();
            return Some(News::Line(line));
        }
        let lost = std::mem::take(&mut waiting.lost);
        (lost > 0).then_some(News::Lost(lost))
    }

    /// Waits until there may be something.
    pub(crate) async fn wait(&self) {
        self.queue.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(limits: Limits) -> Arc<Log> {
        Log::new(&limits)
    }

    fn room(id: &str) -> Source {
        Source::Room(RoomKey::new("main", id))
    }

    fn texts(reader: &Reader) -> Vec<String> {
        let text = |news| match news {
            News::Line(line) => LogLine::clone(&line).text,
            News::Lost(count) => format!("lost {count}"),
        };
        std::iter::from_fn(|| reader.take()).map(text).collect()
    }

    #[test]
    fn a_reader_gets_what_its_filter_wants_and_what_was_kept() {
        let log = log(Limits::default());
        log.console(&room("a"), Level::Error, "first\n");
        log.console(&room("b"), Level::Log, "second");
        let filter = Filter { party: Some("main".into()), room: Some("a".into()), ..Filter::default() };
        let of_a = log.follow(filter, 10);
        let errors = log.follow(Filter { level: Some("warn"), ..Filter::default() }, 0);
        log.console(&room("a"), Level::Log, "third");
        log.warning("fourth");
        assert_eq!(texts(&of_a), ["first", "third"]);
        assert_eq!(texts(&errors), ["fourth"]);
        assert_eq!(log.errors_of(&RoomKey::new("main", "a"), 5).len(), 1);
        assert!(log.errors_of(&RoomKey::new("main", "b"), 5).is_empty());
    }

    #[test]
    fn a_reader_that_stops_loses_lines_and_costs_no_memory() {
        let log =
            log(Limits { admin_reader_bytes_max: 2000, admin_log_bytes_max: 3000, ..Limits::default() });
        let stopped = log.follow(Filter::default(), 0);
        for _ in 0..10_000 {
            log.console(&room("a"), Level::Log, &"x".repeat(100));
        }
        assert!(stopped.queue.waiting().bytes <= 2000 && log.state().kept_bytes <= 3000);
        let got = texts(&stopped);
        let (last, lines) = got.split_last().unwrap();
        assert_eq!(last, &format!("lost {}", 10_000 - lines.len()));
        log.console(&room("a"), Level::Log, "after");
        assert_eq!(texts(&stopped), ["after"]);
        assert!(log.is_read());
        drop(stopped);
        log.warning("nobody");
        assert!(!log.is_read());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let log = log(Limits::default());
        let reader = log.follow(Filter::default(), 0);
        log.warning(&"é".repeat(TEXT_BYTES_MAX));
        let text = texts(&reader).remove(0);
        assert!(text.ends_with("é ...") && text.len() <= TEXT_BYTES_MAX + 4);
    }
}
