//! All databases of a folder as they were at one moment: a read transaction in each.
//!
//! A server commits to them independently, so that the moment is looked for: the bindings are read before and after the
//! rooms' database, and if nothing was committed to them in between, all that is read belongs to the moment when the
//! rooms' transaction began. That takes microseconds, holds nobody up, and needs no right to write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::{BackupError, DATABASES};

/// A reader meets a lock only while a log is recovered.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// So often the common moment is looked for.
const TRIES_MAX: usize = 10_000;

/// A database with an open read transaction.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
}

impl Source {
    fn open(folder: &Path, name: &'static str) -> Result<Option<Self>, BackupError> {
        let path = folder.join(name);
        if !path.try_exists().map_err(BackupError::file(&path))? {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(BackupError::database(&path))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(BackupError::database(&path))?;
        Ok(Some(Self { name, path, connection }))
    }

    // SQLite begins to read with the first statement, not with BEGIN.
    fn begin(&self) -> Result<(), BackupError> {
        self.connection
            .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
            .map_err(BackupError::database(&self.path))
    }

    fn end(&self) -> Result<(), BackupError> {
        self.connection.execute_batch("ROLLBACK").map_err(BackupError::database(&self.path))
    }

    // Changes when somebody else has committed.
    fn version(&self) -> Result<i64, BackupError> {
        self.connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(BackupError::database(&self.path))
    }
}

/// Opens the databases of `folder` at one moment, the rooms' first.
pub(crate) fn open(folder: &Path) -> Result<Vec<Source>, BackupError> {
    let [rooms, bindings] = DATABASES;
    let rooms = Source::open(folder, rooms)?
        .ok_or_else(|| BackupError::NoStorage { path: folder.display().to_string() })?;
    let Some(bindings) = Source::open(folder, bindings)? else {
        rooms.begin()?;
        return Ok(vec![rooms]);
    };
    for _ in 0..TRIES_MAX {
        bindings.begin()?;
        let before = bindings.version()?;
        rooms.begin()?;
        bindings.end()?;
        bindings.begin()?;
        if bindings.version()? == before {
            return Ok(vec![rooms, bindings]);
        }
        bindings.end()?;
        rooms.end()?;
    }
    Err(BackupError::NoMoment)
}
