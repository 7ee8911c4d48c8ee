//! Values of the environment, encrypted at rest with a key of the host (AES-256-GCM), and tokens, of which only a hash is kept.
//!
//! The key is a file of its own beside the registry. Each value is bound to the project and the name that it was stored
//! for: one that is moved to another place in the registry cannot be read there.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use sha2::{Digest, Sha256};

const KEY_FILE: &str = "host.key";
const KEY_BYTES: usize = 32;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// What tokens begin with, so that scanners of repositories find them.
const TOKEN_PREFIX: &str = "prt_";

/// Why something secret cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The key's file.
    #[error("The key in {path} cannot be used: {error}")]
    File {
        /// Where it is.
        path: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The key's file has another length, or may be read by others.
    #[error("The key in {path} cannot be used: {what}")]
    Key {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system gives no random bytes.
    #[error("The system gives no random bytes")]
    Random,
    /// A value is not what this key has encrypted for its place.
    #[error("The value of {0} cannot be decrypted: it was encrypted with another key, or altered")]
    Value(String),
}

/// The host's key.
pub(crate) struct Secrets(LessSafeKey);

impl Secrets {
    /// The key of a data folder, which is made if there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self, SecretError> {
        let path = folder.join(KEY_FILE);
        let shown = path.display().to_string();
        let failed = |error| SecretError::File { path: shown.clone(), error };
        let key = match std::fs::read(&path) {
            Ok(key) => {
                let mode = path.metadata().map_err(failed)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(SecretError::Key {
                        path: shown,
                        what: "others may read it (`chmod 600` it)",
                    });
                }
                key
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = random::<KEY_BYTES>()?.to_vec();
                let draft = path.with_extension("draft");
                let mut options = std::fs::OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                options
                    .open(&draft)
                    .and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()))
                    .and_then(|()| std::fs::rename(&draft, &path))
                    .map_err(failed)?;
                key
            }
            Err(error) => return Err(failed(error)),
        };
        let unbound = UnboundKey::new(&AES_256_GCM, &key)
            .map_err(|_| SecretError::Key { path: shown, what: "it is not 32 bytes long" })?;
        Ok(Self(LessSafeKey::new(unbound)))
    }

    /// A value as it is stored for a place.
    pub(crate) fn encrypt(&self, place: &str, value: &str) -> Result<Vec<u8>, SecretError> {
        let nonce = random::<NONCE_LEN>()?;
        let mut bytes = value.as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| SecretError::Random)?;
        Ok([&nonce[..], &bytes].concat())
    }

    /// The value that was stored for a place.
    pub(crate) fn decrypt(&self, place: &str, stored: &[u8]) -> Result<String, SecretError> {
        let altered = || SecretError::Value(place.to_string());
        let (nonce, bytes) = stored.split_at_checked(NONCE_LEN).ok_or_else(altered)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| altered())?;
        let mut bytes = bytes.to_vec();
        let plain =
            self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut bytes).map_err(|_| altered())?;
        String::from_utf8(plain.to_vec()).map_err(|_| altered())
    }
}

fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| SecretError::Random)?;
    Ok(bytes)
}

/// A new token.
pub fn new_token() -> Result<String, SecretError> {
    let hex: String = random::<TOKEN_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{TOKEN_PREFIX}{hex}"))
}

/// What is kept of a token. It has 256 random bits, so that no slower hash is needed; and whoever is looked up by its
/// hash learns nothing from how long that takes.
pub fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_to_their_key_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(folder.path()).unwrap();
        let stored = secrets.encrypt("chat/KEY", "the value").unwrap();
        assert!(!stored.windows(5).any(|part| part == b"value"));
        assert_ne!(stored, secrets.encrypt("chat/KEY", "the value").unwrap(), "each time another nonce");
        assert_eq!(Secrets::open(folder.path()).unwrap().decrypt("chat/KEY", &stored).unwrap(), "the value");
        assert!(secrets.decrypt("other/KEY", &stored).is_err());
        let mut altered = stored.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert!(
            secrets.decrypt("chat/KEY", &altered).is_err() && secrets.decrypt("chat/KEY", b"short").is_err()
        );
        let other = Secrets::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert!(other.decrypt("chat/KEY", &stored).is_err());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Secrets::open(folder.path()).unwrap();
        let path = folder.path().join(KEY_FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Secrets::open(folder.path()).is_err());
        std::fs::write(&path, "short").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Secrets::open(folder.path()).is_err());
    }

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert!(one.len() > 64 && one != other && token_hash(&one) != token_hash(&other));
    }
}
