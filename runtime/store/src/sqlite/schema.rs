//! The database's tables and how older databases become newer ones.
//!
//! `user_version` counts the migrations that a database has seen. Each runs in a transaction of its own with the new
//! number; a database with a larger number than there are migrations belongs to a later version and is not touched.

use std::path::Path;

use rusqlite::Connection;

use crate::StoreError;

/// "prty" in ASCII: says to `file` and to us whose database it is.
const APPLICATION_ID: i64 = 0x7072_7479;

/// Step N takes a database from version N to N + 1. Published steps never change.
///
/// `entries.key` is the key's UTF-8 as a blob, so that the table's order is byte order (spec 3.2). WITHOUT ROWID keeps
/// a room's entries side by side and makes a put one B-tree insertion.
const MIGRATIONS: &[&str] = &["
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
"];

/// Brings a database to the current schema.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if version > known || version < 0 {
        let path = path.display().to_string();
        return Err(StoreError::NewerSchema { path, found: version, known });
    }
    for (step, sql) in (0..known).zip(MIGRATIONS).skip_while(|(step, _)| *step < version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", step + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
