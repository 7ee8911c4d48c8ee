//! What each project has used, by day: requests, sockets, bytes, CPU time and storage.

use rusqlite::params;

use super::{Registry, RegistryError};

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Requests that were answered, without sockets.
    pub requests: i64,
    /// WebSockets that were opened.
    pub sockets: i64,
    /// Bytes that clients sent.
    pub bytes_in: i64,
    /// Bytes that they got.
    pub bytes_out: i64,
    /// CPU time of the project's processes, in milliseconds.
    pub cpu_ms: i64,
    /// The most that it had stored, in bytes.
    pub storage: i64,
}

/// What was used in a day.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Day {
    /// The day, in UTC.
    pub day: String,
    /// What was used.
    #[serde(flatten)]
    pub usage: Usage,
}

impl Registry {
    /// Adds to the usage of a day; of the storage the larger one stays.
    pub fn add_usage(&self, site: i64, day: &str, usage: &Usage) -> Result<(), RegistryError> {
        self.connection().execute(
            "INSERT INTO usage (site, day, requests, sockets, bytes_in, bytes_out, cpu_ms, storage)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET requests = requests + ?3, sockets = sockets + ?4, bytes_in = bytes_in + ?5,
               bytes_out = bytes_out + ?6, cpu_ms = cpu_ms + ?7, storage = max(storage, ?8)",
            params![
                site,
                day,
                usage.requests,
                usage.sockets,
                usage.bytes_in,
                usage.bytes_out,
                usage.cpu_ms,
                usage.storage
            ],
        )?;
        Ok(())
    }

    /// The last days of a project, the newest first.
    pub fn usage(&self, site: i64, days: i64) -> Result<Vec<Day>, RegistryError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT day, requests, sockets, bytes_in, bytes_out, cpu_ms, storage FROM usage
             WHERE site = ?1 ORDER BY day DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![site, days], |row| {
            let usage = Usage {
                requests: row.get(1)?,
                sockets: row.get(2)?,
                bytes_in: row.get(3)?,
                bytes_out: row.get(4)?,
                cpu_ms: row.get(5)?,
                storage: row.get(6)?,
            };
            Ok(Day { day: row.get(0)?, usage })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
