//! Every limit of partyrun, once: its name, unit, default, and what happens beyond it.
//!
//! [`Limits`] is the value that the rest of the runtime is given; [`TABLE`] is the same list as prose, from which
//! the documentation's table is printed (`docs/limits.md`). A limit that is not in this file does not exist: code that
//! needs a bound adds a field here first. Starting values: design, section 7; facts of the original: spec 2.7 and 3.3.

mod budget;

use std::time::Duration;

pub use budget::{Budget, Charge, Total};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $unit:literal, $beyond:literal;)+) => {
        /// The limits in force. `Limits::default()` is what `partyrun dev` and `partyrun start` begin with.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// Changes one limit: `name` is a field's name, `text` a number, or a time such as `200ms` or `10s`.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), SettingError> {
                if name.ends_with("_ceiling") {
                    return Err(SettingError::Fixed(name.to_string()));
                }
                let before = self.clone();
                let taken = match name {
                    $(stringify!($name) => Setting::read(text).map(|value| self.$name = value),)+
                    _ => return Err(SettingError::Unknown(name.to_string())),
                };
                if taken.is_none() {
                    return Err(SettingError::Value { name: name.to_string(), text: text.to_string() });
                }
                self.check_ceilings(name).inspect_err(|_| *self = before)
            }
        }

        /// The limits as documentation: one row a limit, in the order of the struct.
        pub const TABLE: &[Row] = &[
            $(Row {
                name: stringify!($name),
                unit: $unit,
                meaning: concat!($($doc),+),
                beyond: $beyond,
                default: |limits| format!("{:?}", limits.$name),
            },)+
        ];
    };
}

/// One row of the documentation's table of limits.
pub struct Row {
    /// The field's name, which is also the name of its setting.
    pub name: &'static str,
    /// The unit of the value.
    pub unit: &'static str,
    /// What is limited.
    pub meaning: &'static str,
    /// What happens beyond the limit.
    pub beyond: &'static str,
    /// Prints the value that a set of limits has for this row.
    pub default: fn(&Limits) -> String,
}

/// Why a limit could not be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// There is no limit of this name.
    Unknown(String),
    /// The value is none for this limit.
    Value {
        /// The limit's name.
        name: String,
        /// What was given.
        text: String,
    },
    /// A ceiling is no setting.
    Fixed(String),
    /// The value is above its ceiling.
    AboveCeiling {
        /// The limit's name.
        name: String,
        /// Its ceiling's name.
        ceiling: &'static str,
        /// The ceiling, with its unit.
        most: String,
    },
}

impl std::fmt::Display for SettingError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(name) => write!(formatter, "there is no limit `{name}`"),
            Self::Value { name, text } => {
                write!(
                    formatter,
                    "`{text}` is no value for `{name}`: write a number, or a time such as `200ms` or `10s`"
                )
            }
            Self::Fixed(name) => write!(formatter, "`{name}` is a ceiling, which cannot be changed"),
            Self::AboveCeiling { name, ceiling, most } => {
                write!(formatter, "`{name}` may be {most} at most (`{ceiling}`)")
            }
        }
    }
}

impl std::error::Error for SettingError {}

/// A type of limit, as it is written on the command line.
trait Setting: Sized {
    fn read(text: &str) -> Option<Self>;
}

impl Setting for usize {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for u32 {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for f64 {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|value: &Self| value.is_finite() && *value >= 0.0)
    }
}

impl Setting for Duration {
    fn read(text: &str) -> Option<Self> {
        if let Some(number) = text.strip_suffix("ms") {
            return number.parse().ok().map(Self::from_millis);
        }
        text.strip_suffix('s')?.parse().ok().map(Self::from_secs)
    }
}

limits! {
    /// Length of one incoming WebSocket message, all fragments together.
    message_in_bytes_max: usize = MIB, "bytes", "the socket is closed with 1009";
    /// Ceiling to which the incoming message length may be set.
    message_in_bytes_ceiling: usize = 32 * MIB, "bytes", "the setting is refused";
    /// Length of one outgoing WebSocket message.
    message_out_bytes_max: usize = 32 * MIB, "bytes", "`send` throws a RangeError";
    /// Bytes of incoming messages of one room that have not come whole.
    unfinished_bytes_max: usize = 64 * MIB, "bytes", "no more is read; later than `unfinished_time_max`: closed with 1013";
    /// Bytes of such messages in the process; an eighth of its memory where that is less.
    unfinished_total_bytes_max: usize = 512 * MIB, "bytes", "as above";
    /// Time in which a message must become whole while there is no more memory for such.
    unfinished_time_max: Duration = Duration::from_secs(10), "time", "the socket is closed with 1013";
    /// Fragments of one incoming message.
    message_fragments_max: usize = 1024, "frames", "the socket is closed with 1008";
    /// Ping and pong frames that one socket may send in a second.
    control_frames_per_second_max: u32 = 1000, "frames", "the socket is closed with 1008";
    /// Bytes queued for one socket whose peer does not read.
    send_queue_bytes_max: usize = 16 * MIB, "bytes", "the socket is closed with 1013";
    /// Bytes queued for all sockets of one room; what a broadcast sends to many counts once.
    send_queues_bytes_max: usize = 128 * MIB, "bytes", "the sockets with the longest queues are closed with 1013";
    /// Bytes queued for all sockets of the process; an eighth of its memory where that is less.
    send_queues_total_bytes_max: usize = 512 * MIB, "bytes", "as above, in rooms that send";
    /// Bytes of messages and answers of one room that wait for its writes to be durable.
    held_bytes_max: usize = 64 * MIB, "bytes", "`send` and `broadcast` throw a RangeError; an answer becomes 503";
    /// Bytes of such messages and answers in the process; an eighth of its memory where that is less.
    held_total_bytes_max: usize = 512 * MIB, "bytes", "as above";
    /// Bytes of long answers of one room that their clients have not read.
    answers_bytes_max: usize = 128 * MIB, "bytes", "503 with `Retry-After`";
    /// Bytes of such answers in the process; an eighth of its memory where that is less.
    answers_total_bytes_max: usize = 512 * MIB, "bytes", "503 with `Retry-After`";
    /// Length of a head: request line and headers; also of a server's answer to an outgoing WebSocket's handshake.
    header_bytes_max: usize = 64 * KIB, "bytes", "431; an outgoing WebSocket fails";
    /// Number of header fields in such a head.
    header_count_max: usize = 100, "fields", "431; an outgoing WebSocket fails";
    /// Length of a request body.
    body_bytes_max: usize = 100 * MIB, "bytes", "413";
    /// Bytes of request bodies that have been received and not been read, in the process.
    bodies_total_bytes_max: usize = 512 * MIB, "bytes", "no more is received of any";
    /// Length up to which a request body with a known length is read before the room is called.
    body_eager_bytes_max: usize = 64 * KIB, "bytes", "the body is streamed";
    /// Time in which a request head must arrive.
    header_time_max: Duration = Duration::from_secs(10), "time", "the connection is closed";
    /// Time without a byte of a request body.
    body_idle_max: Duration = Duration::from_secs(30), "time", "408";
    /// Bytes that a request body must bring in a second of waiting for it, on average, once that took `body_idle_max`.
    body_bytes_per_second_min: usize = 512, "bytes", "408";
    /// Time in which a room must answer a request.
    request_time_max: Duration = Duration::from_secs(300), "time", "504";
    /// Idle time after which a kept-alive HTTP connection is closed.
    keep_alive_idle_max: Duration = Duration::from_secs(75), "time", "the connection is closed";
    /// Time without any frame after which the server pings a socket.
    socket_ping_after: Duration = Duration::from_secs(30), "time", "a ping is sent";
    /// Time after that ping without any frame.
    socket_pong_max: Duration = Duration::from_secs(30), "time", "the socket is dropped, `onClose` runs";
    /// Time in which the peer must answer a close frame, or the body of a refused handshake must arrive.
    socket_close_max: Duration = Duration::from_secs(5), "time", "the socket is dropped";
    /// Time in which an outgoing WebSocket must be open: connecting, TLS and the handshake together.
    socket_connect_max: Duration = Duration::from_secs(30), "time", "the socket fails, `fetch` rejects";
    /// Length of the body that is read of a refused outgoing handshake.
    socket_refusal_bytes_max: usize = 64 * KIB, "bytes", "the rest is left out";
    /// Length of another server's answer that is read as a whole: `text`, `json`, `arrayBuffer` and their kin.
    answer_bytes_max: usize = 100 * MIB, "bytes", "the call rejects with a TypeError";
    /// Length to which another server's compressed answer may inflate, however it is read.
    answer_inflated_bytes_max: usize = 32 * MIB, "bytes", "reading rejects with a TypeError";
    /// Length to which one chunk that is given to a DecompressionStream may inflate.
    inflated_chunk_bytes_max: usize = 64 * MIB, "bytes", "the stream fails with a TypeError";
    /// Length of a room id as it stands in the URL.
    room_id_bytes_max: usize = 2 * KIB, "bytes", "414";
    /// WebSocket connections in one room.
    connections_per_room_max: usize = 32_000, "sockets", "503";
    /// Connections (HTTP and WebSocket) of the process.
    connections_max: usize = 100_000, "sockets", "idle kept-alive ones make way; without such 503";
    /// Events waiting for one room.
    inbox_events_max: usize = 10_000, "events", "requests: 503; sockets: no more is read from them";
    /// Bytes of the events waiting for one room.
    inbox_bytes_max: usize = 32 * MIB, "bytes", "requests: 503 with `Retry-After`; sockets: no more is read from them";
    /// Bytes of the events waiting for all rooms; an eighth of the process' memory where that is less.
    inboxes_total_bytes_max: usize = 512 * MIB, "bytes", "as above, in rooms that have events waiting";
    /// Length of a storage key as UTF-8.
    key_bytes_max: usize = 2048, "bytes", "RangeError";
    /// Length of a storage value in its serialized form, without the 34 bytes that the original grants on top.
    value_bytes_max: usize = 128 * KIB, "bytes", "RangeError";
    /// Ceiling to which the value length may be set.
    value_bytes_ceiling: usize = 2 * MIB, "bytes", "the setting is refused";
    /// Keys of one `get` of several.
    keys_per_call_max: usize = 128, "keys", "RangeError";
    /// Bytes of written values that one room keeps in memory until they are durable.
    undurable_bytes_max: usize = 32 * MIB, "bytes", "the promise of a write waits for the disk, and with it the room's next event";
    /// Bytes of such values in the process; an eighth of its memory where that is less.
    undurable_total_bytes_max: usize = 512 * MIB, "bytes", "as above";
    /// The same of a room that does not wait for its writes.
    unawaited_bytes_max: usize = 128 * MIB, "bytes", "the room is reset";
    /// Bytes of read values that one room keeps in memory.
    storage_cache_bytes_max: usize = MIB, "bytes", "the oldest are forgotten";
    /// Length of a connection's state in a hibernating room, serialized.
    attachment_bytes_max: usize = 2048, "bytes", "`setState` throws";
    /// Tags of a connection, its id included.
    tags_max: usize = 10, "tags", "the socket is closed with 1011";
    /// Length of a tag.
    tag_chars_max: usize = 256, "characters", "the socket is closed with 1011";
    /// CPU time of one turn: a handler, a timer or what follows an `await`, with the microtasks that come of it.
    turn_cpu_max: Duration = Duration::from_secs(30), "time", "the room is reset";
    /// CPU time of one turn that is worth a warning.
    turn_cpu_warn: Duration = Duration::from_secs(1), "time", "a warning; in its next life the room is on a thread for slow rooms";
    /// Time in which one turn may keep its thread waiting without using the CPU.
    turn_wait_max: Duration = Duration::from_secs(30), "time", "the room is reset";
    /// Time that one turn may take before its thread counts as held up.
    turn_held_after: Duration = Duration::from_secs(2), "time", "rooms that are not in memory start on another thread";
    /// CPU time that importing the project may use, each time that an isolate is made.
    start_cpu_max: Duration = Duration::from_secs(60), "time", "the server does not start; a room is reset";
    /// Extra threads for slow rooms.
    slow_workers_max: usize = 4, "threads", "slow rooms share them";
    /// Rooms that are remembered as slow while they are not in memory.
    slow_rooms_max: usize = 1000, "rooms", "the oldest is forgotten";
    /// Extra threads that take over from threads that are held up.
    replacement_workers_max: usize = 4, "threads", "the other threads take over";
    /// JavaScript heap of one room.
    heap_bytes_max: usize = 128 * MIB, "bytes", "the room is reset";
    /// What V8 may take beyond it at a time while the room is being ended.
    heap_grace_bytes: usize = 256 * MIB, "bytes", "it is given once more, as V8 would end the process";
    /// Memory of one room outside the heap: array buffers, wasm memories, blobs, compressors, messages between ports.
    external_bytes_max: usize = 128 * MIB, "bytes", "RangeError, then the room is reset";
    /// Native calls of one room that take milliseconds (hashes, signatures, ciphers of WebCrypto) and run at the same time.
    quick_calls_per_room_max: usize = 4, "calls", "the others wait";
    /// Native calls of one room that take longer (derived keys, RSA keys, primes, large texts) and run at the same time.
    slow_calls_per_room_max: usize = 2, "calls", "the others wait";
    /// Rounds of PBKDF2 in one call: iterations times the blocks of the result.
    pbkdf2_rounds_max: usize = 2_000_000, "rounds", "WebCrypto rejects with an OperationError, `node:crypto` throws a RangeError";
    /// Memory in which one scrypt call mixes: 128 times N times r.
    scrypt_bytes_max: usize = 128 * MIB, "bytes", "RangeError";
    /// Bytes that one scrypt call mixes: its memory times p.
    scrypt_work_bytes_max: usize = 1024 * MIB, "bytes", "RangeError";
    /// Length of an RSA key that is used or imported.
    rsa_bits_max: usize = 8192, "bits", "WebCrypto rejects with an OperationError, `node:crypto` throws a RangeError";
    /// Length of the text or DER of a key that `node:crypto` reads.
    key_text_bytes_max: usize = 32 * KIB, "bytes", "RangeError";
    /// Length of an RSA or DSA key that is generated.
    rsa_generated_bits_max: usize = 4096, "bits", "WebCrypto rejects with an OperationError, `node:crypto` throws a RangeError";
    /// Length of a Diffie-Hellman group's prime.
    dh_bits_max: usize = 8192, "bits", "RangeError";
    /// Length of a prime that is generated or tested.
    prime_bits_max: usize = 4096, "bits", "RangeError";
    /// Length of a safe prime that is generated.
    safe_prime_bits_max: usize = 1024, "bits", "RangeError";
    /// Length of a name that `node:punycode` and `node:url` convert.
    host_name_chars_max: usize = 4096, "characters", "RangeError";
    /// Rounds of a test of a prime.
    prime_checks_max: usize = 64, "rounds", "RangeError";
    /// Timers waiting in one room.
    timers_max: usize = 10_000, "timers", "`setTimeout` throws a RangeError";
    /// Share beyond which no new room starts of the memory that the process could have: of the machine, of its control
    /// groups, of its address space, whichever leaves least.
    memory_share_max: f64 = 0.8, "share", "idle rooms leave; then 503 with `Retry-After` for new rooms, and alarms wait";
    /// Live rooms of the process.
    rooms_max: usize = 100_000, "rooms", "idle rooms leave; then 503 with `Retry-After` for new rooms, and alarms wait";
    /// Part of `rooms_max` and of the memory that is kept for hibernated rooms whose connections wake them.
    waking_reserve_share: f64 = 0.1, "share", "their messages wait, their requests get 503";
    /// Time that a new room waits for idle ones to make way.
    room_place_wait_max: Duration = Duration::from_secs(2), "time", "503 with `Retry-After`";
    /// Time after which a client that found no place shall try again.
    retry_after: Duration = Duration::from_secs(5), "time", "nothing: it is what `Retry-After` says";
    /// Prepared isolates that a worker keeps.
    spares_per_worker: usize = 2, "isolates", "none more is made";
    /// Idle time after which a room leaves memory.
    room_idle_max: Duration = Duration::from_secs(10), "time", "the room is evicted or hibernated";
    /// Idle time after which the garbage of a room that stays in memory is collected.
    room_tidy_after: Duration = Duration::from_secs(3), "time", "the room's garbage is collected, once";
    /// Time since the last event after which a room leaves although timers or fetches are pending.
    room_busy_idle_max: Duration = Duration::from_secs(70), "time", "the room is evicted or hibernated";
    /// Time that `onAlarm` may take.
    alarm_time_max: Duration = Duration::from_secs(900), "time", "the attempt counts as failed";
    /// Repetitions of a failed alarm.
    alarm_retries_max: u32 = 6, "attempts", "the alarm is dropped with an error line";
    /// Alarms of the process that have begun within the last seconds and still run.
    alarms_running_max: usize = 1000, "alarms", "the others wait";
    /// Time that static handlers and `waitUntil` get when the server stops or its code is changed.
    wait_until_max: Duration = Duration::from_secs(10), "time", "the work is dropped";
    /// Bytes of answers that `caches` keeps for the process.
    cache_bytes_max: usize = 64 * MIB, "bytes", "the oldest are forgotten";
    /// Time that the whole server may take to stop, from the first request to stop on.
    stop_time_max: Duration = Duration::from_secs(30), "time", "the supervisor kills it";
    /// The same from a second request on, after which the server waits for nothing.
    stop_again_time_max: Duration = Duration::from_secs(2), "time", "the supervisor kills it";
    /// Unhandled rejections of one room, without a second between them, that are printed each.
    rejections_printed_max: u32 = 10, "rejections", "the count is printed at powers of ten, with the first reason";
    /// Memory in which one HTMLRewriter looks for the end of a token.
    html_bytes_max: usize = 16 * MIB, "bytes", "the transformation fails";
    /// Transformations of HTMLRewriter in one room that have begun and not ended.
    html_rewriters_per_room_max: usize = 32, "transformations", "the transformation fails";
    /// Such transformations of the process: each has a thread.
    html_rewriters_max: usize = 512, "transformations", "the transformation fails";
    /// Length of a key in a local KV namespace.
    kv_key_bytes_max: usize = 512, "bytes", "the call rejects";
    /// Length of a value in a local KV namespace.
    kv_value_bytes_max: usize = 25 * MIB, "bytes", "the call rejects";
    /// Length of a key's metadata in a local KV namespace, as JSON.
    kv_metadata_bytes_max: usize = 1024, "bytes", "the call rejects";
    /// Length of a key in a local bucket.
    r2_key_bytes_max: usize = 1024, "bytes", "the call rejects";
    /// Length of an object in a local bucket.
    r2_value_bytes_max: usize = 100 * MIB, "bytes", "the call rejects";
    /// Vectors that one call gives to a local index.
    vectors_per_call_max: usize = 1000, "vectors", "the call rejects";
    /// Length of what a release holds besides static files: code, source map, WebAssembly and binary files.
    release_code_bytes_max: usize = 512 * MIB, "bytes", "`build` and `start` refuse it";
    /// Length of the static files of a release.
    release_assets_bytes_max: usize = 8192 * MIB, "bytes", "`build` and `start` refuse it";
    /// Files of a release.
    release_files_max: usize = 200_000, "files", "`build` and `start` refuse it";
    /// Length of the name of a file of a release, with its folders.
    release_name_bytes_max: usize = 1024, "bytes", "`build` and `start` refuse it";
    /// Time that `build.command` may take.
    build_command_time_max: Duration = Duration::from_secs(600), "time", "the command is ended, the build has failed";
    /// Bytes of lines that wait for a slow terminal.
    console_bytes_max: usize = 16 * MIB, "bytes", "lines are left out, and counted";
    /// Bytes of static files, plain and compressed, that are kept in memory.
    asset_cache_bytes_max: usize = 64 * MIB, "bytes", "the least used are forgotten";
    /// Length of a static file that is kept in memory.
    asset_cached_bytes_max: usize = 64 * KIB, "bytes", "the file is read from the disk each time";
    /// Length of a static file that is compressed while a request waits.
    asset_compressed_bytes_max: usize = 4 * MIB, "bytes", "the file is sent uncompressed";
    /// Length of a source map that a package ships, and of each file that it names.
    source_map_bytes_max: usize = 32 * MIB, "bytes", "stack traces name the published file";
}

impl Limits {
    // Every limit that has a ceiling stays below it.
    fn check_ceilings(&self, name: &str) -> Result<(), SettingError> {
        let (value, ceiling, most) = match name {
            "message_in_bytes_max" => {
                (self.message_in_bytes_max, "message_in_bytes_ceiling", self.message_in_bytes_ceiling)
            }
            "value_bytes_max" => (self.value_bytes_max, "value_bytes_ceiling", self.value_bytes_ceiling),
            _ => return Ok(()),
        };
        if value <= most {
            return Ok(());
        }
        let most =
            if most.is_multiple_of(MIB) { format!("{} MiB", most / MIB) } else { format!("{most} bytes") };
        Err(SettingError::AboveCeiling { name: name.to_string(), ceiling, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_by_their_names() {
        let mut limits = Limits::default();
        limits.set("room_idle_max", "200ms").unwrap();
        limits.set("spares_per_worker", "0").unwrap();
        limits.set("memory_share_max", "0.5").unwrap();
        assert_eq!(limits.room_idle_max, Duration::from_millis(200));
        assert_eq!((limits.spares_per_worker, limits.memory_share_max), (0, 0.5));
        assert_eq!(limits.set("nothing", "1"), Err(SettingError::Unknown("nothing".to_string())));
        for (name, text) in [("room_idle_max", "5"), ("spares_per_worker", "-1"), ("memory_share_max", "nan")]
        {
            assert!(matches!(limits.set(name, text), Err(SettingError::Value { .. })), "{name}={text}");
        }
    }

    #[test]
    fn every_ceiling_refuses() {
        for row in TABLE.iter().filter(|row| row.name.ends_with("_ceiling")) {
            let limit = row.name.replace("_ceiling", "_max");
            let mut limits = Limits::default();
            let most: usize = (row.default)(&limits).parse().unwrap();
            limits.set(&limit, &most.to_string()).unwrap();
            let kept = limits.clone();
            let refused = limits.set(&limit, &(most + 1).to_string()).unwrap_err().to_string();
            assert!(refused.contains(row.name) && refused.contains(" MiB at most"), "{refused}");
            assert_eq!(limits, kept, "a value that is refused changes nothing");
            let fixed = limits.set(row.name, "1").unwrap_err();
            assert_eq!(fixed, SettingError::Fixed(row.name.to_string()));
        }
    }

    #[test]
    fn every_row_says_what_happens_beyond_it() {
        for row in TABLE {
            assert!(!row.beyond.is_empty() && !row.meaning.trim().is_empty(), "{}", row.name);
            assert!(!(row.default)(&Limits::default()).is_empty());
        }
        assert!(Limits::default().message_in_bytes_max <= Limits::default().message_in_bytes_ceiling);
        assert!(Limits::default().value_bytes_max <= Limits::default().value_bytes_ceiling);
    }
}
