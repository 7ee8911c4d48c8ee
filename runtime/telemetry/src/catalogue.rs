//! Every metric that is served, with its type, labels and meaning. `docs/metrics.md` is made from this list.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the process on.
    Counter,
    /// It grows and shrinks.
    Gauge,
    /// Durations, counted by how long they are.
    Histogram,
    /// Nothing but labels; the value is 1.
    Info,
}

impl Kind {
    /// Its name in the exposition format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name as it is scraped; a histogram's without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, without a period.
    pub help: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, labels, help }
}

use Kind::{Counter, Gauge, Histogram, Info};

/// All of them, in the order in which they are served.
pub const CATALOGUE: &[Metric] = &[
    metric("partyrun_build_info", Info, &["version"], "The version of partyrun that runs"),
    metric("partyrun_uptime_seconds", Gauge, &[], "Time since the process started"),
    metric(
        "partyrun_requests_total",
        Counter,
        &["party", "status"],
        "Requests that were answered, handshakes of WebSockets among them, by the class of the status; `party` is empty for \
         files and static handlers",
    ),
    metric(
        "partyrun_request_duration_seconds",
        Histogram,
        &["party"],
        "Time from a request's head to its answer's head",
    ),
    metric("partyrun_messages_received_total", Counter, &["party"], "Messages that rooms were given"),
    metric(
        "partyrun_received_bytes_total",
        Counter,
        &["party"],
        "Bytes of the messages that rooms were given",
    ),
    metric(
        "partyrun_messages_sent_total",
        Counter,
        &["party"],
        "Messages that were queued for sockets; a broadcast counts once for each socket",
    ),
    metric(
        "partyrun_sent_bytes_total",
        Counter,
        &["party"],
        "Bytes of the messages that were queued for sockets",
    ),
    metric("partyrun_sockets", Gauge, &["party"], "Open sockets of rooms"),
    metric("partyrun_sockets_opened_total", Counter, &["party"], "Sockets of rooms that were opened"),
    metric(
        "partyrun_rooms",
        Gauge,
        &["party", "state"],
        "Rooms in memory: `live` ones have an isolate, `hibernated` ones have only their sockets",
    ),
    metric(
        "partyrun_room_start_duration_seconds",
        Histogram,
        &["party", "kind"],
        "Time from the event that needs a room to the end of its `onStart`: of a `new` room, or of one that hibernated \
         (`wake`)",
    ),
    metric(
        "partyrun_turn_cpu_seconds",
        Histogram,
        &["party"],
        "CPU time of a turn of an isolate; one turn in 32 is measured",
    ),
    metric(
        "partyrun_event_loop_delay_seconds",
        Histogram,
        &["worker"],
        "How much later than planned a worker's event loop came to a timer; looked at once a second",
    ),
    metric("partyrun_alarms_total", Counter, &["party", "outcome"], "Runs of alarms that ended"),
    metric("partyrun_crons_total", Counter, &["outcome"], "Runs of crons that ended"),
    metric("partyrun_room_resets_total", Counter, &["party", "reason"], "Rooms that were reset"),
    metric(
        "partyrun_evictions_total",
        Counter,
        &["party", "reason"],
        "Rooms that left their isolate, because they were idle, others needed the place, or somebody asked for it",
    ),
    metric(
        "partyrun_limit_hits_total",
        Counter,
        &["limit"],
        "How often something was refused or ended because of a limit (see limits.md); limits that were never hit are left out",
    ),
    metric(
        "partyrun_console_lines_total",
        Counter,
        &["party", "level"],
        "Lines that user code printed, and errors that the runtime reported; errors that handlers throw are among them",
    ),
    metric(
        "partyrun_log_lines_dropped_total",
        Counter,
        &[],
        "Lines of the log that were dropped because nobody read them in time",
    ),
    metric(
        "partyrun_export_failures_total",
        Counter,
        &[],
        "Requests to the OTLP receiver that failed; what they held is lost",
    ),
    metric(
        "partyrun_export_dropped_total",
        Counter,
        &[],
        "Spans and lines of log that were dropped because the queue of the exporter was full",
    ),
    metric("partyrun_commit_duration_seconds", Histogram, &[], "Time of a transaction with its sync to disk"),
    metric(
        "partyrun_commit_batches_total",
        Counter,
        &["outcome"],
        "Batches of writes, each of one turn of one room; a transaction holds many",
    ),
    metric(
        "partyrun_store_bytes",
        Gauge,
        &["file"],
        "Size of the database and of its write-ahead log (`wal`)",
    ),
    metric(
        "partyrun_queue_bytes",
        Gauge,
        &["queue"],
        "Bytes that wait in queues of rooms, as limits.md names them",
    ),
    metric("partyrun_queue_limit_bytes", Gauge, &["queue"], "What the queues of all rooms may hold together"),
    metric(
        "partyrun_memory_bytes",
        Gauge,
        &["kind"],
        "Memory of the live rooms: V8's `heap`, and what is `external` to it",
    ),
    metric("partyrun_memory_share_ratio", Gauge, &[], "The part of the memory within reach that is used"),
    metric("partyrun_spares", Gauge, &[], "Isolates that were made in advance"),
    metric("partyrun_workers", Gauge, &["kind"], "Threads that run rooms or static handlers"),
    metric("process_cpu_seconds_total", Counter, &[], "CPU time of the process"),
    metric("process_resident_memory_bytes", Gauge, &[], "Memory that the process has in RAM"),
    metric("process_virtual_memory_bytes", Gauge, &[], "Addresses that the process has in use"),
    metric("process_open_fds", Gauge, &[], "Open file descriptors"),
    metric("process_max_fds", Gauge, &[], "File descriptors that may be open"),
    metric("process_threads", Gauge, &[], "Threads of the process"),
    metric("process_start_time_seconds", Gauge, &[], "When the process started, since 1970"),
];

/// The list as a table for `docs/metrics.md`.
pub fn table() -> String {
    let mut table = String::from("| metric | type | labels | what |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, help } in CATALOGUE {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{name}` | {} | {} | {help}. |\n", kind.name(), labels.join(", ")));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_format_wants_them() {
        for (index, metric) in CATALOGUE.iter().enumerate() {
            let Metric { name, kind, help, .. } = metric;
            assert_eq!(*kind == Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Info, name.ends_with("_info"), "{name}");
            assert!(*kind != Histogram || name.ends_with("_seconds"), "{name}");
            assert!(name.starts_with("partyrun_") || name.starts_with("process_"), "{name}");
            assert!(!help.ends_with('.') && !help.contains('|') && !help.contains('\n'), "{name}");
            assert!(CATALOGUE.iter().skip(index + 1).all(|other| other.name != *name), "{name} twice");
        }
    }
}
