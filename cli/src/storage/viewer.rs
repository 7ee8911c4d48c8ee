//! Reads stored values with the runtime itself: an engine over the database, in whose rooms `viewer.js` runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use partyrun_admin::{Silent, ask};
use partyrun_engine::{Engine, EngineOptions, Program, Workers};
use partyrun_limits::Limits;
use partyrun_store::{Look, RoomKey};
use serde_json::{Value, json};

use super::error::{StorageError, machine};
use crate::output::escape_lines;

const PROGRAM: &str = include_str!("viewer.js");
/// A room with large values takes a while to be read.
const GRACE: Duration = Duration::from_secs(2);

/// What is to be shown of a room.
pub(super) enum Wanted<'a> {
    /// A line for each key, with the beginning of its value.
    Lines,
    /// The whole value of a key.
    Value(&'a str),
}

/// An engine that shows values.
pub(super) struct Viewer {
    runtime: tokio::runtime::Runtime,
    engine: Engine,
}

impl Viewer {
    /// Starts one for the rooms of these parties.
    pub(super) fn start(look: Look, parties: BTreeSet<String>) -> Result<Self, StorageError> {
        let limits = Limits { spares_per_worker: 0, ..Limits::default() };
        Engine::init_platform(&limits);
        let names: Vec<String> = parties.into_iter().filter(|party| party != "main").collect();
        let list = names.iter().map(|name| (name.clone(), Value::Null)).collect::<serde_json::Map<_, _>>();
        let code = format!("'use strict'; ({PROGRAM})({})", Value::Object(list));
        let mut program =
            Program::new(&code, None).map_err(|error| machine("The viewer")(std::io::Error::other(error)))?;
        program.parties = names.into_iter().chain(["main".to_string()]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(machine("The threads cannot be started"))?;
        let options = EngineOptions { limits, workers: Workers::Count(1), ..EngineOptions::default() };
        let engine =
            runtime.block_on(Engine::start(options, Arc::new(program), Arc::new(look), Arc::new(Silent)))?;
        Ok(Self { runtime, engine })
    }

    /// Gives what is wanted of a room to `print`, piece by piece.
    pub(super) fn show(
        &self,
        room: &RoomKey,
        wanted: &Wanted<'_>,
        print: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let unreadable = |what: String| StorageError::Values { room: room.to_string(), what };
        let mut from = String::new();
        loop {
            let question = match wanted {
                Wanted::Lines => json!({ "as": "lines", "from": from }),
                Wanted::Value(key) => json!({ "as": "value", "key": key }),
            };
            let (_, text) = self.runtime.block_on(ask(&self.engine, room.clone(), &question));
            let answer: Value = serde_json::from_str(&text).map_err(|_| unreadable(text.clone()))?;
            if let Some(what) = answer["failed"].as_str() {
                return Err(unreadable(what.to_string()));
            }
            if let (Wanted::Value(key), true) = (wanted, answer["text"].is_null()) {
                return Err(StorageError::NoValue { room: room.to_string(), key: (*key).to_string() });
            }
            // What rooms have stored shall drive no terminal.
            print(&escape_lines(answer["text"].as_str().unwrap_or_default()))?;
            match answer["next"].as_str() {
                Some(next) => from = next.to_string(),
                None => return Ok(()),
            }
        }
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.runtime.block_on(self.engine.stop(GRACE));
    }
}
