//! Projects with their previews, and the releases that each has.

use rusqlite::{OptionalExtension, Row, params};

use super::{Registry, RegistryError, now_ms};
use crate::names::Address;

/// A release that was deployed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Release {
    /// Its row.
    #[serde(skip)]
    pub id: i64,
    /// Counts the releases of a project.
    pub number: i64,
    /// Names its content.
    pub hash: String,
    /// Its file, below the project's folder.
    #[serde(skip)]
    pub file: String,
    /// When it was deployed, in milliseconds since 1970.
    pub created_ms: i64,
    /// The token that deployed it, by its name.
    pub by: String,
    /// How long its file is.
    pub bytes: i64,
}

/// A project or a preview.
#[derive(Clone, Debug)]
pub struct SiteRow {
    /// Its row.
    pub id: i64,
    /// Its names.
    pub address: Address,
    /// When it was made.
    pub created_ms: i64,
    /// The release that runs.
    pub release: Option<Release>,
    /// When its next alarm or cron is due.
    pub due_ms: Option<i64>,
}

const RELEASE: &str = "id, number, hash, file, created, by, bytes";

fn release(row: &Row<'_>) -> rusqlite::Result<Release> {
    Ok(Release {
        id: row.get(0)?,
        number: row.get(1)?,
        hash: row.get(2)?,
        file: row.get(3)?,
        created_ms: row.get(4)?,
        by: row.get(5)?,
        bytes: row.get(6)?,
    })
}

impl Registry {
    /// The project or preview of these names, which is made if there is none.
    pub fn site(&self, address: &Address) -> Result<i64, RegistryError> {
        let connection = self.connection();
        let preview = address.preview.as_deref().unwrap_or("");
        connection.execute(
            "INSERT INTO sites (project, preview, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![address.project, preview, now_ms()],
        )?;
        let found = connection.query_row(
            "SELECT id FROM sites WHERE project = ?1 AND preview = ?2",
            params![address.project, preview],
            |row| row.get(0),
        )?;
        Ok(found)
    }

    /// All projects and previews, by name.
    pub fn sites(&self) -> Result<Vec<SiteRow>, RegistryError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT id, project, preview, created, release, due FROM sites ORDER BY project, preview",
        )?;
        let rows = statement.query_map([], |row| {
            let preview: String = row.get(2)?;
            let address =
                Address { project: row.get(1)?, preview: Some(preview).filter(|name| !name.is_empty()) };
            Ok((row.get::<_, i64>(0)?, address, row.get(3)?, row.get::<_, Option<i64>>(4)?, row.get(5)?))
        })?;
        let mut sites = Vec::new();
        for row in rows {
            let (id, address, created_ms, running, due_ms) = row?;
            let release = running
                .map(|id| {
                    let query = format!("SELECT {RELEASE} FROM releases WHERE id = ?1");
                    connection.query_row(&query, [id], release).optional()
                })
                .transpose()?
                .flatten();
            sites.push(SiteRow { id, address, created_ms, release, due_ms });
        }
        Ok(sites)
    }

    /// Adds a release; it does not run yet.
    pub fn add_release(
        &self,
        site: i64,
        hash: &str,
        file: &str,
        by: &str,
        bytes: i64,
    ) -> Result<Release, RegistryError> {
        let connection = self.connection();
        // Only older ones are ever forgotten, and one that never ran.
        connection.execute(
            "INSERT INTO releases (site, number, hash, file, created, by, bytes)
             VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM releases WHERE site = ?1), ?2, ?3, ?4, ?5, ?6)",
            params![site, hash, file, now_ms(), by, bytes],
        )?;
        let query = format!("SELECT {RELEASE} FROM releases WHERE id = ?1");
        Ok(connection.query_row(&query, [connection.last_insert_rowid()], release)?)
    }

    /// The releases of a project, the newest first.
    pub fn releases(&self, site: i64) -> Result<Vec<Release>, RegistryError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare(&format!("SELECT {RELEASE} FROM releases WHERE site = ?1 ORDER BY number DESC"))?;
        let rows = statement.query_map([site], release)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes a release the one that runs.
    pub fn set_release(&self, site: i64, release: i64) -> Result<(), RegistryError> {
        self.connection().execute("UPDATE sites SET release = ?2 WHERE id = ?1", params![site, release])?;
        Ok(())
    }

    /// Forgets a release.
    pub fn forget_release(&self, release: i64) -> Result<(), RegistryError> {
        self.connection().execute("DELETE FROM releases WHERE id = ?1", [release])?;
        Ok(())
    }

    /// Keeps when the next alarm or cron is due.
    pub fn set_due(&self, site: i64, due_ms: Option<i64>) -> Result<(), RegistryError> {
        self.connection().execute("UPDATE sites SET due = ?2 WHERE id = ?1", params![site, due_ms])?;
        Ok(())
    }

    /// Forgets a project, and remembers until when the folder with its data is kept.
    pub fn delete_site(
        &self,
        site: i64,
        folder: &str,
        name: &str,
        until_ms: i64,
    ) -> Result<(), RegistryError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        for table in ["releases", "env", "domains", "usage"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE site = ?1"), [site])?;
        }
        transaction.execute("DELETE FROM sites WHERE id = ?1", [site])?;
        transaction.execute(
            "INSERT OR REPLACE INTO deleted (folder, name, until) VALUES (?1, ?2, ?3)",
            params![folder, name, until_ms],
        )?;
        Ok(transaction.commit()?)
    }

    /// The folders of deleted projects whose time is over, with the names that they had.
    pub fn deleted_until(&self, now_ms: i64) -> Result<Vec<(String, String)>, RegistryError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT folder, name FROM deleted WHERE until <= ?1")?;
        let rows = statement.query_map([now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets the folder of a deleted project.
    pub fn forget_deleted(&self, folder: &str) -> Result<(), RegistryError> {
        self.connection().execute("DELETE FROM deleted WHERE folder = ?1", [folder])?;
        Ok(())
    }
}
