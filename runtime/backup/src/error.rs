//! Why there is no backup, or why one cannot be put back.

use std::path::Path;

use partyrun_bindings::BindingError;
use partyrun_store::StoreError;

/// What went wrong. Each message says what and where; none needs words before it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data folder has no database.
    #[error("There is no storage in {path}. Name its folder with `--persist PATH`.")]
    NoStorage {
        /// The data folder.
        path: String,
    },
    /// The folder of a backup has one already.
    #[error("{path} exists already: name a folder that has no backup.")]
    Exists {
        /// What is there.
        path: String,
    },
    /// Another backup is being written into the same folder.
    #[error("Another backup is being written into {path}. Wait until it is done, or name another folder.")]
    Busy {
        /// The folder.
        path: String,
    },
    /// The folder that backups are kept in is not there any more.
    #[error("{path} is not there any more: is its disk mounted?")]
    Gone {
        /// The folder.
        path: String,
    },
    /// The disk of the backup has no space left.
    #[error("{path} cannot be written: the disk is full.")]
    Full {
        /// What was being written.
        path: String,
    },
    /// The address of a bucket, or what the environment says of it, cannot be used.
    #[error("{address} cannot be used: {what}.")]
    Address {
        /// The address.
        address: String,
        /// What is wrong.
        what: String,
    },
    /// The server of a bucket is away, refuses, or answers strangely.
    #[error("{address}: {what}.")]
    Bucket {
        /// What it is about.
        address: String,
        /// What happened.
        what: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{path}: {what}")]
    File {
        /// What it is about.
        path: String,
        /// What the system says.
        what: String,
    },
    /// What should be a backup is none, or is not whole.
    #[error("{path} is no backup that can be restored: {what}.")]
    Unfit {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// Values are not those that were written.
    #[error(
        "{} in this backup not what was written, among them {}. `--with-altered` restores it all the same: then these \
         cannot be read, and all others can.",
        if *count == 1 { "1 value is".to_owned() } else { format!("{count} values are") },
        examples.join(", ")
    )]
    Altered {
        /// How many.
        count: u64,
        /// The first of them, as party, room and key.
        examples: Vec<String>,
    },
    /// A server uses the data folder.
    #[error(
        "{path} is in use by process {pid}. Stop the server first: `partyrun restore` replaces its files."
    )]
    InUse {
        /// The data folder.
        path: String,
        /// The process, as far as it is known.
        pid: String,
    },
    /// The data folder has data.
    #[error(
        "{path} has data already. `--replace` moves it aside, into a folder `before-restore-...` beside the \
         restored files."
    )]
    NotEmpty {
        /// The data folder.
        path: String,
    },
    /// The bindings were written to again and again while a common moment was looked for.
    #[error(
        "The databases could not be read at one moment, because the bindings are written to without a pause. Try again."
    )]
    NoMoment,
    /// The database cannot be read.
    #[error("{path} cannot be read: {what}")]
    Database {
        /// The database.
        path: String,
        /// What SQLite says.
        what: String,
    },
    /// It was asked to end.
    #[error("The backup was stopped before it was whole.")]
    Stopped,
}

impl BackupError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::File { path, what: error.to_string() },
        }
    }

    pub(crate) fn database(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.display().to_string();
        move |error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full { path },
            _ => Self::Database { path, what: error.to_string() },
        }
    }

    pub(crate) fn unfit(path: &str, what: impl Into<String>) -> Self {
        Self::Unfit { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn of_store(path: &Path, error: StoreError) -> Self {
        match error {
            StoreError::Locked { dir, pid } => Self::InUse { path: dir, pid },
            error => Self::unfit(&path.display().to_string(), error.to_string()),
        }
    }

    pub(crate) fn of_bindings(path: &Path, error: BindingError) -> Self {
        Self::unfit(&path.display().to_string(), error.to_string())
    }
}
