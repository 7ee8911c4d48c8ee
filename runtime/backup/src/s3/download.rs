//! Fetches an object into a file, and goes on where it was interrupted.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use http::{StatusCode, header};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::Bucket;
use super::ask::{Ask, Trouble, chain};
use crate::copy::hexadecimal;
use crate::{BackupError, Stop};

/// So often it is tried again without having come any further, with such a pause.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Nothing for so long is taken for a connection that is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);

// What has arrived.
struct Arrived {
    file: File,
    bytes: u64,
    sum: Sha256,
}

impl Bucket {
    /// Fetches the object `name` into the file, durably. Answers its length and its SHA-256 sum.
    pub(crate) fn fetch(&self, name: &str, to: &Path, stop: &Stop) -> Result<(u64, String), BackupError> {
        let file = File::create(to).map_err(BackupError::file(to))?;
        let mut arrived = Arrived { file, bytes: 0, sum: Sha256::new() };
        self.run(&self.shown_with(name), stop, async {
            let mut tries = 0;
            loop {
                let before = arrived.bytes;
                match self.rest(&self.key(name), to, &mut arrived).await {
                    Ok(()) => return Ok(()),
                    Err(trouble) if trouble.may_pass() => {
                        tries = if arrived.bytes > before { 1 } else { tries + 1 };
                        if tries == TRIES_MAX {
                            return Err(trouble);
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
        })?;
        arrived.file.sync_all().map_err(BackupError::file(to))?;
        Ok((arrived.bytes, hexadecimal(&arrived.sum.finalize())))
    }

    async fn rest(&self, key: &str, to: &Path, arrived: &mut Arrived) -> Result<(), Trouble> {
        let silent = |_| Trouble::Away(format!("nothing came for {} s", SILENCE_MAX.as_secs()));
        let get = self.bucket.get_object(Some(&self.credentials), key);
        let ask = Ask::of(&get).beginning_at(arrived.bytes);
        let answer = tokio::time::timeout(SILENCE_MAX, self.client.begin(&ask)).await.map_err(silent)??;
        if arrived.bytes > 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
            return Err(Trouble::strange("the server does not send the rest of an object".to_owned()));
        }
        let length = answer.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let whole = length.and_then(|length| length.parse::<u64>().ok()).map(|rest| arrived.bytes + rest);
        let mut body = answer.into_body();
        while let Some(frame) = tokio::time::timeout(SILENCE_MAX, body.frame()).await.map_err(silent)? {
            let frame = frame.map_err(|error| Trouble::Away(chain(&error)))?;
            let Ok(piece) = frame.into_data() else { continue };
            arrived.file.write_all(&piece).map_err(BackupError::file(to)).map_err(Trouble::Own)?;
            arrived.sum.update(&piece);
            arrived.bytes += piece.len() as u64;
        }
        match whole {
            Some(whole) if whole != arrived.bytes => Err(Trouble::Away("the answer was cut off".to_owned())),
            _ => Ok(()),
        }
    }
}
