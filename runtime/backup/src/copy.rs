//! Copies the bytes of databases and files in steps, with a pause after each: whoever serves clients meanwhile has the disk and
//! the processor for at least half of the time. What was written is synced as it goes, because a disk that takes a gigabyte
//! at once makes every other write wait.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use sha2::{Digest, Sha256};

use crate::manifest::Copied;
use crate::snapshot::Source;
use crate::{BackupError, Stop};

/// Bytes between two pauses.
const STEP_BYTES: usize = 1 << 20;
/// SQLite's pages are of 4 KiB in all databases that we make.
const STEP_PAGES: i32 = (STEP_BYTES >> 12) as i32;
/// Longer pauses would make the log grow, which cannot be shortened while it is read.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Works in steps.
pub(crate) struct Pace<'a> {
    stop: &'a Stop,
    pauses: bool,
    since: Instant,
}

impl<'a> Pace<'a> {
    /// With pauses if somebody else needs the machine.
    pub(crate) fn new(stop: &'a Stop, pauses: bool) -> Self {
        Self { stop, pauses, since: Instant::now() }
    }

    // After each step: as long a pause as the step took.
    fn step(&mut self) -> Result<(), BackupError> {
        self.stop.check()?;
        if self.pauses {
            std::thread::sleep(self.since.elapsed().min(PAUSE_MAX));
        }
        self.since = Instant::now();
        Ok(())
    }
}

/// Copies what a read transaction sees into a new file, durably, as one file without a log. Answers its length and sum.
pub(crate) fn database(source: &Source, target: &Path, pace: &mut Pace<'_>) -> Result<Copied, BackupError> {
    let failed = || BackupError::database(target);
    // What an earlier attempt left.
    remove(target)?;
    let mut copy = Connection::open(target).map_err(failed())?;
    // A copy that is not finished is removed, and needs no journal.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").map_err(failed())?;
    let file = File::open(target).map_err(BackupError::file(target))?;
    {
        // The transaction holds, so that what others commit never begins the copy anew.
        let backup = Backup::new(&source.connection, &mut copy).map_err(failed())?;
        loop {
            let step = backup.step(STEP_PAGES).map_err(failed())?;
            file.sync_data().map_err(BackupError::file(target))?;
            match step {
                StepResult::Done => break,
                StepResult::More => pace.step()?,
                // Nobody else has the copy, and a reader of a log waits for no writer.
                _ => return Err(BackupError::Busy { path: source.path.display().to_string() }),
            }
        }
    }
    copy.close().map_err(|(_, error)| failed()(error))?;
    // The copy has the log mode of its source, and could not be read where nothing can be written.
    let copy = Connection::open(target).map_err(failed())?;
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(failed())?;
    copy.close().map_err(|(_, error)| failed()(error))?;
    file.sync_all().map_err(BackupError::file(target))?;
    let (bytes, sha256) = sum(target, pace)?;
    Ok(Copied { name: source.name.to_owned(), bytes, sha256 })
}

/// The length and the sum of a file.
pub(crate) fn sum(path: &Path, pace: &mut Pace<'_>) -> Result<(u64, String), BackupError> {
    let mut file = File::open(path).map_err(BackupError::file(path))?;
    digest(&mut file, path, &mut |_| Ok(()), pace)
}

/// Copies a file durably; answers length and sum of what was read.
pub(crate) fn file(from: &Path, to: &Path, pace: &mut Pace<'_>) -> Result<(u64, String), BackupError> {
    let mut source = File::open(from).map_err(BackupError::file(from))?;
    let mut target = File::create(to).map_err(BackupError::file(to))?;
    let mut write = |piece: &[u8]| {
        let written = target.write_all(piece).and_then(|()| target.sync_data());
        written.map_err(BackupError::file(to))
    };
    let copied = digest(&mut source, from, &mut write, pace)?;
    target.sync_all().map_err(BackupError::file(to))?;
    Ok(copied)
}

type Write1<'a> = dyn FnMut(&[u8]) -> Result<(), BackupError> + 'a;

fn digest(
    file: &mut File,
    path: &Path,
    write: &mut Write1<'_>,
    pace: &mut Pace<'_>,
) -> Result<(u64, String), BackupError> {
    let (mut sum, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; STEP_BYTES];
    loop {
        let read = file.read(&mut piece).map_err(BackupError::file(path))?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
        sum.update(read);
        write(read)?;
        bytes += read.len() as u64;
        pace.step()?;
    }
    Ok((bytes, hexadecimal(&sum.finalize())))
}

/// A sum as text.
pub(crate) fn hexadecimal(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes a file that may not be there, and what SQLite may have left beside it.
pub(crate) fn remove(path: &Path) -> Result<(), BackupError> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BackupError::file(path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::file(folder))
}
