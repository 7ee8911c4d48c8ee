//! The store behind `caches`: responses kept in memory for the whole process.
//!
//! As in Workers, it is a cache and promises nothing. What is too old, too big or too much is dropped, the oldest first.

use std::collections::{HashMap, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deno_core::{OpState, ToJsBuffer, op2};
use partyrun_limits::Limits;
use serde::Serialize;

type Key = (String, String);

struct Entry {
    status: u16,
    headers: String,
    body: Vec<u8>,
    stale: Option<Instant>,
}

#[derive(Default)]
struct Store {
    entries: HashMap<Key, Entry>,
    // Oldest first; a key that was put again stands here twice, and the first time is skipped.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Store {
    fn remove(&mut self, key: &Key) -> bool {
        let removed = self.entries.remove(key);
        if let Some(entry) = &removed {
            self.bytes -= entry.body.len();
        }
        removed.is_some()
    }

    // All bodies together may have `bytes_max` bytes.
    fn put(&mut self, key: Key, entry: Entry, bytes_max: usize) {
        self.remove(&key);
        self.order.retain(|other| *other != key);
        if entry.body.len() > bytes_max {
            return;
        }
        self.bytes += entry.body.len();
        self.entries.insert(key.clone(), entry);
        self.order.push_back(key);
        while self.bytes > bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            self.remove(&oldest);
        }
    }
}

fn store() -> MutexGuard<'static, Store> {
    static STORE: LazyLock<Mutex<Store>> = LazyLock::new(Mutex::default);
    // Whoever panicked while holding the lock left a whole value behind.
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A kept answer.
#[derive(Serialize)]
pub(crate) struct Kept {
    status: u16,
    headers: String,
    bytes: ToJsBuffer,
}

#[op2]
#[serde]
pub(crate) fn op_cache_match(#[string] cache: String, #[string] url: String) -> Option<Kept> {
    let mut store = store();
    let key = (cache, url);
    if store.entries.get(&key)?.stale.is_some_and(|stale| stale <= Instant::now()) {
        store.remove(&key);
        return None;
    }
    let entry = store.entries.get(&key)?;
    Some(Kept { status: entry.status, headers: entry.headers.clone(), bytes: entry.body.clone().into() })
}

// Fewer than zero seconds is no limit.
#[op2(fast)]
pub(crate) fn op_cache_put(
    state: &OpState,
    #[string] cache: String,
    #[string] url: String,
    #[smi] status: u16,
    #[string] headers: String,
    #[buffer] body: &[u8],
    seconds: f64,
) {
    let stale = (seconds >= 0.0).then(|| Instant::now() + Duration::from_secs_f64(seconds.min(1e9)));
    let entry = Entry { status, headers, body: body.to_vec(), stale };
    store().put((cache, url), entry, state.borrow::<Limits>().cache_bytes_max);
}

#[op2(fast)]
pub(crate) fn op_cache_delete(#[string] cache: String, #[string] url: String) -> bool {
    store().remove(&(cache, url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        Entry { status: 200, headers: String::new(), body: vec![0; bytes], stale: None }
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        const MAX: usize = 64;
        let mut store = Store::default();
        let key = |name: &str| (String::new(), name.to_string());
        store.put(key("a"), entry(MAX / 2), MAX);
        store.put(key("b"), entry(MAX / 2), MAX);
        store.put(key("a"), entry(MAX / 2), MAX);
        store.put(key("c"), entry(1), MAX);
        assert!(store.entries.contains_key(&key("a")) && store.entries.contains_key(&key("c")));
        assert!(!store.entries.contains_key(&key("b")));
        store.put(key("d"), entry(MAX + 1), MAX);
        assert!(!store.entries.contains_key(&key("d")));
        assert_eq!(store.bytes, MAX / 2 + 1);
    }
}
