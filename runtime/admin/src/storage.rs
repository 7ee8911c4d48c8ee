//! What rooms have stored: read as the room sees it, and changed in the room's own order.
//!
//! A room in memory is asked; one that is not has all it has in the store. A change goes to the room's thread either way
//! and is answered when it is durable. An `ETag` names a value, so that an editor can change it only if it is still the one
//! that was read (`If-Match`), or write it only if there is none (`If-None-Match: *`).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use partyrun_engine::{Change, StorageQuery};
use partyrun_store::{ListOptions, Listed, RoomKey, WorkerStore, checksum};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Problem, done, json};
use crate::names::Query;
use crate::target::Target;
use crate::values::{Shown, Values, ValuesError};

const PAGE_USUAL: usize = 50;
const PAGE_MAX: usize = 200;
/// Bytes of keys and values that a page reads.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// The parameters of [`list`].
pub(crate) const LIST_PARAMETERS: &[&str] = &["prefix", "start", "start_after", "end", "reverse", "limit"];

/// Entries of a room, as the room itself sees them now.
pub(crate) async fn read(target: &Target, key: &RoomKey, query: StorageQuery) -> Result<Listed, Problem> {
    if let Some(listed) = target.engine.read_storage(key, &query, target.patience()).await? {
        return Ok(listed);
    }
    let (store, limits, key) = (target.store.clone(), Arc::new(target.limits.clone()), key.clone());
    target
        .blocking(move || {
            let mut room = WorkerStore::open(&*store, limits)?.room(key);
            Ok(room.list_within(&query.options, query.bytes_max)?)
        })
        .await
}

/// A page of a room's entries, each with the beginning of its value.
pub(crate) async fn list(
    target: &Target,
    values: &Values,
    key: &RoomKey,
    query: &Query,
) -> Result<Answer, Problem> {
    let text = |name: &str| query.get(name).map(str::to_owned);
    let limit = query.count("limit", PAGE_USUAL, PAGE_MAX)?;
    let reverse = query.has("reverse");
    let options = ListOptions {
        start: text("start"),
        start_after: text("start_after"),
        end: text("end"),
        prefix: text("prefix"),
        reverse,
        limit: Some(i64::try_from(limit + 1).unwrap_or(i64::MAX)),
    };
    let mut listed = read(target, key, StorageQuery { options, bytes_max: PAGE_BYTES_MAX }).await?;
    let more = listed.more || listed.entries.len() > limit;
    listed.entries.truncate(limit);
    let shown = values.show(listed.entries.iter().map(|(_, value)| value.clone()).collect(), false).await;
    let entries: Vec<Value> = listed
        .entries
        .iter()
        .zip(&shown)
        .map(|((name, value), shown)| {
            json!({
                "key": name, "bytes": value.len(), "etag": etag(key, name, value), "type": shown.kind,
                "text": shown.text, "failed": shown.failed,
            })
        })
        .collect();
    // In either direction: whoever goes on backwards ends before this key.
    let next = listed.entries.last().filter(|_| more).map(|(name, _)| name);
    Ok(json(&json!({ "entries": entries, "altered": listed.altered, "next": next })))
}

/// One value, whole.
pub(crate) async fn get(
    target: &Target,
    values: &Values,
    key: &RoomKey,
    name: &str,
) -> Result<Answer, Problem> {
    let value = value_of(target, key, name).await?;
    let shown = values.show(vec![value.clone()], true).await.pop().unwrap_or_default();
    let Shown { kind, value: written, text, writable, failed } = shown;
    let tag = etag(key, name, &value);
    let mut answer = json(&json!({
        "key": name, "bytes": value.len(), "etag": tag, "type": kind, "value": written, "text": text,
        "writable": writable, "failed": failed,
    }));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    Ok(answer)
}

// The one key and nothing behind it.
async fn value_of(target: &Target, key: &RoomKey, name: &str) -> Result<Bytes, Problem> {
    let options = ListOptions {
        start: Some(name.to_owned()),
        end: Some(format!("{name}\0")),
        ..ListOptions::default()
    };
    let listed = read(target, key, StorageQuery { options, bytes_max: usize::MAX }).await?;
    if !listed.altered.is_empty() {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "altered",
            format!("The value of {name:?} in {key} was altered on disk."),
        ));
    }
    let found = listed.entries.into_iter().next().map(|(_, value)| value);
    found.ok_or_else(|| Problem::missing(format!("The room {key} has no value under {name:?}.")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewValue {
    value: Value,
}

/// Writes one value.
pub(crate) async fn put(
    target: &Target,
    values: &Values,
    key: &RoomKey,
    name: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Answer, Problem> {
    let NewValue { value } = serde_json::from_slice(body)
        .map_err(|error| Problem::bad(format!("Send JSON such as {{ \"value\": 1 }}: {error}")))?;
    let value = values.make(&value).await.map_err(|error| match error {
        ValuesError::Refused(why) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "value", why),
        ValuesError::Start(_) => Problem::busy(error.to_string()),
    })?;
    let tag = etag(key, name, &value);
    let change = Change {
        expected: expected(name, headers)?,
        puts: vec![(name.to_owned(), value.clone())],
        ..Change::default()
    };
    target.engine.change_storage(key, change, target.patience()).await?;
    Ok(json(&json!({ "key": name, "bytes": value.len(), "etag": tag })))
}

/// Deletes one value.
pub(crate) async fn delete(
    target: &Target,
    key: &RoomKey,
    name: &str,
    headers: &HeaderMap,
) -> Result<Answer, Problem> {
    let change =
        Change { expected: expected(name, headers)?, deletes: vec![name.to_owned()], ..Change::default() };
    match target.engine.change_storage(key, change, target.patience()).await? {
        0 => Err(Problem::missing(format!("The room {key} has no value under {name:?}."))),
        _ => Ok(done()),
    }
}

/// Deletes all values; the alarm stays.
pub(crate) async fn clear(target: &Target, key: &RoomKey) -> Result<Answer, Problem> {
    let change = Change { clear: true, ..Change::default() };
    target.engine.change_storage(key, change, target.patience()).await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAlarm {
    at_ms: Option<i64>,
}

/// Sets a room's alarm, or deletes it.
pub(crate) async fn alarm(target: &Target, key: &RoomKey, body: &[u8]) -> Result<Answer, Problem> {
    let NewAlarm { at_ms } = serde_json::from_slice(body).map_err(|error| {
        Problem::bad(format!("Send JSON such as {{ \"at_ms\": 1800000000000 }}, or null for none: {error}"))
    })?;
    let change = Change { alarm: Some(at_ms), ..Change::default() };
    target.engine.change_storage(key, change, target.patience()).await?;
    Ok(done())
}

// The text that names a value.
fn etag(key: &RoomKey, name: &str, value: &[u8]) -> String {
    format!("\"{:016x}\"", checksum(key, name.as_bytes(), value).cast_unsigned())
}

fn expected(name: &str, headers: &HeaderMap) -> Result<Option<(String, Option<i64>)>, Problem> {
    let text = |field| headers.get(field).map(|value| value.to_str().unwrap_or_default().trim().to_string());
    if let Some(tag) = text(header::IF_MATCH) {
        let hex = tag.trim_matches('"');
        let sum =
            u64::from_str_radix(hex, 16).map_err(|_| Problem::bad("`If-Match` is the `etag` of a value."))?;
        return Ok(Some((name.to_owned(), Some(sum.cast_signed()))));
    }
    match text(header::IF_NONE_MATCH).as_deref() {
        None => Ok(None),
        Some("*") => Ok(Some((name.to_owned(), None))),
        Some(_) => Err(Problem::bad("`If-None-Match` is `*` here: write only if there is no value.")),
    }
}
