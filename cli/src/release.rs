//! A release: a project in one file, which `partyrun build` writes and `partyrun start` serves.
//!
//! It is a compressed tar archive, so `tar tzf` lists its contents: `manifest.json`, the bundle with its source map,
//! WebAssembly and binary files by number, and the static files below `assets/`. Equal projects give equal files. A
//! release never contains the values of `.env` files: `start` reads those where it runs.
//!
//! `start` need not trust a release with more than its code: the whole file is checked (`archive`, `manifest`), including
//! the hash of its content, before any of it is written, and only the release's own folder is written to.

mod archive;
mod manifest;
#[cfg(test)]
mod tests;
pub(crate) mod thin;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use partyrun_bundle::SourceMap;
use partyrun_config::Config;
use partyrun_engine::Program;
use partyrun_limits::Limits;
use serde_json::Value;

use crate::build::{self, Parts};
use crate::error::{ReleaseError, RunError};
use archive::Content;
pub(crate) use manifest::Manifest;

/// The layout of the archive. A file with another number is refused.
const FORMAT: u32 = 2;
const MANIFEST: &str = "manifest.json";
const ASSETS: &str = "assets/";
/// Stands in a folder that a release was unpacked into to the end.
const WHOLE: &str = "whole";
/// The first bytes of every gzip file.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Where a file of a release that is written comes from.
enum Origin<'a> {
    Memory(&'a [u8]),
    Disk(PathBuf),
}

/// Writes a release and answers its length. A file that stood there is replaced only by a whole one.
pub(crate) fn write(
    path: &Path,
    config: &Config,
    parts: &Parts,
    limits: &Limits,
) -> Result<u64, ReleaseError> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let failed = |error| ReleaseError::Write { path: path.display().to_string(), error };
    let files = files(config, parts).map_err(failed)?;
    check_listed(path, &files, limits)?;
    let written =
        write_to(&draft, config, parts, &files, |_| true).and_then(|()| std::fs::rename(&draft, path));
    if let Err(error) = written {
        let _gone = std::fs::remove_file(&draft);
        return Err(failed(error));
    }
    std::fs::metadata(path).map(|metadata| metadata.len()).map_err(failed)
}

fn check_listed(
    path: &Path,
    files: &[(String, Origin<'_>, u64)],
    limits: &Limits,
) -> Result<(), ReleaseError> {
    let lengths: Vec<(String, u64)> = files.iter().map(|(name, _, bytes)| (name.clone(), *bytes)).collect();
    archive::check_written(&lengths, limits)
        .map_err(|what| ReleaseError::Refused { path: path.display().to_string(), what })
}

// Everything but the manifest, with its length.
fn files<'a>(config: &Config, parts: &'a Parts) -> std::io::Result<Vec<(String, Origin<'a>, u64)>> {
    let mut files = Vec::new();
    let mut add =
        |name: String, bytes: &'a [u8]| files.push((name, Origin::Memory(bytes), bytes.len() as u64));
    add("bundle.js".to_string(), parts.code.as_bytes());
    add("bundle.js.map".to_string(), parts.source_map.as_ref());
    for (folder, list) in [("wasm", &parts.wasm), ("binaries", &parts.binaries)] {
        for (number, bytes) in list.iter().enumerate() {
            add(format!("{folder}/{number}"), bytes);
        }
    }
    if let Some(serve) = &config.serve {
        let mut assets = Vec::new();
        list_assets(&serve.path, &serve.path, &mut assets)?;
        assets.sort();
        for name in assets {
            let path = serve.path.join(&name);
            let bytes = path.metadata()?.len();
            files.push((format!("{ASSETS}{name}"), Origin::Disk(path), bytes));
        }
    }
    Ok(files)
}

// With the files that `included` names; the hash is of all of them.
fn write_to(
    path: &Path,
    config: &Config,
    parts: &Parts,
    files: &[(String, Origin<'_>, u64)],
    included: impl Fn(&str) -> bool,
) -> std::io::Result<()> {
    let mut content = Content::new();
    for (name, origin, bytes) in files {
        match origin {
            Origin::Memory(memory) => content.add(name, *memory, *bytes)?,
            Origin::Disk(path) => content.add(name, std::fs::File::open(path)?, *bytes)?,
        }
    }
    let manifest = serde_json::to_vec_pretty(&Manifest::new(config, parts, content.hash()))?;
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    append(&mut archive, MANIFEST, &*manifest, manifest.len() as u64)?;
    for (name, origin, bytes) in files.iter().filter(|(name, ..)| included(name)) {
        match origin {
            Origin::Memory(memory) => append(&mut archive, name, *memory, *bytes)?,
            Origin::Disk(path) => {
                append(&mut archive, name, std::fs::File::open(path)?.take(*bytes), *bytes)?
            }
        }
    }
    archive.into_inner()?.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

// Without times and owners, so that equal contents make equal archives.
fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    content: impl Read,
    bytes: u64,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, name, content)
}

// The files that are served: no names that begin with a dot, no installed packages (spec 1.7), no links that lead out.
fn list_assets(root: &Path, folder: &Path, files: &mut Vec<String>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder == root => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') || name == "node_modules" {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            list_assets(root, &path, files)?;
        } else if path.canonicalize()?.starts_with(root.canonicalize()?)
            && path.is_file()
            && let Ok(relative) = path.strip_prefix(root)
        {
            files.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// A release that was read, and is whole.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) manifest: Manifest,
    path: PathBuf,
    file: std::fs::File,
    limits: Limits,
    parts: BTreeMap<String, Bytes>,
}

/// The folder that a release's files were unpacked into.
#[derive(Debug)]
pub(crate) enum Unpacked {
    /// Kept for the next start.
    Kept(PathBuf),
    /// Gone when dropped.
    Temporary(tempfile::TempDir),
}

impl Unpacked {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Removes the files of other releases in the data folder.
    pub(crate) fn forget_others(&self) {
        if let Self::Kept(path) = self
            && let Some(releases) = path.parent()
        {
            forget_others(releases, path);
        }
    }
}

impl Release {
    /// Whether the file looks like a release.
    pub(crate) fn is_one(path: &Path) -> bool {
        let mut start = [0; 2];
        std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MAGIC
    }

    /// Reads and checks everything, and keeps it except for the static files.
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Self, ReleaseError> {
        let damaged = |what: String| ReleaseError::damaged(path, what);
        let file = std::fs::File::open(path)
            .map_err(|error| ReleaseError::Read { path: path.display().to_string(), error })?;
        let (mut parts, mut content, mut manifest) = (BTreeMap::new(), Content::new(), None);
        archive::walk(path, &file, limits, |name, length, reader| {
            let unreadable = |error: std::io::Error| {
                ReleaseError::damaged(path, format!("{} cannot be read: {error}", archive::shown(name)))
            };
            if name.starts_with(ASSETS) {
                return content.add(name, reader, length).map_err(unreadable);
            }
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(unreadable)?;
            if name == MANIFEST {
                manifest = Some(read_manifest(path, &bytes)?);
                return Ok(());
            }
            content.add(name, &*bytes, length).map_err(unreadable)?;
            parts.insert(name.to_string(), Bytes::from(bytes));
            Ok(())
        })?;
        let manifest = manifest
            .ok_or_else(|| ReleaseError::Foreign { path: path.display().to_string(), missing: MANIFEST })?;
        if content.hash() != manifest.hash {
            return Err(damaged("its content is not what its hash says".to_string()));
        }
        for (folder, count) in [("wasm", manifest.wasm), ("binaries", manifest.binaries)] {
            let held = parts.keys().filter(|name| name.split('/').next() == Some(folder)).count();
            if held != count || (0..count).any(|number| !parts.contains_key(&format!("{folder}/{number}"))) {
                return Err(damaged(format!("it says that it has {count} files in {folder}, and has not")));
            }
        }
        Ok(Self { manifest, path: path.to_owned(), file, limits: limits.clone(), parts })
    }

    /// Unpacks the static files and writes the settings beside them: into the data folder, or, where nothing is kept,
    /// into a temporary one. Files of other releases that the data folder holds are removed, unless a server may serve them
    /// meanwhile, `beside` this release.
    pub(crate) fn unpack(&self, data: Option<&Path>, beside: bool) -> Result<Unpacked, ReleaseError> {
        let failed = |path: &Path, error| ReleaseError::Write { path: path.display().to_string(), error };
        let folder = match data {
            Some(data) => Unpacked::Kept(data.join("release").join(&self.manifest.hash)),
            None => Unpacked::Temporary(
                tempfile::Builder::new()
                    .prefix("partyrun-")
                    .tempdir()
                    .map_err(|error| failed(&std::env::temp_dir(), error))?,
            ),
        };
        let target = folder.path();
        let whole = target.join(WHOLE);
        // Files that are served from there are the same. The settings may differ: the hash is not theirs.
        let is_unpacked = beside && whole.exists();
        if !is_unpacked {
            let _none = std::fs::remove_file(&whole);
            let _none = std::fs::remove_dir_all(target.join("assets"));
            std::fs::create_dir_all(target).map_err(|error| failed(target, error))?;
            if !beside {
                folder.forget_others();
            }
            self.unpack_assets(target)?;
        }
        let mut settings = self.manifest.settings.clone();
        if let Some(serve) = settings.get_mut("serve").and_then(Value::as_object_mut) {
            serve.insert("path".to_string(), target.join("assets").to_string_lossy().into_owned().into());
        }
        let settings = Value::Object(settings).to_string();
        let (path, draft) = (target.join("partykit.json"), target.join("partykit.draft"));
        std::fs::write(&draft, settings)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|error| failed(&path, error))?;
        std::fs::write(&whole, "").map_err(|error| failed(&whole, error))?;
        Ok(folder)
    }

    fn unpack_assets(&self, target: &Path) -> Result<(), ReleaseError> {
        archive::walk(&self.path, &self.file, &self.limits, |name, length, reader| {
            if !name.starts_with(ASSETS) {
                return Ok(());
            }
            let path = target.join(name);
            // The folder of static files was just made: nothing stands there that could lead elsewhere.
            let written = std::fs::create_dir_all(path.parent().unwrap_or(target))
                .and_then(|()| std::fs::File::create_new(&path))
                .and_then(|mut file| std::io::copy(reader, &mut file));
            match written {
                Ok(bytes) if bytes == length => Ok(()),
                Ok(_) => {
                    Err(ReleaseError::damaged(&self.path, format!("{} is cut off", archive::shown(name))))
                }
                Err(error) => Err(ReleaseError::Write { path: path.display().to_string(), error }),
            }
        })
    }

    /// The program, with the environment that `config` has.
    pub(crate) fn program(&self, config: &Config, port: u16) -> Result<Program, RunError> {
        let damaged = |what: String| ReleaseError::damaged(&self.path, what);
        let part = |name: &str| -> Result<Bytes, ReleaseError> {
            self.parts.get(name).cloned().ok_or_else(|| damaged(format!("it has no {name}")))
        };
        let numbered = |folder: &str, count: usize| -> Result<Vec<Bytes>, ReleaseError> {
            (0..count).map(|number| part(&format!("{folder}/{number}"))).collect()
        };
        let parts = || -> Result<Parts, ReleaseError> {
            Ok(Parts {
                code: String::from_utf8(part("bundle.js")?.to_vec())
                    .map_err(|_| damaged("bundle.js is no text".to_string()))?,
                source_map: SourceMap::from_json(part("bundle.js.map")?.to_vec()),
                hash: self.manifest.hash.clone(),
                parties: self.manifest.parties.clone(),
                wasm: numbered("wasm", self.manifest.wasm)?,
                binaries: numbered("binaries", self.manifest.binaries)?,
            })
        };
        let mut program = build::program(&parts()?, config, port)?;
        program.conceal_errors = true;
        Ok(program)
    }
}

fn read_manifest(path: &Path, text: &[u8]) -> Result<Manifest, ReleaseError> {
    let damaged = |what: String| ReleaseError::damaged(path, format!("{MANIFEST}: {what}"));
    let format: Value = serde_json::from_slice(text).unwrap_or_default();
    match format["format"].as_u64() {
        Some(found) if found != u64::from(FORMAT) => {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(ReleaseError::Format { path: path.display().to_string(), found, served: FORMAT });
        }
        Some(_) => {}
        None => {
            let missing = "format in its manifest.json";
            return Err(ReleaseError::Foreign { path: path.display().to_string(), missing });
        }
    }
    let manifest: Manifest = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    manifest.check().map_err(damaged)?;
    Ok(manifest)
}

fn forget_others(releases: &Path, current: &Path) {
    for entry in std::fs::read_dir(releases).into_iter().flatten().flatten() {
        let path = entry.path();
        if path != current {
            // What cannot be removed costs space and nothing else.
            let _kept = std::fs::remove_dir_all(path);
        }
    }
}
