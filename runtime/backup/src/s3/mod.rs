//! S3-compatible storage as a place of backups: objects below a prefix, as a folder has files below it.
//!
//! rusty-s3 says what to send and signs it, `ask.rs` sends it. Nothing is held in memory: files go out and come in by pieces.
//! A request that fails for a reason that may pass is sent again a few times; what fails for good is one [`BackupError`].

mod ask;
mod download;
mod settings;
#[cfg(test)]
mod tests;
mod upload;

use std::future::Future;

use rusty_s3::Credentials;
use rusty_s3::actions::ListObjectsV2;
use tokio::runtime::{Builder, Runtime};

use crate::{BackupError, Stop};
use ask::{Ask, Client, Trouble};

/// What the addresses begin with.
const SCHEME: &str = "s3://";

/// A prefix in a bucket.
pub struct Bucket {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    // Empty, or it ends with `/`.
    prefix: String,
    client: Client,
    // Of the thread that asks.
    runtime: Runtime,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Bucket {
    /// Whether a place is one of S3.
    pub(crate) fn is_meant(place: &str) -> bool {
        place.starts_with(SCHEME)
    }

    /// The bucket and prefix that `place` names (`s3://BUCKET/PREFIX`), with what the AWS variables say of endpoint, region and
    /// keys. Nothing is asked yet.
    pub(crate) fn new(place: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, BackupError> {
        let settings::Settings { bucket, credentials, prefix, certificates } =
            settings::read(place, variable)?;
        let client = Client::new(&certificates)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BackupError::File {
            path: "a runtime cannot be started".to_owned(),
            what: error.to_string(),
        })?;
        Ok(Self { bucket, credentials, prefix, client, runtime })
    }

    /// Its address, without what is secret.
    pub(crate) fn shown(&self) -> String {
        format!("{SCHEME}{}/{}", self.bucket.name(), self.prefix)
    }

    /// The address of something in it.
    pub(crate) fn shown_with(&self, name: &str) -> String {
        format!("{}{name}", self.shown())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The folders in it, without their slash.
    pub(crate) fn folders(&self, stop: &Stop) -> Result<Vec<String>, BackupError> {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
            list.with_prefix(self.prefix.as_str());
            list.with_delimiter("/");
            if let Some(token) = token.take() {
                list.with_continuation_token(token);
            }
            let answer = self.run(&self.shown(), stop, self.client.ask(&Ask::of(&list)))?;
            let text = String::from_utf8_lossy(&answer.body);
            let page = ListObjectsV2::parse_response(&text).map_err(|error| {
                self.failed(&self.shown(), Trouble::strange(format!("its list cannot be read ({error})")))
            })?;
            found.extend(page.common_prefixes.iter().filter_map(|folder| {
                let name = folder.prefix.strip_prefix(&self.prefix)?.strip_suffix('/')?;
                Some(name.to_owned())
            }));
            match page.next_continuation_token {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// The content of a small object; `None` if there is none.
    pub(crate) fn read(&self, name: &str, stop: &Stop) -> Result<Option<Vec<u8>>, BackupError> {
        let key = self.key(name);
        let get = self.bucket.get_object(Some(&self.credentials), &key);
        let asked = async {
            match self.client.ask(&Ask::of(&get)).await {
                Err(trouble) if trouble.is_missing_key() => Ok(None),
                answer => answer.map(|answer| Some(answer.body.to_vec())),
            }
        };
        self.run(&self.shown_with(name), stop, asked)
    }

    /// Removes an object, whether it is there or not.
    pub(crate) fn remove(&self, name: &str, stop: &Stop) -> Result<(), BackupError> {
        let key = self.key(name);
        let delete = self.bucket.delete_object(Some(&self.credentials), &key);
        let asked = async {
            match self.client.ask(&Ask::of(&delete)).await {
                Err(trouble) if trouble.is_missing_key() => Ok(()),
                answer => answer.map(drop),
            }
        };
        self.run(&self.shown_with(name), stop, asked)
    }

    // Runs until it is done or somebody wants it to stop; `shown` is what it is about.
    fn run<T>(
        &self,
        shown: &str,
        stop: &Stop,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, BackupError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.requested() => Err(BackupError::Stopped),
                done = work => done.map_err(|trouble| self.failed(shown, trouble)),
            }
        })
    }

    fn failed(&self, shown: &str, trouble: Trouble) -> BackupError {
        trouble.into_error(shown, self.bucket.base_url().host_str().unwrap_or_default())
    }
}
