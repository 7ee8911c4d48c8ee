//! Where a backup is read from: a folder, or a bucket.

use std::path::Path;

use crate::copy::{self, Pace};
use crate::manifest::{MANIFEST, Manifest};
use crate::s3::Bucket;
use crate::{BackupError, DATABASES, Stop};

/// What a backup says of itself, and the names of its databases.
pub(crate) type Contents = (Option<Manifest>, Vec<&'static str>);

/// A backup that is read.
pub(crate) trait Origin {
    /// Where the file `name` of it is, for people.
    fn shown(&self, name: &str) -> String;

    /// What is in it. That it has the first database is certain, that all of them are whole is not.
    fn contents(&self) -> Result<Contents, BackupError>;

    /// Copies a file of it, durably. Answers the length and the sum of what was read.
    fn fetch(&self, name: &str, to: &Path) -> Result<(u64, String), BackupError>;
}

/// A folder.
pub(crate) struct Folder<'a>(pub(crate) &'a Path);

impl Origin for Folder<'_> {
    fn shown(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn contents(&self) -> Result<Contents, BackupError> {
        let folder = self.0;
        let manifest = Manifest::read(folder)?;
        let is_named = |name: &str| match &manifest {
            Some(manifest) => manifest.files.iter().any(|file| file.name == name),
            None => folder.join(name).exists(),
        };
        let names: Vec<_> = DATABASES.into_iter().filter(|name| is_named(name)).collect();
        if names.first() != DATABASES.first() {
            return Err(without_database(&folder.display().to_string(), newest_inside(folder)));
        }
        for name in &names {
            let path = folder.join(name);
            match path.try_exists() {
                Ok(true) => {}
                Ok(false) => return Err(BackupError::unfit(&self.shown(name), "it is missing")),
                Err(error) => return Err(BackupError::file(&path)(error)),
            }
            // A copy of a running server's files needs its log, and is no backup without it.
            if folder.join(format!("{name}-wal")).metadata().is_ok_and(|log| log.len() > 0) {
                let what = format!(
                    "recent writes are in `{name}-wal` beside it; stop the server cleanly, or use `partyrun backup`"
                );
                return Err(BackupError::unfit(&self.shown(name), what));
            }
        }
        Ok((manifest, names))
    }

    fn fetch(&self, name: &str, to: &Path) -> Result<(u64, String), BackupError> {
        let stop = Stop::default();
        copy::file(&self.0.join(name), to, &mut Pace::new(&stop, false))
    }
}

impl Origin for Bucket {
    fn shown(&self, name: &str) -> String {
        self.shown_with(name)
    }

    // Without a manifest it is no backup: that one comes last, so that an upload which was interrupted has none.
    fn contents(&self) -> Result<Contents, BackupError> {
        let stop = Stop::default();
        let Some(text) = self.read(MANIFEST, &stop)? else {
            let mut newest = None;
            for name in self.folders(&stop)? {
                if newest.as_ref() < Some(&name) && self.read(&format!("{name}/{MANIFEST}"), &stop)?.is_some()
                {
                    newest = Some(name);
                }
            }
            return Err(match newest {
                Some(newest) => without_database(&Self::shown(self), Some(self.shown_with(&newest))),
                None => BackupError::unfit(&Self::shown(self), format!("it has no {MANIFEST}")),
            });
        };
        let manifest = Manifest::parse(&text, &self.shown_with(MANIFEST))?;
        let is_named = |name: &&str| manifest.files.iter().any(|file| file.name == *name);
        let names: Vec<_> = DATABASES.into_iter().filter(is_named).collect();
        if names.first() != DATABASES.first() {
            return Err(without_database(&Self::shown(self), None));
        }
        Ok((Some(manifest), names))
    }

    fn fetch(&self, name: &str, to: &Path) -> Result<(u64, String), BackupError> {
        Self::fetch(self, name, to, &Stop::default())
    }
}

fn without_database(shown: &str, newest_inside: Option<String>) -> BackupError {
    let what = match newest_inside {
        Some(newest) => format!("it holds several backups; name one, the newest is {newest}"),
        None => format!("it has no {}", DATABASES[0]),
    };
    BackupError::unfit(shown, what)
}

// The name of a folder says when it was written.
fn newest_inside(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let newest = entries.filter(|path| path.join(MANIFEST).exists()).max()?;
    Some(newest.display().to_string())
}
