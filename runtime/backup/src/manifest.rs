//! `backup.json`: what a backup consists of. It is written last, so that a folder which has it is whole.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{BackupError, DATABASES};

/// The name of the file.
pub const MANIFEST: &str = "backup.json";
/// The format that this version writes, and the latest that it reads.
const FORMAT: u32 = 1;
/// Longer ones are none of ours.
const BYTES_MAX: u64 = 64 << 10;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The version of partyrun that wrote it.
    pub partyrun: String,
    /// When it was taken (RFC 3339, UTC).
    pub taken: String,
    /// The data folder that it is a backup of.
    pub data: String,
    /// Its databases.
    pub files: Vec<Copied>,
}

/// A database in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 sum of its bytes, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    pub(crate) fn new(taken: String, data: &Path, files: Vec<Copied>) -> Self {
        let partyrun = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, partyrun, taken, data: data.display().to_string(), files }
    }

    /// Reads the one of the backup in `folder`; `None` where it has none.
    pub fn read(folder: &Path) -> Result<Option<Self>, BackupError> {
        let path = folder.join(MANIFEST);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::file(&path)(error)),
        };
        let mut text = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut text).map_err(BackupError::file(&path))?;
        Self::parse(&text, &path.display().to_string()).map(Some)
    }

    /// Reads the text of a manifest; `shown` is where it is.
    pub(crate) fn parse(text: &[u8], shown: &str) -> Result<Self, BackupError> {
        // A later version may have other fields, so that its number is read by itself.
        let format = serde_json::from_slice::<serde_json::Value>(text)
            .ok()
            .and_then(|value| value.get("format")?.as_u64())
            .ok_or_else(|| BackupError::unfit(shown, "it is damaged"))?;
        if format > u64::from(FORMAT) {
            let what =
                format!("it has format {format}, and this partyrun reads {FORMAT}; use a newer partyrun");
            return Err(BackupError::unfit(shown, what));
        }
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| BackupError::unfit(shown, format!("it is damaged ({error})")))?;
        match manifest.files.iter().find(|file| !DATABASES.contains(&file.name.as_str())) {
            Some(file) => Err(BackupError::unfit(shown, format!("it names an unknown file {:?}", file.name))),
            None => Ok(manifest),
        }
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let (path, draft) = (folder.join(MANIFEST), folder.join(format!("{MANIFEST}.draft")));
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| BackupError::File {
            path: path.display().to_string(),
            what: error.to_string(),
        })?;
        text.push(b'\n');
        let written = File::create(&draft)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(BackupError::file(&path))
    }
}
