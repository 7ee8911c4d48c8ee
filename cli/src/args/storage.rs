//! `partyrun storage` as it is typed: its commands, their arguments, and examples of them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "Examples:
  partyrun storage list                       the rooms, with how much each has stored
  partyrun storage list lobby                 the keys of a room, with their values
  partyrun storage get game/7 score           one value
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
    /// Print all values, or those of one room, as JSON: one object a line.
    Export {
        /// The room, `PARTY/ROOM` or a room of the party `main`.
        #[arg(value_name = "[PARTY/]ROOM")]
        room: Option<String>,
    },
    /// The same as `partyrun backup`.
    #[command(hide = true)]
    Backup {
        /// The folder; it is created if it does not exist, and must have no copy yet.
        folder: PathBuf,
    },
}
