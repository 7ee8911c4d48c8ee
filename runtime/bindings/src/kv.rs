//! Key-value namespaces: `context.bindings.kv.NAME`. Limits and texts are those of the original's local namespace.

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::{Value, json};

use crate::arguments::{self, Key, KvPut, List};
use crate::database::end_of_prefix;
use crate::{BindingError, Call, Reply, now_ms};
use bytes::Bytes;
use partyrun_limits::Limits;

const TTL_SECONDS_MIN: i64 = 60;
const LIST_MAX: i64 = 1000;

pub(crate) fn call(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    match call.method.as_str() {
        "get" => get(database, limits, call),
        "put" => put(database, limits, call),
        "delete" => delete(database, limits, call),
        "list" => list(database, limits, call),
        other => Err(BindingError::refused(format!("a KV namespace has no method {other}"))),
    }
}

fn check_key(limits: &Limits, method: &str, key: &str) -> Result<(), BindingError> {
    let (size, max) = (key.len(), limits.kv_key_bytes_max);
    if size > max {
        return Err(BindingError::refused(format!(
            "KV {method} failed: 414 UTF-8 encoded length of {size} exceeds key length limit of {max}."
        )));
    }
    Ok(())
}

fn get(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let Key { key } = arguments::read(&call.arguments)?;
    check_key(limits, "GET", &key)?;
    let sql =
        "SELECT value, metadata FROM kv WHERE namespace = ? AND key = ? AND coalesce(expires_ms > ?, 1)";
    let found = database
        .prepare_cached(sql)?
        .query_row(params![call.binding, key.as_bytes(), now_ms()], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<String>>(1)?))
        })
        .optional()?;
    Ok(match found {
        None => Reply { json: r#"{"found":false}"#.to_string(), bytes: None },
        Some((value, metadata)) => {
            let metadata = metadata.unwrap_or_else(|| "null".to_string());
            Reply {
                json: format!(r#"{{"found":true,"metadata":{metadata}}}"#),
                bytes: Some(Bytes::from(value)),
            }
        }
    })
}

fn put(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let arguments: KvPut = arguments::read(&call.arguments)?;
    check_key(limits, "PUT", &arguments.key)?;
    let value = call.bytes.as_deref().unwrap_or_default();
    let (size, max) = (value.len(), limits.kv_value_bytes_max);
    if size > max {
        return Err(BindingError::refused(format!(
            "KV PUT failed: 413 Value length of {size} exceeds limit of {max}."
        )));
    }
    let metadata = arguments.metadata.map(|metadata| metadata.to_string());
    let (size, max) = (metadata.as_ref().map_or(0, String::len), limits.kv_metadata_bytes_max);
    if size > max {
        return Err(BindingError::refused(format!(
            "KV PUT failed: 413 Metadata length of {size} exceeds limit of {max}."
        )));
    }
    let expires_ms = expires(arguments.expiration, arguments.ttl)?;
    database.prepare_cached("INSERT OR REPLACE INTO kv VALUES (?, ?, ?, ?, ?)")?.execute(params![
        call.binding,
        arguments.key.as_bytes(),
        value,
        metadata,
        expires_ms
    ])?;
    // What has expired is invisible already; a write is the moment to free its space.
    database
        .prepare_cached("DELETE FROM kv WHERE namespace = ? AND expires_ms <= ?")?
        .execute(params![call.binding, now_ms()])?;
    Ok(Reply { json: "null".to_string(), bytes: None })
}

fn expires(expiration: Option<i64>, ttl: Option<i64>) -> Result<Option<i64>, BindingError> {
    let now_s = now_ms() / 1000;
    let refuse = |text: String| Err(BindingError::refused(format!("KV PUT failed: 400 Invalid {text}")));
    match (ttl, expiration) {
        (Some(ttl), _) if ttl <= 0 => {
            refuse(format!("expiration_ttl of {ttl}. Please specify integer greater than 0."))
        }
        (Some(ttl), _) if ttl < TTL_SECONDS_MIN => {
            refuse(format!("expiration_ttl of {ttl}. Expiration TTL must be at least {TTL_SECONDS_MIN}."))
        }
        (Some(ttl), _) => Ok(Some((now_s + ttl) * 1000)),
        (None, Some(at)) if at <= now_s => refuse(format!(
            "expiration of {at}. Please specify integer greater than the current number of seconds since the UNIX epoch."
        )),
        (None, Some(at)) if at < now_s + TTL_SECONDS_MIN => refuse(format!(
            "expiration of {at}. Expiration times must be at least {TTL_SECONDS_MIN} seconds in the future."
        )),
        (None, at) => Ok(at.map(|at| at * 1000)),
    }
}

fn delete(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let Key { key } = arguments::read(&call.arguments)?;
    check_key(limits, "DELETE", &key)?;
    database
        .prepare_cached("DELETE FROM kv WHERE namespace = ? AND key = ?")?
        .execute(params![call.binding, key.as_bytes()])?;
    Ok(Reply { json: "null".to_string(), bytes: None })
}

// A cursor is the last key of the page before.
fn list(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let List { prefix, limit, cursor, .. } = arguments::read(&call.arguments)?;
    check_key(limits, "GET", &prefix)?;
    // None, or one that makes no sense, is the most there is.
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(LIST_MAX);
    if limit > LIST_MAX {
        return Err(BindingError::refused(format!(
            "KV GET failed: 400 Invalid key_count_limit of {limit}. Please specify an integer less than {LIST_MAX}."
        )));
    }
    let sql = "SELECT key, metadata, expires_ms FROM kv WHERE namespace = ? AND key >= ? AND key > ? \
               AND (? IS NULL OR key < ?) AND coalesce(expires_ms > ?, 1) ORDER BY key LIMIT ?";
    let end = end_of_prefix(prefix.as_bytes());
    // No key is empty, so that everything comes after the empty one.
    let after = cursor.unwrap_or_default();
    let mut statement = database.prepare_cached(sql)?;
    let arguments = params![call.binding, prefix.as_bytes(), after.as_bytes(), end, end, now_ms(), limit + 1];
    let rows = statement.query_map(arguments, |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<i64>>(2)?))
    })?;
    let mut keys: Vec<Value> = Vec::new();
    for row in rows {
        let (key, metadata, expires_ms) = row?;
        let mut entry = json!({ "name": String::from_utf8_lossy(&key) });
        if let (Some(expires_ms), Some(entry)) = (expires_ms, entry.as_object_mut()) {
            entry.insert("expiration".to_string(), json!(expires_ms / 1000));
        }
        if let (Some(metadata), Some(entry)) = (metadata, entry.as_object_mut()) {
            entry.insert("metadata".to_string(), serde_json::from_str(&metadata)?);
        }
        keys.push(entry);
    }
    let complete = i64::try_from(keys.len()).unwrap_or(i64::MAX) <= limit;
    keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let cursor = keys.last().filter(|_| !complete).map(|last| last["name"].clone());
    Reply::json(&json!({ "keys": keys, "complete": complete, "cursor": cursor }))
}
