//! Reads the values of rooms as they lie on disk: pages of their bytes, and what each is, as the runtime says it.

use std::sync::Arc;

use bytes::Bytes;
use partyrun_admin::{Shown, Values, ValuesError};
use partyrun_engine::Engine;
use partyrun_limits::Limits;
use partyrun_store::{ListOptions, RoomStorage};
use serde_json::Value;

use super::error::{StorageError, machine};

/// Values that are read at once.
const AT_ONCE: usize = 64;

/// What reads and makes values.
pub(super) struct Reader {
    runtime: tokio::runtime::Runtime,
    values: Values,
    pub(super) limits: Arc<Limits>,
}

impl Reader {
    /// Starts an engine for it.
    pub(super) fn start() -> Result<Self, StorageError> {
        let limits = Limits::default();
        Engine::init_platform(&limits);
        // What is there was stored under other limits, perhaps.
        let limits =
            Limits { value_bytes_max: limits.value_bytes_ceiling, undurable_bytes_max: usize::MAX, ..limits };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(machine("The threads cannot be started"))?;
        let values = runtime.block_on(Values::start(limits.value_bytes_max));
        let values = values.map_err(|error| StorageError::Values {
            room: "all rooms".to_string(),
            what: error.to_string(),
        })?;
        Ok(Self { runtime, values, limits: Arc::new(limits) })
    }

    /// Shows values: all of each, or its beginning.
    pub(super) fn show(&self, values: Vec<Bytes>, whole: bool) -> Vec<Shown> {
        self.runtime.block_on(self.values.show(values, whole))
    }

    /// Makes a value from its JSON.
    pub(super) fn make(&self, value: &Value) -> Result<Bytes, ValuesError> {
        self.runtime.block_on(self.values.make(value))
    }

    /// Gives the entries of a room to `each`, in the order of their keys. What was altered on disk is named on standard error and
    /// left out.
    pub(super) fn each(
        &self,
        name: &str,
        room: &mut RoomStorage,
        whole: bool,
        each: &mut dyn FnMut(String, Bytes, Shown) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let options =
                ListOptions { start_after: after, limit: Some(AT_ONCE as i64), ..ListOptions::default() };
            let entries = room
                .list(&options)
                .map_err(|error| StorageError::Values { room: name.to_string(), what: error.to_string() })?;
            for key in room.take_altered() {
                eprintln!("{name} {key:?} is left out: it was altered on disk.");
            }
            after = entries.last().map(|(key, _)| key.clone());
            if after.is_none() {
                return Ok(());
            }
            let shown = self.show(entries.iter().map(|(_, value)| value.clone()).collect(), whole);
            for ((key, bytes), shown) in entries.into_iter().zip(shown) {
                each(key, bytes, shown)?;
            }
        }
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.runtime.block_on(self.values.stop());
    }
}
