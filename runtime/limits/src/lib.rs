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
            /// Changes one limit: `name` is a field's name, `text` a number, a size such as `64MiB` or a time such as
            /// `200ms` or `10s`.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), SettingError> {
                if name.ends_with("_ceiling") {
                    return Err(SettingError::Fixed(name.to_string()));
                }
                let before = self.clone();
                let taken = match name {
                    $(stringify!($name) => Setting::read(text, $unit).map(|value| self.$name = value),)+
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
    /// The unit of the value: `bytes`, `time`, `share`, or what is counted.
    pub unit: &'static str,
    /// What is limited, as a sentence with its full stop and a space before it.
    pub meaning: &'static str,
    /// What happens beyond the limit, as the documentation's last column has it.
    pub beyond: &'static str,
    /// Prints the value that a set of limits has for this row.
    pub default: fn(&Limits) -> String,
}

impl Row {
    /// The value that `limits` has for this row, as people read it: `64 MiB`, `100 fields`, `10s`.
    pub fn shown(&self, limits: &Limits) -> String {
        let value = (self.default)(limits);
        match value.parse() {
            Ok(bytes) if self.unit == "bytes" => shown_bytes(bytes),
            Ok(_number) => format!("{value} {}", self.unit),
            // Durations say their unit themselves, and shares have none.
            Err(_) => value,
        }
    }
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
                let row = TABLE.iter().find(|row| row.name == name);
                let form = match row.map(|row| row.unit) {
                    Some("bytes") => "a number of bytes, or a size such as `64MiB` or `16KiB`",
                    Some("time") => "a time such as `200ms` or `10s`",
                    _ => "a number",
                };
                write!(formatter, "`{text}` is not a valid value for `{name}`: write {form}")
            }
            Self::Fixed(name) => write!(formatter, "`{name}` is a ceiling, which cannot be changed"),
            Self::AboveCeiling { name, ceiling, most } => {
                write!(formatter, "`{name}` may be {most} at most (`{ceiling}`)")
            }
        }
    }
}

impl std::error::Error for SettingError {}

/// A number of bytes as people read it: `64 MiB`, `1.5 KiB`, `12 bytes`.
pub fn shown_bytes(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(size, _)| bytes >= *size) {
        None => format!("{bytes} bytes"),
        Some((size, name)) if bytes.is_multiple_of(size) => format!("{} {name}", bytes / size),
        // Fewer digits than a number of that size has.
        Some((size, name)) => format!("{:.1} {name}", bytes as f64 / size as f64),
    }
}

/// A type of limit, as it is written on the command line.
trait Setting: Sized {
    fn read(text: &str, unit: &str) -> Option<Self>;
}

impl Setting for usize {
    fn read(text: &str, unit: &str) -> Option<Self> {
        let sizes = [("KiB", KIB), ("MiB", MIB), ("GiB", 1024 * MIB)];
        let sized = sizes.into_iter().filter(|_| unit == "bytes").find_map(|(name, size)| {
            let number: Self = text.strip_suffix(name)?.trim_end().parse().ok()?;
            number.checked_mul(size)
        });
        sized.or_else(|| text.parse().ok())
    }
}

impl Setting for u32 {
    fn read(text: &str, _unit: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for f64 {
    fn read(text: &str, _unit: &str) -> Option<Self> {
        text.parse().ok().filter(|value: &Self| value.is_finite() && *value >= 0.0)
    }
}

impl Setting for Duration {
    fn read(text: &str, _unit: &str) -> Option<Self> {
        if let Some(number) = text.strip_suffix("ms") {
            return number.parse().ok().map(Self::from_millis);
        }
        text.strip_suffix('s')?.parse().ok().map(Self::from_secs)
    }
}

limits! {
    /// Length of one incoming WebSocket message, with all its fragments.
    message_in_bytes_max: usize = MIB, "bytes", "the socket is closed with 1009";
    /// The highest value that `message_in_bytes_max` may be set to.
    message_in_bytes_ceiling: usize = 32 * MIB, "bytes", "the setting is refused";
    /// Length from which a message is compressed for a client that agreed to it (`compression.minBytes`).
    message_compressed_bytes_min: usize = 512, "bytes", "not a bound: shorter messages are sent as they are";
    /// Length of one outgoing WebSocket message.
    message_out_bytes_max: usize = 32 * MIB, "bytes", "`send` throws a RangeError";
    /// Bytes of incomplete incoming messages in one room.
    unfinished_bytes_max: usize = 64 * MIB, "bytes", "the room's sockets are not read; after `unfinished_time_max`: 1013";
    /// Bytes of incomplete incoming messages in the process, or an eighth of its memory if that is less.
    unfinished_total_bytes_max: usize = 512 * MIB, "bytes", "the same, in all rooms";
    /// Time in which a message must be complete while one of the two limits above is reached.
    unfinished_time_max: Duration = Duration::from_secs(10), "time", "the socket is closed with 1013";
    /// Fragments of one incoming message.
    message_fragments_max: usize = 1024, "frames", "the socket is closed with 1008";
    /// Ping and pong frames that one socket may send per second.
    control_frames_per_second_max: u32 = 1000, "frames", "the socket is closed with 1008";
    /// Bytes queued for one socket whose peer does not read.
    send_queue_bytes_max: usize = 16 * MIB, "bytes", "the socket is closed with 1013";
    /// Bytes queued for all sockets of one room. A broadcast counts once, however many sockets it goes to.
    send_queues_bytes_max: usize = 128 * MIB, "bytes", "the sockets with the longest queues are closed with 1013";
    /// Bytes queued for all sockets of the process, or an eighth of its memory if that is less.
    send_queues_total_bytes_max: usize = 512 * MIB, "bytes", "the same, in rooms that send";
    /// Bytes of one room's messages and responses that are held back until its writes are durable.
    held_bytes_max: usize = 64 * MIB, "bytes", "`send` and `broadcast` throw a RangeError; a response becomes 503";
    /// Bytes of all messages and responses that are held back in the process, or an eighth of its memory if that is
    /// less.
    held_total_bytes_max: usize = 512 * MIB, "bytes", "the same, in all rooms";
    /// Bytes of one room's long responses that clients have not read yet.
    answers_bytes_max: usize = 128 * MIB, "bytes", "503 with `Retry-After`";
    /// Bytes of all long responses in the process that clients have not read yet, or an eighth of its memory if that
    /// is less.
    answers_total_bytes_max: usize = 512 * MIB, "bytes", "503 with `Retry-After`";
    /// Length of the request line and headers. It also applies to a server's response to an outgoing WebSocket
    /// handshake.
    header_bytes_max: usize = 64 * KIB, "bytes", "431; an outgoing WebSocket fails";
    /// Number of header fields in a request, or in a server's response to an outgoing WebSocket handshake.
    header_count_max: usize = 100, "fields", "431; an outgoing WebSocket fails";
    /// Length of a request body.
    body_bytes_max: usize = 100 * MIB, "bytes", "413";
    /// Memory for the streamed request bodies of one room that are not answered; each counts as five times `header_bytes_max`.
    bodies_bytes_max: usize = 128 * MIB, "bytes", "503 with `Retry-After`";
    /// Bytes of request bodies in the process that were received but not read yet.
    bodies_total_bytes_max: usize = 512 * MIB, "bytes", "no request body is received until some of them are read";
    /// Length up to which a request body of known length is received before the room is called.
    body_eager_bytes_max: usize = 64 * KIB, "bytes", "the body is streamed";
    /// Time in which the request line and headers must arrive.
    header_time_max: Duration = Duration::from_secs(10), "time", "the connection is closed";
    /// Time for what comes before HTTP on a connection: a TLS handshake, the header of a proxy.
    handshake_time_max: Duration = Duration::from_secs(10), "time", "the connection is closed";
    /// Connections of one HTTP thread that have not come as far as HTTP.
    handshakes_max: usize = 1024, "handshakes", "the oldest one is closed";
    /// Encrypted bytes of one connection that wait for the network.
    tls_unsent_bytes_max: usize = 32 * KIB, "bytes", "what follows waits in the send queue, or in the response";
    /// Length of a header of the PROXY protocol.
    proxy_header_bytes_max: usize = 4 * KIB, "bytes", "the connection is closed";
    /// Orders of certificates that are in progress at a time.
    acme_orders_max: usize = 4, "orders", "further names wait";
    /// Time in which a certificate authority must answer a request.
    acme_request_time_max: Duration = Duration::from_secs(30), "time", "the order ends, and is tried again later";
    /// Time in which a certificate authority must decide on a name, and again on its certificate.
    acme_order_time_max: Duration = Duration::from_secs(120), "time", "the order ends, and is tried again later";
    /// Length of an answer of a certificate authority.
    acme_answer_bytes_max: usize = MIB, "bytes", "the order ends, and is tried again later";
    /// Time after which a failed order is tried again; twice as long after each further failure, and up to half of it is left to
    /// chance.
    acme_retry_after: Duration = Duration::from_secs(60), "time", "the order is tried again";
    /// The longest time between two orders for a name that failed.
    acme_retry_max: Duration = Duration::from_secs(3600), "time", "the order is tried again";
    /// Time that may pass without a byte of a request body.
    body_idle_max: Duration = Duration::from_secs(30), "time", "408";
    /// Average bytes per second at which a request body must arrive, once waiting for it has taken `body_idle_max` in
    /// total.
    body_bytes_per_second_min: usize = 512, "bytes", "408";
    /// Time in which a room must answer a request.
    request_time_max: Duration = Duration::from_secs(300), "time", "504";
    /// Time after which an idle HTTP connection is closed.
    keep_alive_idle_max: Duration = Duration::from_secs(75), "time", "the connection is closed";
    /// Streams that are open at once on one HTTP/2 connection: requests in progress, and WebSockets.
    http2_streams_max: u32 = 256, "streams", "the stream is refused (`REFUSED_STREAM`), which clients try again";
    /// Bytes of one HTTP/2 stream that the client may send before anybody reads them.
    http2_stream_window_bytes: u32 = 256 * 1024, "bytes", "the client waits; sending more ends the connection";
    /// The same for all streams of one HTTP/2 connection together.
    http2_connection_window_bytes: u32 = 512 * 1024, "bytes", "the client waits; sending more ends the connection";
    /// Bytes of one HTTP/2 stream that wait for the network.
    http2_send_buffer_bytes_max: usize = 128 * KIB, "bytes", "no more is taken of the response, or of the socket's queue";
    /// Encrypted bytes of one HTTP/2 connection that wait for the network. Half of it goes to the network at once.
    http2_unsent_bytes_max: usize = 128 * KIB, "bytes", "what follows waits in the streams";
    /// Frames without content that one HTTP/2 connection may send per second: pings, settings, priorities, empty data, and window
    /// updates beyond one for each KiB that it was sent.
    http2_control_frames_per_second_max: u32 = 1000, "frames", "the connection is closed (`ENHANCE_YOUR_CALM`)";
    /// Requests that one HTTP/2 connection may take back (`RST_STREAM`) per second.
    http2_resets_per_second_max: u32 = 200, "streams", "the connection is closed (`ENHANCE_YOUR_CALM`)";
    /// Time without a frame from a client after which the server sends a ping.
    socket_ping_after: Duration = Duration::from_secs(30), "time", "a ping is sent";
    /// Time in which a frame must arrive after that ping.
    socket_pong_max: Duration = Duration::from_secs(30), "time", "the socket is dropped, and `onClose` runs";
    /// Time in which the peer must answer a close frame, and in which the body of a refused outgoing handshake must
    /// arrive.
    socket_close_max: Duration = Duration::from_secs(5), "time", "the socket is dropped";
    /// Time in which an outgoing WebSocket must open: connecting, TLS and handshake together.
    socket_connect_max: Duration = Duration::from_secs(30), "time", "the socket fails; `fetch` rejects";
    /// Length of the body of a refused outgoing handshake.
    socket_refusal_bytes_max: usize = 64 * KIB, "bytes", "the rest of the body is dropped";
    /// Length of a response from another server that is read in one call: `text()`, `json()`, `arrayBuffer()` and so
    /// on.
    answer_bytes_max: usize = 100 * MIB, "bytes", "the call rejects with a TypeError";
    /// Uncompressed length of a compressed response from another server, however it is read.
    answer_inflated_bytes_max: usize = 32 * MIB, "bytes", "reading rejects with a TypeError";
    /// Length from which a response is compressed for a client that asks for it.
    answer_compressed_bytes_min: usize = KIB, "bytes", "not a bound: shorter responses are sent as they are";
    /// Streamed responses of the process that are compressed at the same time. Each takes up to 2 MiB.
    answers_compressed_max: usize = 256, "streams", "further ones are sent uncompressed";
    /// Uncompressed length of one chunk that is written to a `DecompressionStream`.
    inflated_chunk_bytes_max: usize = 64 * MIB, "bytes", "the stream fails with a TypeError";
    /// Length of a room id, as written in the URL.
    room_id_bytes_max: usize = 2 * KIB, "bytes", "414";
    /// WebSocket connections of one room.
    connections_per_room_max: usize = 32_000, "sockets", "503";
    /// Connections of the process, HTTP and WebSocket together.
    connections_max: usize = 100_000, "sockets", "idle HTTP connections are closed to make room; if there are none, 503";
    /// Open connections of one client address, or of one network of 64 bits of IPv6. Behind a trusted proxy its WebSockets. 0 means
    /// any number.
    client_connections_max: usize = 0, "connections", "the connection, or handshake, gets 429 with `Retry-After`";
    /// Requests of one client address per second, handshakes included. 0 means any number.
    client_requests_per_second_max: usize = 0, "requests", "429 with `Retry-After`";
    /// WebSocket handshakes of one client address per second. 0 means any number.
    client_handshakes_per_second_max: usize = 0, "handshakes", "429 with `Retry-After`";
    /// Rooms that come into memory per second because of one client address. 0 means any number.
    client_rooms_per_second_max: usize = 0, "rooms", "429 with `Retry-After`";
    /// Time for which a client may save up what these limits grant it, and use it at once.
    client_burst_time: Duration = Duration::from_secs(5), "time", "the limits above and below hold";
    /// Client addresses that are remembered for these limits. An address that has done nothing lately is forgotten.
    client_addresses_max: usize = 200_000, "addresses", "those that asked for the least are forgotten";
    /// Messages per second of one client's WebSocket. 0 means any number.
    socket_messages_per_second_max: usize = 0, "messages", "the socket is not read for a while";
    /// Bytes per second that come in on one client's WebSocket. 0 means any number.
    socket_bytes_per_second_max: usize = 0, "bytes", "the socket is not read for a while";
    /// Events that wait for one room.
    inbox_events_max: usize = 10_000, "events", "requests get 503; sockets are not read";
    /// Bytes of the events that wait for one room.
    inbox_bytes_max: usize = 32 * MIB, "bytes", "requests get 503 with `Retry-After`; sockets are not read";
    /// Bytes of the events that wait for all rooms, or an eighth of the process's memory if that is less.
    inboxes_total_bytes_max: usize = 512 * MIB, "bytes", "the same, in rooms that have events waiting";
    /// Length of a storage key in UTF-8.
    key_bytes_max: usize = 2048, "bytes", "the call throws a RangeError";
    /// Serialized length of a stored value. Like the original, partyrun grants 34 bytes on top.
    value_bytes_max: usize = 128 * KIB, "bytes", "the call throws a RangeError";
    /// The highest value that `value_bytes_max` may be set to.
    value_bytes_ceiling: usize = 2 * MIB, "bytes", "the setting is refused";
    /// Keys in one call of `storage.get`.
    keys_per_call_max: usize = 128, "keys", "the call throws a RangeError";
    /// Bytes of one room's writes that are not on disk yet.
    undurable_bytes_max: usize = 32 * MIB, "bytes", "`await storage.put()` waits for the disk, and so does the room's next event";
    /// Bytes of all writes in the process that are not on disk yet, or an eighth of its memory if that is less.
    undurable_total_bytes_max: usize = 512 * MIB, "bytes", "the same, in all rooms";
    /// Bytes that are not on disk yet of a room that does not await its writes.
    unawaited_bytes_max: usize = 128 * MIB, "bytes", "the room is reset";
    /// Bytes of stored values that one room keeps in memory after reading them.
    storage_cache_bytes_max: usize = MIB, "bytes", "the oldest are dropped from memory";
    /// Serialized length of a connection's state in a hibernating room.
    attachment_bytes_max: usize = 2048, "bytes", "`setState` throws";
    /// Tags of one connection, including its id.
    tags_max: usize = 10, "tags", "the socket is closed with 1011";
    /// Length of a tag.
    tag_chars_max: usize = 256, "characters", "the socket is closed with 1011";
    /// CPU time of one turn: an event handler, a timer or the code after an `await`, with the microtasks that follow.
    turn_cpu_max: Duration = Duration::from_secs(30), "time", "the room is reset";
    /// CPU time of one turn after which a warning is printed.
    turn_cpu_warn: Duration = Duration::from_secs(1), "time", "a warning; the room's next life runs on a thread for slow rooms";
    /// Time that one turn may block its thread without using the CPU.
    turn_wait_max: Duration = Duration::from_secs(30), "time", "the room is reset";
    /// Time after which a running turn counts as holding its thread up.
    turn_held_after: Duration = Duration::from_secs(2), "time", "rooms that are not in memory start on another thread";
    /// CPU time for importing the project, each time that an isolate is created.
    start_cpu_max: Duration = Duration::from_secs(60), "time", "the server does not start; a room is reset";
    /// Extra threads for slow rooms.
    slow_workers_max: usize = 4, "threads", "slow rooms share the threads";
    /// Rooms outside memory that are remembered as slow.
    slow_rooms_max: usize = 1000, "rooms", "the oldest one is forgotten";
    /// Extra threads that take over from threads that are held up.
    replacement_workers_max: usize = 4, "threads", "the other threads take over";
    /// Sockets of hibernating rooms that move at once from a thread that is held up to another one.
    moved_sockets_max: usize = 10_000, "sockets", "the other rooms wait until the thread is free";
    /// Threads for static handlers: another one takes over while a handler holds one up.
    edge_workers_max: usize = 3, "threads", "static handlers wait for the one that is held up";
    /// JavaScript heap of one room.
    heap_bytes_max: usize = 128 * MIB, "bytes", "the room is reset";
    /// Memory beyond `heap_bytes_max` that V8 may use at a time while the room is being ended.
    heap_grace_bytes: usize = 256 * MIB, "bytes", "it is granted again, because V8 would otherwise end the process";
    /// Memory of one room outside the heap: array buffers, WebAssembly memories, blobs, compressors, messages between
    /// ports.
    external_bytes_max: usize = 128 * MIB, "bytes", "the call throws a RangeError, or the room is reset";
    /// Short native calls of one room at a time: hashes, signatures and ciphers of WebCrypto.
    quick_calls_per_room_max: usize = 4, "calls", "further calls wait";
    /// Long native calls of one room at a time: derived keys, RSA keys, primes, long texts.
    slow_calls_per_room_max: usize = 2, "calls", "further calls wait";
    /// Rounds of one PBKDF2 call: iterations times the blocks of the result.
    pbkdf2_rounds_max: usize = 2_000_000, "rounds", "WebCrypto rejects with an OperationError, `node:crypto` throws a RangeError";
    /// Memory of one scrypt call: 128 × N × r.
    scrypt_bytes_max: usize = 128 * MIB, "bytes", "the call throws a RangeError";
    /// Work of one scrypt call: its memory times p.
    scrypt_work_bytes_max: usize = 1024 * MIB, "bytes", "the call throws a RangeError";
    /// Length of an RSA key that is used or imported.
    rsa_bits_max: usize = 8192, "bits", "WebCrypto rejects with an OperationError, `node:crypto` throws a RangeError";
    /// Length of a key, as text or DER, that `node:crypto` reads.
    key_text_bytes_max: usize = 32 * KIB, "bytes", "the call throws a RangeError";
    /// Length of an RSA or DSA key that is generated.
    rsa_generated_bits_max: usize = 4096, "bits", "WebCrypto rejects with an OperationError, `node:crypto` throws a RangeError";
    /// Length of the prime of a Diffie-Hellman group.
    dh_bits_max: usize = 8192, "bits", "the call throws a RangeError";
    /// Length of a prime that is generated or tested.
    prime_bits_max: usize = 4096, "bits", "the call throws a RangeError";
    /// Length of a safe prime that is generated.
    safe_prime_bits_max: usize = 1024, "bits", "the call throws a RangeError";
    /// Length of a host name that `node:punycode` and `node:url` convert.
    host_name_chars_max: usize = 4096, "characters", "the call throws a RangeError";
    /// Rounds of a primality test.
    prime_checks_max: usize = 64, "rounds", "the call throws a RangeError";
    /// Pending timers of one room.
    timers_max: usize = 10_000, "timers", "`setTimeout` throws a RangeError";
    /// Share of the available memory that the process may use before it starts no more rooms. What is available is
    /// the least of the machine's memory, its control groups' limits and its address space.
    memory_share_max: f64 = 0.8, "share", "idle rooms leave; else new rooms get 503 with `Retry-After`, and alarms wait";
    /// Rooms in memory.
    rooms_max: usize = 100_000, "rooms", "idle rooms leave; else new rooms get 503 with `Retry-After`, and alarms wait";
    /// Part of `rooms_max` and of the memory that is reserved for hibernating rooms, so that their connections can
    /// wake them.
    waking_reserve_share: f64 = 0.1, "share", "their messages wait, and their requests get 503";
    /// Time that a new room waits for idle rooms to leave memory.
    room_place_wait_max: Duration = Duration::from_secs(2), "time", "503 with `Retry-After`";
    /// The value of `Retry-After` in responses with 503.
    retry_after: Duration = Duration::from_secs(5), "time", "not a bound: clients may ignore it";
    /// Prepared isolates that each worker thread keeps.
    spares_per_worker: usize = 2, "isolates", "no more are prepared";
    /// Prepared isolates that a worker thread keeps while new rooms come faster than it prepares them.
    spares_per_worker_max: usize = 8, "isolates", "no more are prepared";
    /// Time without new rooms after which a worker thread keeps `spares_per_worker` again.
    spares_shrink_after: Duration = Duration::from_secs(5), "time", "those that are too many are dropped";
    /// Memory of a room that has just started.
    room_memory_warn: usize = 6 * MIB, "bytes", "`check`, `start` and `dev` warn, and name the largest imports";
    /// CPU time that starting a room takes.
    room_cpu_warn: Duration = Duration::from_millis(100), "time", "`check`, `start` and `dev` warn, and name the largest imports";
    /// Time without events after which a room leaves memory.
    room_idle_max: Duration = Duration::from_secs(10), "time", "the room is evicted or hibernated";
    /// Time without events after which a room that its sockets keep in memory is garbage-collected, the first time after a third
    /// of it.
    room_tidy_after: Duration = Duration::from_secs(3), "time", "one garbage collection";
    /// Time without events after which a room leaves memory although timers or fetches are pending.
    room_busy_idle_max: Duration = Duration::from_secs(70), "time", "the room is evicted or hibernated";
    /// Time that `onAlarm` may take.
    alarm_time_max: Duration = Duration::from_secs(900), "time", "the attempt counts as failed";
    /// Times that a failed alarm is retried.
    alarm_retries_max: u32 = 6, "attempts", "the alarm is dropped, and an error is printed";
    /// Alarms that run at the same time in the process. An alarm that has run for five seconds no longer counts.
    alarms_running_max: usize = 1000, "alarms", "further alarms wait";
    /// Time that events in progress and `waitUntil` get when `start` stops, and static handlers when code is replaced.
    wait_until_max: Duration = Duration::from_secs(10), "time", "the work is dropped";
    /// Bytes of responses that `caches` keeps, for the whole process.
    cache_bytes_max: usize = 64 * MIB, "bytes", "the oldest are dropped";
    /// Time from the first request to stop until the whole server has stopped.
    stop_time_max: Duration = Duration::from_secs(30), "time", "the supervisor kills it";
    /// Time from a second request to stop until the server has ended, without waiting for anything.
    stop_again_time_max: Duration = Duration::from_secs(2), "time", "the supervisor kills it";
    /// Time that a new server process has to load the project, and to open the data, before it takes over.
    upgrade_time_max: Duration = Duration::from_secs(60), "time", "the old process goes on serving, and says so";
    /// Time that requests in progress, and then rooms, get to end before another process takes over. New connections wait
    /// meanwhile.
    upgrade_drain_max: Duration = Duration::from_secs(3), "time", "requests are cut off, and sockets end as at a restart";
    /// Unhandled rejections of one room that are printed one by one, if less than a second passes between them.
    rejections_printed_max: u32 = 10, "rejections", "only their count is printed, at powers of ten, with the first reason";
    /// Memory in which one `HTMLRewriter` looks for the end of a token.
    html_bytes_max: usize = 16 * MIB, "bytes", "the transformation fails";
    /// Unfinished `HTMLRewriter` transformations of one room.
    html_rewriters_per_room_max: usize = 32, "transformations", "the transformation fails";
    /// Unfinished `HTMLRewriter` transformations of the process. Each one has a thread.
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
    /// Vectors in one call to a local index.
    vectors_per_call_max: usize = 1000, "vectors", "the call rejects";
    /// Total length of a release's code, source map, WebAssembly and binary files.
    release_code_bytes_max: usize = 512 * MIB, "bytes", "`build` and `start` refuse it";
    /// Total length of a release's static files.
    release_assets_bytes_max: usize = 8192 * MIB, "bytes", "`build` and `start` refuse it";
    /// Number of files in a release.
    release_files_max: usize = 200_000, "files", "`build` and `start` refuse it";
    /// Length of a file's path in a release.
    release_name_bytes_max: usize = 1024, "bytes", "`build` and `start` refuse it";
    /// Time that `build.command` may take.
    build_command_time_max: Duration = Duration::from_secs(600), "time", "the command is ended, and the build fails";
    /// Bytes of output lines that wait for a slow terminal.
    console_bytes_max: usize = 16 * MIB, "bytes", "further lines are dropped, and their number is printed";
    /// Connections of the administrative listener.
    admin_connections_max: usize = 64, "sockets", "503";
    /// Length of a request's body on the administrative listener, and of a room that is exported as a file.
    admin_body_bytes_max: usize = 64 * MIB, "bytes", "413; a larger room is not exported";
    /// Time that the administrative API waits for a room's thread, for the room itself, and for the disk.
    admin_answer_time_max: Duration = Duration::from_secs(2), "time", "503 with the code `busy`; other rooms are answered";
    /// Rooms or alarms on one page of the administrative API.
    admin_page_max: usize = 1000, "rows", "400";
    /// Bytes of the last lines of the log that are kept for the administrative API.
    admin_log_bytes_max: usize = MIB, "bytes", "the oldest are forgotten";
    /// Bytes of lines that wait for one reader of the live log.
    admin_reader_bytes_max: usize = MIB, "bytes", "the reader loses lines, and is told how many";
    /// Parties that metrics count one by one.
    metrics_parties_max: usize = 64, "parties", "the others are counted together, as `(others)`";
    /// Bytes of static files, plain and compressed, that are kept in memory.
    asset_cache_bytes_max: usize = 64 * MIB, "bytes", "the least recently used are dropped from memory";
    /// Length of a static file that is kept in memory.
    asset_cached_bytes_max: usize = 256 * KIB, "bytes", "the file is read from disk each time";
    /// Length of a static file that is compressed when a request asks for it.
    asset_compressed_bytes_max: usize = 4 * MIB, "bytes", "the file is sent uncompressed";
    /// Length of a source map that a package ships, and of each file that it names.
    source_map_bytes_max: usize = 32 * MIB, "bytes", "stack traces name the published file";
    /// Memory of one hosted project's process.
    host_memory_bytes_max: usize = 512 * MIB, "bytes", "the process is ended, and started again";
    /// CPU time of one hosted project's process, as a share of the machine's.
    host_cpu_share_max: f64 = 0.5, "share", "the process gets no more time, or the lowest priority";
    /// Descriptors of one hosted project's process.
    host_descriptors_max: usize = 65_536, "descriptors", "the project accepts no more connections";
    /// Bytes that one hosted project may have stored. A single file cannot grow beyond it.
    host_storage_bytes_max: usize = 4096 * MIB, "bytes", "writes fail as on a full disk; a deployment is refused";
    /// Time without a request, a socket or a due alarm after which a hosted project is stopped.
    host_idle_max: Duration = Duration::from_secs(60), "time", "its process ends until it is needed";
    /// Time in which a hosted project must be ready.
    host_start_time_max: Duration = Duration::from_secs(30), "time", "the start has failed: 503, and a deployment is taken back";
    /// Longest pause between two starts of a hosted project that crashes.
    host_crash_pause_max: Duration = Duration::from_secs(60), "time", "pauses grow no longer";
    /// Length of a release that is deployed.
    host_release_bytes_max: usize = 256 * MIB, "bytes", "413";
    /// Releases that are kept of a hosted project.
    host_releases_max: usize = 10, "releases", "the oldest ones are removed";
    /// Projects and previews of a host.
    host_projects_max: usize = 1000, "projects", "507: a new one is refused";
    /// Length of a hosted project's variables, together.
    host_values_bytes_max: usize = 128 * KIB, "bytes", "413";
    /// Time for which the data of a deleted project is kept.
    host_deleted_time_max: Duration = Duration::from_secs(7 * 24 * 60 * 60), "time", "it is removed";
    /// Length of the log that is kept of a hosted project.
    host_log_bytes_max: usize = 8 * MIB, "bytes", "the older half is removed";
    /// Bytes of a hosted project's output that are read per second.
    host_log_bytes_per_second_max: usize = MIB, "bytes", "the project drops lines and says how many";
    /// Clients that follow the log of one hosted project.
    host_tails_max: usize = 20, "clients", "429";
    /// Length of the body of a request to the host's API, but for releases.
    host_body_bytes_max: usize = MIB, "bytes", "413";
}

impl Limits {
    /// How a message names the limit that caused it, so that whoever reads it knows what to change: "limit `rooms_max`: 100000
    /// rooms".
    pub fn cite(&self, name: &str) -> String {
        let row = TABLE.iter().find(|row| row.name == name);
        let value = row.map(|row| format!(": {}", row.shown(self))).unwrap_or_default();
        format!("limit `{name}`{value}")
    }

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
        let most = shown_bytes(most as u64);
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
        limits.set("heap_bytes_max", "64MiB").unwrap();
        limits.set("header_bytes_max", "16 KiB").unwrap();
        assert_eq!((limits.heap_bytes_max, limits.header_bytes_max), (64 * MIB, 16 * KIB));
        for (name, text) in
            [("rooms_max", "64MiB"), ("heap_bytes_max", "64MB"), ("heap_bytes_max", "99999999999GiB")]
        {
            assert!(matches!(limits.set(name, text), Err(SettingError::Value { .. })), "{name}={text}");
        }
        let shown = [12, 1536, 64 << 20].map(shown_bytes);
        assert_eq!(shown, ["12 bytes", "1.5 KiB", "64 MiB"]);
        assert_eq!(limits.set("nothing", "1"), Err(SettingError::Unknown("nothing".to_string())));
        for (name, text) in [("room_idle_max", "5"), ("spares_per_worker", "-1"), ("memory_share_max", "nan")]
        {
            assert!(matches!(limits.set(name, text), Err(SettingError::Value { .. })), "{name}={text}");
        }
    }

    #[test]
    fn messages_name_a_limit_with_its_value() {
        let limits = Limits { key_bytes_max: 1500, ..Limits::default() };
        let cited = ["rooms_max", "key_bytes_max", "body_bytes_max", "request_time_max", "memory_share_max"]
            .map(|name| limits.cite(name));
        let expected = [
            "limit `rooms_max`: 100000 rooms",
            "limit `key_bytes_max`: 1.5 KiB",
            "limit `body_bytes_max`: 100 MiB",
            "limit `request_time_max`: 300s",
            "limit `memory_share_max`: 0.8",
        ];
        assert_eq!(cited, expected);
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
