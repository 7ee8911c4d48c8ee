//! A release as it is sent to a host: without the static files that the host has in earlier ones, and with a list of all of
//! them. The host makes it whole again; the hash in the manifest is that of the whole release, so that nothing else can come out.
//!
//! The file begins with the length of the list as eight bytes, and the list as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use partyrun_config::Config;
use partyrun_limits::Limits;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ASSETS, Origin, Release, append, archive, check_listed, files, write_to};
use crate::build::Parts;
use crate::error::ReleaseError;

/// The list may take so many bytes for each file, with its name.
const LISTED_BYTES_MAX: u64 = 1024;

/// A static file of a release.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Asset {
    /// Its name in the archive.
    name: String,
    /// The SHA-256 of its content.
    pub(crate) hash: String,
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_of(mut reader: impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut reader, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

/// The static files of a project that is built.
pub(crate) fn assets(config: &Config, parts: &Parts) -> std::io::Result<Vec<Asset>> {
    let mut assets = Vec::new();
    for (name, origin, _) in files(config, parts)? {
        if let Origin::Disk(path) = origin {
            assets.push(Asset { name, hash: hash_of(std::fs::File::open(path)?)? });
        }
    }
    Ok(assets)
}

/// Writes what is sent: the release with those of the static files that the host lacks.
pub(crate) fn write(
    path: &Path,
    config: &Config,
    parts: &Parts,
    listed: &[Asset],
    lacking: &BTreeSet<String>,
    limits: &Limits,
) -> Result<u64, ReleaseError> {
    let failed = |error| ReleaseError::Write { path: path.display().to_string(), error };
    let files = files(config, parts).map_err(failed)?;
    check_listed(path, &files, limits)?;
    let sent: BTreeSet<&str> = listed
        .iter()
        .filter(|asset| lacking.contains(&asset.hash))
        .map(|asset| asset.name.as_str())
        .collect();
    let archive = path.with_extension("archive");
    let write = || {
        write_to(&archive, config, parts, &files, |name| !name.starts_with(ASSETS) || sent.contains(name))?;
        let list = serde_json::to_vec(listed)?;
        let mut file = std::fs::File::create(path)?;
        file.write_all(&(list.len() as u64).to_le_bytes())?;
        file.write_all(&list)?;
        std::io::copy(&mut std::fs::File::open(&archive)?, &mut file)?;
        file.metadata().map(|metadata| metadata.len())
    };
    let written = write();
    let _gone = std::fs::remove_file(&archive);
    written.map_err(failed)
}

/// The hashes of the static files in a release.
pub(crate) fn hashes(path: &Path, limits: &Limits) -> Result<Vec<String>, ReleaseError> {
    let file = open(path)?;
    let mut hashes = Vec::new();
    archive::walk(path, &file, limits, |name, _, reader| {
        if name.starts_with(ASSETS) {
            hashes.push(hash_of(reader).map_err(|error| ReleaseError::damaged(path, error.to_string()))?);
        }
        Ok(())
    })?;
    Ok(hashes)
}

/// Makes a whole release of what was sent, with static files of older ones, and checks it. Answers its hash.
pub(crate) fn complete(
    sent: &Path,
    older: &[PathBuf],
    whole: &Path,
    limits: &Limits,
) -> Result<String, ReleaseError> {
    let scratch = tempfile::tempdir_in(sent.parent().unwrap_or(Path::new(".")))
        .map_err(|error| ReleaseError::Write { path: whole.display().to_string(), error })?;
    let (listed, archive_path) = split(sent, scratch.path(), limits)?;
    let mut held = Held { folder: scratch.path().to_owned(), by_hash: BTreeMap::new(), parts: Vec::new() };
    held.take(&archive_path, limits, |_| true, true)?;
    for path in older {
        let missing: BTreeSet<&str> = held.missing(&listed);
        if missing.is_empty() {
            break;
        }
        let missing: BTreeSet<String> = missing.into_iter().map(str::to_owned).collect();
        held.take(path, limits, |hash| missing.contains(hash), false)?;
    }
    if let Some(asset) = listed.iter().find(|asset| !held.by_hash.contains_key(&asset.hash)) {
        let what = format!("{} was not sent, and no earlier release has it", archive::shown(&asset.name));
        return Err(ReleaseError::damaged(Path::new("The release"), what));
    }
    held.check(&listed, limits)?;
    held.write(&listed, whole)
        .map_err(|error| ReleaseError::Write { path: whole.display().to_string(), error })?;
    // What it holds in memory is read once more.
    drop(held);
    Ok(Release::read(whole, limits)?.manifest.hash)
}

fn open(path: &Path) -> Result<std::fs::File, ReleaseError> {
    use std::os::unix::fs::OpenOptionsExt;
    // Older releases lie in the folder of a project, which might put a link or a pipe there.
    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| ReleaseError::Read { path: path.display().to_string(), error })
}

// The list, and the archive as a file of its own.
fn split(sent: &Path, scratch: &Path, limits: &Limits) -> Result<(Vec<Asset>, PathBuf), ReleaseError> {
    let short = |what: &str| ReleaseError::damaged(Path::new("The release"), what.to_string());
    let mut file = open(sent)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| short("it is cut off"))?;
    let length = u64::from_le_bytes(length);
    if length > limits.release_files_max as u64 * LISTED_BYTES_MAX {
        return Err(short("its list of files is too long"));
    }
    let mut list = Vec::new();
    (&mut file).take(length).read_to_end(&mut list).map_err(|error| short(&error.to_string()))?;
    let listed: Vec<Asset> =
        serde_json::from_slice(&list).map_err(|_| short("its list of files cannot be read"))?;
    file.seek(SeekFrom::Start(8 + length)).map_err(|error| short(&error.to_string()))?;
    let path = scratch.join("archive");
    let copied = std::fs::File::create(&path).and_then(|mut archive| std::io::copy(&mut file, &mut archive));
    copied.map_err(|error| ReleaseError::Write { path: path.display().to_string(), error })?;
    Ok((listed, path))
}

/// The files of a release that is made whole.
struct Held {
    folder: PathBuf,
    by_hash: BTreeMap<String, PathBuf>,
    /// Everything but the static files.
    parts: Vec<(String, Vec<u8>)>,
}

impl Held {
    fn missing<'a>(&self, listed: &'a [Asset]) -> BTreeSet<&'a str> {
        let missing = listed.iter().filter(|asset| !self.by_hash.contains_key(&asset.hash));
        missing.map(|asset| asset.hash.as_str()).collect()
    }

    // Takes the static files whose hashes are wanted, and of the archive that was sent everything else, too.
    fn take(
        &mut self,
        path: &Path,
        limits: &Limits,
        wanted: impl Fn(&str) -> bool,
        with_parts: bool,
    ) -> Result<(), ReleaseError> {
        let file = open(path)?;
        archive::walk(path, &file, limits, |name, _, reader| {
            let unreadable =
                |error: std::io::Error| ReleaseError::damaged(Path::new("The release"), error.to_string());
            let unwritable = |error| ReleaseError::Write { path: "The release".to_string(), error };
            if !name.starts_with(ASSETS) {
                if with_parts {
                    let mut bytes = Vec::new();
                    reader.read_to_end(&mut bytes).map_err(unreadable)?;
                    self.parts.push((name.to_string(), bytes));
                }
                return Ok(());
            }
            let kept = self.folder.join(format!("asset-{}", self.by_hash.len()));
            let mut file = std::fs::File::create(&kept).map_err(unwritable)?;
            let mut hash = Sha256::new();
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = reader.read(&mut buffer).map_err(unreadable)?;
                let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
                hash.update(bytes);
                file.write_all(bytes).map_err(unwritable)?;
            }
            let hash = hex(&hash.finalize());
            if wanted(&hash) {
                self.by_hash.entry(hash).or_insert(kept);
            }
            Ok(())
        })
    }

    // One file may be listed under many names: what comes out is within the limits before it is written.
    fn check(&self, listed: &[Asset], limits: &Limits) -> Result<(), ReleaseError> {
        let what = |what: String| ReleaseError::damaged(Path::new("The release"), what);
        let lengths = self
            .by_hash
            .iter()
            .map(|(hash, path)| Ok::<_, std::io::Error>((hash.as_str(), path.metadata()?.len())));
        let lengths: BTreeMap<&str, u64> =
            lengths.collect::<std::io::Result<_>>().map_err(|error| what(error.to_string()))?;
        let assets = listed
            .iter()
            .map(|asset| (asset.name.clone(), lengths.get(asset.hash.as_str()).copied().unwrap_or(0)));
        let parts = self.parts.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64));
        archive::check_written(&parts.chain(assets).collect::<Vec<_>>(), limits).map_err(what)
    }

    fn write(&self, listed: &[Asset], whole: &Path) -> std::io::Result<()> {
        let file = std::io::BufWriter::new(std::fs::File::create(whole)?);
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (name, bytes) in &self.parts {
            append(&mut archive, name, &**bytes, bytes.len() as u64)?;
        }
        for asset in listed {
            // A name that is none of a static file is refused when the whole release is read.
            let path = self.by_hash.get(&asset.hash).ok_or(std::io::ErrorKind::NotFound)?;
            let file = std::fs::File::open(path)?;
            let bytes = file.metadata()?.len();
            append(&mut archive, &asset.name, file, bytes)?;
        }
        archive.into_inner()?.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    }
}
