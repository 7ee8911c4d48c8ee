//! What the terminal shows: request lines, console output with the room's name, notes. As text or as JSON lines.
//!
//! Lines go through a bounded queue to one writing thread, so that a slow terminal never blocks a room. Lines that do
//! not fit are counted, and the count is printed. Control characters from user code are escaped, in text and in JSON, so
//! that it can neither move the cursor nor reorder a line.

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use partyrun_engine::{Level, Source};
use partyrun_limits::{Charge, Limits, Total};
use partyrun_server::{Answered, Ended, Reporter};
use partyrun_telemetry::{EVERYWHERE, Place, Urgency, export, here, is_exporting};
use serde::Serialize;
use serde_json::json;

const LINES_WAITING_MAX: usize = 16_384;
/// Lines wait so long at most for those that come after them.
const WRITE_EVERY: Duration = Duration::from_millis(5);

/// How long the last lines are waited for; where nobody reads they are never written.
const FLUSH_MAX: Duration = Duration::from_secs(5);

enum Item {
    Line(String, Charge),
    Clear,
    Flush(SyncSender<()>),
}

/// A build that takes longer says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// The terminal.
pub(crate) struct Output {
    queue: SyncSender<Item>,
    waiting: Arc<Total>,
    lost: AtomicU64,
    loudness: AtomicU8,
    color: bool,
    json: bool,
    /// Whether each request is a line.
    requests: bool,
}

/// How much is printed: this and what is more urgent. The names are those of PARTYKIT_LOG (spec 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    None,
    Error,
    Warn,
    Info,
    Log,
    Debug,
}

impl Loudness {
    const ALL: [(Self, &str); 6] = [
        (Self::None, "none"),
        (Self::Error, "error"),
        (Self::Warn, "warn"),
        (Self::Info, "info"),
        (Self::Log, "log"),
        (Self::Debug, "debug"),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(loudness, _)| *loudness)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("log", |(_, name)| name)
    }
}

/// Whether `start` prints JSON: when it is told to, and where no terminal shows the lines.
pub(crate) fn json_wanted(listen: &crate::args::ListenArgs) -> bool {
    listen.json || !std::io::stdout().is_terminal()
}

// As the exporter names it.
fn urgency(loudness: Loudness) -> Urgency {
    match loudness {
        Loudness::None | Loudness::Error => Urgency::Error,
        Loudness::Warn => Urgency::Warn,
        Loudness::Info | Loudness::Log => Urgency::Info,
        Loudness::Debug => Urgency::Debug,
    }
}

/// A number and what it counts: `1 value`, `2 values`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// The time as JSON lines bear it.
pub(crate) fn time() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

impl Output {
    pub(crate) fn new(json: bool, limits: &Limits) -> std::io::Result<Self> {
        let (queue, items) = sync_channel(LINES_WAITING_MAX);
        std::thread::Builder::new().name("output".to_string()).spawn(move || write_all(&items))?;
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = !json && !no_color && std::io::stdout().is_terminal();
        let asked = std::env::var("PARTYKIT_LOG").ok();
        let known = asked.as_deref().and_then(Loudness::named);
        let loudness = AtomicU8::new(known.unwrap_or(Loudness::Log) as u8);
        let waiting = Total::new(limits.console_bytes_max);
        let lost = AtomicU64::new(0);
        let output = Self { queue, waiting, lost, loudness, color, json, requests: true };
        if let (Some(asked), None) = (&asked, known) {
            output.warn(&format!(
                "Unrecognised PARTYKIT_LOG value `{}`: it is one of none, error, warn, info, log, debug.",
                escape(asked)
            ));
        }
        Ok(output)
    }

    /// The same without a line for each request, where somebody else has them.
    pub(crate) fn without_requests(mut self) -> Self {
        self.requests = false;
        self
    }

    /// How much is printed now.
    pub(crate) fn loudness(&self) -> Loudness {
        let number = self.loudness.load(Ordering::Relaxed);
        Loudness::ALL.get(usize::from(number)).map_or(Loudness::Log, |(loudness, _)| *loudness)
    }

    /// Changes to the next level, after the last one to the first that prints anything.
    pub(crate) fn change_loudness(&self) -> Loudness {
        let next = (self.loudness.load(Ordering::Relaxed) + 1) % 6;
        let next = if next == 0 { 1 } else { next };
        self.loudness.store(next, Ordering::Relaxed);
        self.loudness()
    }

    fn prints(&self, loudness: Loudness) -> bool {
        loudness <= self.loudness()
    }

    /// Runs `work`; if that takes longer than a second, says what is going on.
    pub(crate) fn while_waiting<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let (done, waited) = sync_channel::<()>(0);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if waited.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    self.note(&format!("{what} takes a while..."));
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    /// The first line: what this is, and of which project.
    pub(crate) fn headline(&self, version: &str, project: &str) {
        if !self.prints(Loudness::Info) {
            return;
        }
        if self.json {
            self.own("note", &format!("{version} {project}"), "");
        } else {
            self.line(format!("{} {}", self.paint("1", version), escape(project)));
        }
    }

    /// The server takes requests: for programs that wait for that.
    pub(crate) fn ready(&self, port: u16, url: &str) {
        if self.json && self.prints(Loudness::Error) {
            let line = json!({ "time": time(), "type": "ready", "port": port, "url": url });
            self.line(json_line(&line));
        }
    }

    /// A line of partyrun itself.
    pub(crate) fn note(&self, text: &str) {
        if self.prints(Loudness::Info) {
            self.own("note", text, "");
        }
    }

    /// A problem that does not end the command.
    pub(crate) fn problem(&self, text: &str) {
        if self.prints(Loudness::Error) {
            self.own("error", text, "31");
        }
    }

    /// Problems that end nothing and may be meant.
    pub(crate) fn warnings(&self, texts: &[String]) {
        texts.iter().for_each(|text| Reporter::warn(self, text));
    }

    /// An answer to a key: it is printed whatever the level is.
    pub(crate) fn say(&self, text: &str) {
        self.own("note", text, "");
    }

    /// Clears the terminal's screen and its scrollback. Does nothing when lines are JSON.
    pub(crate) fn clear(&self) {
        if self.color {
            // A queue that is full has more to print than a screen holds.
            let _full = self.queue.try_send(Item::Clear);
        }
    }

    /// Whether lines are JSON objects.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Waits until everything is written.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        let until = Instant::now() + FLUSH_MAX;
        // Where nobody reads, the queue is full and stays so.
        let mut flush = Item::Flush(done);
        while let Err(TrySendError::Full(unsent)) = self.queue.try_send(flush) {
            if Instant::now() >= until {
                return;
            }
            flush = unsent;
            std::thread::sleep(WRITE_EVERY);
        }
        // A writer that is gone has nothing left to write.
        let _gone = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }

    /// What user code printed, with the place it came from in front of each line.
    pub(crate) fn console(&self, source: &Source, level: Level, text: &str) {
        let place = match source {
            Source::Room(key) => format!("{}/{}", key.party(), key.id()),
            Source::Edge => "edge".to_string(),
        };
        let text = text.strip_suffix('\n').unwrap_or(text);
        let (name, paint) = match level {
            Level::Debug => ("debug", "2"),
            Level::Log => ("log", ""),
            Level::Warn => ("warn", "33"),
            Level::Error => ("error", "31"),
        };
        let urgent = match level {
            // `console.debug` is where packages write to whose logging somebody has turned on.
            Level::Debug | Level::Log => Loudness::Log,
            Level::Warn => Loudness::Warn,
            Level::Error => Loudness::Error,
        };
        if !self.prints(urgent) {
            return;
        }
        export(urgency(urgent), text, &[("from", &place)]);
        if self.json {
            let line =
                json!({ "time": time(), "type": "console", "from": place, "level": name, "text": text });
            return self.object(line);
        }
        let place = self.paint("2", &format!("[{}]", escape(&place)));
        for line in text.split('\n') {
            self.line(format!("{place} {}", self.paint(paint, &escape(line))));
        }
    }

    fn own(&self, kind: &str, text: &str, paint: &str) {
        export(
            match kind {
                "error" => Urgency::Error,
                "warning" => Urgency::Warn,
                _ => Urgency::Info,
            },
            text,
            &[],
        );
        if self.json {
            self.object(json!({ "time": time(), "type": kind, "text": text }));
        } else {
            self.line(self.paint(paint, &escape_lines(text)));
        }
    }

    // A line of JSON, with its place in a trace if it has one.
    fn object(&self, mut line: serde_json::Value) {
        if let (Some(here), Some(fields)) = (here(), line.as_object_mut()) {
            fields.insert("trace_id".to_string(), here.trace_id().into());
            fields.insert("span_id".to_string(), here.span_id().into());
        }
        self.line(json_line(&line));
    }

    fn line(&self, line: String) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && !self.add(self.loss(lost)) {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        if !self.add(line) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            EVERYWHERE.lines_dropped.add_shared(1);
        }
    }

    fn loss(&self, lost: u64) -> String {
        if !self.json {
            return format!("({lost} lines were dropped because the terminal is too slow)");
        }
        let text = "Lines were dropped because nobody read them in time.";
        json_line(&json!({ "time": time(), "type": "warning", "text": text, "dropped": lost }))
    }

    fn add(&self, line: String) -> bool {
        if self.waiting.is_full() {
            return false;
        }
        let charge = self.waiting.charge(line.len());
        self.queue.try_send(Item::Line(line, charge)).is_ok()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color && !code.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }
}

/// The line of a request. There are many of them, so that no object is made for it first.
#[derive(Serialize)]
struct RequestLine<'a> {
    time: String,
    r#type: &'static str,
    level: &'static str,
    method: &'a str,
    path: &'a str,
    http: &'static str,
    status: u16,
    took_ms: u64,
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
}

impl Reporter for Output {
    fn request(&self, answered: &Answered<'_>) {
        if !self.requests || !self.prints(Loudness::Info) {
            return;
        }
        let Answered { method, version, path, client, status, took } = *answered;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if is_exporting() {
            let more = [("method", method), ("path", path), ("status", &status.to_string())];
            export(Urgency::Info, "request", &more);
        }
        if self.json {
            let here = here();
            let line = RequestLine {
                time: time(),
                r#type: "request",
                level: "info",
                method,
                path,
                http: match version {
                    http::Version::HTTP_2 => "2",
                    http::Version::HTTP_10 => "1.0",
                    _ => "1.1",
                },
                status,
                took_ms,
                ip: client,
                trace_id: here.as_ref().map(Place::trace_id),
                span_id: here.as_ref().map(Place::span_id),
            };
            self.line(json_line(&line));
            return;
        }
        let reason = http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("");
        let paint = match status {
            500.. => "31",
            400..500 => "33",
            _ => "32",
        };
        let answer = self.paint(paint, &format!("{status} {reason}"));
        // Other versions are not worth a word: those lines are the original's.
        let version = if version == http::Version::HTTP_2 { " HTTP/2" } else { "" };
        self.line(format!("{} {}{version} {answer} ({took_ms}ms)", escape(method), escape(path)));
    }

    fn socket_ended(&self, ended: &Ended<'_>) {
        if !self.prints(Loudness::Info) {
            return;
        }
        let Ended { path, client, code, lasted } = *ended;
        if self.json {
            let line = json!({
                "time": time(), "type": "close", "level": "info", "path": path, "code": code,
                "lasted_ms": lasted.as_millis(), "ip": client
            });
            return self.line(json_line(&line));
        }
        self.line(format!("WebSocket {} closed with {code} ({:.1} s)", escape(path), lasted.as_secs_f64()));
    }

    fn warn(&self, text: &str) {
        if self.prints(Loudness::Warn) {
            self.own("warning", text, "33");
        }
    }
}

fn write_all(items: &Receiver<Item>) {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    while let Ok(first) = items.recv() {
        for item in std::iter::once(first).chain(items.try_iter()) {
            match item {
                // A closed pipe (`partyrun dev | head`) ends the output, not the server.
                Item::Line(line, _counted) => drop(writeln!(out, "{line}")),
                Item::Clear => drop(write!(out, "\u{1b}[2J\u{1b}[3J\u{1b}[H")),
                Item::Flush(done) => {
                    drop(out.flush());
                    let _gone = done.send(());
                }
            }
        }
        drop(out.flush());
        // Lines of the next moments are written together: waking this thread for each would cost the busy threads more
        // than printing it. Nobody reads faster.
        std::thread::sleep(WRITE_EVERY);
    }
}

// Whether a character says something to a terminal or viewer instead of being seen: control characters, C1 among them, ends of
// lines and paragraphs, and what changes the direction of the text behind it.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in which such characters are seen.
pub(crate) fn escape(text: &str) -> String {
    let is_bad = |c: char| is_command(c) && c != '\t';
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain || !text.contains(is_bad) {
        return text.to_string();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut escaped, c| {
        if is_bad(c) {
            escaped.extend(c.escape_default())
        } else {
            escaped.push(c)
        }
        escaped
    })
}

/// The same for a text of several lines.
pub(crate) fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// An object as one line of JSON in which such characters are escaped. JSON itself asks for that up to U+001F only.
pub(crate) fn json_line(object: &impl Serialize) -> String {
    const DELETE: u8 = 0x7f;
    // None of these objects has a key that is no text, which is all that could fail.
    let line = serde_json::to_string(object).unwrap_or_default();
    // Of the characters of ASCII only this one is left. Most lines hold no others, and there is one for each request.
    if line.is_ascii() && !line.as_bytes().contains(&DELETE) || !line.contains(is_command) {
        return line;
    }
    line.chars().fold(String::with_capacity(line.len() + 8), |mut escaped, c| {
        if is_command(c) {
            // Only a string of it can hold one, and each is one UTF-16 unit.
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)))
        } else {
            escaped.push(c)
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::{escape, json_line};

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(escape("a\u{1b}[2Jb\r\tc"), "a\\u{1b}[2Jb\\r\tc");
        assert_eq!(escape("\u{9b}2J \u{7f}\u{202e}\u{2028}"), "\\u{9b}2J \\u{7f}\\u{202e}\\u{2028}");
        assert_eq!(escape("h\u{e9} \u{1f600}"), "h\u{e9} \u{1f600}");
    }

    #[test]
    fn lines_of_json_hold_no_control_characters() {
        let all: String = (0..=0x2fff).filter_map(char::from_u32).collect();
        let object = serde_json::json!({ "text": all, &*all: 1 });
        let line = json_line(&object);
        let is_plain = |c: char| !c.is_control() && !"\u{2028}\u{2029}\u{202e}\u{2066}".contains(c);
        assert!(line.chars().all(is_plain) && line.contains("\\u009b"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), object);
    }
}
