//! The original's files: `party/-PartyKitDurable/HASH.sqlite` for the rooms of `main`, `party/-NAMEDO/...` for those of
//! the party NAME, each with one table `_cf_KV` of keys and V8's structured clones.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags};

use super::error::ImportError;

/// A key and its value.
pub(crate) type Entry = (String, Bytes);

/// The folder of the party `main`.
const MAIN: &str = "-PartyKitDurable";

/// A room as the original left it.
#[derive(Debug)]
pub(crate) struct OriginalRoom {
    pub(crate) party: String,
    /// What stands for its name.
    pub(crate) hash: String,
    path: PathBuf,
}

/// All rooms below a `state` folder, in a stable order. A folder that is not there has none.
pub(crate) fn rooms(state: &Path) -> Result<Vec<OriginalRoom>, ImportError> {
    let parties = state.join("party");
    let mut rooms = Vec::new();
    for folder in list(&parties)? {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(party) = party_of(&name) else { continue };
        for path in list(&folder)? {
            let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(hash) = file.strip_suffix(".sqlite").filter(|hash| is_hash(hash)) else { continue };
            rooms.push(OriginalRoom { party: party.clone(), hash: hash.to_string(), path });
        }
    }
    rooms.sort_by(|a, b| (&a.party, &a.hash).cmp(&(&b.party, &b.hash)));
    Ok(rooms)
}

fn party_of(folder: &str) -> Option<String> {
    if folder == MAIN {
        return Some("main".to_string());
    }
    folder.strip_prefix('-')?.strip_suffix("DO").map(str::to_owned).filter(|party| !party.is_empty())
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unreadable(folder, error)),
    }
}

impl OriginalRoom {
    /// All that the room has stored. The files are read from a copy, because SQLite would write to a log that a killed
    /// server left behind.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, ImportError> {
        let failed = |error: rusqlite::Error| unreadable(&self.path, error);
        let folder = tempfile::tempdir().map_err(|error| unreadable(&std::env::temp_dir(), error))?;
        let copy = folder.path().join("room.sqlite");
        std::fs::copy(&self.path, &copy).map_err(|error| unreadable(&self.path, error))?;
        let log = self.path.with_extension("sqlite-wal");
        if log.exists() {
            let target = folder.path().join("room.sqlite-wal");
            std::fs::copy(&log, target).map_err(|error| unreadable(&log, error))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&copy, flags).map_err(failed)?;
        let mut query = connection.prepare("SELECT key, value FROM _cf_KV ORDER BY key").map_err(failed)?;
        let rows =
            query.query_map([], |row| Ok((row.get::<_, String>(0)?, Bytes::from(row.get::<_, Vec<u8>>(1)?))));
        rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
    }
}

fn unreadable(path: &Path, error: impl ToString) -> ImportError {
    ImportError::Read { path: path.display().to_string(), what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_parties() {
        assert_eq!(party_of("-PartyKitDurable").as_deref(), Some("main"));
        assert_eq!(party_of("-otherDO").as_deref(), Some("other"));
        assert_eq!(party_of("-DO"), None);
        assert_eq!(party_of("cache"), None);
    }
}
