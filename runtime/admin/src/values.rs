//! Stored values as people read them, and values that people write: by the runtime itself.
//!
//! A value is V8's structured clone with parts of the platform's, so nothing but a room reads it as a room does. This keeps an
//! engine of its own with one room, in which `values.js` runs. What is to be read lies in a store that holds nothing else; what
//! the room writes is taken out of it. A value that cannot be read, or takes too long, is an error of that value alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use partyrun_engine::{Engine, EngineOptions, Program, Workers};
use partyrun_limits::Limits;
use partyrun_store::{
    AlarmHook, Batch, CommitCallback, DueAlarm, KeyRange, Reader, RoomHandle, RoomKey, Store, StoreError,
    StoredRoom, Survey, Visit,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::inquiry::{self, Silent};

const PROGRAM: &str = include_str!("values.js");
/// A room with large values takes a while to be read.
const GRACE: Duration = Duration::from_secs(2);
/// Reading a value takes far less.
const TURN_MAX: Duration = Duration::from_secs(5);

/// A value as people read it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Shown {
    /// What it is: `string`, `Map`, `Array` and so on.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// As JSON, where what JSON has no form for is an object with one key that begins with `$`; only where all of it was wanted.
    #[serde(default)]
    pub value: Option<Value>,
    /// As text; cut where only its beginning was wanted.
    #[serde(default)]
    pub text: String,
    /// Whether `value` can be written back as it is.
    #[serde(default)]
    pub writable: bool,
    /// Why it cannot be shown.
    #[serde(default)]
    pub failed: Option<String>,
}

/// Why values were not read or made.
#[derive(Debug, thiserror::Error)]
pub enum ValuesError {
    /// The engine that reads them could not start.
    #[error("the engine that reads values could not start: {0}")]
    Start(String),
    /// What was given makes no value.
    #[error("{0}")]
    Refused(String),
}

/// Reads and makes values.
pub struct Values {
    engine: Engine,
    scratch: Arc<Scratch>,
    next: AtomicU64,
}

impl Values {
    /// Starts the engine. V8 must have been initialized.
    pub async fn start(value_bytes_max: usize) -> Result<Self, ValuesError> {
        let limits = Limits {
            spares_per_worker: 0,
            edge_workers_max: 1,
            turn_cpu_max: TURN_MAX,
            value_bytes_max,
            storage_cache_bytes_max: 0,
            ..Limits::default()
        };
        let failed = |error: &dyn std::fmt::Display| ValuesError::Start(error.to_string());
        let code = format!("'use strict'; ({PROGRAM})()");
        let mut program = Program::new(&code, None).map_err(|error| failed(&error))?;
        program.parties = vec!["main".to_string()];
        let options = EngineOptions { limits, workers: Workers::Count(1), ..EngineOptions::default() };
        let scratch = Arc::new(Scratch::default());
        let store = Arc::new(ScratchStore(scratch.clone()));
        let engine = Engine::start(options, Arc::new(program), store, Arc::new(Silent)).await;
        Ok(Self { engine: engine.map_err(|error| failed(&error))?, scratch, next: AtomicU64::new(0) })
    }

    /// Shows values, in their order: all of each, or its beginning.
    pub async fn show(&self, values: Vec<Bytes>, whole: bool) -> Vec<Shown> {
        let keys: Vec<String> = values.iter().map(|_| self.key()).collect();
        self.scratch.values().extend(keys.iter().cloned().zip(values));
        let shown = match self.ask(&json!({ "show": keys, "whole": whole })).await {
            Ok(shown) => shown,
            // One of them ended the room: each by itself then.
            Err(_) => {
                let mut shown = Vec::with_capacity(keys.len());
                for key in &keys {
                    let one = self.ask::<Vec<Shown>>(&json!({ "show": [key], "whole": whole })).await;
                    shown.push(match one.map(|mut one| one.pop()) {
                        Ok(Some(one)) => one,
                        Ok(None) => Shown::default(),
                        Err(failed) => Shown { failed: Some(failed), ..Shown::default() },
                    });
                }
                shown
            }
        };
        let mut values = self.scratch.values();
        keys.iter().for_each(|key| drop(values.remove(key)));
        shown
    }

    /// Makes a value from its JSON, as [`Shown::value`] has it.
    pub async fn make(&self, value: &Value) -> Result<Bytes, ValuesError> {
        let key = self.key();
        let made = self.ask::<Value>(&json!({ "make": value, "key": key })).await;
        let taken = self.scratch.values().remove(&key);
        match (made, taken) {
            (Ok(_), Some(bytes)) => Ok(bytes),
            (Ok(_), None) => Err(ValuesError::Refused("the value was not stored".to_string())),
            (Err(failed), _) => Err(ValuesError::Refused(failed)),
        }
    }

    // No key is used twice, so that nothing is remembered under it.
    fn key(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, question: &Value) -> Result<T, String> {
        let (status, text) = inquiry::ask(&self.engine, RoomKey::new("main", "values"), question).await;
        if status != 200 {
            return Err(text);
        }
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Ends the engine.
    pub async fn stop(&self) {
        self.engine.stop(GRACE).await;
    }
}

/// What waits to be read, and what was made, by key.
#[derive(Default)]
struct Scratch(Mutex<HashMap<String, Bytes>>);

impl Scratch {
    fn values(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ScratchStore(Arc<Scratch>);

impl Store for ScratchStore {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(ScratchReader(self.0.clone())))
    }

    fn commit(&self, batch: Batch, done: CommitCallback) {
        let mut values = self.0.values();
        for (key, value) in batch.writes {
            if let Some(value) = value {
                values.insert(key.to_string(), value);
            }
        }
        drop(values);
        done(Ok(()));
    }

    fn next_alarm(&self) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    fn alarms_due(&self, _now_ms: i64, _limit: usize) -> Result<Vec<DueAlarm>, StoreError> {
        Ok(Vec::new())
    }

    fn release_alarm(&self, _room: &RoomKey, _retry_at_ms: i64) {}

    fn on_earlier_alarm(&self, _hook: AlarmHook) {}

    fn survey(&self) -> Result<Box<dyn Survey>, StoreError> {
        Err(StoreError::Closed)
    }

    fn probe(&self, done: CommitCallback) {
        done(Ok(()));
    }

    fn close(&self) {}
}

struct ScratchReader(Arc<Scratch>);

impl Reader for ScratchReader {
    fn load(&self, room: &RoomHandle) -> Result<Option<StoredRoom>, StoreError> {
        room.set_row(1);
        Ok(Some(StoredRoom { alarm: None }))
    }

    fn get(&self, _room: &RoomHandle, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.values().get(key).cloned())
    }

    fn list(
        &self,
        _room: &RoomHandle,
        _range: &KeyRange,
        _reverse: bool,
        _each: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}
