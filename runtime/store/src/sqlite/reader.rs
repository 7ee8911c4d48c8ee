//! A worker's read connection: prepared, cached statements over what is committed.
//!
//! Each call is one statement that ends before it returns, so no read ever holds back a checkpoint for long. A damaged
//! page is the error of the room that needs it.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use crate::StoreError;
use crate::checksum::checksum;
use crate::store::{KeyRange, Reader, RoomHandle, StoredAlarm, StoredRoom, Visit};

const LOAD: &str =
    "SELECT room, alarm_at_ms, alarm_attempt, alarm_running FROM rooms WHERE party = ?1 AND id = ?2";
const GET: &str = "SELECT value, checksum FROM entries WHERE room = ?1 AND key = ?2";
const LIST: &str =
    "SELECT key, value, checksum FROM entries WHERE room = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
const LIST_REVERSE: &str =
    "SELECT key, value, checksum FROM entries WHERE room = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC";

/// Lies after every key, because UTF-8 has no byte 0xFF.
const AFTER_ALL_KEYS: &[u8] = &[0xFF];

pub(super) struct SqliteReader {
    connection: Connection,
}

impl SqliteReader {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

impl Reader for SqliteReader {
    fn load(&self, room: &RoomHandle) -> Result<Option<StoredRoom>, StoreError> {
        let mut load = self.connection.prepare_cached(LOAD)?;
        let found = load.query_row(params![room.key().party(), room.key().id()], |row| {
            let at_ms: Option<i64> = row.get(1)?;
            let (attempt, running) = (row.get(2)?, row.get(3)?);
            let alarm = at_ms.map(|at_ms| StoredAlarm { at_ms, attempt, running });
            Ok((row.get(0)?, StoredRoom { alarm }))
        });
        Ok(found.optional()?.map(|(row, stored)| {
            room.set_row(row);
            stored
        }))
    }

    fn get(&self, room: &RoomHandle, key: &str) -> Result<Option<Bytes>, StoreError> {
        let mut get = self.connection.prepare_cached(GET)?;
        let value = get.query_row(params![room.row(), key.as_bytes()], |row| {
            Ok(checked(room, key.as_bytes(), row.get_ref(0)?, row.get_ref(1)?).map(Bytes::copy_from_slice))
        });
        match value.optional()? {
            Some(None) => Err(StoreError::Altered { room: room.key().to_string(), key: key.to_owned() }),
            found => Ok(found.flatten()),
        }
    }

    fn list(
        &self,
        room: &RoomHandle,
        range: &KeyRange,
        reverse: bool,
        each: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut list = self.connection.prepare_cached(if reverse { LIST_REVERSE } else { LIST })?;
        let end = range.end.as_deref().unwrap_or(AFTER_ALL_KEYS);
        let mut rows = list.query(params![room.row(), range.start, end])?;
        while let Some(row) = rows.next()? {
            let Ok(key) = row.get_ref(0)?.as_blob() else {
                return Err(StoreError::Corrupt("a key is not a blob".into()));
            };
            if each(key, checked(room, key, row.get_ref(1)?, row.get_ref(2)?)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The bytes of a value that is as it was written.
fn checked<'a>(room: &RoomHandle, key: &[u8], value: ValueRef<'a>, sum: ValueRef<'_>) -> Option<&'a [u8]> {
    let value = value.as_blob().ok()?;
    (sum.as_i64().ok()? == checksum(room.key(), key, value)).then_some(value)
}
