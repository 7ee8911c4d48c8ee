//! The audit log: every administrative action, with who did it, from where and when.

use rusqlite::params;

use super::{Registry, RegistryError, now_ms};

/// Entries that are kept.
const ENTRIES_MAX: i64 = 100_000;

/// Something that was done.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Entry {
    /// Counts the entries.
    pub id: i64,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// The token's name.
    pub who: String,
    /// The client's address.
    pub ip: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What else is to be said; never a value of a variable, never a token.
    pub detail: String,
}

impl Registry {
    /// Writes down what was done.
    pub fn audit(
        &self,
        who: &str,
        ip: &str,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), RegistryError> {
        let connection = self.connection();
        connection.execute(
            "INSERT INTO audit (time, who, ip, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![now_ms(), who, ip, action, subject, detail],
        )?;
        let oldest = connection.last_insert_rowid() - ENTRIES_MAX;
        connection.execute("DELETE FROM audit WHERE id <= ?1", [oldest])?;
        Ok(())
    }

    /// The entries before the one of this number, the newest first.
    pub fn entries(&self, before: Option<i64>, count: i64) -> Result<Vec<Entry>, RegistryError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT id, time, who, ip, action, subject, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before.unwrap_or(i64::MAX), count], |row| {
            Ok(Entry {
                id: row.get(0)?,
                time_ms: row.get(1)?,
                who: row.get(2)?,
                ip: row.get(3)?,
                action: row.get(4)?,
                subject: row.get(5)?,
                detail: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
