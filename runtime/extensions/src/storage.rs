//! A room's storage: keys with values that are structured clones, transactions, and the alarm.
//!
//! Reads return inside the call. Writes are part of the turn's batch, and what the room sends after a write waits until the
//! write is durable. Every method fails while the isolate has no room.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use deno_core::JsBuffer;
use deno_core::OpState;
use deno_core::convert::Uint8Array;
use deno_core::op2;
use deno_core::v8;
use deno_error::JsErrorBox;

use crate::host::{LocalFuture, RoomNumber, bytes_of, host};
use crate::wire::{NO_ALARM, NO_LIMIT};

/// The options of `storage.list`, as user code gave them. The store checks them.
pub struct ListOptions {
    /// The first key that may be listed.
    pub start: Option<String>,
    /// The key after which the list begins; not with `start`.
    pub start_after: Option<String>,
    /// The key at which the list ends, without it.
    pub end: Option<String>,
    /// What every listed key begins with.
    pub prefix: Option<String>,
    /// Whether the list runs from the last key to the first.
    pub reverse: bool,
    /// The most entries that are listed; `None` lists all.
    pub limit: Option<usize>,
}

/// What a room can ask of its storage. An error is the JavaScript error that user code gets, unless the method says that the
/// room is reset as well: that follows a failure of the disk, never a mistake of user code.
pub trait Storage {
    /// One value.
    ///
    /// # Errors
    /// The key is too long, or its value does not match its checksum.
    fn storage_get(&self, room: RoomNumber, key: &str) -> Result<Option<Bytes>, JsErrorBox>;
    /// Those values of `keys` that are there, ordered by key. What does not match its checksum is left out, and the log says so.
    ///
    /// # Errors
    /// A key is too long.
    fn storage_get_many(
        &self,
        room: RoomNumber,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Bytes)>, JsErrorBox>;
    /// Keys and values in the order that `options` ask for; what does not match is left out as in a read of many.
    ///
    /// # Errors
    /// The disk failed; the room is reset.
    fn storage_list(
        &self,
        room: RoomNumber,
        options: ListOptions,
    ) -> Result<Vec<(String, Bytes)>, JsErrorBox>;
    /// Whether a call may name `count` keys.
    ///
    /// # Errors
    /// It may not; the text has both numbers.
    fn storage_check_count(&self, room: RoomNumber, count: usize) -> Result<(), JsErrorBox>;
    /// Stores one value.
    ///
    /// # Errors
    /// Key or value is too long.
    fn storage_put(&self, room: RoomNumber, key: &str, value: &[u8]) -> Result<(), JsErrorBox>;
    /// Stores all entries or none.
    ///
    /// # Errors
    /// A key or value is too long, or there are too many.
    fn storage_put_many(&self, room: RoomNumber, entries: Vec<(String, Bytes)>) -> Result<(), JsErrorBox>;
    /// Deletes a key. Answers whether it was there.
    ///
    /// # Errors
    /// The key is too long.
    fn storage_delete(&self, room: RoomNumber, key: &str) -> Result<bool, JsErrorBox>;
    /// Deletes keys. Answers how many were there.
    ///
    /// # Errors
    /// A key is too long, or there are too many.
    fn storage_delete_many(&self, room: RoomNumber, keys: Vec<String>) -> Result<u32, JsErrorBox>;
    /// Deletes all keys; the alarm stays.
    ///
    /// # Errors
    /// The disk failed; the room is reset.
    fn storage_delete_all(&self, room: RoomNumber) -> Result<(), JsErrorBox>;
    /// Begins a transaction inside the innermost open one.
    ///
    /// # Errors
    /// There is no room yet.
    fn storage_begin(&self, room: RoomNumber) -> Result<(), JsErrorBox>;
    /// Commits the innermost open transaction; nothing if none is open.
    ///
    /// # Errors
    /// The disk failed; the room is reset.
    fn storage_commit(&self, room: RoomNumber) -> Result<(), JsErrorBox>;
    /// Takes back what the innermost open transaction did; nothing if none is open.
    ///
    /// # Errors
    /// There is no room yet.
    fn storage_rollback(&self, room: RoomNumber) -> Result<(), JsErrorBox>;
    /// When the alarm is due, in milliseconds since 1970.
    ///
    /// # Errors
    /// The disk failed; the room is reset.
    fn storage_get_alarm(&self, room: RoomNumber) -> Result<Option<f64>, JsErrorBox>;
    /// Sets the alarm, in milliseconds since 1970.
    ///
    /// # Errors
    /// The time is none that an alarm can have.
    fn storage_set_alarm(&self, room: RoomNumber, time_ms: f64) -> Result<(), JsErrorBox>;
    /// Takes the alarm away.
    ///
    /// # Errors
    /// The disk failed; the room is reset.
    fn storage_delete_alarm(&self, room: RoomNumber) -> Result<(), JsErrorBox>;
    /// Whether the room has written something that is not durable yet.
    fn storage_pending(&self, room: RoomNumber) -> bool;
    /// Whether the room has written so much more than the disk has taken that it should wait.
    fn storage_presses(&self, room: RoomNumber) -> bool;
    /// Waits until what the room has written by now is durable.
    ///
    /// # Errors
    /// It could not be made durable, and the room is reset.
    fn storage_sync(&self, room: RoomNumber) -> LocalFuture<Result<(), JsErrorBox>>;
}

#[op2]
pub(crate) fn op_storage_get(
    state: &OpState,
    #[smi] room: u32,
    #[string] key: &str,
) -> Result<Option<Uint8Array>, JsErrorBox> {
    Ok(host(state).storage_get(room, key)?.map(bytes_of))
}

// Keys and values in turn, in one array.
fn pairs<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    found: Vec<(String, Bytes)>,
) -> Result<v8::Local<'s, v8::Array>, JsErrorBox> {
    let mut elements: Vec<v8::Local<v8::Value>> = Vec::with_capacity(found.len() * 2);
    for (key, value) in found {
        let key = v8::String::new(scope, &key).ok_or_else(|| JsErrorBox::range_error("A key is too long"))?;
        let length = value.len();
        let store = v8::ArrayBuffer::new_backing_store_from_vec(Vec::from(value)).make_shared();
        let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
        let view = v8::Uint8Array::new(scope, buffer, 0, length)
            .ok_or_else(|| JsErrorBox::range_error("A value is too long"))?;
        elements.push(key.into());
        elements.push(view.into());
    }
    Ok(v8::Array::new_with_elements(scope, &elements))
}

#[op2]
pub(crate) fn op_storage_get_many<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    state: &OpState,
    #[smi] room: u32,
    #[serde] keys: Vec<String>,
) -> Result<v8::Local<'s, v8::Array>, JsErrorBox> {
    let found = host(state).storage_get_many(room, keys)?;
    pairs(scope, found)
}

#[op2]
pub(crate) fn op_storage_list<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    state: &OpState,
    #[smi] room: u32,
    #[string] start: Option<String>,
    #[string] start_after: Option<String>,
    #[string] end: Option<String>,
    #[string] prefix: Option<String>,
    reverse: bool,
    limit: f64,
) -> Result<v8::Local<'s, v8::Array>, JsErrorBox> {
    let limit = (limit.trunc() != NO_LIMIT).then_some(limit as usize);
    let found =
        host(state).storage_list(room, ListOptions { start, start_after, end, prefix, reverse, limit })?;
    pairs(scope, found)
}

#[op2(fast)]
pub(crate) fn op_storage_check_count(
    state: &OpState,
    #[smi] room: u32,
    #[smi] count: u32,
) -> Result<(), JsErrorBox> {
    host(state).storage_check_count(room, count as usize)
}

#[op2(fast)]
pub(crate) fn op_storage_put(
    state: &OpState,
    #[smi] room: u32,
    #[string] key: &str,
    #[buffer] value: &[u8],
) -> Result<(), JsErrorBox> {
    host(state).storage_put(room, key, value)
}

// Keys and values in turn. All or none of them are stored.
#[op2]
pub(crate) fn op_storage_put_many(
    state: &OpState,
    #[smi] room: u32,
    #[serde] keys: Vec<String>,
    #[serde] values: Vec<JsBuffer>,
) -> Result<(), JsErrorBox> {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value));
    host(state).storage_put_many(room, keys.into_iter().zip(values).collect())
}

#[op2]
pub(crate) fn op_storage_delete_many(
    state: &OpState,
    #[smi] room: u32,
    #[serde] keys: Vec<String>,
) -> Result<u32, JsErrorBox> {
    host(state).storage_delete_many(room, keys)
}

#[op2(fast)]
pub(crate) fn op_storage_delete(
    state: &OpState,
    #[smi] room: u32,
    #[string] key: &str,
) -> Result<bool, JsErrorBox> {
    host(state).storage_delete(room, key)
}

#[op2(fast)]
pub(crate) fn op_storage_delete_all(state: &OpState, #[smi] room: u32) -> Result<(), JsErrorBox> {
    host(state).storage_delete_all(room)
}

#[op2(fast)]
pub(crate) fn op_storage_begin(state: &OpState, #[smi] room: u32) -> Result<(), JsErrorBox> {
    host(state).storage_begin(room)
}

#[op2(fast)]
pub(crate) fn op_storage_commit(state: &OpState, #[smi] room: u32) -> Result<(), JsErrorBox> {
    host(state).storage_commit(room)
}

#[op2(fast)]
pub(crate) fn op_storage_rollback(state: &OpState, #[smi] room: u32) -> Result<(), JsErrorBox> {
    host(state).storage_rollback(room)
}

// Milliseconds since 1970, or NO_ALARM.
#[op2(fast)]
pub(crate) fn op_storage_get_alarm(state: &OpState, #[smi] room: u32) -> Result<f64, JsErrorBox> {
    Ok(host(state).storage_get_alarm(room)?.unwrap_or(NO_ALARM))
}

#[op2(fast)]
pub(crate) fn op_storage_set_alarm(
    state: &OpState,
    #[smi] room: u32,
    time_ms: f64,
) -> Result<(), JsErrorBox> {
    host(state).storage_set_alarm(room, time_ms)
}

#[op2(fast)]
pub(crate) fn op_storage_delete_alarm(state: &OpState, #[smi] room: u32) -> Result<(), JsErrorBox> {
    host(state).storage_delete_alarm(room)
}

/// Whether the room has written something that is not durable yet.
#[op2(fast)]
pub(crate) fn op_storage_pending(state: &OpState, #[smi] room: u32) -> bool {
    host(state).storage_pending(room)
}

/// Whether the room has written so much more than the disk has taken that it should wait.
#[op2(fast)]
pub(crate) fn op_storage_presses(state: &OpState, #[smi] room: u32) -> bool {
    host(state).storage_presses(room)
}

#[op2]
pub(crate) async fn op_storage_sync(state: Rc<RefCell<OpState>>, #[smi] room: u32) -> Result<(), JsErrorBox> {
    let syncing = host(&state.borrow()).storage_sync(room);
    syncing.await
}
