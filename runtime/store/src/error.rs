//! The errors of storage: [`StoreError`] for the machine (disk, database), [`StorageError`] for what a room's code sees.
//!
//! The texts of [`StorageError`] are those of the original (spec 3.3 and 3.5) because programs compare them. Each
//! variant knows the JavaScript class that it becomes. A [`StoreError`] can be cloned: one failed transaction answers
//! the batches of many rooms.

use partyrun_limits::Limits;

/// What went wrong below the rooms: with the disk, the database or the folder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data folder open.
    #[error(
        "the data folder `{dir}` is in use by process {pid}; stop it or choose another folder with `--persist`"
    )]
    Locked {
        /// The folder.
        dir: String,
        /// The process that holds it, `unknown` if it did not say.
        pid: String,
    },
    /// The database was written by a later version.
    #[error(
        "`{path}` has schema version {found}, this version of partyrun knows up to {known}; use a newer partyrun"
    )]
    NewerSchema {
        /// The database file.
        path: String,
        /// The schema version of the file.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
    /// The database was written by an earlier version, and is only looked at.
    #[error(
        "`{path}` has schema version {found}, and this version of partyrun reads {known}; \
         serve the project once with this version, which brings it up to date"
    )]
    OlderSchema {
        /// The database file.
        path: String,
        /// Its schema version.
        found: i64,
        /// The version that is read here.
        known: i64,
    },
    /// The database, or the part of it that was needed, cannot be read.
    #[error("the storage database is damaged: {0}")]
    Corrupt(String),
    /// A value is not the one that was written: the disk, or another program, has altered it.
    #[error("The value of {key:?} cannot be read: it was altered on disk (room {room}).")]
    Altered {
        /// Party and id.
        room: String,
        /// The key.
        key: String,
    },
    /// The disk is full. Nothing of the batch was written.
    #[error("the disk is full ({0}): make room where the storage is kept")]
    Full(String),
    /// The disk or the file system refused.
    #[error("storage input/output failed: {0}")]
    Io(String),
    /// A file of the database was removed or replaced while it was open.
    #[error(
        "`{path}` was {} while the server runs, and what is written now would be lost with its end: \
         put the file back, or start the server again",
        if *replaced { "replaced" } else { "removed" }
    )]
    Gone {
        /// The file.
        path: String,
        /// Whether there is another file in its place.
        replaced: bool,
    },
    /// An earlier batch of the same room was not committed, so this one must not be either.
    #[error("an earlier write of this room failed")]
    EarlierFailed,
    /// The store was closed, because the process is stopping.
    #[error("the store is closed")]
    Closed,
    /// Anything else that SQLite reported.
    #[error("storage failed: {0}")]
    Other(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull => Self::Full(error.to_string()),
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(text),
            Some(ErrorCode::DiskFull) => Self::Full(text),
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => Self::Io(text),
            _ => Self::Other(text),
        }
    }
}

/// The JavaScript class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsErrorClass {
    /// `Error`.
    Error,
    /// `TypeError`.
    TypeError,
    /// `RangeError`.
    RangeError,
}

/// What a storage call of a room may fail with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// A key is too long (spec 3.3).
    #[error("Keys cannot be larger than {max} bytes. A key of size {size} was provided.")]
    KeyTooLarge {
        /// The limit.
        max: usize,
        /// The key's length as UTF-8.
        size: usize,
    },
    /// A value is too long (spec 3.3).
    #[error("Values cannot be larger than {max} bytes. A value of size {size} was provided.")]
    ValueTooLarge {
        /// The limit.
        max: usize,
        /// The length of the serialized value.
        size: usize,
    },
    /// Too many keys in one call (spec 3.3).
    #[error("Maximum number of key value pairs is {max}. {count} pairs were provided.")]
    TooManyKeys {
        /// The limit.
        max: usize,
        /// The number of keys given.
        count: usize,
    },
    /// `list({ start, startAfter })` (spec 3.2).
    #[error("list() cannot be called with both start and startAfter values.")]
    ListStartTwice,
    /// `list({ limit: 0 })` (spec 3.2).
    #[error("List limit must be positive.")]
    ListLimit,
    /// `setAlarm(0)` (spec 3.5).
    #[error("setAlarm() cannot be called with an alarm time <= 0")]
    AlarmNotPositive,
    /// `setAlarm(NaN)` (spec 3.5).
    #[error("The value cannot be converted because it is not a valid Date.")]
    AlarmNotADate,
    /// A transaction that was rolled back is used again (spec 3.5).
    #[error("Cannot {method}() on rolled back transaction")]
    TransactionRolledBack {
        /// The method that was called.
        method: &'static str,
    },
    /// A transaction that was committed is used again (spec 3.5).
    #[error(
        "Cannot call {method}() on transaction that has already committed: did you move `txn` outside of the closure?"
    )]
    TransactionCommitted {
        /// The method that was called.
        method: &'static str,
    },
    /// `txn.deleteAll()` (spec 3.5).
    #[error("Cannot call deleteAll() within a transaction")]
    DeleteAllInTransaction,
    /// A transaction was ended that is not the innermost open one.
    #[error("Cannot end a transaction while a transaction inside it is open.")]
    TransactionNotInnermost,
    /// The room writes faster than the disk takes it; the room is reset.
    #[error("it has more than {} MiB of writes that are not on disk yet: await them (limit `unawaited_bytes_max`)", max >> 20)]
    TooMuchUndurable {
        /// The limit.
        max: usize,
    },
    /// The store below failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl StorageError {
    /// The JavaScript class that the error becomes.
    pub fn js_class(&self) -> JsErrorClass {
        match self {
            Self::KeyTooLarge { .. } | Self::ValueTooLarge { .. } | Self::TooManyKeys { .. } => {
                JsErrorClass::RangeError
            }
            Self::ListStartTwice | Self::ListLimit | Self::AlarmNotPositive | Self::AlarmNotADate => {
                JsErrorClass::TypeError
            }
            _ => JsErrorClass::Error,
        }
    }

    /// Whether the room cannot go on: what it believes to have written will never be on disk.
    pub fn resets_room(&self) -> bool {
        matches!(
            self,
            Self::TooMuchUndurable { .. } | Self::Store(StoreError::EarlierFailed | StoreError::Closed)
        )
    }
}

pub(crate) fn check_key(limits: &Limits, key: &str) -> Result<(), StorageError> {
    let max = limits.key_bytes_max;
    if key.len() > max { Err(StorageError::KeyTooLarge { max, size: key.len() }) } else { Ok(()) }
}

pub(crate) fn check_value(limits: &Limits, value: &[u8]) -> Result<(), StorageError> {
    /// What a serialized byte array or string of exactly the limit needs on top (spec 3.3).
    const VALUE_ENVELOPE_BYTES: usize = 34;
    let max = limits.value_bytes_max;
    if value.len() > max + VALUE_ENVELOPE_BYTES {
        Err(StorageError::ValueTooLarge { max, size: value.len() })
    } else {
        Ok(())
    }
}

pub(crate) fn check_count(limits: &Limits, count: usize) -> Result<(), StorageError> {
    let max = limits.keys_per_call_max;
    if count > max { Err(StorageError::TooManyKeys { max, count }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_speak_as_the_original_does() {
        let limits = Limits::default();
        assert!(check_key(&limits, &"x".repeat(2048)).is_ok());
        let error = check_key(&limits, &"é".repeat(1025)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Keys cannot be larger than 2048 bytes. A key of size 2050 was provided."
        );
        assert_eq!(error.js_class(), JsErrorClass::RangeError);
        assert!(check_value(&limits, &[0; 131_072 + 34]).is_ok());
        let error = check_value(&limits, &[0; 131_072 + 35]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Values cannot be larger than 131072 bytes. A value of size 131107 was provided."
        );
        let error = check_count(&limits, 129).unwrap_err();
        assert_eq!(error.to_string(), "Maximum number of key value pairs is 128. 129 pairs were provided.");
        assert_eq!(StorageError::ListLimit.js_class(), JsErrorClass::TypeError);
    }
}
