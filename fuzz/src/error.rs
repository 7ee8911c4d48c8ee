//! What the archive of a release names of `cli/src/error.rs`.

use std::path::Path;

/// Why a release is refused.
#[derive(Debug)]
pub(crate) enum ReleaseError {
    Read { path: String, error: std::io::Error },
    Foreign { path: String, missing: &'static str },
    Damaged { path: String, what: String },
}

impl ReleaseError {
    pub(crate) fn damaged(path: &Path, what: String) -> Self {
        Self::Damaged { path: path.display().to_string(), what }
    }
}
