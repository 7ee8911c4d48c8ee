//! `list`: options to a key range, and the merge of the database's rows with what is not yet durable (spec 3.2).
//!
//! Order is UTF-8 byte order, also reversed; `start` and `end` keep their meaning then. `prefix` intersects.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::KeyRange;
use crate::{StorageError, StoreError};

/// The options of `list` (spec 3.2). Keys are compared as UTF-8 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// The first key that may be listed.
    pub start: Option<String>,
    /// First key, exclusive; not together with `start`.
    pub start_after: Option<String>,
    /// The key at which the list ends, without it.
    pub end: Option<String>,
    /// What every listed key begins with.
    pub prefix: Option<String>,
    /// Whether the list runs from the last key to the first.
    pub reverse: bool,
    /// The most entries that are listed; `None` lists all. Zero or less is an error.
    pub limit: Option<i64>,
}

impl ListOptions {
    /// The range that the options describe and the number of entries wanted; `None` if it is empty.
    pub(super) fn range(&self) -> Result<Option<(KeyRange, usize)>, StorageError> {
        if self.start.is_some() && self.start_after.is_some() {
            return Err(StorageError::ListStartTwice);
        }
        let limit = match self.limit {
            Some(limit) if limit <= 0 => return Err(StorageError::ListLimit),
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let mut start = self.start.clone().unwrap_or_default().into_bytes();
        if let Some(start_after) = &self.start_after {
            start = start_after.clone().into_bytes();
            // In byte order nothing lies between a string and itself followed by NUL.
            start.push(0);
        }
        let mut end = self.end.clone().map(String::into_bytes);
        if let Some(prefix) = self.prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
            start = start.max(prefix.clone().into_bytes());
            let after = after_prefix(prefix);
            end = Some(end.map_or(after.clone(), |end| end.min(after)));
        }
        let empty = end.as_ref().is_some_and(|end| *end <= start);
        Ok((!empty).then_some((KeyRange { start, end }, limit)))
    }
}

/// The first byte string after all that begin with `prefix`.
fn after_prefix(prefix: &str) -> Vec<u8> {
    let mut after = prefix.as_bytes().to_vec();
    // UTF-8 has no byte 0xFF, so the last byte can always be raised.
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    after
}

/// What a list found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Keys and values, in order.
    pub entries: Vec<(String, Bytes)>,
    /// The keys that were left out, because their values were altered on disk.
    pub altered: Vec<String>,
    /// There are more, beyond the bytes that were asked for.
    pub more: bool,
}

/// The writes of all layers in a range, merged; newer ones replaced older ones already.
pub(super) type Overlay<'a> = BTreeMap<&'a Arc<str>, Option<&'a Bytes>>;

/// Merges rows that arrive in order with an overlay that wins.
pub(super) struct Merge<'a> {
    overlay: std::iter::Peekable<std::vec::IntoIter<(&'a Arc<str>, Option<&'a Bytes>)>>,
    reverse: bool,
    limit: usize,
    bytes_left: usize,
    more: bool,
    out: Vec<(String, Bytes)>,
    altered: Vec<String>,
    damaged: bool,
}

impl<'a> Merge<'a> {
    pub(super) fn new(overlay: Overlay<'a>, reverse: bool, limit: usize, bytes_max: usize) -> Self {
        let mut entries: Vec<_> = overlay.into_iter().collect();
        if reverse {
            entries.reverse();
        }
        let overlay = entries.into_iter().peekable();
        Self {
            overlay,
            reverse,
            limit,
            bytes_left: bytes_max,
            more: false,
            out: Vec::new(),
            altered: Vec::new(),
            damaged: false,
        }
    }

    /// Takes the database's next row.
    pub(super) fn row(&mut self, key: &[u8], value: Option<&[u8]>) -> ControlFlow<()> {
        while let Some((newer, _)) = self.overlay.peek() {
            let order = newer.as_bytes().cmp(key);
            match if self.reverse { order.reverse() } else { order } {
                Ordering::Less => self.take_overlay()?,
                // The overlay's entry comes out instead of the row.
                Ordering::Equal => return self.take_overlay(),
                Ordering::Greater => break,
            }
        }
        match (str::from_utf8(key), value) {
            (Ok(key), Some(value)) => self.push(key, Bytes::copy_from_slice(value)),
            (Ok(key), None) => {
                self.altered.push(key.to_owned());
                ControlFlow::Continue(())
            }
            (Err(_), None) => {
                self.altered.push(String::from_utf8_lossy(key).into_owned());
                ControlFlow::Continue(())
            }
            (Err(_), Some(_)) => {
                self.damaged = true;
                ControlFlow::Break(())
            }
        }
    }

    /// Takes what the overlay has left, after the last row; beside it the keys whose values were altered on disk.
    pub(super) fn finish(mut self) -> Result<Listed, StoreError> {
        if self.damaged {
            return Err(StoreError::Corrupt("a key is not UTF-8".into()));
        }
        while self.out.len() < self.limit && !self.more && self.overlay.peek().is_some() {
            // It breaks only when the limit is reached, which the loop asks itself.
            let _ = self.take_overlay();
        }
        Ok(Listed { entries: self.out, altered: self.altered, more: self.more })
    }

    fn take_overlay(&mut self) -> ControlFlow<()> {
        match self.overlay.next() {
            Some((key, Some(value))) => self.push(key, value.clone()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn push(&mut self, key: &str, value: Bytes) -> ControlFlow<()> {
        // One is given, however long it is.
        if !self.out.is_empty() && self.bytes_left < key.len() + value.len() {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.bytes_left = self.bytes_left.saturating_sub(key.len() + value.len());
        self.out.push((key.to_owned(), value));
        if self.out.len() < self.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(options: ListOptions) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        options.range().unwrap().map(|(range, _)| (range.start, range.end))
    }

    #[test]
    fn options_become_one_range() {
        let text = |text: &str| Some(text.to_owned());
        let options = ListOptions { prefix: text("b:"), start: text("a"), ..Default::default() };
        assert_eq!(range(options), Some((b"b:".to_vec(), Some(b"b;".to_vec()))));
        let options = ListOptions { start_after: text("k"), end: text("z"), ..Default::default() };
        assert_eq!(range(options), Some((b"k\0".to_vec(), Some(b"z".to_vec()))));
        let options = ListOptions { start: text("z"), end: text("a"), ..Default::default() };
        assert_eq!(range(options), None);
        let both = ListOptions { start: text(""), start_after: text(""), ..Default::default() };
        assert_eq!(both.range(), Err(StorageError::ListStartTwice));
        let zero = ListOptions { limit: Some(0), ..Default::default() };
        assert_eq!(zero.range(), Err(StorageError::ListLimit));
    }
}
