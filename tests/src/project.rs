//! A temporary copy of a fixture's project: every server has its own folder, so storage and edits stay apart.
//!
//! `node_modules` links to the packages of `tests/`; a fixture with a folder `packages/` gets a real `node_modules`
//! with its own packages beside the links. The folder goes when the value is dropped.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use tempfile::TempDir;

/// The copy.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// Copies the project of a fixture without its cases.
    pub fn copy(fixture: &Path, packages: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("conformance-").tempdir()?;
        copy_folder(fixture, folder.path(), true)?;
        let shared = packages.join("node_modules");
        let own = fixture.join("packages");
        let target = folder.path().join("node_modules");
        if own.is_dir() {
            fs::create_dir(&target)?;
            for entry in fs::read_dir(&shared)? {
                let entry = entry?;
                if !own.join(entry.file_name()).exists() {
                    std::os::unix::fs::symlink(entry.path(), target.join(entry.file_name()))?;
                }
            }
            copy_folder(&own, &target, false)?;
        } else {
            std::os::unix::fs::symlink(shared, target)?;
        }
        Ok(Self { folder })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file inside; paths that would leave the folder are refused.
    pub fn file(&self, relative: &str) -> Result<PathBuf, String> {
        let path = Path::new(relative);
        if path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            Ok(self.path().join(path))
        } else {
            Err(format!("not a path inside the project: `{relative}`"))
        }
    }

    /// Writes a file, with the folders that it needs.
    pub fn write(&self, relative: &str, text: &str) -> Result<(), String> {
        let path = self.file(relative)?;
        let parent = path.parent().unwrap_or(self.path()).to_owned();
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("could not write `{relative}`: {error}"))
    }

    /// Replaces a text that must stand in the file exactly once.
    pub fn edit(&self, relative: &str, old: &str, new: &str) -> Result<(), String> {
        let text = fs::read_to_string(self.file(relative)?)
            .map_err(|error| format!("could not read `{relative}`: {error}"))?;
        match text.matches(old).count() {
            1 => self.write(relative, &text.replacen(old, new, 1)),
            count => Err(format!("`{old}` stands {count} times in `{relative}`, expected once")),
        }
    }
}

fn copy_folder(from: &Path, to: &Path, top: bool) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let left_out = [".partykit", ".partyrun", "node_modules", "packages", "cases"];
        if top && (left_out.contains(&&*text) || text.starts_with("cases.") || text == "fixture.json5") {
            continue;
        }
        let target = to.join(&name);
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
            copy_folder(&entry.path(), &target, false)?;
        } else if kind.is_symlink() {
            // A link of a fixture is a link in the project, too: whether it is followed is what a case asks.
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
