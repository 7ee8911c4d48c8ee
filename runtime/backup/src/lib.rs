//! Backups of a data folder: taken while a server writes to it, on a schedule, verified, and put back.
//!
//! - [`take`] writes a backup: a folder with a copy of each database and `backup.json`, which comes last and has their
//!   lengths and SHA-256 sums. All databases are copied as they were at one moment. Nobody who writes is held up: the
//!   copies are made from read transactions, in small steps with pauses.
//! - [`verify`] reads a backup whole: sums, SQLite's own check, the schema's version, and the checksum of each value.
//! - [`restore`] puts a backup into a data folder that no server uses, and verifies what it has written before it counts.
//! - [`Schedule`] takes backups again and again on a thread of its own, and removes old ones.
//!
//! It knows which databases there are, and asks the crates that they belong to whether one is whole.

mod copy;
mod error;
mod manifest;
mod restore;
mod schedule;
mod snapshot;
mod take;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::atomic::{AtomicBool, Ordering};

pub use error::BackupError;
pub use manifest::{MANIFEST, Manifest};
pub use restore::{Restored, restore};
pub use schedule::{Event, Running, Schedule};
pub use take::{Taken, take};
pub use verify::{Verified, verify};

/// The databases of a data folder, the one that must be there first.
pub const DATABASES: [&str; 2] = [partyrun_store::DATABASE_FILE, partyrun_bindings::DATABASE_FILE];

/// Asks work in progress to end early. It ends with [`BackupError::Stopped`] and leaves nothing.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<(), BackupError> {
        if self.0.load(Ordering::Relaxed) { Err(BackupError::Stopped) } else { Ok(()) }
    }
}
