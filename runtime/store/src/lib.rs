//! Storage of rooms: durable key-value data, alarms, and the registry of rooms. Knows nothing of JavaScript.
//!
//! Keys are UTF-8 strings, values opaque bytes. The shape, from the process inwards:
//!
//! - [`Sqlite::open`]`(dir)` or [`Memory::new`]`()` give an `Arc<dyn Store>`, once per project. [`Store::commit`] makes a
//!   [`Batch`] durable and calls back on the store's committer thread; [`Store::close`] finishes everything.
//! - [`WorkerStore::open`]`(&*store, limits)` once per worker thread (`!Send`); [`WorkerStore::room`]`(key)` gives the
//!   [`RoomStorage`] of one room and costs no I/O.
//! - Inside a turn, all synchronous: [`RoomStorage::get`], [`get_many`](RoomStorage::get_many),
//!   [`list`](RoomStorage::list), [`put`](RoomStorage::put), [`put_many`](RoomStorage::put_many),
//!   [`delete`](RoomStorage::delete), [`delete_many`](RoomStorage::delete_many),
//!   [`delete_all`](RoomStorage::delete_all), [`get_alarm`](RoomStorage::get_alarm),
//!   [`set_alarm`](RoomStorage::set_alarm), [`delete_alarm`](RoomStorage::delete_alarm), and transactions as a stack:
//!   [`begin`](RoomStorage::begin), [`commit`](RoomStorage::commit), [`rollback`](RoomStorage::rollback).
//! - At the end of a turn: `if let Some(batch) = room.take_batch() { store.commit(batch, done) }`. `done` sends the
//!   result to the worker, which calls [`RoomStorage::committed`]`(seq)` or, on an error, [`RoomStorage::failed`]`(seq)`
//!   and resets the room. Output waits while [`RoomStorage::pending_seq`] at the end of its turn is not committed.
//!   A room that was reset or evicted may be opened again once nothing of its last life is
//!   [`undurable`](RoomStorage::undurable); for a terminated turn [`RoomStorage::discard_turn`] lets the same storage go on.
//! - Scheduler: sleep until [`Store::next_alarm`] or the hook of [`Store::on_earlier_alarm`] (re-read the wall clock at
//!   least every minute: it may jump), then [`Store::alarms_due`]. For each, on the room's worker:
//!   [`RoomStorage::start_alarm`], the handler, [`RoomStorage::end_alarm`], then `take_batch` as after every turn.
//!   If the room cannot run or its storage failed: [`Store::release_alarm`] with a later time.
//!
//! [`StorageError`] carries the original's texts and the JavaScript class; [`StoreError`] is the machine's side.

mod alarms;
mod checksum;
mod error;
mod key;
mod memory;
mod room;
mod sqlite;
mod store;
#[cfg(test)]
mod testing;

pub use alarms::retry_delay_ms;
pub use checksum::checksum;
pub use error::{JsErrorClass, StorageError, StoreError};
pub use key::RoomKey;
pub use memory::Memory;
pub use room::{AlarmEnd, AlarmOutcome, ListOptions, Listed, RoomStorage, TransactionId, WorkerStore};
pub use sqlite::{
    DATABASE_FILE, FolderLock, Look, RoomOnDisk, SCHEMA_VERSION, Sqlite, SqliteOptions, Whole, verify,
};
pub use store::{
    AlarmHook, AlarmWrite, Batch, CommitCallback, DueAlarm, ENTRIES_COUNTED_MAX, KeyRange, Reader,
    RoomHandle, RoomSeen, RoomsPage, Store, StoredAlarm, StoredRoom, StoredSize, Survey, Visit,
};

/// The wall clock in milliseconds, as alarms are stored.
pub fn now_ms() -> i64 {
    partyrun_clock::now_ms()
}
