//! The storage of the room, whose writes close the output gate.

use bytes::Bytes;
use deno_error::JsErrorBox;
use partyrun_extensions as ext;
use partyrun_store::{RoomStorage, StorageError, StoreError};
use partyrun_telemetry::{Reset, limit_hit};

use super::HostSlot;
use crate::api::Level;
use crate::room::records::Records;

impl HostSlot {
    fn storage<T>(
        &self,
        room: u32,
        writes: bool,
        body: impl FnOnce(&mut RoomStorage) -> Result<T, StorageError>,
    ) -> Result<T, JsErrorBox> {
        let actor = self.room(room).ok_or_else(no_storage)?;
        let records = actor.records.as_ref().ok_or_else(no_storage)?;
        if writes {
            // Before the write: one that is refused leaves a batch without writes, which is none.
            actor.gate.wrote();
        }
        let result = body(&mut records.storage().borrow_mut());
        if writes {
            records.count_undurable();
        }
        result.map_err(|error| {
            if error.resets_room() {
                limit_hit!(unawaited_bytes_max);
                actor.reset_soon(Reset::Storage, &error.to_string());
            }
            js_error(&error)
        })
    }

    // Says what a read left out, because nothing else would tell.
    fn report_altered(&self, room: u32) {
        let Some(actor) = self.room(room) else { return };
        let Some(storage) = actor.records.as_ref().map(Records::storage) else { return };
        let altered = storage.borrow_mut().take_altered();
        for key in altered {
            let room = storage.borrow().key().to_string();
            let error = StorageError::from(StoreError::Altered { room, key });
            actor.shared.observer.console(&actor.source, Level::Error, &format!("{error} It was left out."));
        }
    }
}

impl ext::Storage for HostSlot {
    fn storage_get(&self, room: u32, key: &str) -> Result<Option<Bytes>, JsErrorBox> {
        self.storage(room, false, |storage| storage.get(key))
    }

    fn storage_get_many(&self, room: u32, keys: Vec<String>) -> Result<Vec<(String, Bytes)>, JsErrorBox> {
        let found = self.storage(room, false, |storage| storage.get_many(&keys));
        self.report_altered(room);
        found
    }

    fn storage_list(&self, room: u32, options: ext::ListOptions) -> Result<Vec<(String, Bytes)>, JsErrorBox> {
        let options = partyrun_store::ListOptions {
            start: options.start,
            start_after: options.start_after,
            end: options.end,
            prefix: options.prefix,
            reverse: options.reverse,
            limit: options.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
        };
        let found = self.storage(room, false, |storage| storage.list(&options));
        self.report_altered(room);
        found
    }

    fn storage_check_count(&self, room: u32, count: usize) -> Result<(), JsErrorBox> {
        let max = self.room(room).map_or(usize::MAX, |actor| actor.shared.limits.keys_per_call_max);
        if count > max {
            return Err(JsErrorBox::range_error(format!(
                "Maximum number of key value pairs is {max}. {count} pairs were provided."
            )));
        }
        Ok(())
    }

    fn storage_put(&self, room: u32, key: &str, value: &[u8]) -> Result<(), JsErrorBox> {
        self.storage(room, true, |storage| storage.put(key, Bytes::copy_from_slice(value)))
    }

    fn storage_put_many(&self, room: u32, entries: Vec<(String, Bytes)>) -> Result<(), JsErrorBox> {
        self.storage(room, true, |storage| storage.put_many(entries))
    }

    fn storage_delete(&self, room: u32, key: &str) -> Result<bool, JsErrorBox> {
        self.storage(room, true, |storage| storage.delete(key))
    }

    fn storage_delete_many(&self, room: u32, keys: Vec<String>) -> Result<u32, JsErrorBox> {
        self.storage(room, true, |storage| storage.delete_many(&keys))
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn storage_delete_all(&self, room: u32) -> Result<(), JsErrorBox> {
        self.storage(room, true, RoomStorage::delete_all)
    }

    fn storage_begin(&self, room: u32) -> Result<(), JsErrorBox> {
        let actor = self.room(room).ok_or_else(no_storage)?;
        let id = self.storage(room, false, |storage| Ok(storage.begin()))?;
        actor.records.as_ref().inspect(|records| records.opened(id));
        Ok(())
    }

    fn storage_commit(&self, room: u32) -> Result<(), JsErrorBox> {
        let actor = self.room(room).ok_or_else(no_storage)?;
        let Some(id) = actor.records.as_ref().and_then(Records::closing) else { return Ok(()) };
        self.storage(room, true, |storage| storage.commit(id))
    }

    fn storage_rollback(&self, room: u32) -> Result<(), JsErrorBox> {
        let actor = self.room(room).ok_or_else(no_storage)?;
        let Some(id) = actor.records.as_ref().and_then(Records::closing) else { return Ok(()) };
        self.storage(room, false, |storage| storage.rollback(id))
    }

    fn storage_get_alarm(&self, room: u32) -> Result<Option<f64>, JsErrorBox> {
        self.storage(room, false, RoomStorage::get_alarm).map(|alarm| alarm.map(|at_ms| at_ms as f64))
    }

    fn storage_set_alarm(&self, room: u32, time_ms: f64) -> Result<(), JsErrorBox> {
        self.storage(room, true, |storage| storage.set_alarm(time_ms, partyrun_store::now_ms()))
    }

    fn storage_delete_alarm(&self, room: u32) -> Result<(), JsErrorBox> {
        self.storage(room, true, RoomStorage::delete_alarm)
    }

    fn storage_pending(&self, room: u32) -> bool {
        self.room(room).is_some_and(|actor| !actor.gate.is_open())
    }

    fn storage_presses(&self, room: u32) -> bool {
        self.room(room).is_some_and(|actor| actor.records.as_ref().is_some_and(Records::outruns_disk))
    }

    fn storage_sync(&self, room: u32) -> ext::LocalFuture<Result<(), JsErrorBox>> {
        let written = self.room(room).map(|actor| actor.written());
        Box::pin(async move {
            match written {
                None => Ok(()),
                Some(written) => written.await.map_err(|gone| JsErrorBox::generic(gone.to_string())),
            }
        })
    }
}

fn no_storage() -> JsErrorBox {
    JsErrorBox::generic("Storage is not available before the room is created.")
}

fn js_error(error: &StorageError) -> JsErrorBox {
    use partyrun_store::JsErrorClass;
    let message = error.to_string();
    match error.js_class() {
        JsErrorClass::RangeError => JsErrorBox::range_error(message),
        JsErrorClass::TypeError => JsErrorBox::type_error(message),
        JsErrorClass::Error => JsErrorBox::generic(message),
    }
}
