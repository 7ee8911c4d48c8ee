//! What rooms have stored, for people and as JSON, from the database itself. A server's answers are shown in the same words.

use partyrun_store::{Look, RoomOnDisk, StoreError, WorkerStore};
use serde_json::{Value, json};

use super::error::StorageError;
use super::reader::Reader;
use crate::output::{escape, escape_lines, json_line};

type Print<'a> = &'a mut dyn FnMut(&str) -> Result<(), StorageError>;

/// Prints the keys of a room with the beginnings of their values.
pub(super) fn list(
    look: &Look,
    room: &RoomOnDisk,
    as_json: bool,
    print: Print<'_>,
) -> Result<(), StorageError> {
    let (reader, worker) = open(look, room)?;
    let name = room.key.to_string();
    let mut storage = worker.room(room.key.clone());
    reader.each(&name, &mut storage, false, &mut |key, bytes, shown| {
        let entry = json!({
            "key": key, "bytes": bytes.len(), "type": shown.kind, "text": shown.text, "failed": shown.failed,
        });
        print(&line(&entry, as_json))
    })?;
    reader.stop();
    Ok(())
}

/// Prints one value whole.
pub(super) fn get(
    look: &Look,
    room: &RoomOnDisk,
    key: &str,
    as_json: bool,
    print: Print<'_>,
) -> Result<(), StorageError> {
    let (reader, worker) = open(look, room)?;
    let name = room.key.to_string();
    let found = worker.room(room.key.clone()).get(key);
    let found =
        found.map_err(|error| StorageError::Values { room: name.clone(), what: error.to_string() })?;
    let bytes = found.ok_or_else(|| StorageError::NoValue { room: name.clone(), key: key.to_string() })?;
    let shown = reader.show(vec![bytes], true).pop().unwrap_or_default();
    reader.stop();
    let value = json!({ "value": shown.value, "text": shown.text, "failed": shown.failed });
    print(&whole(&name, key, &value, as_json)?)
}

fn open(look: &Look, room: &RoomOnDisk) -> Result<(Reader, WorkerStore), StorageError> {
    let reader = Reader::start()?;
    let failed =
        |error: StoreError| StorageError::Values { room: room.key.to_string(), what: error.to_string() };
    let worker = WorkerStore::open(look, reader.limits.clone()).map_err(failed)?;
    Ok((reader, worker))
}

/// The line of an entry of a list, as the administrative API has it.
pub(super) fn line(entry: &Value, as_json: bool) -> String {
    if as_json {
        return format!("{}\n", json_line(entry));
    }
    let failed = entry["failed"].as_str().map(|why| format!("(cannot be shown: {why})"));
    let shown = failed.unwrap_or_else(|| entry["text"].as_str().unwrap_or_default().replace('\n', " "));
    let key = escape(entry["key"].as_str().unwrap_or_default());
    // What rooms have stored shall drive no terminal.
    format!("{key:<24}  {}\n", escape(&shown))
}

/// A value, as the administrative API has it.
pub(super) fn whole(room: &str, key: &str, value: &Value, as_json: bool) -> Result<String, StorageError> {
    if let Some(why) = value["failed"].as_str() {
        return Err(StorageError::Values { room: room.to_string(), what: format!("{key:?}: {why}") });
    }
    // Of a long value the text is cut; that of a text is the text itself.
    let text = match &value["value"] {
        written if as_json => json_line(written),
        Value::String(text) => escape_lines(text),
        _ => escape_lines(value["text"].as_str().unwrap_or_default()),
    };
    Ok(format!("{text}\n"))
}
