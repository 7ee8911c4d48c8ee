//! What the rooms' database and that of the bindings do in the same way: copies of a database that is in use.
//!
//! A copy is one consistent state of the database, durable when the call returns, and never seen half-written under its name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is a file of that name, which is left as it is.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// SQLite takes only names in UTF-8.
    #[error("`{}` cannot be written by SQLite: the name is not UTF-8", .0.display())]
    Name(PathBuf),
    /// The file or its folder cannot be written.
    #[error("`{}`: {error}", .path.display())]
    File {
        /// What could not be written.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The database cannot be read, or its copy not be written.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// Writes what `connection` sees now into the new file `target`. Other connections go on reading and, in WAL mode, writing;
/// this one is busy until the copy is whole. An error leaves no file behind.
pub fn copy(connection: &Connection, target: &Path) -> Result<(), CopyError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error| CopyError::File { path, error }
    };
    if target.try_exists().map_err(failed(target))? {
        return Err(CopyError::Exists(target.to_path_buf()));
    }
    // Two processes may copy to the same place at once: the first to finish has it.
    let draft = target.with_extension(format!("{}.draft", std::process::id()));
    let name = draft.to_str().ok_or_else(|| CopyError::Name(draft.clone()))?;
    let written = connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(CopyError::from)
        // SQLite does not sync such a file.
        .and_then(|_| File::open(&draft).and_then(|file| file.sync_all()).map_err(failed(&draft)))
        .and_then(|()| {
            std::fs::hard_link(&draft, target).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => CopyError::Exists(target.to_path_buf()),
                _ => CopyError::File { path: target.to_path_buf(), error },
            })
        });
    let _gone = std::fs::remove_file(&draft);
    written?;
    // The name itself has to be on disk as well.
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_copy_has_what_was_committed_and_never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (source, copies) = (folder.path().join("source"), folder.path().join("copies"));
        std::fs::create_dir(&copies).unwrap();
        let writer = Connection::open(&source).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer
            .execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)")
            .unwrap();
        let reader = Connection::open(&source).unwrap();
        let target = copies.join("copy.sqlite");
        copy(&reader, &target).unwrap();
        writer.execute_batch("COMMIT").unwrap();
        let sum = |path: &Path| -> i64 {
            Connection::open(path).unwrap().query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).unwrap()
        };
        assert_eq!((sum(&source), sum(&target)), (3, 1));

        let refused = copy(&reader, &target).unwrap_err().to_string();
        assert_eq!(refused, format!("`{}` exists already", target.display()));
        assert_eq!(sum(&target), 1);
        assert_eq!(names(&copies), ["copy.sqlite"]);
    }

    #[test]
    fn a_copy_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open_in_memory().unwrap();
        let missing = folder.path().join("none").join("copy.sqlite");
        assert!(matches!(copy(&connection, &missing), Err(CopyError::Database(_))));
        let damaged = folder.path().join("damaged");
        std::fs::write(&damaged, [b'x'; 4096]).unwrap();
        let damaged = Connection::open(&damaged).unwrap();
        copy(&damaged, &folder.path().join("copy.sqlite")).unwrap_err();
        assert_eq!(names(folder.path()), ["damaged"]);
    }
}
