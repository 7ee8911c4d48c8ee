//! The read cache of one room: durable values by key, absent keys included, bounded by bytes.
//!
//! It holds only what the database holds. Writes reach it when they are durable; until then the overlay answers.

use std::sync::Arc;

use bytes::Bytes;
use hashlink::LruCache;

use super::layer::entry_bytes;

/// What an entry costs besides key and value: map node, two allocations, reference counts.
const ENTRY_OVERHEAD_BYTES: usize = 128;

pub(super) struct ReadCache {
    entries: LruCache<Arc<str>, Option<Bytes>>,
    bytes: usize,
    bytes_max: usize,
}

impl ReadCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { entries: LruCache::new_unbounded(), bytes: 0, bytes_max }
    }

    /// `Some(None)`: the key is known to be absent.
    pub(super) fn get(&mut self, key: &str) -> Option<Option<Bytes>> {
        self.entries.get(key).cloned()
    }

    /// Remembers a durable value; the least recently used ones make room.
    pub(super) fn insert(&mut self, key: Arc<str>, value: Option<Bytes>) {
        let cost = cost(&key, value.as_ref());
        if cost > self.bytes_max {
            self.remove(&key);
            return;
        }
        self.bytes += cost;
        let key_again = key.clone();
        if let Some(old) = self.entries.insert(key, value) {
            self.bytes -= self::cost(&key_again, old.as_ref());
        }
        while self.bytes > self.bytes_max {
            let Some((key, value)) = self.entries.remove_lru() else { break };
            self.bytes -= self::cost(&key, value.as_ref());
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, value)) = self.entries.remove_entry(key) {
            self.bytes -= cost(&key, value.as_ref());
        }
    }

    pub(super) fn clear(&mut self) {
        // A new map, so that a room that once read much gives the memory back.
        self.entries = LruCache::new_unbounded();
        self.bytes = 0;
    }
}

fn cost(key: &str, value: Option<&Bytes>) -> usize {
    entry_bytes(key, value) + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
impl ReadCache {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_beyond_the_bound() {
        let mut cache = ReadCache::new(3 * (ENTRY_OVERHEAD_BYTES + 11));
        for key in ["a", "b", "c"] {
            cache.insert(key.into(), Some(Bytes::from_static(b"0123456789")));
        }
        assert!(cache.get("a").is_some());
        cache.insert("d".into(), None);
        assert!(cache.get("b").is_none() && cache.get("a").is_some());
        cache.insert("a".into(), Some(Bytes::from(vec![0; 4096])));
        assert!(
            cache.get("a").is_none(),
            "a value beyond the whole bound is not kept, nor is its old version"
        );
        cache.clear();
        assert_eq!(cache.bytes, 0);
    }
}
