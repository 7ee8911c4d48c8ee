//! Object buckets: `context.bindings.r2.NAME`. An object's entity tag is the MD5 of its body.

use bytes::Bytes;
use md5::{Digest, Md5};
use partyrun_limits::Limits;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::arguments::{self, Condition, Keys, List, R2Get, R2Put, Range};
use crate::database::{end_of_prefix, hex};
use crate::{BindingError, Call, Reply, now_ms};

const LIST_MAX: i64 = 1000;

/// What is known of an object without its body.
struct Object {
    key: String,
    version: String,
    size: i64,
    etag: String,
    sha256: Option<String>,
    uploaded_ms: i64,
    http: String,
    custom: String,
}

const FIELDS: &str = "key, version, size, etag, sha256, uploaded_ms, http, custom";

impl Object {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: String::from_utf8_lossy(&row.get::<_, Vec<u8>>(0)?).into_owned(),
            version: row.get(1)?,
            size: row.get(2)?,
            etag: row.get(3)?,
            sha256: row.get(4)?,
            uploaded_ms: row.get(5)?,
            http: row.get(6)?,
            custom: row.get(7)?,
        })
    }

    fn json(&self) -> Result<Value, BindingError> {
        Ok(json!({
            "key": self.key, "version": self.version, "size": self.size, "etag": self.etag, "md5": self.etag,
            "sha256": self.sha256, "uploaded": self.uploaded_ms,
            "http": serde_json::from_str::<Value>(&self.http)?, "custom": serde_json::from_str::<Value>(&self.custom)?,
        }))
    }

    // Entity tags decide before dates, as in HTTP (RFC 9110, section 13.2.2).
    fn meets(&self, condition: &Condition) -> bool {
        let names = |list: &[String]| list.iter().any(|tag| tag == "*" || *tag == self.etag);
        let matches = condition.etag_matches.is_empty() || names(&condition.etag_matches);
        let differs = condition.etag_does_not_match.is_empty() || !names(&condition.etag_does_not_match);
        let before = condition.uploaded_before.is_none_or(|before| {
            self.uploaded_ms < before || (!condition.etag_matches.is_empty() && matches)
        });
        let after = condition.uploaded_after.is_none_or(|after| {
            self.uploaded_ms > after || (!condition.etag_does_not_match.is_empty() && differs)
        });
        matches && differs && before && after
    }
}

pub(crate) fn call(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    match call.method.as_str() {
        "head" | "get" => get(database, limits, call),
        "put" => put(database, limits, call),
        "delete" => delete(database, limits, call),
        "list" => list(database, call),
        other => Err(BindingError::refused(format!("a bucket has no method {other}"))),
    }
}

fn check_key(limits: &Limits, method: &str, key: &str) -> Result<(), BindingError> {
    if key.len() > limits.r2_key_bytes_max {
        let text = format!("{method}: The specified object name is not valid. (10020)");
        return Err(BindingError::Refused(text));
    }
    Ok(())
}

fn find(database: &Transaction<'_>, bucket: &str, key: &str) -> Result<Option<Object>, BindingError> {
    let sql = format!("SELECT {FIELDS} FROM object WHERE bucket = ? AND key = ?");
    Ok(database.prepare_cached(&sql)?.query_row(params![bucket, key.as_bytes()], Object::of).optional()?)
}

// `{ object: null }`: there is none. Without `met` the condition failed, and there is no body.
fn get(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let R2Get { key, range, condition } = arguments::read(&call.arguments)?;
    check_key(limits, &call.method, &key)?;
    let Some(object) = find(database, &call.binding, &key)? else {
        return Reply::json(&json!({ "object": null }));
    };
    if call.method == "head" {
        return Reply::json(&json!({ "object": object.json()? }));
    }
    if !condition.is_none_or(|condition| object.meets(&condition)) {
        return Reply::json(&json!({ "object": object.json()?, "met": false }));
    }
    let (offset, length) = span(range.unwrap_or_default(), object.size)?;
    // A part of nothing is NULL for SQLite.
    let sql = "SELECT coalesce(substr(body, ? + 1, ?), x'') FROM object WHERE bucket = ? AND key = ?";
    let arguments = params![offset, length, call.binding, key.as_bytes()];
    let body: Vec<u8> = database.prepare_cached(sql)?.query_row(arguments, |row| row.get(0))?;
    let range = range.map(|_| json!({ "offset": offset, "length": length }));
    let json = json!({ "object": object.json()?, "met": true, "range": range }).to_string();
    Ok(Reply { json, bytes: Some(Bytes::from(body)) })
}

// Which part of `size` bytes a range names.
fn span(range: Range, size: i64) -> Result<(i64, i64), BindingError> {
    let refused = || BindingError::refused("get: The requested range is not satisfiable (10039)");
    match (range.suffix, range.offset, range.length) {
        (Some(suffix), None, None) if suffix > 0 => {
            let length = suffix.min(size);
            Ok((size - length, length))
        }
        (None, None, None) => Ok((0, size)),
        (None, offset, length) => {
            let offset = offset.unwrap_or(0);
            let length = length.unwrap_or(size - offset);
            if offset < 0 || length <= 0 || offset >= size {
                return Err(refused());
            }
            Ok((offset, length.min(size - offset)))
        }
        _ => Err(refused()),
    }
}

fn put(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let arguments: R2Put = arguments::read(&call.arguments)?;
    check_key(limits, "put", &arguments.key)?;
    let body = call.bytes.as_deref().unwrap_or_default();
    if body.len() > limits.r2_value_bytes_max {
        return Err(BindingError::refused(format!(
            "put: Your proposed upload exceeds the maximum allowed object size of {} bytes. (10024)",
            limits.r2_value_bytes_max
        )));
    }
    if let Some(condition) = &arguments.condition {
        let found = find(database, &call.binding, &arguments.key)?;
        // A condition on an object that does not exist can only be met by one that wants it not to exist.
        let met = found.as_ref().map_or(condition.etag_matches.is_empty(), |found| found.meets(condition));
        if !met {
            return Reply::json(&json!({ "object": null }));
        }
    }
    let etag = hex(&Md5::digest(body));
    check_hash("MD5", arguments.md5.as_deref(), &etag)?;
    let sha256 = arguments.sha256.as_ref().map(|_| hex(&Sha256::digest(body)));
    check_hash("SHA-256", arguments.sha256.as_deref(), sha256.as_deref().unwrap_or_default())?;
    let uploaded_ms = now_ms();
    let version = hex(&Md5::digest(format!("{uploaded_ms} {etag} {}", arguments.key)));
    let object = Object {
        key: arguments.key,
        version,
        size: i64::try_from(body.len()).unwrap_or(i64::MAX),
        etag,
        sha256,
        uploaded_ms,
        http: arguments.http.to_string(),
        custom: arguments.custom.to_string(),
    };
    let sql = format!(
        "INSERT OR REPLACE INTO object (bucket, {FIELDS}, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    database.prepare_cached(&sql)?.execute(params![
        call.binding,
        object.key.as_bytes(),
        object.version,
        object.size,
        object.etag,
        object.sha256,
        object.uploaded_ms,
        object.http,
        object.custom,
        body
    ])?;
    Reply::json(&json!({ "object": object.json()? }))
}

fn check_hash(name: &str, given: Option<&str>, computed: &str) -> Result<(), BindingError> {
    match given {
        Some(given) if !given.eq_ignore_ascii_case(computed) => Err(BindingError::refused(format!(
            "put: The {name} checksum you specified did not match what we received.\n\
             You provided a {name} checksum with value: {given}\n\
             Actual {name} was: {computed} (10037)"
        ))),
        _ => Ok(()),
    }
}

fn delete(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let Keys { keys } = arguments::read(&call.arguments)?;
    let mut statement = database.prepare_cached("DELETE FROM object WHERE bucket = ? AND key = ?")?;
    for key in &keys {
        check_key(limits, "delete", key)?;
        statement.execute(params![call.binding, key.as_bytes()])?;
    }
    Ok(Reply { json: "null".to_string(), bytes: None })
}

// Keys that share what follows the prefix up to the delimiter are told once, as a prefix of their own.
fn list(database: &Transaction<'_>, call: &Call) -> Result<Reply, BindingError> {
    let List { prefix, limit, cursor, delimiter, start_after } = arguments::read(&call.arguments)?;
    let limit = limit.unwrap_or(LIST_MAX);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(BindingError::refused("list: MaxKeys params must be positive integer <= 1000. (10022)"));
    }
    let end = end_of_prefix(prefix.as_bytes());
    let after = cursor.max(start_after).unwrap_or_default();
    let sql = format!(
        "SELECT {FIELDS} FROM object WHERE bucket = ? AND key >= ? AND key > ? AND (? IS NULL OR key < ?) ORDER BY key"
    );
    let mut statement = database.prepare_cached(&sql)?;
    let arguments = params![call.binding, prefix.as_bytes(), after.as_bytes(), end, end];
    let mut objects = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    let mut last = None;
    let mut truncated = false;
    for row in statement.query_map(arguments, Object::of)? {
        let object = row?;
        let group = delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()).and_then(|delimiter| {
            let rest = object.key.strip_prefix(&prefix)?;
            rest.find(delimiter).map(|at| format!("{prefix}{}{delimiter}", &rest[..at]))
        });
        let known = group
            .as_ref()
            .is_some_and(|group| prefixes.last() == Some(group) || after.starts_with(group.as_str()));
        if !known && objects.len() + prefixes.len() == usize::try_from(limit).unwrap_or(usize::MAX) {
            truncated = true;
            break;
        }
        last = Some(object.key.clone());
        match group {
            None => objects.push(object.json()?),
            Some(group) if !known => prefixes.push(group),
            Some(_) => {}
        }
    }
    let cursor = last.filter(|_| truncated);
    Reply::json(
        &json!({ "objects": objects, "prefixes": prefixes, "truncated": truncated, "cursor": cursor }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(offset: Option<i64>, length: Option<i64>, suffix: Option<i64>) -> Option<(i64, i64)> {
        span(Range { offset, length, suffix }, 10).ok()
    }

    #[test]
    fn ranges_stay_inside_the_object() {
        assert_eq!(of(None, None, None), Some((0, 10)));
        assert_eq!(of(Some(2), None, None), Some((2, 8)));
        assert_eq!(of(Some(2), Some(3), None), Some((2, 3)));
        assert_eq!(of(Some(8), Some(30), None), Some((8, 2)));
        assert_eq!(of(None, Some(3), None), Some((0, 3)));
        assert_eq!(of(None, None, Some(3)), Some((7, 3)));
        assert_eq!(of(None, None, Some(30)), Some((0, 10)));
        for (offset, length, suffix) in [
            (Some(10), None, None),
            (Some(-1), None, None),
            (None, Some(0), None),
            (None, None, Some(0)),
            (Some(1), None, Some(1)),
        ] {
            assert_eq!(of(offset, length, suffix), None);
        }
    }
}
