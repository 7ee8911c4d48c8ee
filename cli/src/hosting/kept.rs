//! The host that this user is logged in to, with its token: a file that only its user may read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A host that this user is logged in to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Login {
    /// The host.
    pub(crate) url: String,
    /// The token.
    pub(crate) token: String,
    /// Whose the token is, by its name.
    pub(crate) login: String,
}

/// Where it is kept, if there is a home folder.
pub(crate) fn path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("partyrun/host.json"))
}

/// The host that this user is logged in to.
pub(crate) fn read() -> Option<Login> {
    serde_json::from_str(&std::fs::read_to_string(path()?).ok()?).ok()
}
