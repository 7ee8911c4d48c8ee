//! The store on disk: one SQLite database per project in the data folder, in WAL mode, synced at every commit.
//!
//! One file for all rooms because a sync costs milliseconds and must be shared. The folder is locked against a second
//! process. All writes go through the [`committer`]'s thread; workers and the scheduler only read, each by a connection
//! of its own.

mod committer;
mod lock;
mod look;
mod place;
mod reader;
mod schema;
mod survey;
#[cfg(test)]
mod test_disk;
#[cfg(test)]
mod tests;
mod verify;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use partyrun_limits::Limits;
use rusqlite::{Connection, OpenFlags, params};

use crate::alarms::{AlarmBoard, retry_delay_ms};
use crate::store::{AlarmHook, Batch, CommitCallback, DueAlarm, Reader, Store, Survey};
use crate::{RoomKey, StoreError, now_ms};
use committer::{Committer, Message, Pending, Probe};
pub use lock::FolderLock;
pub use look::{Look, RoomOnDisk};
use place::{HeldLock, Place};
use reader::SqliteReader;
pub use schema::VERSION as SCHEMA_VERSION;
use survey::SqliteSurvey;
pub use verify::{Whole, verify};

/// The file of the database in a data folder.
pub const DATABASE_FILE: &str = "partyrun.sqlite";
/// A reader meets a lock only while the log is being recovered or reset.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A log that one huge transaction made longer is cut back to this.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// How to open the store.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The failed runs up to which an alarm that took the process down is counted; `limits.alarm_retries_max`.
    pub alarm_retries_max: u32,
    /// A registered SQLite file layer instead of the operating system's, for tests.
    pub vfs: Option<String>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl SqliteOptions {
    /// The options that follow from these limits, on the operating system's own files.
    pub fn new(limits: &Limits) -> Self {
        Self { alarm_retries_max: limits.alarm_retries_max, vfs: None }
    }
}

/// The store on disk. One process at a time may open a folder.
pub struct Sqlite {
    path: PathBuf,
    options: SqliteOptions,
    inbox: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    board: Arc<AlarmBoard>,
    /// The scheduler's connection; none once the store is closed.
    alarms: Mutex<Option<Connection>>,
    /// Held until the store is closed, so that a successor may open the folder.
    lock: HeldLock,
}

impl Sqlite {
    /// Opens the store in the folder `dir`, which is created if needed, with the usual options.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, SqliteOptions::default())
    }

    /// Opens the store in the folder `dir`.
    pub fn open_with(dir: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)?;
        Self::open_locked(dir, options, FolderLock::take(dir)?)
    }

    /// Opens the store in the folder `dir`, whose lock this process has.
    pub fn open_locked(dir: &Path, options: SqliteOptions, lock: FolderLock) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE_FILE);
        let mut writer =
            connect(&path, &options, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let mode: String = writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::Io(format!(
                "`{}` is on a file system without shared memory",
                path.display()
            )));
        }
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        schema::migrate(&mut writer, &path)?;
        recover_alarms(&mut writer, options.alarm_retries_max)?;
        let alarms = connect(&path, &options, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let board = Arc::new(AlarmBoard::default());
        let lock = Arc::new(Mutex::new(Some(lock)));
        let log = dir.join(format!("{DATABASE_FILE}-wal"));
        // Another file layer has files of its own.
        let files = if options.vfs.is_none() { vec![path.clone(), log.clone()] } else { Vec::new() };
        let place = Place::of(dir, files, lock.clone());
        let committer = Committer::new(writer, board.clone(), log, place)?;
        let (inbox, messages) = channel();
        let thread =
            std::thread::Builder::new().name("committer".into()).spawn(move || committer.run(messages))?;
        let (thread, alarms) = (Mutex::new(Some(thread)), Mutex::new(Some(alarms)));
        Ok(Self { path, options, inbox, thread, board, alarms, lock })
    }

    /// The path of the database file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn connect(path: &Path, options: &SqliteOptions, flags: OpenFlags) -> Result<Connection, StoreError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// An alarm that was running when the process ended is tried again later, with that run counted: an alarm whose handler
/// takes the process down must not do so at every start at once. It is never dropped for this reason.
fn recover_alarms(writer: &mut Connection, retries_max: u32) -> Result<(), StoreError> {
    let transaction = writer.transaction()?;
    {
        let mut interrupted =
            transaction.prepare("SELECT room, alarm_attempt FROM rooms WHERE alarm_running = 1")?;
        let mut reschedule = transaction.prepare(
            "UPDATE rooms SET alarm_running = 0, alarm_attempt = ?2, alarm_at_ms = ?3 WHERE room = ?1",
        )?;
        let found = interrupted.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (room, attempt) in found.collect::<Result<Vec<(i64, u32)>, _>>()? {
            let at_ms = now_ms().saturating_add(retry_delay_ms(attempt, 0.0));
            reschedule.execute(params![room, attempt.saturating_add(1).min(retries_max), at_ms])?;
        }
    }
    Ok(transaction.commit()?)
}

impl Store for Sqlite {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        let connection = connect(&self.path, &self.options, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Box::new(SqliteReader::new(connection)))
    }

    fn commit(&self, batch: Batch, done: CommitCallback) {
        // If the committer has ended, the batch comes back, is dropped here, and so answered with `Closed`.
        drop(self.inbox.send(Message::Commit(Pending::new(batch, done))));
    }

    fn next_alarm(&self) -> Result<Option<i64>, StoreError> {
        self.board.next(|taken| {
            let alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = alarms.as_ref().ok_or(StoreError::Closed)?;
            let mut statement = connection.prepare_cached(
                "SELECT party, id, alarm_at_ms FROM rooms WHERE alarm_at_ms IS NOT NULL ORDER BY alarm_at_ms",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if !taken(&RoomKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?)) {
                    return Ok(Some(row.get(2)?));
                }
            }
            Ok(None)
        })
    }

    fn alarms_due(&self, now_ms: i64, limit: usize) -> Result<Vec<DueAlarm>, StoreError> {
        self.board.take(now_ms, limit, |give| {
            let alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = alarms.as_ref().ok_or(StoreError::Closed)?;
            let mut statement = connection.prepare_cached(
                "SELECT party, id, alarm_at_ms, alarm_attempt FROM rooms WHERE alarm_at_ms <= ?1 ORDER BY alarm_at_ms",
            )?;
            let mut rows = statement.query([now_ms])?;
            while let Some(row) = rows.next()? {
                let room = RoomKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
                if !give(DueAlarm { room, scheduled_ms: row.get(2)?, attempt: row.get(3)? }) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn release_alarm(&self, room: &RoomKey, retry_at_ms: i64) {
        self.board.release(room, retry_at_ms);
    }

    fn on_earlier_alarm(&self, hook: AlarmHook) {
        self.board.set_hook(hook);
    }

    fn survey(&self) -> Result<Box<dyn Survey>, StoreError> {
        let connection = connect(&self.path, &self.options, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Box::new(SqliteSurvey::new(connection)))
    }

    fn probe(&self, done: CommitCallback) {
        // As with a batch: what cannot be sent is dropped, and so answered.
        drop(self.inbox.send(Message::Probe(Probe::new(done))));
    }

    fn file_bytes(&self) -> Vec<(&'static str, u64)> {
        let mut wal = self.path.as_os_str().to_owned();
        wal.push("-wal");
        // The log is not there before the first write.
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        vec![("database", length(&self.path)), ("wal", length(Path::new(&wal)))]
    }

    fn lock(&self) -> Option<OwnedFd> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(FolderLock::copy)
    }

    fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // The connection that closes last removes the log, and only the committer's can.
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Either fails only if the committer has ended already.
        drop(self.inbox.send(Message::Stop));
        if thread.thread().id() != std::thread::current().id() {
            drop(thread.join());
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}
