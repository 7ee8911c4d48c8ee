//! Tokens: of each its name, a hash, and what it may do.

use rusqlite::{OptionalExtension, Row, params};

use super::{Registry, RegistryError, now_ms};

/// What a token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Deploy to one project and its previews, and see all that concerns it.
    Deploy(String),
    /// See one project, or all of them.
    Read(Option<String>),
}

impl Scope {
    /// Its word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Deploy(_) => "deploy",
            Self::Read(_) => "read",
        }
    }

    /// The project that it is about, if it is about one.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Admin => None,
            Self::Deploy(project) => Some(project),
            Self::Read(project) => project.as_deref(),
        }
    }

    /// The scope of this word and project.
    pub fn of(name: &str, project: Option<String>) -> Option<Self> {
        match (name, project) {
            ("admin", None) => Some(Self::Admin),
            ("deploy", Some(project)) => Some(Self::Deploy(project)),
            ("read", project) => Some(Self::Read(project)),
            _ => None,
        }
    }

    /// Whether it may see a project.
    pub fn reads(&self, project: &str) -> bool {
        match self {
            Self::Admin | Self::Read(None) => true,
            Self::Deploy(own) | Self::Read(Some(own)) => own == project,
        }
    }

    /// Whether it may change a project.
    pub fn deploys(&self, project: &str) -> bool {
        match self {
            Self::Admin => true,
            Self::Deploy(own) => own == project,
            Self::Read(_) => false,
        }
    }
}

/// A token, without itself.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its row.
    pub id: i64,
    /// What it is for, as its maker named it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_ms: i64,
    /// When it was last used, to the minute.
    pub used_ms: Option<i64>,
    /// When it was withdrawn.
    pub withdrawn_ms: Option<i64>,
}

const TOKEN: &str = "id, name, scope, project, created, used, withdrawn";

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let name: String = row.get(2)?;
    let scope = Scope::of(&name, row.get(3)?).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        scope,
        created_ms: row.get(4)?,
        used_ms: row.get(5)?,
        withdrawn_ms: row.get(6)?,
    })
}

impl Registry {
    /// Keeps a token by its hash, and answers its number.
    pub fn add_token(&self, name: &str, hash: &[u8], scope: &Scope) -> Result<i64, RegistryError> {
        let connection = self.connection();
        connection.execute(
            "INSERT INTO tokens (name, hash, scope, project, created) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![name, hash, scope.name(), scope.project(), now_ms()],
        )?;
        Ok(connection.last_insert_rowid())
    }

    /// The token of this hash, unless it was withdrawn. That it was used is written down once a minute.
    pub fn token(&self, hash: &[u8]) -> Result<Option<Token>, RegistryError> {
        const MINUTE: i64 = 60_000;
        let connection = self.connection();
        let query = format!("SELECT {TOKEN} FROM tokens WHERE hash = ?1 AND withdrawn IS NULL");
        let found = connection.query_row(&query, [hash], token).optional()?;
        if let Some(token) = &found
            && token.used_ms.is_none_or(|used| now_ms() - used > MINUTE)
        {
            connection.execute("UPDATE tokens SET used = ?2 WHERE id = ?1", params![token.id, now_ms()])?;
        }
        Ok(found)
    }

    /// All tokens.
    pub fn tokens(&self) -> Result<Vec<Token>, RegistryError> {
        let connection = self.connection();
        let mut statement = connection.prepare(&format!("SELECT {TOKEN} FROM tokens ORDER BY id"))?;
        let rows = statement.query_map([], token)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Withdraws a token; false if there is none, or it was withdrawn before.
    pub fn withdraw(&self, id: i64) -> Result<bool, RegistryError> {
        let query = "UPDATE tokens SET withdrawn = ?2 WHERE id = ?1 AND withdrawn IS NULL";
        Ok(self.connection().execute(query, params![id, now_ms()])? > 0)
    }
}
