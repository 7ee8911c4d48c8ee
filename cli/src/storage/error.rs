//! Why `partyrun storage` shows or copies nothing, in words that say what to do next.

use partyrun_config::ConfigError;
use partyrun_store::StoreError;

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("Storage is not kept (`persist` is false): name a folder with `--persist PATH`.")]
    NotKept,
    #[error("There is no storage in {path}. Name its folder with `--persist PATH`.")]
    Nothing { path: String },
    #[error("The storage in {path} cannot be read: {error}")]
    Store { path: String, error: StoreError },
    #[error("The room {room} has stored nothing. `partyrun storage list` shows the rooms that have.")]
    NoRoom { room: String },
    #[error("{room} has no value under {key:?}.")]
    NoValue { room: String, key: String },
    #[error("The values of {room} cannot be read: {what}")]
    Values { room: String, what: String },
    #[error(
        "This command reads the database of this machine, without `--to`. For rooms of a server: `partyrun rooms --to URL`, \
             and `partyrun room ROOM --export FILE`."
    )]
    Here,
    #[error("{0}")]
    Client(#[from] crate::admin::client::ClientError),
    #[error("{text} is no JSON ({error}). A text is written in quotes: '\"text\"'.")]
    NoJson { text: String, error: serde_json::Error },
    #[error("Line {number} of the file: {what}. Nothing after it was imported.")]
    Line { number: usize, what: String },
    #[error("{0}")]
    Backup(#[from] crate::backup::CommandError),
    #[error("{what}: {error}")]
    Machine { what: &'static str, error: std::io::Error },
}

/// What the machine refused, as an error of the command.
pub(super) fn machine(what: &'static str) -> impl FnOnce(std::io::Error) -> StorageError {
    move |error| StorageError::Machine { what, error }
}
