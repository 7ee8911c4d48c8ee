//! Finds the files that configure a project, and reads them.
//!
//! Each name is searched from the working folder up to `/` before the next name is tried, as in the original (spec 4.1).
//! So a `partykit.json` three folders up wins over a `partykit.jsonc` in the working folder. Folders that have such a
//! name (`.env` is a common one) are skipped.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::problem::ConfigError;

/// The names of configuration files, in the order of the search.
const NAMES: [&str; 3] = ["partykit.json", "partykit.json5", "partykit.jsonc"];

/// Length up to which a configuration or environment file is read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file named on the command line.
    Named(PathBuf),
    /// A configuration file found upwards.
    Found(PathBuf),
    /// The key `partykit` of a `package.json` found upwards.
    PackageJson(PathBuf),
    /// No file at all.
    Nothing,
}

impl Source {
    /// The path of the configuration file, or `None` if the project has none.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Named(path) | Self::Found(path) | Self::PackageJson(path) => Some(path),
            Self::Nothing => None,
        }
    }
}

/// Finds the configuration for a working folder.
pub(crate) fn configuration(cwd: &Path, named: Option<&Path>) -> Source {
    if let Some(path) = named {
        return Source::Named(cwd.join(path));
    }
    if let Some(path) = NAMES.iter().find_map(|name| upwards(cwd, name)) {
        return Source::Found(path);
    }
    upwards(cwd, "package.json").map_or(Source::Nothing, Source::PackageJson)
}

/// The nearest file of this name in the folder or above it.
pub(crate) fn upwards(from: &Path, name: &str) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Reads a text file, with a bound. Bytes that are not UTF-8 become U+FFFD, as in the original.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| ConfigError::unreadable(path, &error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(unreadable("it is a folder; name a file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ConfigError::unreadable(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is longer than {} MiB", FILE_BYTES_MAX / 1024 / 1024)));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// A path as messages show it: relative to the working folder where it lies in it.
pub(crate) fn shown(cwd: &Path, path: &Path) -> PathBuf {
    if let Ok(inside) = path.strip_prefix(cwd) {
        return inside.to_owned();
    }
    for (depth, ancestor) in cwd.ancestors().enumerate().skip(1).take(4) {
        if ancestor.parent().is_none() {
            break;
        }
        if let Ok(inside) = path.strip_prefix(ancestor) {
            return std::iter::repeat_n("..", depth).collect::<PathBuf>().join(inside);
        }
    }
    path.to_owned()
}

/// Joins, then resolves `.` and `..` by name, so that paths compare and print well.
pub(crate) fn absolute(base: &Path, path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}
