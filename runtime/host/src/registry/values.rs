//! Variables of projects, as `secrets.rs` has encrypted them.

use rusqlite::params;

use super::{Registry, RegistryError};

impl Registry {
    /// The variables of a project, by name.
    pub fn values(&self, site: i64) -> Result<Vec<(String, Vec<u8>)>, RegistryError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT name, value FROM env WHERE site = ?1 ORDER BY name")?;
        let rows = statement.query_map([site], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Sets a variable.
    pub fn set_value(&self, site: i64, name: &str, value: &[u8]) -> Result<(), RegistryError> {
        self.set_values(site, &[(name.to_string(), value.to_vec())])
    }

    /// Sets several variables, all or none.
    pub fn set_values(&self, site: i64, values: &[(String, Vec<u8>)]) -> Result<(), RegistryError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        for (name, value) in values {
            let query = "INSERT OR REPLACE INTO env (site, name, value) VALUES (?1, ?2, ?3)";
            transaction.execute(query, params![site, name, value])?;
        }
        Ok(transaction.commit()?)
    }

    /// Removes a variable, or all of them; how many there were.
    pub fn remove_values(&self, site: i64, name: Option<&str>) -> Result<usize, RegistryError> {
        let query = "DELETE FROM env WHERE site = ?1 AND (?2 IS NULL OR name = ?2)";
        Ok(self.connection().execute(query, params![site, name])?)
    }
}
