//! The environment of user code: environment files, variables and defines, merged.
//!
//! Precedence of `room.env`: `vars` of the file, then `.env`, then `.env.local`, then `--env-pass`, then `--var`.
//! `process.env` has the keys of the environment files and of `--env-pass` only (spec 4.2).
//! `--env-file` replaces the search for `.env` and `.env.local`; of several files the later wins, as everywhere.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::discover;
use crate::dotenv;
use crate::problem::ConfigError;

/// The variables of the environment files, and which files they came from.
#[derive(Debug, Default)]
pub(crate) struct EnvFiles {
    pub(crate) variables: IndexMap<String, String>,
    pub(crate) paths: Vec<PathBuf>,
}

/// Reads the environment files: those named, else `.env` and (for development) `.env.local`, in the folder
/// `beside`, and otherwise upwards from `cwd`.
pub(crate) fn read(
    cwd: &Path,
    beside: Option<&Path>,
    named: &[PathBuf],
    local: bool,
) -> Result<EnvFiles, ConfigError> {
    let find = |name: &&str| {
        let beside = beside.map(|folder| folder.join(name)).filter(|path| path.is_file());
        beside.or_else(|| discover::upwards(cwd, name))
    };
    let paths: Vec<PathBuf> = if named.is_empty() {
        let names: &[&str] = if local { &[".env", ".env.local"] } else { &[".env"] };
        names.iter().filter_map(find).collect()
    } else {
        named.iter().map(|path| cwd.join(path)).collect()
    };
    let mut files = EnvFiles::default();
    for path in paths {
        files.variables.extend(dotenv::parse(&discover::read(&path)?));
        files.paths.push(path);
    }
    Ok(files)
}

/// `room.env`: the file's variables, then the environment files', then those of the command line.
pub(crate) fn room_env(
    file: Map<String, Value>,
    env: &IndexMap<String, String>,
    flags: &[(String, String)],
) -> Map<String, Value> {
    let mut merged = file;
    let texts = env.iter().chain(flags.iter().map(|(key, value)| (key, value)));
    merged.extend(texts.map(|(key, value)| (key.clone(), Value::String(value.clone()))));
    merged
}

/// The defines: the environment files' keys if asked for, then the file's, then those of the command line.
pub(crate) fn defines(
    env: Option<&IndexMap<String, String>>,
    file: IndexMap<String, String>,
    flags: &[(String, String)],
) -> IndexMap<String, String> {
    let mut merged = IndexMap::new();
    for (key, value) in env.into_iter().flatten().filter(|(key, _)| is_define_name(key)) {
        merged.insert(key.clone(), quoted(value));
    }
    merged.extend(file);
    merged.extend(flags.iter().cloned());
    merged
}

/// The original puts the bare value between quotes, which makes source only if the value has nothing to escape
/// (spec 4.2). Where that is source, it stays as it is; elsewhere the value is escaped.
fn quoted(value: &str) -> String {
    let bare = format!("\"{value}\"");
    if serde_json::from_str::<String>(&bare).is_ok() { bare } else { Value::from(value).to_string() }
}

/// Whether a name can be replaced at build time: identifiers joined by dots.
pub(crate) fn is_define_name(name: &str) -> bool {
    name.split('.').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c == '$' || c == '_' || c.is_alphabetic())
            && chars.all(|c| c == '$' || c == '_' || c.is_alphanumeric())
    })
}
