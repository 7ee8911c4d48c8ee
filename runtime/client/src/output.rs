//! Writes the files of a build to the disk.
//!
//! A file whose content has not changed is left alone. A file of the previous build that no longer exists in this one is
//! removed, but never a file that another tool put there.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::ClientError;

/// Names below the output folder, and contents.
#[derive(Debug, Default)]
pub(crate) struct Outputs(BTreeMap<String, Vec<u8>>);

/// What is on the disk now.
pub(crate) struct Written {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) changed: bool,
}

impl Outputs {
    pub(crate) fn add(&mut self, name: &str, content: Vec<u8>) {
        self.0.insert(name.to_owned(), content);
    }

    /// Writes all into `outdir`; `before` are the files of the last build.
    pub(crate) fn write(
        self,
        outdir: &Path,
        inputs: &[PathBuf],
        before: &HashSet<PathBuf>,
    ) -> Result<Written, ClientError> {
        let files: Vec<PathBuf> = self.0.keys().map(|name| outdir.join(name)).collect();
        if let Some(input) = files.iter().find(|file| inputs.contains(file)) {
            return Err(ClientError::OverwritesInput(input.clone()));
        }
        let mut changed = false;
        for (path, content) in files.iter().zip(self.0.values()) {
            if std::fs::read(path).is_ok_and(|old| old == *content) {
                continue;
            }
            changed = true;
            replace(path, content).map_err(|error| ClientError::Write { path: path.clone(), error })?;
        }
        for gone in before.iter().filter(|old| !files.contains(old)) {
            changed = true;
            // It may have been removed by hand.
            let _gone = std::fs::remove_file(gone);
        }
        Ok(Written { files, changed })
    }
}

// A request that arrives meanwhile sees the old content or the new one, never a part.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}.draft", std::process::id()));
    let replaced = std::fs::write(&draft, content).and_then(|()| std::fs::rename(&draft, path));
    if replaced.is_err() {
        let _gone = std::fs::remove_file(&draft);
    }
    replaced
}
