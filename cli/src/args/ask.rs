//! The commands that ask a running server, as they are typed: `rooms`, `room`, `logs`, `crons`, `top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub(super) const ROOMS_EXAMPLES: &str = "Examples:
  partyrun rooms                              rooms of the server of this folder
  partyrun rooms game- --sort memory          rooms whose ids begin with `game-`, the largest first
  partyrun rooms --to http://10.0.0.5:1998    another server; its token is PARTYRUN_ADMIN_TOKEN";

pub(super) const ROOM_EXAMPLES: &str = "Examples:
  partyrun room lobby                         everything that is known of a room; it is not woken
  partyrun room game/7 --send '{\"type\":\"maintenance\"}'
  partyrun room lobby --close 5f2c            close a connection
  partyrun room lobby --export lobby.room     what it has stored, as a file
  partyrun room copy --import lobby.room      all of the file or nothing";

pub(super) const LOGS_EXAMPLES: &str = "Examples:
  partyrun logs                               follow the log of the server of this folder
  partyrun logs --room lobby --level warn
  partyrun logs --type request,close --json";

/// Whom to ask.
#[derive(Debug, Default, Args)]
pub(crate) struct ToArgs {
    /// The server's administrative API, `http://HOST:PORT` or `unix:PATH` [default: that of the server of this folder].
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Where storage is kept, to find the server of this folder [default: .partyrun].
    #[arg(long, value_name = "PATH")]
    pub(crate) persist: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RoomsArgs {
    /// Rooms whose ids begin so.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Rooms of this party only.
    #[arg(long)]
    pub(crate) party: Option<String>,
    /// Rooms in this state.
    #[arg(long, value_enum, default_value_t = RoomState::All)]
    pub(crate) state: RoomState,
    /// Which come first.
    #[arg(long, value_enum, default_value_t = RoomSort::Name)]
    pub(crate) sort: RoomSort,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) to: ToArgs,
}

/// The states of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoomState {
    All,
    /// With an isolate.
    Live,
    /// In memory without one.
    Hibernated,
    /// Only in the store.
    Resting,
}

/// What rooms are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoomSort {
    Name,
    Sockets,
    Memory,
    Cpu,
    /// The last event.
    #[value(name = "last_event")]
    LastEvent,
}

#[derive(Debug, Args)]
pub(crate) struct RoomArgs {
    /// The room, `PARTY/ROOM` or a room of the party `main`.
    #[arg(value_name = "[PARTY/]ROOM")]
    pub(crate) room: String,
    #[command(flatten)]
    pub(crate) act: RoomAct,
    #[command(flatten)]
    pub(crate) to: ToArgs,
}

/// What is done to the room, if anything.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct RoomAct {
    /// Send a text to all connections.
    #[arg(long, value_name = "TEXT")]
    pub(crate) send: Option<String>,
    /// Close the connection with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) close: Option<String>,
    /// Take the room out of memory, if nothing is in progress and no socket needs it.
    #[arg(long)]
    pub(crate) hibernate: bool,
    /// Close the room's sockets with 1012, and take it out of memory.
    #[arg(long)]
    pub(crate) evict: bool,
    /// End the room's life; its sockets are closed with 1011, and what it has stored stays.
    #[arg(long)]
    pub(crate) reset: bool,
    /// Set the room's alarm to this time, for example 2030-01-31T12:00:00Z, or `none`.
    #[arg(long, value_name = "TIME", value_parser = alarm)]
    pub(crate) alarm: Option<Alarm>,
    /// Write all that the room has stored into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// Store a file in the room, in place of what it has.
    #[arg(long, value_name = "FILE")]
    pub(crate) import: Option<PathBuf>,
}

/// When an alarm is due, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm(pub(crate) Option<i64>);

fn alarm(text: &str) -> Result<Alarm, String> {
    if text == "none" {
        return Ok(Alarm(None));
    }
    let time = chrono::DateTime::parse_from_rfc3339(text);
    time.map(|time| Alarm(Some(time.timestamp_millis())))
        .map_err(|_| "write a time such as 2030-01-31T12:00:00Z, or `none`".to_string())
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Lines about rooms of this party only.
    #[arg(long)]
    pub(crate) party: Option<String>,
    /// Lines about rooms of this id only.
    #[arg(long)]
    pub(crate) room: Option<String>,
    /// This level and more urgent ones: debug, log, info, warn, error.
    #[arg(long)]
    pub(crate) level: Option<String>,
    /// These types only, separated by commas: console, warning, request, close, room.
    #[arg(long = "type", value_name = "TYPES")]
    pub(crate) kinds: Option<String>,
    /// So many of the last lines come first.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) tail: usize,
    #[command(flatten)]
    pub(crate) to: ToArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CronsArgs {
    /// Run this cron now, and wait for its end.
    #[arg(long, value_name = "NAME")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) to: ToArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Which rooms come first.
    #[arg(long, value_enum, default_value_t = RoomSort::Cpu)]
    pub(crate) sort: RoomSort,
    /// How often the table is made anew, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) every: Duration,
    #[command(flatten)]
    pub(crate) to: ToArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| *time >= Duration::from_millis(100))
        .ok_or_else(|| "write seconds, at least 0.1".to_string())
}
