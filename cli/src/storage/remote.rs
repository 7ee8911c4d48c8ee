//! `partyrun storage` by the API of a running server: it shows what the rooms themselves see, and can write.

use http::Method;
use serde_json::{Value, json};

use super::error::StorageError;
use super::shown;
use crate::admin::ask::path_of;
use crate::admin::client::{Client, segment};
use crate::output::escape;

/// Prints the keys of a room with the beginnings of their values.
pub(super) fn list(client: &Client, room: &str, as_json: bool) -> Result<(), StorageError> {
    const PAGE: usize = 200;
    let path = path_of(client, room)?;
    let mut after = String::new();
    let mut empty = true;
    loop {
        let page = client.get(&format!("{path}/storage?limit={PAGE}{after}"))?;
        let mut text = String::new();
        for entry in page["entries"].as_array().into_iter().flatten() {
            empty = false;
            text.push_str(&shown::line(entry, as_json));
        }
        for key in page["altered"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            empty = false;
            eprintln!("{}: its value was altered on disk, and is left out.", escape(key));
        }
        super::print(&text)?;
        match page["next"].as_str() {
            Some(next) => after = format!("&start_after={}", segment(next)),
            None => break,
        }
    }
    if empty && !as_json {
        super::print("The room has stored nothing.\n")?;
    }
    Ok(())
}

/// Prints one value whole.
pub(super) fn get(client: &Client, room: &str, key: &str, as_json: bool) -> Result<(), StorageError> {
    let path = path_of(client, room)?;
    let value = client.get(&format!("{path}/storage/{}", segment(key)))?;
    super::print(&shown::whole(room, key, &value, as_json)?)
}

/// Writes one value, given as JSON.
pub(super) fn put(client: &Client, room: &str, key: &str, text: &str) -> Result<(), StorageError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| StorageError::NoJson { text: text.to_string(), error })?;
    let path = path_of(client, room)?;
    client.send(Method::PUT, format!("{path}/storage/{}", segment(key)), &json!({ "value": value }))?;
    super::print(&format!("Wrote {} of {}.\n", escape(key), escape(room)))
}

/// Deletes one value, or all.
pub(super) fn delete(client: &Client, room: &str, key: Option<&str>) -> Result<(), StorageError> {
    let path = path_of(client, room)?;
    let below = key.map(|key| format!("/{}", segment(key))).unwrap_or_default();
    client.send(Method::DELETE, format!("{path}/storage{below}"), &Value::Null)?;
    let what = key.map_or_else(|| "all values".to_string(), escape);
    super::print(&format!("Deleted {what} of {}.\n", escape(room)))
}
