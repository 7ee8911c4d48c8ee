//! A layer of writes that are not yet part of a batch: the current turn's, or those of an open transaction.
//!
//! Layers form a stack. A read asks them from the top; the first that knows the key answers. Committing a transaction
//! folds its layer into the one below, rolling back drops it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::AlarmWrite;

/// Writes on top of whatever lies below.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// Everything below is deleted (`deleteAll`).
    pub(super) clear: bool,
    pub(super) writes: BTreeMap<Arc<str>, Option<Bytes>>,
    pub(super) alarm: Option<AlarmWrite>,
    /// Bytes of keys and values in `writes`.
    pub(super) bytes: usize,
}

/// What a layer says of a key.
pub(super) enum Answer<'a> {
    Value(&'a Bytes),
    Absent,
    AskBelow,
}

impl Layer {
    pub(super) fn get(&self, key: &str) -> Answer<'_> {
        match self.writes.get(key) {
            Some(Some(value)) => Answer::Value(value),
            Some(None) => Answer::Absent,
            None if self.clear => Answer::Absent,
            None => Answer::AskBelow,
        }
    }

    /// Notes a write; `None` deletes.
    pub(super) fn write(&mut self, key: Arc<str>, value: Option<Bytes>) {
        self.bytes += entry_bytes(&key, value.as_ref());
        let key_len = key.len();
        if let Some(old) = self.writes.insert(key, value) {
            self.bytes -= key_len + old.map_or(0, |value| value.len());
        }
    }

    /// Forgets all writes and hides everything below; the alarm stays (spec 3.1).
    pub(super) fn delete_all(&mut self) {
        self.clear = true;
        self.writes.clear();
        self.bytes = 0;
    }

    /// Folds a committed transaction into this layer.
    pub(super) fn merge(&mut self, above: Layer) {
        if above.clear {
            self.delete_all();
        }
        for (key, value) in above.writes {
            self.write(key, value);
        }
        self.alarm = above.alarm.or(self.alarm);
    }
}

pub(super) fn entry_bytes(key: &str, value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len)
}
