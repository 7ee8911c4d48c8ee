//! Lines of log by OTLP: those that are printed, each with its place in a trace if it has one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::queue::Queue;
use crate::settings::{nanoseconds, text};
use crate::traces::{self, Place};

static IS_LOGGING: AtomicBool = AtomicBool::new(false);
static LINES: OnceLock<Queue<Line>> = OnceLock::new();

/// A line of a log beyond this length is cut in the export: the queue is bounded in lines.
const LINE_BYTES_MAX: usize = 16 << 10;

pub(crate) fn start(lines: Queue<Line>) {
    if LINES.set(lines).is_ok() {
        IS_LOGGING.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn end() {
    IS_LOGGING.store(false, Ordering::Relaxed);
}

/// How urgent a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// For whoever looks for a bug.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// A line that waits for its export.
#[derive(Debug)]
pub(crate) struct Line {
    urgency: Urgency,
    text: String,
    more: Vec<(&'static str, String)>,
    time: SystemTime,
    place: Option<Place>,
}

impl Line {
    pub(crate) fn record(&self) -> Value {
        let (number, name) = match self.urgency {
            Urgency::Debug => (5, "DEBUG"),
            Urgency::Info => (9, "INFO"),
            Urgency::Warn => (13, "WARN"),
            Urgency::Error => (17, "ERROR"),
        };
        let attributes: Vec<Value> = self.more.iter().map(|(key, value)| text(key, value)).collect();
        let time = nanoseconds(self.time);
        json!({
            "timeUnixNano": time,
            "observedTimeUnixNano": time,
            "severityNumber": number,
            "severityText": name,
            "body": { "stringValue": self.text },
            "attributes": attributes,
            "traceId": self.place.as_ref().map(Place::trace_id).unwrap_or_default(),
            "spanId": self.place.as_ref().map(Place::span_id).unwrap_or_default(),
        })
    }
}

/// Whether somebody asked for lines.
#[inline]
pub fn is_exporting() -> bool {
    IS_LOGGING.load(Ordering::Relaxed)
}

/// Exports a line, if somebody asked for lines: its text, and what else is known of it.
pub fn export(urgency: Urgency, text: &str, more: &[(&'static str, &str)]) {
    if !is_exporting() {
        return;
    }
    let Some(lines) = LINES.get() else { return };
    let end = text.floor_char_boundary(LINE_BYTES_MAX);
    let text = text.get(..end).unwrap_or_default().to_string();
    let more = more.iter().map(|(key, value)| (*key, (*value).to_string())).collect();
    lines.put(Line { urgency, text, more, time: SystemTime::now(), place: traces::here() });
}
