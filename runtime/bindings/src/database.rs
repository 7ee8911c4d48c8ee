//! The database of the bindings: its file, its tables, its version.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::BindingError;

const FILE: &str = "bindings.sqlite";
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
            Connection::open(folder.join(FILE))?
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
        newer => {
            return Err(BindingError::refused(format!(
                "`{FILE}` has schema version {newer}, this version of partyrun knows up to {VERSION}; use a newer partyrun"
            )));
        }
    }
    Ok(connection)
}

/// Writes a copy of the database in `folder`, as it is now, into the folder `to`, which exists and has none yet. Answers its
/// path, or `None` where there is no database.
pub(crate) fn back_up(folder: &Path, to: &Path) -> Result<Option<PathBuf>, BindingError> {
    let (source, target) = (folder.join(FILE), to.join(FILE));
    if !source.exists() {
        return Ok(None);
    }
    let connection = Connection::open_with_flags(&source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    partyrun_sqlite::copy(&connection, &target)?;
    Ok(Some(target))
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
