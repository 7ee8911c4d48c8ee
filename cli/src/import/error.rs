//! Why an import ends with an error, and the message for each reason.

use partyrun_config::ConfigError;
use partyrun_store::StoreError;

/// Why nothing, or not everything, was imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error(
        "{path} has no data of `partykit dev`. Name the right folder: `partyrun import PATH/.partykit/state`."
    )]
    NoData { path: String },
    #[error("{path} cannot be read: {what}")]
    Read { path: String, what: String },
    #[error("The storage in {path} cannot be opened: {error}")]
    Store { path: String, error: StoreError },
    #[error("The room {room} could not be stored: {what}")]
    Write { room: String, what: String },
    #[error("Storage is not kept (`persist` is false): name a folder with `--persist PATH`.")]
    NotKept,
    #[error("The working folder cannot be found: {0}")]
    NoFolder(std::io::Error),
}
