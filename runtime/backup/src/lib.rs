//! Backups of a data folder: taken while a server writes to it, on a schedule, verified, and put back.
//!
//! - [`take`] writes a backup: a folder with a copy of each database and `backup.json`, which comes last and has their
//!   lengths and SHA-256 sums. All databases are copied as they were at one moment. Nobody who writes is held up: the
//!   copies are made from read transactions, in small steps with pauses.
//! - [`verify`] reads a backup whole: sums, SQLite's own check, the schema's version, and the checksum of each value.
//! - [`restore`] puts a backup into a data folder that no server uses, and verifies what it has written before it counts.
//! - [`Place`] is where a backup goes to or comes from: a folder, or S3-compatible storage.
//! - [`Schedule`] takes backups again and again on a thread of its own, and removes old ones.
//!
//! It knows which databases there are, and asks the crates that they belong to whether one is whole.

mod copy;
mod error;
mod manifest;
mod origin;
mod place;
mod restore;
mod s3;
mod schedule;
mod shelf;
mod snapshot;
mod take;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

pub use error::BackupError;
pub use manifest::{MANIFEST, Manifest};
pub use place::Place;
pub use restore::{Restored, restore};
pub use s3::Bucket;
pub use schedule::{Event, Running, Schedule};
pub use take::{Taken, take};
pub use verify::{Verified, verify};

/// The databases of a data folder, the one that must be there first.
pub const DATABASES: [&str; 2] = [partyrun_store::DATABASE_FILE, partyrun_bindings::DATABASE_FILE];

/// Asks work in progress to end early. It ends with [`BackupError::Stopped`] and leaves nothing.
#[derive(Debug, Default)]
pub struct Stop {
    requested: AtomicBool,
    told: Notify,
}

impl Stop {
    /// Asks.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        // One at a time waits; it is remembered for whoever comes later.
        self.told.notify_one();
    }

    pub(crate) fn check(&self) -> Result<(), BackupError> {
        if self.requested.load(Ordering::SeqCst) { Err(BackupError::Stopped) } else { Ok(()) }
    }

    // Waits until somebody asks.
    async fn requested(&self) {
        while self.check().is_ok() {
            self.told.notified().await;
        }
    }
}
