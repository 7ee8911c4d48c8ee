//! The live isolates of rooms, with what they use: when memory runs out, the one that uses the most is ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deno_core::v8::IsolateHandle;

use crate::ground::memory::MemoryUse;

/// A room that uses less is not what fills the memory.
const WORTH_BYTES: usize = 8 << 20;

/// The live isolates of rooms, with what they use.
#[derive(Default)]
pub(crate) struct Registry {
    rooms: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
}

struct Entry {
    memory: Arc<MemoryUse>,
    handle: IsolateHandle,
    // Asks its worker to end it; false where that is gone.
    end: Box<dyn Fn() -> bool + Send>,
}

/// An isolate's entry; dropping it takes the isolate off the list.
pub(crate) struct Registered {
    registry: Arc<Registry>,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}

impl Registry {
    /// Adds a live isolate; `end` asks its worker to end it, and answers whether there still is one.
    pub(crate) fn add(
        self: &Arc<Self>,
        memory: Arc<MemoryUse>,
        handle: IsolateHandle,
        end: impl Fn() -> bool + Send + 'static,
    ) -> Registered {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Entry { memory, handle, end: Box::new(end) });
        Registered { registry: self.clone(), number }
    }

    // A thread that panicked while it held the lock left a whole map behind.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all of them have in their heaps, and outside of them.
    pub(crate) fn used(&self) -> (usize, usize) {
        self.lock()
            .values()
            .map(|room| room.memory.parts())
            .fold((0, 0), |sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)))
    }

    /// Ends the isolate that uses the most. Answers whether there was one.
    pub(crate) fn end_largest(&self) -> bool {
        let rooms = self.lock();
        let candidates = rooms.values().filter(|room| !room.memory.is_singled_out());
        let Some(room) = candidates.max_by_key(|room| room.memory.bytes()) else { return false };
        if room.memory.bytes() < WORTH_BYTES {
            return false;
        }
        room.memory.single_out();
        // One that is in a turn ends there, another one when its worker comes to it.
        room.handle.terminate_execution();
        (room.end)()
    }
}
