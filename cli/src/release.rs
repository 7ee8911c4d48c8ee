//! A release: a project in one file, which `partyrun build` writes and `partyrun start` serves.
//!
//! It is a compressed tar archive, so `tar tzf` lists its contents: `manifest.json`, the bundle with its source map,
//! WebAssembly and binary files by number, and the static files below `assets/`. Equal projects give equal files. A
//! release never contains the values of `.env` files: `start` reads those where it runs.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use partyrun_bundle::SourceMap;
use partyrun_config::{Config, Persist};
use partyrun_engine::Program;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::build::{self, BuildError, Parts};

/// The layout of the archive. A file with another number is refused.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const ASSETS: &str = "assets/";
/// The first bytes of every gzip file.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Length up to which the parts besides static files are read into memory.
const PART_BYTES_MAX: u64 = 512 << 20;

/// Why a release could not be written or served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    #[error("{path} cannot be read: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("{path} cannot be written: {error}")]
    Write { path: String, error: std::io::Error },
    #[error("{path} was not written by `partyrun build`: it has no {missing}.")]
    Foreign { path: String, missing: &'static str },
    #[error("{path} has format {found}, but this partyrun serves format {FORMAT}. Build it again.")]
    Format { path: String, found: u32 },
    #[error("{path} is damaged: {what}. Build it again.")]
    Damaged { path: String, what: String },
}

/// What a release says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// The version that wrote it.
    partyrun: String,
    pub(crate) hash: String,
    parties: Vec<String>,
    wasm: usize,
    binaries: usize,
    /// What matters of the configuration when it runs, as a partykit.json has it.
    settings: Map<String, Value>,
}

impl Manifest {
    pub(crate) fn new(config: &Config, parts: &Parts) -> Self {
        Self {
            format: FORMAT,
            partyrun: env!("CARGO_PKG_VERSION").to_string(),
            hash: parts.hash.clone(),
            parties: parts.parties.clone(),
            wasm: parts.wasm.len(),
            binaries: parts.binaries.len(),
            settings: settings(config),
        }
    }

    /// Whether the configuration says that storage is not kept.
    pub(crate) fn forgets(&self) -> bool {
        self.settings.get("persist") == Some(&Value::Bool(false))
    }
}

// The fields of partykit.json that say something about running, with the values that flags gave them.
fn settings(config: &Config) -> Map<String, Value> {
    let pairs = |list: &[(String, String)]| -> Value {
        list.iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())))
            .collect::<Map<_, _>>()
            .into()
    };
    let mut settings = Map::new();
    let mut set = |name: &str, value: Value| {
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if !empty {
            settings.insert(name.to_string(), value);
        }
    };
    set("name", config.name.clone().into());
    set("port", config.port.into());
    set("vars", config.vars.clone().into());
    set("crons", pairs(&config.crons));
    set("vectorize", pairs(&config.vectorize));
    set("compatibilityDate", config.compatibility_date.clone().into());
    if config.persist == Persist::No {
        set("persist", false.into());
    }
    let mut bindings = Map::new();
    for (name, list) in [("kv", &config.bindings.kv), ("r2", &config.bindings.r2)] {
        if !list.is_empty() {
            bindings.insert(name.to_string(), pairs(list));
        }
    }
    set("bindings", bindings.into());
    if let Some(ai) = &config.ai {
        let fields = [("apiGateway", &ai.gateway), ("apiToken", &ai.token), ("apiAccount", &ai.account)];
        let given =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_string(), value.clone()?.into())));
        let given: Map<String, Value> = given.collect();
        set("ai", if given.is_empty() { true.into() } else { given.into() });
    }
    if let Some(serve) = &config.serve {
        let mut fields = json!({ "path": "assets", "singlePageApp": serve.single_page_app });
        if let Some(seconds) = serve.browser_ttl_seconds {
            fields["browserTTL"] = seconds.into();
        }
        for (name, globs) in [("include", &serve.include), ("exclude", &serve.exclude)] {
            if !globs.is_empty() {
                fields[name] = globs.clone().into();
            }
        }
        set("serve", fields);
    }
    settings
}

/// Writes a release and answers its length. A file that stood there is replaced only by a whole one.
pub(crate) fn write(path: &Path, config: &Config, parts: &Parts) -> Result<u64, ReleaseError> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let failed = |error| ReleaseError::Write { path: path.display().to_string(), error };
    let written = write_to(&draft, config, parts).and_then(|()| std::fs::rename(&draft, path));
    if let Err(error) = written {
        let _gone = std::fs::remove_file(&draft);
        return Err(failed(error));
    }
    std::fs::metadata(path).map(|metadata| metadata.len()).map_err(failed)
}

fn write_to(path: &Path, config: &Config, parts: &Parts) -> std::io::Result<()> {
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let manifest = serde_json::to_vec_pretty(&Manifest::new(config, parts))?;
    append(&mut archive, MANIFEST, &manifest)?;
    append(&mut archive, "bundle.js", parts.code.as_bytes())?;
    append(&mut archive, "bundle.js.map", parts.source_map.as_ref())?;
    for (folder, files) in [("wasm", &parts.wasm), ("binaries", &parts.binaries)] {
        for (number, bytes) in files.iter().enumerate() {
            append(&mut archive, &format!("{folder}/{number}"), bytes)?;
        }
    }
    if let Some(serve) = &config.serve {
        let mut files = Vec::new();
        list_assets(&serve.path, &serve.path, &mut files)?;
        files.sort();
        for file in files {
            append(&mut archive, &format!("{ASSETS}{file}"), &std::fs::read(serve.path.join(&file))?)?;
        }
    }
    archive.into_inner()?.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

// Without times and owners, so that equal contents make equal archives.
fn append<W: Write>(archive: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, name, bytes)
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

/// A release that was read.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) manifest: Manifest,
    path: PathBuf,
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
}

impl Release {
    /// Whether the file looks like a release.
    pub(crate) fn is_one(path: &Path) -> bool {
        let mut start = [0; 2];
        std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MAGIC
    }

    /// Reads everything except the static files.
    pub(crate) fn read(path: &Path) -> Result<Self, ReleaseError> {
        let shown = || path.display().to_string();
        let damaged =
            |error: std::io::Error| ReleaseError::Damaged { path: shown(), what: error.to_string() };
        let mut parts = BTreeMap::new();
        let mut left = PART_BYTES_MAX;
        let mut archive = open(path)?;
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let name = entry.path().map_err(damaged)?.to_string_lossy().into_owned();
            if name.starts_with(ASSETS) {
                continue;
            }
            if entry.size() > left {
                return Err(ReleaseError::Damaged { path: shown(), what: format!("{name} is too long") });
            }
            left -= entry.size();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            parts.insert(name, Bytes::from(bytes));
        }
        let manifest =
            parts.get(MANIFEST).ok_or_else(|| ReleaseError::Foreign { path: shown(), missing: MANIFEST })?;
        let format: Value = serde_json::from_slice(manifest).unwrap_or_default();
        match format["format"].as_u64() {
            Some(found) if found != u64::from(FORMAT) => {
                let found = u32::try_from(found).unwrap_or(u32::MAX);
                return Err(ReleaseError::Format { path: shown(), found });
            }
            Some(_) => {}
            None => {
                return Err(ReleaseError::Foreign { path: shown(), missing: "format in its manifest.json" });
            }
        }
        let manifest: Manifest = serde_json::from_slice(manifest)
            .map_err(|error| ReleaseError::Damaged { path: shown(), what: format!("{MANIFEST}: {error}") })?;
        Ok(Self { manifest, path: path.to_owned(), parts })
    }

    /// Unpacks the static files and writes the settings beside them: into the data folder, or, where nothing is kept,
    /// into a temporary one. Files of other releases that the data folder holds are removed.
    pub(crate) fn unpack(&self, data: Option<&Path>) -> Result<Unpacked, ReleaseError> {
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
        let _none = std::fs::remove_dir_all(target.join("assets"));
        std::fs::create_dir_all(target).map_err(|error| failed(target, error))?;
        if let Some(data) = data {
            forget_others(&data.join("release"), target);
        }
        self.unpack_assets(target)?;
        let mut settings = self.manifest.settings.clone();
        if let Some(serve) = settings.get_mut("serve") {
            serve["path"] = target.join("assets").to_string_lossy().into_owned().into();
        }
        let settings = Value::Object(settings).to_string();
        let path = target.join("partykit.json");
        std::fs::write(&path, settings).map_err(|error| failed(&path, error))?;
        Ok(folder)
    }

    fn unpack_assets(&self, target: &Path) -> Result<(), ReleaseError> {
        let damaged = |what: String| ReleaseError::Damaged { path: self.path.display().to_string(), what };
        let mut archive = open(&self.path)?;
        for entry in archive.entries().map_err(|error| damaged(error.to_string()))? {
            let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
            let name = entry.path().map_err(|error| damaged(error.to_string()))?.into_owned();
            if !name.starts_with(ASSETS.trim_end_matches('/')) {
                continue;
            }
            // Ours holds files below its own folder only; another's may try to write elsewhere.
            let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
            if !plain || !entry.header().entry_type().is_file() {
                return Err(damaged(format!("{} is not a plain file", name.display())));
            }
            let path = target.join(&name);
            let folder = path.parent().unwrap_or(target);
            let written = std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::File::create(&path))
                .and_then(|mut file| std::io::copy(&mut entry, &mut file));
            if let Err(error) = written {
                return Err(ReleaseError::Write { path: path.display().to_string(), error });
            }
        }
        Ok(())
    }

    /// The program, with the environment that `config` has.
    pub(crate) fn program(&self, config: &Config, port: u16) -> Result<Program, BuildError> {
        let damaged = |what: String| ReleaseError::Damaged { path: self.path.display().to_string(), what };
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
        build::program(&parts().map_err(Box::new)?, config, port)
    }
}

fn open(path: &Path) -> Result<tar::Archive<GzDecoder<std::io::BufReader<std::fs::File>>>, ReleaseError> {
    let file = std::fs::File::open(path)
        .map_err(|error| ReleaseError::Read { path: path.display().to_string(), error })?;
    Ok(tar::Archive::new(GzDecoder::new(std::io::BufReader::new(file))))
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
