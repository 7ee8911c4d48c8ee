//! Every limit of partyrun, once: its name, unit, default, and what happens beyond it.
//!
//! [`Limits`] is the value that the rest of the runtime is given; [`TABLE`] is the same list as prose, from which
//! the documentation's table is printed (`docs/limits.md`). A limit that is not in this file does not exist: code that
//! needs a bound adds a field here first. Starting values: design, section 7; facts of the original: spec 2.7 and 3.3.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $unit:literal, $beyond:literal;)+) => {
        /// The limits in force. `Limits::default()` is what `partyrun dev` starts from.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
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

limits! {
    /// Length of one incoming WebSocket message, all fragments together.
    message_in_bytes_max: usize = MIB, "bytes", "the socket is closed with 1009";
    /// Ceiling to which the incoming message length may be set.
    message_in_bytes_ceiling: usize = 32 * MIB, "bytes", "the setting is refused";
    /// Length of one outgoing WebSocket message.
    message_out_bytes_max: usize = 32 * MIB, "bytes", "`send` throws a RangeError";
    /// Fragments of one incoming message.
    message_fragments_max: usize = 1024, "frames", "the socket is closed with 1008";
    /// Ping and pong frames that one socket may send in a second.
    control_frames_per_second_max: u32 = 1000, "frames", "the socket is closed with 1008";
    /// Bytes queued for one socket whose peer does not read.
    send_queue_bytes_max: usize = 16 * MIB, "bytes", "the socket is closed with 1013";
    /// Length of a request head: request line and headers.
    header_bytes_max: usize = 64 * KIB, "bytes", "431";
    /// Number of header fields in a request.
    header_count_max: usize = 100, "fields", "431";
    /// Length of a request body.
    body_bytes_max: usize = 100 * MIB, "bytes", "413";
    /// Length up to which a request body with a known length is read before the room is called.
    body_eager_bytes_max: usize = 64 * KIB, "bytes", "the body is streamed";
    /// Time in which a request head must arrive.
    header_time_max: Duration = Duration::from_secs(10), "time", "the connection is closed";
    /// Time without a byte of a request body.
    body_idle_max: Duration = Duration::from_secs(30), "time", "408";
    /// Time in which a room must answer a request.
    request_time_max: Duration = Duration::from_secs(300), "time", "504";
    /// Idle time after which a kept-alive HTTP connection is closed.
    keep_alive_idle_max: Duration = Duration::from_secs(75), "time", "the connection is closed";
    /// Time without any frame after which the server pings a socket.
    socket_ping_after: Duration = Duration::from_secs(30), "time", "a ping is sent";
    /// Time after that ping without any frame.
    socket_pong_max: Duration = Duration::from_secs(30), "time", "the socket is dropped, `onClose` runs";
    /// Time in which the peer must answer a close frame.
    socket_close_max: Duration = Duration::from_secs(5), "time", "the socket is dropped";
    /// Length of a room id as it stands in the URL.
    room_id_bytes_max: usize = 2 * KIB, "bytes", "414";
    /// WebSocket connections in one room.
    connections_per_room_max: usize = 32_000, "sockets", "503";
    /// Connections (HTTP and WebSocket) of the process.
    connections_max: usize = 100_000, "sockets", "503";
    /// Events waiting for one room.
    inbox_events_max: usize = 10_000, "events", "requests: 503; sockets: no more is read from them";
    /// Length of a storage key as UTF-8.
    key_bytes_max: usize = 2048, "bytes", "RangeError";
    /// Length of a storage value in its serialized form, without the 34 bytes that the original grants on top.
    value_bytes_max: usize = 128 * KIB, "bytes", "RangeError";
    /// Ceiling to which the value length may be set.
    value_bytes_ceiling: usize = 2 * MIB, "bytes", "the setting is refused";
    /// Keys in one storage call.
    keys_per_call_max: usize = 128, "keys", "RangeError";
    /// Bytes of written values that one room keeps in memory until they are durable.
    undurable_bytes_max: usize = 32 * MIB, "bytes", "the room is reset";
    /// Bytes of read values that one room keeps in memory.
    storage_cache_bytes_max: usize = MIB, "bytes", "the oldest are forgotten";
    /// Length of a connection's state in a hibernating room, serialized.
    attachment_bytes_max: usize = 2048, "bytes", "`setState` throws";
    /// Tags of a connection, its id included.
    tags_max: usize = 10, "tags", "the socket is closed with 1011";
    /// Length of a tag.
    tag_chars_max: usize = 256, "characters", "the socket is closed with 1011";
    /// CPU time of one turn: from entering the isolate until its microtasks are drained.
    turn_cpu_max: Duration = Duration::from_secs(10), "time", "the room is reset";
    /// JavaScript heap of one room.
    heap_bytes_max: usize = 128 * MIB, "bytes", "the room is reset";
    /// Memory of one room outside the heap: array buffers, wasm memories.
    external_bytes_max: usize = 128 * MIB, "bytes", "RangeError, then the room is reset";
    /// Timers waiting in one room.
    timers_max: usize = 10_000, "timers", "`setTimeout` throws a RangeError";
    /// Share of the machine's memory beyond which no new room starts.
    memory_share_max: f64 = 0.8, "share", "503 for new rooms";
    /// Live rooms of the process.
    rooms_max: usize = 100_000, "rooms", "503 for new rooms";
    /// Prepared isolates that a worker keeps.
    spares_per_worker: usize = 2, "isolates", "none more is made";
    /// Idle time after which a room leaves memory.
    room_idle_max: Duration = Duration::from_secs(10), "time", "the room is evicted or hibernated";
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
    /// Bytes of static files, plain and compressed, that are kept in memory.
    asset_cache_bytes_max: usize = 64 * MIB, "bytes", "the least used are forgotten";
    /// Length of a static file that is kept in memory.
    asset_cached_bytes_max: usize = 64 * KIB, "bytes", "the file is read from the disk each time";
    /// Length of a static file that is compressed while a request waits.
    asset_compressed_bytes_max: usize = 4 * MIB, "bytes", "the file is sent uncompressed";
}

impl Limits {
    /// What `partyrun start` begins with: as in development, but one second of CPU a turn.
    pub fn production() -> Self {
        Self { turn_cpu_max: Duration::from_secs(1), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
