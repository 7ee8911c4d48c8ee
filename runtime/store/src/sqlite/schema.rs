//! The database's tables and how older databases become newer ones.
//!
//! `user_version` counts the migrations that a database has seen. Each runs in a transaction of its own with the new
//! number; a database with a larger number than there are migrations belongs to a later version and is not touched.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use crate::checksum::checksum;
use crate::{RoomKey, StoreError};

/// "prty" in ASCII: says to `file` and to us whose database it is.
const APPLICATION_ID: i64 = 0x7072_7479;

/// Step N takes a database from version N to N + 1. Published steps never change.
const MIGRATIONS: &[Step] =
    &[Step { sql: TABLES, then: None }, Step { sql: CHECKSUMS, then: Some(add_checksums) }];

/// The version of the databases that this program writes.
pub const VERSION: u32 = MIGRATIONS.len() as u32;

/// What a step does beside its SQL.
type After = fn(&Transaction<'_>) -> Result<(), StoreError>;

struct Step {
    sql: &'static str,
    then: Option<After>,
}

/// `entries.key` is the key's UTF-8 as a blob, so that the table's order is byte order (spec 3.2). WITHOUT ROWID keeps
/// a room's entries side by side and makes a put one B-tree insertion.
const TABLES: &str = "
    CREATE TABLE rooms (
        room INTEGER PRIMARY KEY,
        party TEXT NOT NULL,
        id TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        alarm_at_ms INTEGER,
        alarm_attempt INTEGER NOT NULL DEFAULT 0,
        alarm_running INTEGER NOT NULL DEFAULT 0,
        UNIQUE (party, id)
    ) STRICT;
    CREATE INDEX rooms_alarm ON rooms (alarm_at_ms) WHERE alarm_at_ms IS NOT NULL;
    CREATE INDEX rooms_alarm_running ON rooms (alarm_running) WHERE alarm_running = 1;
    CREATE TABLE entries (
        room INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (room, key)
    ) STRICT, WITHOUT ROWID;
";

/// [`checksum`] of each entry.
const CHECKSUMS: &str = "ALTER TABLE entries ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0";

/// Entries that are read at once.
const ENTRIES_AT_ONCE: u32 = 256;

/// What is in the database now counts as right. A damaged page is the matter of its room, here as later.
fn add_checksums(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let mut rooms = transaction.prepare("SELECT room, party, id FROM rooms")?;
    let rooms = rooms.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, RoomKey::new(row.get::<_, String>(1)?, row.get::<_, String>(2)?)))
    })?;
    for room in rooms {
        let (row, room) = room?;
        match add_checksums_of(transaction, row, &room) {
            Ok(()) | Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn add_checksums_of(transaction: &Transaction<'_>, row: i64, room: &RoomKey) -> Result<(), StoreError> {
    let mut entries = transaction.prepare_cached(
        "SELECT key, value FROM entries WHERE room = ?1 AND key >= ?2 ORDER BY key LIMIT ?3",
    )?;
    let mut set =
        transaction.prepare_cached("UPDATE entries SET checksum = ?3 WHERE room = ?1 AND key = ?2")?;
    let mut from = Vec::new();
    loop {
        let sums = entries.query_map(params![row, from, ENTRIES_AT_ONCE], |entry| {
            let key: Vec<u8> = entry.get(0)?;
            let sum = checksum(room, &key, entry.get_ref(1)?.as_blob()?);
            Ok((key, sum))
        })?;
        let sums = sums.collect::<Result<Vec<_>, _>>()?;
        for (key, sum) in &sums {
            set.execute(params![row, key, sum])?;
        }
        if sums.len() < ENTRIES_AT_ONCE as usize {
            return Ok(());
        }
        if let Some((key, _)) = sums.into_iter().last() {
            from = key;
            // Nothing lies between a key and the same with a zero behind it.
            from.push(0);
        }
    }
}

/// Whether a database that is only read has the current schema.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let (found, known) = (version(connection, path)?, MIGRATIONS.len() as i64);
    if found < known {
        let path = path.display().to_string();
        return Err(StoreError::OlderSchema { path, found, known });
    }
    Ok(())
}

/// The version of the schema that a database has; an error if it is later than this program.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if found > known || found < 0 {
        let path = path.display().to_string();
        return Err(StoreError::NewerSchema { path, found, known });
    }
    Ok(found)
}

/// Brings a database to the current schema.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let (version, known) = (version(connection, path)?, MIGRATIONS.len() as i64);
    for (number, step) in (0..known).zip(MIGRATIONS).skip_while(|(number, _)| *number < version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step.sql)?;
        if let Some(then) = step.then {
            then(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
