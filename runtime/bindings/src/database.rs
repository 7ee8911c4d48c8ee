//! The database of the bindings: its file, its tables, its version.

use std::path::Path;

use md5::{Digest, Md5};
use rusqlite::{Connection, OpenFlags};

use crate::BindingError;

/// The file of the database in a data folder.
pub const DATABASE_FILE: &str = "bindings.sqlite";
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE kv (
    namespace TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, metadata TEXT, expires_ms INTEGER,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;
CREATE TABLE object (
    bucket TEXT NOT NULL, key BLOB NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    sha256 TEXT, uploaded_ms INTEGER NOT NULL, http TEXT NOT NULL, custom TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (bucket, key)
);
CREATE TABLE vector_index (name TEXT PRIMARY KEY, dimensions INTEGER NOT NULL, metric TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE vector (
    name TEXT NOT NULL, id TEXT NOT NULL, namespace TEXT, vals BLOB NOT NULL, metadata TEXT,
    PRIMARY KEY (name, id)
);
";

/// Opens the database in `folder`, or one in memory, and makes its tables.
pub(crate) fn open(folder: Option<&Path>) -> Result<Connection, BindingError> {
    let mut connection = match folder {
        None => Connection::open_in_memory()?,
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|error| BindingError::refused(format!("{}: {error}", folder.display())))?;
            Connection::open(folder.join(DATABASE_FILE))?
        }
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        VERSION => {}
        0 => {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
        }
        newer => return Err(newer_schema(newer)),
    }
    Ok(connection)
}

fn newer_schema(found: i64) -> BindingError {
    BindingError::refused(format!(
        "`{DATABASE_FILE}` has schema version {found}, this version of partyrun knows up to {VERSION}; use a newer partyrun"
    ))
}

/// Reads a database that nobody writes to whole: SQLite's own check, the schema's version, and the sum of each object.
pub fn verify(path: &Path) -> Result<(), BindingError> {
    let damaged = |what: String| BindingError::refused(format!("the bindings' database is damaged: {what}"));
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        VERSION => {}
        0 => return Err(damaged("it was not written by partyrun".to_string())),
        newer => return Err(newer_schema(newer)),
    }
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(damaged(found));
    }
    let mut statement = connection.prepare("SELECT bucket, key, etag, body FROM object")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (bucket, key, etag): (String, Vec<u8>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let body = row.get_ref(3)?.as_blob().unwrap_or_default();
        if hex(&Md5::digest(body)) != etag {
            let key = String::from_utf8_lossy(&key);
            return Err(damaged(format!(
                "the object {key:?} of the bucket {bucket} is not what was written"
            )));
        }
    }
    Ok(())
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first key after all that start with `prefix`, in byte order; none if there is no end.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        assert_eq!(end_of_prefix(b"a"), Some(b"b".to_vec()));
        assert_eq!(end_of_prefix(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(end_of_prefix(b""), None);
        assert_eq!(end_of_prefix(b"\xff"), None);
    }

    #[test]
    fn what_was_written_is_found_again_and_a_newer_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        open(Some(folder.path()))
            .unwrap()
            .execute("INSERT INTO vector_index VALUES ('a', 2, 'cosine')", [])
            .unwrap();
        let again = open(Some(folder.path())).unwrap();
        let count: i64 = again.query_row("SELECT count(*) FROM vector_index", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1);
        again.pragma_update(None, "user_version", 9).unwrap();
        drop(again);
        assert!(open(Some(folder.path())).unwrap_err().to_string().contains("use a newer partyrun"));
    }
}
