//! What the host knows: projects, releases, variables, domains, tokens, usage and the audit log, in one SQLite file.
//!
//! Every change is one transaction that is on disk when it is answered, so a host that dies has all of a change or nothing of
//! it: which release a project runs is one column of one row. Calls block for a commit; whoever serves requests makes them
//! on a thread that may wait.

mod audit;
mod domains;
mod sites;
mod tokens;
mod usage;
mod values;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub use audit::Entry;
pub use sites::{Release, SiteRow};
pub use tokens::{Scope, Token};
pub use usage::{Day, Usage};

const FILE: &str = "host.sqlite";
const LOCK: &str = "host.lock";
/// The schema that this version reads and writes.
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE sites (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  project TEXT NOT NULL, preview TEXT NOT NULL,
  created INTEGER NOT NULL, release INTEGER, due INTEGER,
  UNIQUE (project, preview)
) STRICT;
CREATE TABLE releases (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  site INTEGER NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL, file TEXT NOT NULL,
  created INTEGER NOT NULL, by TEXT NOT NULL, bytes INTEGER NOT NULL,
  UNIQUE (site, number)
) STRICT;
CREATE TABLE env (
  site INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (site, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE domains (domain TEXT PRIMARY KEY, site INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, scope TEXT NOT NULL, project TEXT,
  created INTEGER NOT NULL, used INTEGER, withdrawn INTEGER
) STRICT;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL, who TEXT NOT NULL, ip TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE TABLE usage (
  site INTEGER NOT NULL, day TEXT NOT NULL, requests INTEGER NOT NULL, sockets INTEGER NOT NULL,
  bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, cpu_ms INTEGER NOT NULL, storage INTEGER NOT NULL,
  PRIMARY KEY (site, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE deleted (folder TEXT PRIMARY KEY, name TEXT NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Why the registry cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Another host has it.
    #[error("Another `partyrun host` uses {0}: two hosts cannot share a data folder")]
    InUse(String),
    /// The lock's file.
    #[error("{path} cannot be used: {error}")]
    File {
        /// Where it is.
        path: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// A newer version wrote it.
    #[error(
        "{path} has schema version {found}, this version of partyrun knows up to {VERSION}; use a newer partyrun"
    )]
    Newer {
        /// Where it is.
        path: String,
        /// Its version.
        found: i64,
    },
    /// The database says no.
    #[error("The host's registry: {0}")]
    Database(#[from] rusqlite::Error),
}

/// The registry.
pub struct Registry {
    connection: Mutex<Connection>,
    // Held as long as this host runs.
    _lock: Option<std::fs::File>,
}

/// The time as it is stored.
pub(crate) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

impl Registry {
    /// Opens the registry of a data folder for the host that serves it. No other host may have it.
    pub fn open(folder: &Path) -> Result<Self, RegistryError> {
        let lock = lock(folder)?;
        Ok(Self { connection: Mutex::new(connect(folder)?), _lock: Some(lock) })
    }

    /// Opens it beside a host that may be running, for a change that concerns nothing of what runs.
    pub fn beside(folder: &Path) -> Result<Self, RegistryError> {
        Ok(Self { connection: Mutex::new(connect(folder)?), _lock: None })
    }

    // A thread that panicked with it left no transaction open: they roll back when dropped.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(folder: &Path) -> Result<std::fs::File, RegistryError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(LOCK);
    let failed = |error| RegistryError::File { path: path.display().to_string(), error };
    let mut options = std::fs::OpenOptions::new();
    // Who can open it can hold it.
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(RegistryError::InUse(folder.display().to_string())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn connect(folder: &Path) -> Result<Connection, RegistryError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(FILE);
    let failed = |error| RegistryError::File { path: path.display().to_string(), error };
    // Nobody else reads it, and what SQLite makes beside it has the same mode.
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    let mut connection = Connection::open(&path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Small: everything of 500 projects fits.
    connection.pragma_update(None, "cache_size", -1024)?;
    let version =
        |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found: i64 = version(&connection)?;
    if found > VERSION {
        return Err(RegistryError::Newer { path: path.display().to_string(), found });
    }
    if found == 0 {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have made it meanwhile.
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Address;

    fn open() -> (tempfile::TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        (folder, registry)
    }

    #[test]
    fn one_host_has_a_data_folder() {
        let (folder, registry) = open();
        let error = Registry::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("Another `partyrun host`"), "{error}");
        Registry::beside(folder.path()).unwrap();
        drop(registry);
        Registry::open(folder.path()).unwrap();
    }

    #[test]
    fn a_newer_registry_is_refused() {
        let (folder, registry) = open();
        registry.connection().pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(registry);
        assert!(matches!(Registry::open(folder.path()), Err(RegistryError::Newer { found: 2, .. })));
    }

    #[test]
    fn releases_are_numbered_for_each_project() {
        let (_folder, registry) = open();
        let chat = registry.site(&Address::new("chat", None).unwrap()).unwrap();
        let other = registry.site(&Address::new("other", None).unwrap()).unwrap();
        assert_ne!(chat, other);
        assert_eq!(registry.site(&Address::new("chat", None).unwrap()).unwrap(), chat, "the same one");
        let add = |site| registry.add_release(site, "hash", "file", "me", 10).unwrap();
        let (first, second, third) = (add(chat), add(chat), add(other));
        assert_eq!((first.number, second.number, third.number), (1, 2, 1));
        registry.set_release(chat, second.id).unwrap();
        let rows = registry.sites().unwrap();
        assert_eq!(rows.iter().find(|row| row.id == chat).unwrap().release.as_ref().unwrap().number, 2);
        assert_eq!(registry.releases(chat).unwrap().len(), 2);
        registry.forget_release(first.id).unwrap();
        assert_eq!(registry.releases(chat).unwrap().len(), 1);
        assert_eq!(add(chat).number, 3, "no number comes twice");
    }

    #[test]
    fn tokens_are_found_by_their_hash_until_they_are_withdrawn() {
        let (_folder, registry) = open();
        let id = registry.add_token("ci", b"hash", &Scope::Deploy("chat".to_string())).unwrap();
        let found = registry.token(b"hash").unwrap().unwrap();
        assert_eq!((found.id, &found.scope), (id, &Scope::Deploy("chat".to_string())));
        assert!(registry.token(b"other").unwrap().is_none());
        assert!(registry.withdraw(id).unwrap());
        assert!(registry.token(b"hash").unwrap().is_none());
        assert!(!registry.withdraw(id).unwrap(), "it is already");
    }

    #[test]
    fn a_domain_belongs_to_one_project() {
        let (_folder, registry) = open();
        let site = |name| registry.site(&Address::new(name, None).unwrap()).unwrap();
        let (chat, other) = (site("chat"), site("other"));
        assert_eq!(registry.add_domain("a.example", chat).unwrap(), None);
        assert_eq!(registry.add_domain("a.example", chat).unwrap(), None, "it has it");
        assert_eq!(registry.add_domain("a.example", other).unwrap().as_deref(), Some("chat"));
        assert!(registry.remove_domain("a.example", chat).unwrap());
        assert_eq!(registry.add_domain("a.example", other).unwrap(), None);
    }

    #[test]
    fn what_belongs_to_a_project_goes_with_it() {
        let (_folder, registry) = open();
        let chat = registry.site(&Address::new("chat", None).unwrap()).unwrap();
        registry.add_release(chat, "hash", "file", "me", 10).unwrap();
        registry.set_value(chat, "KEY", b"x").unwrap();
        registry.add_domain("a.example", chat).unwrap();
        registry.add_usage(chat, "2030-01-01", &Usage { requests: 3, ..Usage::default() }).unwrap();
        registry.delete_site(chat, "chat-1", "chat", 5).unwrap();
        assert!(registry.sites().unwrap().is_empty() && registry.values(chat).unwrap().is_empty());
        assert!(registry.domains().unwrap().is_empty() && registry.releases(chat).unwrap().is_empty());
        assert_eq!(registry.deleted_until(5).unwrap(), [("chat-1".to_string(), "chat".to_string())]);
        assert!(registry.deleted_until(4).unwrap().is_empty());
        assert_ne!(registry.site(&Address::new("chat", None).unwrap()).unwrap(), chat, "another one");
    }

    #[test]
    fn usage_adds_up_by_day() {
        let (_folder, registry) = open();
        let usage = Usage { requests: 2, cpu_ms: 5, storage: 7, ..Usage::default() };
        registry.add_usage(1, "2030-01-01", &usage).unwrap();
        registry.add_usage(1, "2030-01-01", &usage).unwrap();
        registry.add_usage(1, "2030-01-02", &usage).unwrap();
        let days = registry.usage(1, 10).unwrap();
        assert_eq!(days.len(), 2);
        assert_eq!(
            (days[0].day.as_str(), days[1].usage.requests, days[1].usage.storage),
            ("2030-01-02", 4, 7)
        );
    }

    #[test]
    fn what_was_done_is_kept() {
        let (_folder, registry) = open();
        registry.audit("me", "127.0.0.1", "deploy", "chat", "release 1").unwrap();
        registry.audit("me", "127.0.0.1", "delete", "chat", "").unwrap();
        let entries = registry.entries(None, 10).unwrap();
        assert_eq!((entries.len(), entries[0].action.as_str()), (2, "delete"));
        assert_eq!(registry.entries(Some(entries[0].id), 10).unwrap().len(), 1);
    }
}
