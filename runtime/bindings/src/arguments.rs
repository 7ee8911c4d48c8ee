//! The arguments of calls, as the JavaScript halves send them.

use serde::Deserialize;
use serde_json::Value;

use crate::BindingError;

/// Reads the arguments of a call.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T, BindingError> {
    Ok(serde_json::from_str(json)?)
}

#[derive(Deserialize)]
pub(crate) struct Key {
    pub(crate) key: String,
}

#[derive(Deserialize)]
pub(crate) struct KvPut {
    pub(crate) key: String,
    /// Seconds since 1970.
    pub(crate) expiration: Option<i64>,
    /// Seconds from now.
    pub(crate) ttl: Option<i64>,
    pub(crate) metadata: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct List {
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) limit: Option<i64>,
    pub(crate) cursor: Option<String>,
    pub(crate) delimiter: Option<String>,
    #[serde(rename = "startAfter")]
    pub(crate) start_after: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Keys {
    pub(crate) keys: Vec<String>,
}

/// A condition on an object: `onlyIf` of R2.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(default)]
    pub(crate) etag_matches: Vec<String>,
    #[serde(default)]
    pub(crate) etag_does_not_match: Vec<String>,
    pub(crate) uploaded_before: Option<i64>,
    pub(crate) uploaded_after: Option<i64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Range {
    pub(crate) offset: Option<i64>,
    pub(crate) length: Option<i64>,
    pub(crate) suffix: Option<i64>,
}

#[derive(Deserialize)]
pub(crate) struct R2Get {
    pub(crate) key: String,
    pub(crate) range: Option<Range>,
    pub(crate) condition: Option<Condition>,
}

#[derive(Deserialize)]
pub(crate) struct R2Put {
    pub(crate) key: String,
    pub(crate) http: Value,
    pub(crate) custom: Value,
    pub(crate) md5: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) condition: Option<Condition>,
}

#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) id: String,
    pub(crate) values: Vec<f32>,
    pub(crate) namespace: Option<String>,
    pub(crate) metadata: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Query {
    pub(crate) vector: Vec<f32>,
    pub(crate) top_k: i64,
    #[serde(default)]
    pub(crate) return_values: bool,
    #[serde(default)]
    pub(crate) return_metadata: bool,
    pub(crate) namespace: Option<String>,
    pub(crate) filter: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
pub(crate) struct Ids {
    pub(crate) ids: Vec<String>,
}
