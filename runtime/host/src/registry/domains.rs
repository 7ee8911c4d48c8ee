//! Domains of projects: each belongs to one project at most.

use rusqlite::{OptionalExtension, params};

use super::{Registry, RegistryError};

impl Registry {
    /// Gives a domain to a project. If another has it, answers that one's name.
    pub fn add_domain(&self, domain: &str, site: i64) -> Result<Option<String>, RegistryError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let query = "SELECT s.project FROM domains d JOIN sites s ON s.id = d.site WHERE d.domain = ?1 AND d.site <> ?2";
        let other = transaction.query_row(query, params![domain, site], |row| row.get(0)).optional()?;
        if other.is_none() {
            let query = "INSERT INTO domains (domain, site) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            transaction.execute(query, params![domain, site])?;
        }
        transaction.commit()?;
        Ok(other)
    }

    /// Takes a domain from a project; false if it does not have it.
    pub fn remove_domain(&self, domain: &str, site: i64) -> Result<bool, RegistryError> {
        let query = "DELETE FROM domains WHERE domain = ?1 AND site = ?2";
        Ok(self.connection().execute(query, params![domain, site])? > 0)
    }

    /// All domains with the projects that have them.
    pub fn domains(&self) -> Result<Vec<(String, i64)>, RegistryError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT domain, site FROM domains ORDER BY domain")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
