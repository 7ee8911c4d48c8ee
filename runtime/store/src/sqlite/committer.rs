//! The committer: the one thread that writes. It groups the batches of all rooms into one SQLite transaction, so that
//! they share its sync, and calls each batch's callback after the COMMIT.
//!
//! A batch that fails alone (a damaged page) is rolled back alone. A transaction that fails as a whole (disk full, I/O)
//! is tried again batch by batch, so that one large batch does not fail its neighbours. After a failure every later
//! batch of the same room's life fails too, so that no room has a hole in its history. Checkpoints run here: when idle,
//! or when the log is long; never on a worker. The last one, at the end, empties the log: what stays is one file.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use partyrun_telemetry::EVERYWHERE;
use rusqlite::{Connection, params};

use super::place::Place;
use crate::alarms::AlarmBoard;
use crate::checksum::checksum;
use crate::store::{AlarmWrite, Batch, CommitCallback, RoomHandle};
use crate::{StoreError, now_ms};

/// Most batches and bytes in one transaction.
const GROUP_BATCHES_MAX: usize = 4096;
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Pages in the log at which a checkpoint runs between two transactions.
const WAL_PAGES_MAX: usize = 2000;
/// Pages in the log that are worth a checkpoint when nothing else is to do.
const WAL_PAGES_IDLE: usize = 500;
const IDLE_AFTER: Duration = Duration::from_millis(500);
/// How long the last checkpoint waits for readers that are in its way.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// The log is grown to this length once: syncing an overwrite is many times cheaper than syncing an append, which
/// makes the file system write its journal too. It holds `WAL_PAGES_MAX` pages.
const WAL_BYTES_PREPARED: u64 = 8 << 20;
/// How stale `last_seen_ms` may be; noting every batch would dirty one page more each time.
const LAST_SEEN_STEP_MS: i64 = 60_000;

const INSERT_ROOM: &str = "INSERT INTO rooms (party, id, created_ms, last_seen_ms) VALUES (?1, ?2, ?3, ?3)
    ON CONFLICT (party, id) DO UPDATE SET last_seen_ms = excluded.last_seen_ms RETURNING room";
const TOUCH_ROOM: &str = "UPDATE rooms SET last_seen_ms = ?2 WHERE room = ?1";
const PUT: &str = "INSERT INTO entries (room, key, value, checksum) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (room, key) DO UPDATE SET value = excluded.value, checksum = excluded.checksum";
const DELETE: &str = "DELETE FROM entries WHERE room = ?1 AND key = ?2";
const DELETE_ALL: &str = "DELETE FROM entries WHERE room = ?1";
const SET_ALARM: &str =
    "UPDATE rooms SET alarm_at_ms = ?2, alarm_attempt = ?3, alarm_running = 0 WHERE room = ?1";
const START_ALARM: &str = "UPDATE rooms SET alarm_running = 1 WHERE room = ?1 AND alarm_at_ms IS NOT NULL";

pub(super) enum Message {
    Commit(Pending),
    Probe(Probe),
    Stop,
}

/// A batch and who waits for it. Whatever happens to it, the callback is called once.
pub(super) struct Pending {
    batch: Batch,
    done: Option<CommitCallback>,
}

/// Who asks whether a batch could be made durable. The callback is called once, as that of a batch.
pub(super) struct Probe(Option<CommitCallback>);

impl Probe {
    pub(super) fn new(done: CommitCallback) -> Self {
        Self(Some(done))
    }

    fn finish(&mut self, result: Result<(), StoreError>) {
        if let Some(done) = self.0.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.finish(Err(StoreError::Closed));
    }
}

impl Pending {
    pub(super) fn new(batch: Batch, done: CommitCallback) -> Self {
        Self { batch, done: Some(done) }
    }

    fn finish(&mut self, result: Result<(), StoreError>) {
        if let Some(done) = self.done.take() {
            // A panic in there must not take the thread down that every room waits for.
            let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.finish(Err(StoreError::Closed));
    }
}

pub(super) struct Committer {
    connection: Connection,
    board: Arc<AlarmBoard>,
    wal_path: PathBuf,
    place: Place,
    wal_prepared: bool,
    /// Pages in the log, as of the last commit.
    wal_pages: Arc<AtomicUsize>,
    /// Pages at which the next checkpoint between two transactions is due.
    wal_pages_due: usize,
}

impl Committer {
    pub(super) fn new(
        mut connection: Connection,
        board: Arc<AlarmBoard>,
        wal_path: PathBuf,
        place: Place,
    ) -> Result<Self, StoreError> {
        let wal_pages = Arc::new(AtomicUsize::new(0));
        let noted = wal_pages.clone();
        // The hook replaces SQLite's own checkpoints, which would run inside a commit.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            noted.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        connection.set_prepared_statement_cache_capacity(32);
        let wal_pages_due = WAL_PAGES_MAX;
        Ok(Self { connection, board, wal_path, place, wal_prepared: false, wal_pages, wal_pages_due })
    }

    /// Serves until it is stopped or nobody is left to ask.
    pub(super) fn run(mut self, inbox: Receiver<Message>) {
        let mut idle_work = false;
        loop {
            let message = match idle_work {
                true => inbox.recv_timeout(IDLE_AFTER),
                false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Commit(first)) => {
                    let Collected { group, probes, stop } = collect(first, &inbox);
                    self.commit(group);
                    self.answer(probes);
                    if stop {
                        break;
                    }
                    self.prepare_wal();
                    self.checkpoint_if_long();
                    idle_work = true;
                }
                Ok(Message::Probe(probe)) => self.answer(vec![probe]),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    idle_work = false;
                    if self.wal_pages.load(Ordering::Relaxed) >= WAL_PAGES_IDLE {
                        self.checkpoint();
                    }
                }
            }
        }
        self.empty_wal();
    }

    /// Moves all of the log into the database, so that the database is one file that can be copied. If the disk refuses, the
    /// log stays beside it, and the next start reads both.
    fn empty_wal(&self) {
        let _unchanged = self.connection.busy_timeout(LAST_WAIT);
        let _kept = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn commit(&mut self, mut group: Vec<Pending>) {
        let begun = Instant::now();
        let place = self.place.check();
        let is_there = place.is_ok();
        let mut results = place.and_then(|()| {
            self.commit_together(&group.iter().map(|pending| &pending.batch).collect::<Vec<_>>())
        });
        if let (Err(_), true) = (&results, is_there && group.len() > 1) {
            // Alone, so that each room gets its own answer.
            results = Ok(group.iter().map(|pending| self.commit_alone(&pending.batch)).collect());
        }
        let results = results.unwrap_or_else(|error| vec![Err(error); group.len()]);
        for (pending, result) in group.iter().zip(&results) {
            if result.is_err() {
                pending.batch.room.set_failed();
            }
        }
        EVERYWHERE.commits.record_shared(begun.elapsed());
        let failed = results.iter().filter(|result| result.is_err()).count();
        EVERYWHERE.batches_failed.add_shared(failed);
        EVERYWHERE.batches.add_shared(results.len() - failed);
        let durable = group.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.board.committed(durable.map(|(pending, _)| &pending.batch));
        for (pending, result) in group.iter_mut().zip(results) {
            pending.finish(result);
        }
    }

    fn answer(&mut self, probes: Vec<Probe>) {
        if probes.is_empty() {
            return;
        }
        let result = self.probe();
        probes.into_iter().for_each(|mut probe| probe.finish(result.clone()));
    }

    // Commits the schema's version as it is: one page, and one sync, as for a small batch.
    fn probe(&mut self) -> Result<(), StoreError> {
        self.place.check()?;
        let version: i64 = self.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        run(&self.connection, "BEGIN IMMEDIATE")?;
        let written = self.connection.pragma_update(None, "user_version", version).map_err(StoreError::from);
        let committed = written.and_then(|()| run(&self.connection, "COMMIT"));
        if committed.is_err() && !self.connection.is_autocommit() {
            // The commit's error is the one to report.
            let _ = run(&self.connection, "ROLLBACK");
        }
        committed
    }

    fn commit_alone(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let result = self.commit_together(&[batch]).and_then(|mut results| results.pop().unwrap_or(Ok(())));
        if result.is_err() {
            batch.room.set_failed();
        }
        result
    }

    /// One transaction. The outer error: nothing was committed; the inner ones: only that batch was not.
    fn commit_together(&mut self, batches: &[&Batch]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let connection = &self.connection;
        let mut results = Vec::with_capacity(batches.len());
        let mut rows = Vec::with_capacity(batches.len());
        run(connection, "BEGIN IMMEDIATE")?;
        for batch in batches {
            let result = apply_alone(connection, batch);
            if connection.is_autocommit() {
                // SQLite has ended the transaction by itself, as it does when the disk is full.
                return Err(result
                    .err()
                    .unwrap_or_else(|| StoreError::Other("the transaction is gone".into())));
            }
            match result {
                Ok(row) => {
                    rows.push((&batch.room, row));
                    results.push(Ok(()));
                }
                Err(error) => {
                    batch.room.set_failed();
                    results.push(Err(error));
                }
            }
        }
        if let Err(error) = run(connection, "COMMIT") {
            if !connection.is_autocommit() {
                // The commit's error is the one to report.
                let _ = run(connection, "ROLLBACK");
            }
            return Err(error);
        }
        for (room, row) in rows {
            if let Some((row, seen_ms)) = row {
                room.set_row(row);
                room.set_last_seen_ms(seen_ms);
            }
        }
        Ok(results)
    }

    /// Lengthens the log file, once. Only this thread writes to the log, so nothing can lie where the zeros go.
    fn prepare_wal(&mut self) {
        if !self.wal_prepared {
            self.wal_prepared = true;
            // A disk without space for it works as well, only slower.
            let _ = lengthen(&self.wal_path);
        }
    }

    fn checkpoint_if_long(&mut self) {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        if pages < WAL_PAGES_MAX {
            self.wal_pages_due = WAL_PAGES_MAX;
        } else if pages >= self.wal_pages_due && !self.checkpoint() {
            // A reader was in the way: soon again, but not after every commit.
            self.wal_pages_due = pages + WAL_PAGES_MAX / 4;
        }
    }

    /// Moves the log into the database; `true` if all of it.
    fn checkpoint(&mut self) -> bool {
        let done = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        // If the disk refuses, the log stays the place where the data is, and the next checkpoint tries again.
        let complete = done.is_ok_and(|(pages, moved)| pages == moved);
        if complete {
            self.wal_pages.store(0, Ordering::Relaxed);
        }
        complete
    }
}

/// What waits for one transaction.
struct Collected {
    group: Vec<Pending>,
    probes: Vec<Probe>,
    /// A stop came behind it.
    stop: bool,
}

/// Takes what is waiting behind `first`.
fn collect(first: Pending, inbox: &Receiver<Message>) -> Collected {
    let mut bytes = size(&first.batch);
    let mut collected = Collected { group: vec![first], probes: Vec::new(), stop: false };
    while collected.group.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX {
        match inbox.try_recv() {
            Ok(Message::Commit(pending)) => {
                bytes += size(&pending.batch);
                collected.group.push(pending);
            }
            Ok(Message::Probe(probe)) => collected.probes.push(probe),
            Ok(Message::Stop) => {
                collected.stop = true;
                break;
            }
            Err(_) => break,
        }
    }
    collected
}

fn size(batch: &Batch) -> usize {
    let value_bytes = |value: &Option<bytes::Bytes>| value.as_ref().map_or(0, bytes::Bytes::len);
    batch.writes.iter().map(|(key, value)| key.len() + value_bytes(value)).sum()
}

fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Applies a batch so that its failure leaves the other batches of the transaction alone.
fn apply_alone(connection: &Connection, batch: &Batch) -> Result<Option<(i64, i64)>, StoreError> {
    if batch.room.failed() {
        return Err(StoreError::EarlierFailed);
    }
    if !batch.writes_anything() {
        return Ok(None);
    }
    run(connection, "SAVEPOINT batch")?;
    let applied = apply(connection, batch);
    if connection.is_autocommit() {
        return applied.map(Some);
    }
    if applied.is_err() {
        run(connection, "ROLLBACK TO batch")?;
    }
    run(connection, "RELEASE batch")?;
    applied.map(Some)
}

/// Writes a batch; returns the room's number and when it was last noted as seen.
fn apply(connection: &Connection, batch: &Batch) -> Result<(i64, i64), StoreError> {
    let (row, seen_ms) = room_row(connection, &batch.room)?;
    if batch.clear {
        connection.prepare_cached(DELETE_ALL)?.execute([row])?;
    }
    let mut put = connection.prepare_cached(PUT)?;
    let mut delete = connection.prepare_cached(DELETE)?;
    for (key, value) in &batch.writes {
        match value {
            Some(value) => {
                let sum = checksum(batch.room.key(), key.as_bytes(), value);
                put.execute(params![row, key.as_bytes(), value.as_ref(), sum])?
            }
            None => delete.execute(params![row, key.as_bytes()])?,
        };
    }
    match batch.alarm {
        Some(AlarmWrite::Set { at_ms, attempt }) => {
            connection.prepare_cached(SET_ALARM)?.execute(params![row, at_ms, attempt])?;
        }
        Some(AlarmWrite::Clear) => {
            connection.prepare_cached(SET_ALARM)?.execute(params![row, None::<i64>, 0])?;
        }
        Some(AlarmWrite::Start) => {
            connection.prepare_cached(START_ALARM)?.execute([row])?;
        }
        None => {}
    }
    Ok((row, seen_ms))
}

fn room_row(connection: &Connection, room: &RoomHandle) -> Result<(i64, i64), StoreError> {
    let now_ms = now_ms();
    let row = room.row();
    if row == 0 {
        let key = room.key();
        let mut insert = connection.prepare_cached(INSERT_ROOM)?;
        let row = insert.query_row(params![key.party(), key.id(), now_ms], |row| row.get(0))?;
        return Ok((row, now_ms));
    }
    // The difference also notices a clock that was set back.
    if now_ms.abs_diff(room.last_seen_ms()) < LAST_SEEN_STEP_MS.unsigned_abs() {
        return Ok((row, room.last_seen_ms()));
    }
    connection.prepare_cached(TOUCH_ROOM)?.execute([row, now_ms])?;
    Ok((row, now_ms))
}

fn lengthen(path: &std::path::Path) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 16];
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut length = file.seek(SeekFrom::End(0))?;
    while length < WAL_BYTES_PREPARED {
        file.write_all(&zeros)?;
        length += zeros.len() as u64;
    }
    file.sync_all()
}
