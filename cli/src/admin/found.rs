//! `admin.json` in the data folder: where the running server's API is, for commands of the same folder. Only its user may
//! read it. A server that was killed leaves it behind; whoever finds it and no server at its address knows that.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "admin.json";
const MODE: u32 = 0o600;

/// What stands in the file.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Place {
    /// The address, as `--to` takes it.
    pub(crate) url: String,
    /// The token, unless it came from the environment.
    pub(crate) token: Option<String>,
    /// The process that serves.
    pub(crate) pid: u32,
}

/// The file of this process; dropping it removes the file, if it still is this process's.
pub(crate) struct Found(PathBuf);

impl Found {
    /// Writes the file, in place of one that is there.
    pub(crate) fn write(folder: &Path, url: &str, token: Option<&str>) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let place = Place { url: url.to_string(), token: token.map(str::to_owned), pid: std::process::id() };
        let path = folder.join(FILE);
        write_private(&path, &format!("{}\n", serde_json::to_string(&place)?))?;
        Ok(Self(path))
    }

    /// The place of the server that runs in a data folder, or ran there.
    pub(crate) fn read(folder: &Path) -> Option<Place> {
        serde_json::from_str(&std::fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        let own = self.0.parent().and_then(Self::read).is_some_and(|place| place.pid == std::process::id());
        if own {
            let _gone = std::fs::remove_file(&self.0);
        }
    }
}

/// Writes a file that only its user may read. It comes into its place whole.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let first = Found::write(folder.path(), "http://127.0.0.1:1", Some("t")).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(Found::read(folder.path()).unwrap().token.as_deref(), Some("t"));
        std::fs::write(&path, r#"{"url":"unix:x","token":null,"pid":1}"#).unwrap();
        drop(first);
        assert_eq!(Found::read(folder.path()).unwrap().url, "unix:x", "another server's");
    }
}
