//! `partyrun storage` as it is typed: its commands, their arguments, and examples of them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "Examples:
  partyrun storage list                       the rooms, with how much each has stored
  partyrun storage list lobby                 the keys of a room, with their values
  partyrun storage get game/7 score           one value
  partyrun storage put game/7 score 12        write a value; a server must run
  partyrun storage import values.jsonl        such lines, where no server runs
  partyrun storage export > values.jsonl      all values as JSON, one a line";

#[derive(Debug, Args)]
pub(crate) struct StorageArgs {
    #[command(subcommand)]
    pub(crate) command: StorageCommand,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where storage is kept [default: .partyrun].
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) persist: Option<String>,
    /// Ask this server's administrative API, `http://HOST:PORT` or `unix:PATH` [default: that of this folder, if one runs].
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) to: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl StorageCommand {
    /// Whether a server that runs is asked rather than the database.
    pub(crate) fn asks_server(&self) -> bool {
        self.writes() || matches!(self, Self::List { room: Some(_) } | Self::Get { .. })
    }

    /// Whether only a server can do it.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete { .. })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// List the rooms, or the values of one room.
    List {
        /// The room, `PARTY/ROOM` or a room of the party `main`.
        #[arg(value_name = "[PARTY/]ROOM")]
        room: Option<String>,
    },
    /// Print one value whole.
    Get {
        /// The room, `PARTY/ROOM` or a room of the party `main`.
        #[arg(value_name = "[PARTY/]ROOM")]
        room: String,
        /// The key.
        key: String,
    },
    /// Write one value, in the room's own order; a server must run.
    Put {
        /// The room, `PARTY/ROOM` or a room of the party `main`.
        #[arg(value_name = "[PARTY/]ROOM")]
        room: String,
        /// The key.
        key: String,
        /// The value as JSON, such as `1`, `'"text"'` or `'{ "$date": "2030-01-31T12:00:00Z" }'`.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Delete one value, or all of a room; a server must run.
    Delete {
        /// The room, `PARTY/ROOM` or a room of the party `main`.
        #[arg(value_name = "[PARTY/]ROOM")]
        room: String,
        /// The key.
        #[arg(required_unless_present = "all")]
        key: Option<String>,
        /// Delete all values of the room; its alarm stays.
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
    /// Print all values, or those of one room, as JSON: one object a line.
    Export {
        /// The room, `PARTY/ROOM` or a room of the party `main`.
        #[arg(value_name = "[PARTY/]ROOM")]
        room: Option<String>,
    },
    /// Store what `storage export` has printed, while no server runs. Rooms that have data are left alone.
    Import {
        /// The file with the lines.
        file: PathBuf,
    },
    /// The same as `partyrun backup`.
    #[command(hide = true)]
    Backup {
        /// The folder; it is created if it does not exist, and must have no copy yet.
        folder: PathBuf,
    },
}
