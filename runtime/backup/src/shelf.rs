//! Where a schedule keeps its backups, each under the time at which it was begun: a folder, or a bucket.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::manifest::{MANIFEST, Manifest};
use crate::s3::Bucket;
use crate::take::{self, Taken};
use crate::{BackupError, DATABASES, Place, Stop, place};

/// What has no manifest after so long was interrupted.
const INTERRUPTED_AFTER: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// A backup that is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    /// Its name: names are in the order of time.
    pub(crate) name: String,
    pub(crate) taken: Option<DateTime<Utc>>,
}

/// What a schedule asks of its place. Only backups of its own data are counted and removed.
pub(crate) trait Shelf: Send {
    /// Whether backups can come here now.
    fn look(&self) -> Result<(), BackupError>;

    /// The backups of this data, the oldest first.
    fn own(&self, stop: &Stop) -> Result<Vec<Kept>, BackupError>;

    /// Takes a backup under the name, or hands on one that was taken within `fresh` and has not arrived yet.
    fn add(&self, name: &str, fresh: Duration, stop: &Stop) -> Result<Taken, BackupError>;

    /// A backup that was taken and has not arrived, if there is one.
    fn waiting(&self) -> Option<PathBuf>;

    /// Removes a backup; what is left of one that is half removed does not look like one.
    fn remove(&self, name: &str, stop: &Stop) -> Result<(), BackupError>;

    /// Removes what processes that were killed have left. What cannot be removed is left for the next time.
    fn remove_left_overs(&self, stop: &Stop);
}

/// The one that belongs to a place.
pub(crate) fn of(place: Place, data: &Path) -> Result<Box<dyn Shelf>, BackupError> {
    let data = data.to_owned();
    Ok(match place {
        Place::Folder(to) => {
            std::fs::create_dir_all(&to).map_err(BackupError::file(&to))?;
            Box::new(FolderShelf { data, to })
        }
        Place::Bucket(bucket) => Box::new(BucketShelf { data, bucket: *bucket, known: RefCell::default() }),
    })
}

// As manifests have it.
fn read_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

// The time that a name says, if it is one that a schedule gives.
fn time_in(name: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_str(&format!("{name}+0000"), "%Y-%m-%dT%H-%M-%S%.3fZ%z")
        .ok()
        .map(|time| time.to_utc())
}

// As manifests name a data folder.
fn named(data: &Path) -> String {
    data.canonicalize().unwrap_or_else(|_| data.to_owned()).display().to_string()
}

// The folders with such names as backups have.
fn folders(to: &Path) -> Vec<PathBuf> {
    let is_named = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| time_in(name).is_some())
    };
    let entries = std::fs::read_dir(to).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_named).collect()
}

fn remove_folder(folder: &Path) -> Result<(), BackupError> {
    // Its manifest goes first: what is left of a backup that is half removed must not look like one.
    std::fs::remove_file(folder.join(MANIFEST))
        .and_then(|()| std::fs::remove_dir_all(folder))
        .map_err(BackupError::file(folder))
}

struct FolderShelf {
    data: PathBuf,
    to: PathBuf,
}

impl Shelf for FolderShelf {
    fn look(&self) -> Result<(), BackupError> {
        // It is not created again, because it may be a disk that is not mounted.
        if self.to.is_dir() { Ok(()) } else { Err(BackupError::Gone { path: self.to.display().to_string() }) }
    }

    fn own(&self, _stop: &Stop) -> Result<Vec<Kept>, BackupError> {
        let data = named(&self.data);
        let mut own: Vec<_> = folders(&self.to)
            .into_iter()
            .filter_map(|folder| {
                let manifest = Manifest::read(&folder).ok()??;
                let name = folder.file_name()?.to_str()?.to_owned();
                (manifest.data == data).then(|| Kept { name, taken: read_time(&manifest.taken) })
            })
            .collect();
        own.sort();
        Ok(own)
    }

    fn add(&self, name: &str, _fresh: Duration, stop: &Stop) -> Result<Taken, BackupError> {
        take::take(&self.data, &self.to.join(name), stop)
    }

    fn waiting(&self) -> Option<PathBuf> {
        None
    }

    fn remove(&self, name: &str, _stop: &Stop) -> Result<(), BackupError> {
        remove_folder(&self.to.join(name))
    }

    fn remove_left_overs(&self, _stop: &Stop) {
        for folder in folders(&self.to).into_iter().filter(|folder| take::is_left_over(folder)) {
            let _kept = std::fs::remove_dir_all(folder);
        }
    }
}

// A backup is taken into the data folder and sent from there. It stays until it has arrived.
struct BucketShelf {
    data: PathBuf,
    bucket: Bucket,
    // What is known of the backups that were there: they never change. None of those that were removed here, whose folders
    // some servers go on listing.
    known: RefCell<HashMap<String, Option<Manifest>>>,
}

/// A backup that waits here, and when it was taken.
type Staged = (Taken, Option<DateTime<Utc>>);

impl BucketShelf {
    // Those that were taken here and have not arrived, the newest last.
    fn staged(&self) -> Result<Vec<Staged>, BackupError> {
        let mut staged: Vec<_> = folders(&place::staging(&self.data)?);
        staged.sort();
        let read = |folder: &PathBuf| take::read(folder).ok()?;
        let taken = staged.iter().filter_map(read);
        Ok(taken.map(|(taken, time)| (taken, read_time(&time))).collect())
    }

    // What is there under the names of schedules; `None` for what has no manifest.
    fn all(&self, stop: &Stop) -> Result<Vec<(String, Option<Manifest>)>, BackupError> {
        let names: Vec<_> =
            self.bucket.folders(stop)?.into_iter().filter(|name| time_in(name).is_some()).collect();
        let mut known = self.known.borrow_mut();
        known.retain(|name, _| names.contains(name));
        let mut all = Vec::new();
        for name in names {
            let manifest = match known.get(&name) {
                Some(None) => continue,
                Some(Some(manifest)) => Some(manifest.clone()),
                None => {
                    let path = format!("{name}/{MANIFEST}");
                    let text = self.bucket.read(&path, stop)?;
                    let manifest = text.map(|text| Manifest::parse(&text, &path)).transpose();
                    // One of a newer version, say, is nobody's to remove.
                    let Ok(manifest) = manifest else { continue };
                    if manifest.is_some() {
                        known.insert(name.clone(), manifest.clone());
                    }
                    manifest
                }
            };
            all.push((name, manifest));
        }
        Ok(all)
    }
}

impl Shelf for BucketShelf {
    fn look(&self) -> Result<(), BackupError> {
        Ok(())
    }

    fn own(&self, stop: &Stop) -> Result<Vec<Kept>, BackupError> {
        let data = named(&self.data);
        let mut own: Vec<_> = self
            .all(stop)?
            .into_iter()
            .filter_map(|(name, manifest)| {
                let manifest = manifest.filter(|manifest| manifest.data == data)?;
                Some(Kept { name, taken: read_time(&manifest.taken) })
            })
            .collect();
        own.sort();
        Ok(own)
    }

    fn add(&self, name: &str, fresh: Duration, stop: &Stop) -> Result<Taken, BackupError> {
        let staged = self.staged()?;
        let is_fresh = |time: &Option<DateTime<Utc>>| {
            let since = time.and_then(|time| Utc::now().signed_duration_since(time).to_std().ok());
            since.is_some_and(|since| since < fresh)
        };
        let taken = match staged.last().filter(|(_, time)| is_fresh(time)) {
            Some((taken, _)) => taken.clone(),
            None => take::take(&self.data, &place::staging(&self.data)?.join(name), stop)?,
        };
        // Older ones that never arrived would only fill the disk.
        for (older, _) in staged.iter().filter(|(older, _)| older.folder != taken.folder) {
            let _kept = remove_folder(&older.folder);
        }
        let name = taken.folder.file_name().and_then(|name| name.to_str()).unwrap_or(name).to_owned();
        place::send(&self.bucket, &format!("{name}/"), &taken, stop)?;
        let _kept = remove_folder(&taken.folder);
        Ok(taken.moved(&self.bucket.shown_with(&name)))
    }

    fn waiting(&self) -> Option<PathBuf> {
        self.staged().ok()?.pop().map(|(taken, _)| taken.folder)
    }

    fn remove(&self, name: &str, stop: &Stop) -> Result<(), BackupError> {
        for file in [MANIFEST].iter().chain(&DATABASES) {
            self.bucket.remove(&format!("{name}/{file}"), stop)?;
        }
        self.known.borrow_mut().insert(name.to_owned(), None);
        Ok(())
    }

    fn remove_left_overs(&self, stop: &Stop) {
        place::remove_interrupted(&self.data);
        for folder in place::staging(&self.data).map(|staging| folders(&staging)).unwrap_or_default() {
            if take::is_left_over(&folder) {
                let _kept = std::fs::remove_dir_all(folder);
            }
        }
        let is_old = |name: &str| time_in(name).is_some_and(|time| Utc::now() - time > INTERRUPTED_AFTER);
        for (name, manifest) in self.all(stop).unwrap_or_default() {
            if manifest.is_none() && is_old(&name) {
                let _kept = self.remove(&name, stop);
            }
        }
    }
}
