//! The archive of a release as it is read. Only what `partyrun build` writes is taken: plain files in their order, with names
//! that stand for one place each, within limits. Whatever else a file says is refused before it is used as a path or a
//! length, by both of the passes that read one.

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::GzDecoder;
use partyrun_limits::Limits;
use sha2::{Digest, Sha256};

use super::{ASSETS, MANIFEST};
use crate::error::ReleaseError;

/// What is not below one of the folders.
const FILES: [&str; 3] = [MANIFEST, "bundle.js", "bundle.js.map"];
/// How long a manifest may be: it is read as JSON, which takes many times as much memory as its text.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Folders whose files are numbered.
const NUMBERED: [&str; 2] = ["wasm/", "binaries/"];

/// Calls `visit` with the name, the length and the content of each file. It need not read the content.
pub(super) fn walk(
    path: &Path,
    mut file: &std::fs::File,
    limits: &Limits,
    mut visit: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), ReleaseError>,
) -> Result<(), ReleaseError> {
    let damaged = |what: String| ReleaseError::damaged(path, what);
    let unreadable = |error: std::io::Error| ReleaseError::damaged(path, error.to_string());
    file.seek(SeekFrom::Start(0))
        .map_err(|error| ReleaseError::Read { path: path.display().to_string(), error })?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let mut budget = Budget::new(limits);
    let (mut names, mut long_name) = (BTreeSet::new(), None);
    // Headers that change others are not interpreted: one could stand for as much memory as it likes.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() && long_name.is_none() && !names.is_empty() {
            long_name = Some(read_name(&mut entry, limits).map_err(damaged)?);
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = checked(name, limits).map_err(damaged)?;
        if names.is_empty() && name != MANIFEST {
            return Err(ReleaseError::Foreign { path: path.display().to_string(), missing: MANIFEST });
        }
        if !kind.is_file() {
            return Err(damaged(format!("{} is no plain file", shown(&name))));
        }
        budget.take(&name, entry.size()).map_err(damaged)?;
        visit(&name, entry.size(), &mut entry)?;
        if !names.insert(name.clone()) {
            return Err(damaged(format!("it holds {} twice", shown(&name))));
        }
    }
    if long_name.is_some() {
        return Err(damaged("it ends in the middle".to_string()));
    }
    let is_folder = |name: &&String| {
        let below = format!("{name}/");
        names.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
    };
    match names.iter().find(is_folder) {
        Some(name) => Err(damaged(format!("{} is a file and a folder", shown(name)))),
        None => Ok(()),
    }
}

/// A name for messages: nothing in it moves the cursor, and it does not fill the screen.
pub(super) fn shown(name: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut text: String = name.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if name.chars().nth(CHARS_MAX).is_some() {
        text.push_str("...");
    }
    format!("\"{text}\"")
}

// The header of a long name is followed by it and a zero.
fn read_name(entry: &mut impl Read, limits: &Limits) -> Result<Vec<u8>, String> {
    let mut name = Vec::new();
    let most = limits.release_name_bytes_max as u64 + 2;
    entry.take(most).read_to_end(&mut name).map_err(|error| error.to_string())?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn checked(name: Vec<u8>, limits: &Limits) -> Result<String, String> {
    let name = String::from_utf8(name).map_err(|_| "a name in it is no text".to_string())?;
    if name.len() > limits.release_name_bytes_max {
        return Err(format!(
            "the name {} is longer than {} bytes (limit `release_name_bytes_max`)",
            shown(&name),
            limits.release_name_bytes_max
        ));
    }
    // `..` would lead out, and the others would give one place several names.
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    if name.contains('\0') || !name.split('/').all(is_plain) {
        return Err(format!("the name {} is none of a file in it", shown(&name)));
    }
    let is_number = |text: &str| text.parse().is_ok_and(|number: u32| number.to_string() == text);
    let is_known = FILES.contains(&&*name)
        || name.starts_with(ASSETS)
        || NUMBERED.iter().any(|folder| name.strip_prefix(folder).is_some_and(is_number));
    if is_known { Ok(name) } else { Err(format!("it holds {}, which no release has", shown(&name))) }
}

/// What the files may still be long.
struct Budget<'limits> {
    limits: &'limits Limits,
    assets: u64,
    parts: u64,
    files: usize,
}

impl<'limits> Budget<'limits> {
    fn new(limits: &'limits Limits) -> Self {
        Self {
            limits,
            assets: limits.release_assets_bytes_max as u64,
            parts: limits.release_code_bytes_max as u64,
            files: limits.release_files_max,
        }
    }

    fn take(&mut self, name: &str, bytes: u64) -> Result<(), String> {
        if name == MANIFEST && bytes > MANIFEST_BYTES_MAX {
            return Err(format!("its {MANIFEST} is longer than {MANIFEST_BYTES_MAX} bytes"));
        }
        let (left, limit) = match name.starts_with(ASSETS) {
            true => (&mut self.assets, "release_assets_bytes_max"),
            false => (&mut self.parts, "release_code_bytes_max"),
        };
        *left = left
            .checked_sub(bytes)
            .ok_or_else(|| format!("with {} it is too long ({})", shown(name), self.limits.cite(limit)))?;
        let too_many = || format!("it has too many files ({})", self.limits.cite("release_files_max"));
        self.files = self.files.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }
}

/// Names the content of a release: all files but the manifest, in their order.
pub(super) struct Content(Sha256);

impl Content {
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Takes a file's name and content, and answers its length.
    pub(super) fn add(&mut self, name: &str, mut content: impl Read, bytes: u64) -> std::io::Result<()> {
        for number in [name.len() as u64, bytes] {
            self.0.update(number.to_le_bytes());
        }
        self.0.update(name);
        let read = std::io::copy(&mut content, &mut self.0)?;
        if read == bytes { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }

    pub(super) fn hash(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The same checks for what is written, so that nothing is built which could not be served.
pub(super) fn check_written(files: &[(String, u64)], limits: &Limits) -> Result<(), String> {
    let mut budget = Budget::new(limits);
    for (name, bytes) in files {
        checked(name.clone().into_bytes(), limits)?;
        budget.take(name, *bytes)?;
    }
    Ok(())
}
