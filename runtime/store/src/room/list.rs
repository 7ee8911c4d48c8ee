//! `list`: options to a key range, and the merge of the database's rows with what is not yet durable (spec 3.2).
//!
//! Order is UTF-8 byte order, also reversed; `start` and `end` keep their meaning then. `prefix` intersects.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};
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

/// A write: a key with its value, or without one if it was deleted.
type Written<'a> = (&'a Arc<str>, Option<&'a Bytes>);

type Layer<'a> = Peekable<Box<dyn Iterator<Item = Written<'a>> + 'a>>;

/// The writes of all layers in a range, in the order of the list; of a key the newest one only. Nothing is looked at beyond
/// what is taken, so that a list of one entry costs no more with a thousand writes on their way to disk.
pub(super) struct Overlay<'a> {
    // The lowest one first.
    layers: Vec<Layer<'a>>,
    range: &'a KeyRange,
    reverse: bool,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(range: &'a KeyRange, reverse: bool) -> Self {
        Self { layers: Vec::new(), range, reverse }
    }

    /// Puts a layer on top; `value` is what a write of it says.
    pub(super) fn add<W>(
        &mut self,
        writes: &'a BTreeMap<Arc<str>, W>,
        value: impl Fn(&'a W) -> Option<&'a Bytes> + 'a,
    ) {
        if writes.is_empty() {
            return;
        }
        let range = self.range;
        let start = Bound::Included(str::from_utf8(&range.start).unwrap_or_default());
        // The end of a prefix may be no text. Then keys behind it are passed over one by one.
        let end = range.end.as_deref().and_then(|end| str::from_utf8(end).ok());
        let found = writes.range::<str, _>((start, end.map_or(Bound::Unbounded, Bound::Excluded)));
        let found = found.map(move |(key, write)| (key, value(write)));
        let found: Box<dyn Iterator<Item = Written<'a>> + 'a> = if self.reverse {
            Box::new(found.rev().skip_while(move |(key, _)| !range.contains(key.as_bytes())))
        } else {
            Box::new(found.take_while(move |(key, _)| range.contains(key.as_bytes())))
        };
        self.layers.push(found.peekable());
    }

    /// Everything below is deleted.
    pub(super) fn clear(&mut self) {
        self.layers.clear();
    }

    // The next key, and the topmost layer that has it.
    fn first(&mut self) -> Option<(usize, &'a Arc<str>)> {
        let mut first: Option<(usize, &'a Arc<str>)> = None;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let Some((key, _)) = layer.peek().copied() else { continue };
            let comes_first = first.is_none_or(|(_, other)| {
                let order = key.cmp(other);
                if self.reverse { order.is_ge() } else { order.is_le() }
            });
            if comes_first {
                first = Some((index, key));
            }
        }
        first
    }

    fn peek(&mut self) -> Option<&'a Arc<str>> {
        self.first().map(|(_, key)| key)
    }

    fn next(&mut self) -> Option<Written<'a>> {
        let (top, key) = self.first()?;
        let mut newest = None;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let same = layer.next_if(|(other, _)| *other == key);
            if index == top {
                newest = same;
            }
        }
        newest
    }
}

/// Merges rows that arrive in order with an overlay that wins.
pub(super) struct Merge<'a> {
    overlay: Overlay<'a>,
    limit: usize,
    bytes_left: usize,
    more: bool,
    out: Vec<(String, Bytes)>,
    altered: Vec<String>,
    damaged: bool,
}

impl<'a> Merge<'a> {
    pub(super) fn new(overlay: Overlay<'a>, limit: usize, bytes_max: usize) -> Self {
        Self {
            overlay,
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
        while let Some(newer) = self.overlay.peek() {
            let order = newer.as_bytes().cmp(key);
            match if self.overlay.reverse { order.reverse() } else { order } {
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

    #[test]
    fn layers_come_in_order_and_the_topmost_has_a_key() {
        let layer = |entries: &[(&str, Option<&'static str>)]| -> BTreeMap<Arc<str>, Option<Bytes>> {
            entries
                .iter()
                .map(|(key, value)| ((*key).into(), value.map(|value| Bytes::from_static(value.as_bytes()))))
                .collect()
        };
        let lower = layer(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3")), ("\u{7ff}x", Some("4"))]);
        let upper = layer(&[("b", None), ("d", Some("5"))]);
        // Behind the prefix U+07FF lies no text, only bytes.
        let of = |start: &str, end: Option<Vec<u8>>, reverse: bool| -> Vec<(String, bool)> {
            let range = KeyRange { start: start.as_bytes().to_vec(), end };
            let mut overlay = Overlay::new(&range, reverse);
            overlay.add(&lower, Option::as_ref);
            overlay.add(&upper, Option::as_ref);
            let entries = std::iter::from_fn(|| overlay.next());
            entries.map(|(key, value)| (key.to_string(), value.is_some())).collect()
        };
        let names = |names: &[&str]| -> Vec<(String, bool)> {
            names.iter().map(|name| ((*name).to_owned(), *name != "b")).collect()
        };
        assert_eq!(of("", None, false), names(&["a", "b", "c", "d", "\u{7ff}x"]));
        assert_eq!(of("", None, true), names(&["\u{7ff}x", "d", "c", "b", "a"]));
        assert_eq!(of("b", Some(b"d".to_vec()), false), names(&["b", "c"]));
        assert_eq!(of("b", Some(b"d".to_vec()), true), names(&["c", "b"]));
        assert_eq!(of("\u{7ff}", Some(after_prefix("\u{7ff}")), true), names(&["\u{7ff}x"]));
        assert_eq!(of("a", Some(after_prefix("\u{7ff}")), true).len(), 5);
    }

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
