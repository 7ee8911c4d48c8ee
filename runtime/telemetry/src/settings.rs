//! What the environment says of an export, why it cannot be done, and how OTLP's JSON writes texts and times.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Why nothing is exported although it was asked for.
#[derive(Debug)]
pub enum ExportError {
    /// A thread cannot be started.
    Thread(std::io::Error),
    /// What a variable says cannot be done.
    Variable(String),
}

impl std::fmt::Display for ExportError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thread(error) => write!(formatter, "a thread cannot be started: {error}"),
            Self::Variable(error) => formatter.write_str(error),
        }
    }
}

impl std::error::Error for ExportError {}

/// A variable that says something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
}

/// The number that a variable says.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    variable(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// `name=value` pairs with commas between them; values may be escaped as in URLs.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let plain =
        |value: &str| percent_encoding::percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_string(), plain(value))).collect()
}

/// Nanoseconds since 1970, as OTLP's JSON writes them.
pub(crate) fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// An attribute that is a text.
pub(crate) fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_specification_writes_them() {
        let read = pairs("api-key=a%20b, X-Other = c=d ,nothing");
        let read: Vec<(&str, &str)> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("api-key", "a b"), ("X-Other", "c=d")]);
    }
}
