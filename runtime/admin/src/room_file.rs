//! A room as a file: all it has stored, at one moment, and its alarm.
//!
//! The file is lines of JSON. The first says what it is and its version, each that follows holds a key with the bytes of its
//! value as they are stored, and the last has their number and a hash of all lines before it. So a file that was cut short or
//! altered is noticed before anything of it is written, and one of a later version is refused. What is read is what the room
//! sees in one moment, and an import is one change: all of it or nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use partyrun_engine::{Change, StorageQuery};
use partyrun_store::{ListOptions, RoomKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::answer::{Answer, NDJSON, Problem, json, plain};
use crate::names::Query;
use crate::storage;
use crate::target::Target;
use crate::values::Values;

const KIND: &str = "partyrun room";
const VERSION: u32 = 1;
/// Values that are read for trial at once.
const TRIED_AT_ONCE: usize = 64;

#[derive(Deserialize, Serialize)]
struct Head {
    file: String,
    version: u32,
    party: String,
    room: String,
    alarm_ms: Option<i64>,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    key: String,
    value: String,
}

#[derive(Deserialize, Serialize)]
struct Tail {
    entries: u64,
    sha256: String,
}

/// What a file holds.
#[derive(Debug, PartialEq)]
struct RoomFile {
    alarm_ms: Option<i64>,
    entries: Vec<(String, Bytes)>,
}

fn damaged(what: &str) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "file",
        format!("The file cannot be imported: {what}. Nothing was changed."),
    )
}

fn write(key: &RoomKey, file: &RoomFile) -> Vec<u8> {
    let head = Head {
        file: KIND.to_string(),
        version: VERSION,
        party: key.party().to_string(),
        room: key.id().to_string(),
        alarm_ms: file.alarm_ms,
    };
    let mut text = line(&head);
    for (name, value) in &file.entries {
        text.extend(line(&Entry { key: name.clone(), value: STANDARD.encode(value) }));
    }
    let tail = Tail { entries: file.entries.len() as u64, sha256: hash(&text) };
    text.extend(line(&tail));
    text
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // None of these has a key that is no text, which is all that could fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

fn hash(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(text: &[u8]) -> Result<RoomFile, Problem> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let head = lines.first().and_then(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let head = head.filter(|head| head["file"] == KIND).ok_or_else(|| damaged("it is no file of a room"))?;
    if head["version"] != VERSION {
        return Err(damaged(&format!(
            "it has version {}, and this partyrun reads version {VERSION}",
            head["version"]
        )));
    }
    let head: Head =
        serde_json::from_value(head).map_err(|error| damaged(&format!("its first line: {error}")))?;
    let last = lines.pop().filter(|line| line.ends_with(b"\n")).unwrap_or_default();
    let tail = serde_json::from_slice::<Tail>(last).map_err(|_| damaged("its end is missing"))?;
    let before = text.len() - last.len();
    if tail.sha256 != hash(text.get(..before).unwrap_or_default()) {
        return Err(damaged("it was altered"));
    }
    let mut entries = Vec::with_capacity(lines.len());
    for line in lines.get(1..).unwrap_or_default() {
        let entry: Entry = serde_json::from_slice(line).map_err(|error| damaged(&error.to_string()))?;
        let value = STANDARD.decode(&entry.value).map_err(|error| damaged(&error.to_string()))?;
        entries.push((entry.key, value.into()));
    }
    if entries.len() as u64 != tail.entries {
        return Err(damaged("entries are missing"));
    }
    Ok(RoomFile { alarm_ms: head.alarm_ms, entries })
}

/// The file of a room.
pub(crate) async fn export(target: &Target, key: &RoomKey) -> Result<Answer, Problem> {
    let bytes_max = target.limits.admin_body_bytes_max;
    let query = StorageQuery { options: ListOptions::default(), bytes_max };
    let named = key.clone();
    let (listed, stored) =
        tokio::join!(storage::read(target, key, query), target.survey(move |survey| survey.seen(&named)));
    let (listed, stored) = (listed?, stored?);
    if listed.more {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "too_large",
            format!(
                "The room {key} has more than a file may hold (limit `admin_body_bytes_max`). Use a backup."
            ),
        ));
    }
    if let Some(altered) = listed.altered.first() {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "altered",
            format!("The value of {altered:?} in {key} was altered on disk. Delete or write it first."),
        ));
    }
    if listed.entries.is_empty() && stored.is_none() {
        return Err(Problem::missing(format!("The room {key} has stored nothing.")));
    }
    let alarm_ms = stored.and_then(|room| room.alarm).map(|alarm| alarm.at_ms);
    let file = RoomFile { alarm_ms, entries: listed.entries };
    Ok(plain(StatusCode::OK, NDJSON, write(key, &file)))
}

/// Writes a file into a room, in place of what it has: all of the file or nothing.
pub(crate) async fn import(
    target: &Target,
    values: &Values,
    key: &RoomKey,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let file = read(body)?;
    for part in file.entries.chunks(TRIED_AT_ONCE) {
        let shown = values.show(part.iter().map(|(_, value)| value.clone()).collect(), false).await;
        if let Some(((name, _), why)) =
            part.iter().zip(shown).find_map(|(entry, shown)| Some((entry, shown.failed?)))
        {
            return Err(damaged(&format!("the value of {name:?} cannot be read ({why})")));
        }
    }
    let count = file.entries.len();
    let change = Change {
        clear: !query.has("keep"),
        puts: file.entries,
        alarm: Some(file.alarm_ms),
        ..Change::default()
    };
    target.engine.change_storage(key, change, target.patience()).await?;
    Ok(json(&json!({ "entries": count })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (RoomKey, RoomFile) {
        let entries =
            vec![("a".to_string(), Bytes::from_static(b"\xff\x0f1")), ("b\n\"".to_string(), Bytes::new())];
        (RoomKey::new("main", "lobby"), RoomFile { alarm_ms: Some(5), entries })
    }

    #[test]
    fn a_file_comes_back_as_it_was() {
        let (key, file) = file();
        assert_eq!(read(&write(&key, &file)).unwrap(), file);
        let empty = RoomFile { alarm_ms: None, entries: Vec::new() };
        assert_eq!(read(&write(&key, &empty)).unwrap(), empty);
    }

    #[test]
    fn files_that_are_cut_altered_or_newer_are_refused() {
        let (key, file) = file();
        let text = write(&key, &file);
        for end in 0..text.len() {
            assert!(read(&text[..end]).is_err(), "{end}");
        }
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            assert!(read(&other).is_err(), "{at}: {}", String::from_utf8_lossy(&other));
        }
        let newer = String::from_utf8(text).unwrap().replace("\"version\":1", "\"version\":2");
        let error = read(newer.as_bytes()).unwrap_err().message;
        assert!(error.contains("version 2") && error.contains("Nothing was changed"), "{error}");
    }
}
