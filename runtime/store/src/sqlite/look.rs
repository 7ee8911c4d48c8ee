//! A look at the database on disk without the folder's lock, whether a server runs or not. It only reads: commits fail, and
//! no alarm is ever due.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::reader::SqliteReader;
use super::survey::SqliteSurvey;
use super::{DATABASE_FILE, SqliteOptions, connect, schema};
use crate::store::{AlarmHook, Batch, CommitCallback, DueAlarm, Reader, Store, Survey};
use crate::{RoomKey, StoreError};

const ROOMS: &str =
    "SELECT party, id, last_seen_ms, alarm_at_ms, count(entries.key), total(length(entries.value))
    FROM rooms LEFT JOIN entries USING (room) GROUP BY room ORDER BY party, id";

/// A room as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomOnDisk {
    /// Its name.
    pub key: RoomKey,
    /// How many keys have a value on disk.
    pub entries: u64,
    /// The length of its values in bytes, as they are serialized.
    pub bytes: u64,
    /// When it was noted last that the room lives; at most a minute old while it does.
    pub last_seen_ms: i64,
    /// When its alarm is due, if it has one.
    pub alarm_at_ms: Option<i64>,
}

/// A database that is only looked at.
pub struct Look {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Look {
    /// Looks into the folder `dir`; `None` where it holds no database.
    pub fn open(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(DATABASE_FILE);
        if !path.try_exists()? {
            return Ok(None);
        }
        let connection = connect(&path, &SqliteOptions::default(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        schema::check(&connection, &path)?;
        Ok(Some(Self { path, connection: Mutex::new(connection) }))
    }

    /// When the earliest alarm is due.
    pub fn next_alarm_ms(&self) -> Result<Option<i64>, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(connection.query_row("SELECT min(alarm_at_ms) FROM rooms", [], |row| row.get(0))?)
    }

    /// All rooms that have ever stored something, by their names.
    pub fn rooms(&self) -> Result<Vec<RoomOnDisk>, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection.prepare(ROOMS)?;
        let rooms = statement.query_map([], |row| {
            // SQLite's sums of lengths are whole numbers far below 2^53.
            let bytes: f64 = row.get(5)?;
            Ok(RoomOnDisk {
                key: RoomKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
                last_seen_ms: row.get(2)?,
                alarm_at_ms: row.get(3)?,
                entries: row.get::<_, i64>(4)?.unsigned_abs(),
                bytes: bytes as u64,
            })
        })?;
        Ok(rooms.collect::<Result<Vec<_>, _>>()?)
    }
}

impl Store for Look {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        let connection = connect(&self.path, &SqliteOptions::default(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Box::new(SqliteReader::new(connection)))
    }

    fn commit(&self, _batch: Batch, done: CommitCallback) {
        done(Err(StoreError::Closed));
    }

    fn next_alarm(&self) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    fn alarms_due(&self, _now_ms: i64, _limit: usize) -> Result<Vec<DueAlarm>, StoreError> {
        Ok(Vec::new())
    }

    fn release_alarm(&self, _room: &RoomKey, _retry_at_ms: i64) {}

    fn on_earlier_alarm(&self, _hook: AlarmHook) {}

    fn survey(&self) -> Result<Box<dyn Survey>, StoreError> {
        let connection = connect(&self.path, &SqliteOptions::default(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Box::new(SqliteSurvey::new(connection)))
    }

    fn probe(&self, done: CommitCallback) {
        done(Err(StoreError::Closed));
    }

    fn close(&self) {}
}
