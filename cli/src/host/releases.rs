//! What the host is told of releases: which static files one has, and how one that was sent is made whole and checked.

use std::path::{Path, PathBuf};

use partyrun_host::{Checked, Releases};
use partyrun_limits::Limits;

use crate::release::thin;

/// Releases within these limits.
pub(super) struct Kept(pub(super) Limits);

impl Releases for Kept {
    fn assets(&self, release: &Path) -> Result<Vec<String>, String> {
        thin::hashes(release, &self.0).map_err(|error| error.to_string())
    }

    fn complete(&self, sent: &Path, older: &[PathBuf], whole: &Path) -> Result<Checked, String> {
        let hash = thin::complete(sent, older, whole, &self.0).map_err(|error| error.to_string())?;
        Ok(Checked { hash })
    }
}
