//! Sends a file: at once, or by parts if it is long. What arrived is compared with what was sent, by sums and by length.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header;
use md5::{Digest, Md5};
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};

use super::Bucket;
use super::ask::{Ask, Part, Sent, Trouble, error_of};
use crate::{BackupError, Stop};

/// The length of a part, unless the file has more than `PARTS_MAX` of them. Servers want 5 MiB at least.
const PART_BYTES: u64 = 8 << 20;
const PARTS_MAX: u64 = 10_000;
/// A server that stops must not wait long for one that is away.
const ABORT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that are summed up at once.
const STEP_BYTES: usize = 256 << 10;

impl Bucket {
    /// Sends the file to the object `name`. If that does not succeed, no part of it stays.
    pub(crate) fn send(&self, file: &Path, name: &str, stop: &Stop) -> Result<(), BackupError> {
        let length = std::fs::metadata(file).map_err(BackupError::file(file))?.len();
        let (key, shown) = (self.key(name), self.shown_with(name));
        if length <= PART_BYTES {
            let put = self.bucket.put_object(Some(&self.credentials), &key);
            let part = part(file, 0, length)?;
            self.run(&shown, stop, async {
                self.client.ask(&Ask::of(&put).sending(Sent::Part(part))).await.map(drop)
            })?;
        } else {
            self.send_parts(file, length, &key, &shown, stop)?;
        }
        let arrived = self.run(&shown, stop, self.length(&key))?;
        if arrived == Some(length) {
            return Ok(());
        }
        let arrived =
            arrived.map_or("without a length".to_owned(), |arrived| format!("{arrived} bytes long"));
        let what = format!("it is {arrived} there after {length} bytes were sent");
        Err(BackupError::Bucket { address: shown, what })
    }

    async fn length(&self, key: &str) -> Result<Option<u64>, Trouble> {
        let head = self.bucket.head_object(Some(&self.credentials), key);
        let answer = self.client.ask(&Ask::of(&head)).await?;
        let length = answer.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Ok(length.and_then(|length| length.parse().ok()))
    }

    fn send_parts(
        &self,
        file: &Path,
        length: u64,
        key: &str,
        shown: &str,
        stop: &Stop,
    ) -> Result<(), BackupError> {
        let create = self.bucket.create_multipart_upload(Some(&self.credentials), key);
        let id = self.run(shown, stop, async {
            let answer = self.client.ask(&Ask::of(&create)).await?;
            let text = String::from_utf8_lossy(&answer.body);
            let created = CreateMultipartUpload::parse_response(&text);
            created
                .map(|created| created.upload_id().to_owned())
                .map_err(|error| Trouble::strange(format!("its answer cannot be read ({error})")))
        })?;
        let sent = self.run(shown, stop, async {
            let mut tags = Vec::new();
            let bytes = part_bytes(length);
            for (number, from) in (1..).zip((0..length).step_by(usize::try_from(bytes).unwrap_or(usize::MAX)))
            {
                let part = part(file, from, bytes.min(length - from)).map_err(Trouble::Own)?;
                let upload = self.bucket.upload_part(Some(&self.credentials), key, number, &id);
                let answer = self.client.ask(&Ask::of(&upload).sending(Sent::Part(part))).await?;
                let tag = answer.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
                tags.push(tag.ok_or_else(|| Trouble::strange("a part has no ETag".to_owned()))?.to_owned());
            }
            self.complete(key, &id, &tags, length).await
        });
        if sent.is_err() {
            // Nobody else would remove what has arrived. The server may be away; then a rule of the bucket does it.
            let abort = self.bucket.abort_multipart_upload(Some(&self.credentials), key, &id);
            let _kept = self.run(shown, &Stop::default(), async {
                let aborted = tokio::time::timeout(ABORT_TIMEOUT, self.client.begin(&Ask::of(&abort))).await;
                aborted.map_or(Ok(()), |aborted| aborted.map(drop))
            });
        }
        sent
    }

    async fn complete(&self, key: &str, id: &str, tags: &[String], length: u64) -> Result<(), Trouble> {
        let tags = tags.iter().map(String::as_str);
        let complete = self.bucket.complete_multipart_upload(Some(&self.credentials), key, id, tags);
        let body = complete.clone().body();
        let asked = self.client.ask(&Ask::of(&complete).sending(Sent::Text(body))).await;
        let done = asked.and_then(|answer| {
            // Servers begin to answer before they know how it ends: an error may come with 200.
            let text = String::from_utf8_lossy(&answer.body);
            match CompleteMultipartUploadResponse::parse(&text) {
                Ok(_) => Ok(()),
                Err(error) => {
                    let (code, message) = error_of(&text);
                    Err(Trouble::strange(format!("the parts were not joined ({code} {message}; {error})")))
                }
            }
        });
        match done {
            // An answer that was lost: the second request finds the parts joined already.
            Err(trouble) if self.length(key).await.is_ok_and(|there| there == Some(length)) => {
                drop(trouble);
                Ok(())
            }
            done => done,
        }
    }
}

// The shortest usual length of which there are not too many.
fn part_bytes(length: u64) -> u64 {
    PART_BYTES.max(length.div_ceil(PARTS_MAX).next_multiple_of(1 << 20))
}

// A part of a file with its sum.
fn part(path: &Path, from: u64, length: u64) -> Result<Part, BackupError> {
    let summed = || -> std::io::Result<Md5> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let (mut sum, mut left) = (Md5::new(), length);
        let mut step = vec![0; STEP_BYTES];
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(STEP_BYTES);
            let step = step.get_mut(..wanted).unwrap_or_default();
            file.read_exact(step)?;
            sum.update(&*step);
            left -= step.len() as u64;
        }
        Ok(sum)
    };
    let md5 = BASE64_STANDARD.encode(summed().map_err(BackupError::file(path))?.finalize());
    Ok(Part { path: path.to_owned(), from, length, md5 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_too_many_parts() {
        for length in [1, PART_BYTES, PART_BYTES * PARTS_MAX, PART_BYTES * PARTS_MAX + 1, 5 << 40] {
            let bytes = part_bytes(length);
            assert!(bytes >= PART_BYTES && length.div_ceil(bytes) <= PARTS_MAX, "{length}");
        }
    }

    #[test]
    fn a_part_has_the_sum_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "beginmessage digestend").unwrap();
        let part = part(&path, 5, 14).unwrap();
        // RFC 1321: f96b697d7cb7938d525a2f31aaf161d0.
        assert_eq!(part.md5, "+WtpfXy3k41SWi8xqvFh0A==");
        assert!(super::part(&path, 5, 100).is_err());
    }
}
