//! Whether a database that nobody writes to is whole: SQLite's own check, the schema's version, and the checksum of each value.

use std::path::Path;

use rusqlite::OpenFlags;

use super::{SqliteOptions, connect, schema};
use crate::checksum::checksum;
use crate::{RoomKey, StoreError};

/// The version of the schema since which values have checksums.
const WITH_CHECKSUMS: i64 = 2;

const ROOMS: &str = "SELECT count(*) FROM rooms";
const COUNT: &str = "SELECT count(*) FROM entries";
const ENTRIES: &str = "SELECT party, id, key, value, checksum FROM entries LEFT JOIN rooms USING (room)";

/// What is in a database that is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Rooms that have ever stored something.
    pub rooms: u64,
    /// Stored values.
    pub values: u64,
    /// Values that are not those that were written.
    pub altered: u64,
    /// The first of these: party, room and key.
    pub examples: Vec<String>,
}

/// Reads the database at `path` whole. Older schemas count as whole, because a server brings them up to date; values that were
/// altered are counted, and the first few named.
pub fn verify(path: &Path, examples_max: usize) -> Result<Whole, StoreError> {
    let connection = connect(path, &SqliteOptions::default(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let version = schema::version(&connection, path)?;
    if version == 0 {
        return Err(StoreError::Corrupt("it was not written by partyrun".into()));
    }
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Corrupt(found));
    }
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let mut whole = Whole { rooms: count(ROOMS)?, ..Whole::default() };
    if version < WITH_CHECKSUMS {
        whole.values = count(COUNT)?;
        return Ok(whole);
    }
    let mut statement = connection.prepare(ENTRIES)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        whole.values += 1;
        let (party, id): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
        let room = RoomKey::new(party.unwrap_or_default(), id.unwrap_or_default());
        let (key, value, sum) = (row.get_ref(2)?, row.get_ref(3)?, row.get_ref(4)?);
        let key = key.as_blob().unwrap_or_default();
        let is_as_written = match (value.as_blob(), sum.as_i64()) {
            (Ok(value), Ok(sum)) => checksum(&room, key, value) == sum,
            _ => false,
        };
        if !is_as_written {
            whole.altered += 1;
            if whole.examples.len() < examples_max {
                whole.examples.push(format!("{room} {:?}", String::from_utf8_lossy(key)));
            }
        }
    }
    Ok(whole)
}
