//! What is kept of an authority: the account with it, and for each name the key and the certificate, in one file.
//!
//! Only the owner can read the folder and its files. A file is written whole or not at all.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use partyrun_net::Identity;

use crate::AcmeError;

/// No file that was written here is as long.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ACCOUNT: &str = "account.json";

/// The folder of one authority.
pub(crate) struct Store(PathBuf);

impl Store {
    /// That of the authority with this host, below `folder`.
    pub(crate) fn new(folder: &Path, host: &str) -> Result<Self, AcmeError> {
        // Colons are for ports, and none of the other characters of a host means anything to a path.
        let name: String =
            host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let path = folder.join(name.trim_start_matches('.'));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| AcmeError::Folder { path: path.display().to_string(), error })?;
        Ok(Self(path))
    }

    /// The account with the authority, as it was kept.
    pub(crate) fn account(&self) -> Option<Vec<u8>> {
        read(&self.0.join(ACCOUNT))
    }

    pub(crate) fn keep_account(&self, text: &[u8]) -> std::io::Result<()> {
        self.write(ACCOUNT, text)
    }

    pub(crate) fn forget_account(&self) {
        // One that cannot be removed is replaced by the next one.
        let _gone = std::fs::remove_file(self.0.join(ACCOUNT));
    }

    /// The certificate of a name, if there is one that can be used.
    pub(crate) fn certificate(&self, name: &str) -> Option<Identity> {
        let text = read(&self.0.join(file(name)))?;
        Identity::from_pem(&text, &text).ok()
    }

    /// Keeps the key and the chain of a name.
    pub(crate) fn keep_certificate(&self, name: &str, key: &str, chain: &str) -> std::io::Result<()> {
        self.write(&file(name), format!("{key}{chain}").as_bytes())
    }

    fn write(&self, name: &str, text: &[u8]) -> std::io::Result<()> {
        // A temporary file is readable for its owner only.
        let mut draft = tempfile::Builder::new().prefix(".draft").tempfile_in(&self.0)?;
        draft.write_all(text)?;
        draft.as_file().sync_all()?;
        draft.persist(self.0.join(name))?;
        Ok(())
    }
}

// Names are those of hosts, which have neither slashes nor a point at their beginning.
fn file(name: &str) -> String {
    format!("{name}.pem")
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let length = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len();
    if length > FILE_BYTES_MAX { None } else { std::fs::read(path).ok() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_kept_is_the_owners_alone_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("acme"), "127.0.0.1:14000").unwrap();
        assert!(store.account().is_none() && store.certificate("localhost").is_none());
        store.keep_account(b"{}").unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        store.keep_certificate("localhost", &made.signing_key.serialize_pem(), &made.cert.pem()).unwrap();
        let folder = folder.path().join("acme/127.0.0.1_14000");
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for name in ["account.json", "localhost.pem"] {
            assert_eq!(mode(&folder.join(name)), 0o600);
        }
        assert_eq!(store.certificate("localhost").unwrap().names(), ["localhost"]);
        assert_eq!(store.account().unwrap(), b"{}");
        store.forget_account();
        assert!(store.account().is_none());
        std::fs::write(folder.join("localhost.pem"), "nonsense").unwrap();
        assert!(store.certificate("localhost").is_none());
        assert!(Store::new(&folder.join("localhost.pem"), "a").is_err());
    }
}
