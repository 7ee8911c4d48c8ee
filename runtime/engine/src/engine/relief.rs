//! The last resort when memory runs out although no more rooms start: the room that uses the most is reset, before the kernel
//! ends the whole process.
//!
//! A thread looks at the tightest bound now and then, more often the less is left. What a room uses is known from its last
//! collection and from what it has outside of its heap; both can be read from any thread. Which room it is, is said in the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deno_core::v8::IsolateHandle;
use partyrun_store::RoomKey;

use crate::engine::placement::Mailbox;
use crate::engine::{Inner, StartError};
use crate::ground::memory::MemoryUse;
use crate::worker::Message;

/// Of what new rooms may not have, live ones may have this part.
const CRITICAL_PART: f64 = 0.6;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The same when no more rooms start.
const LOOK_OFTEN_EVERY: Duration = Duration::from_millis(20);
/// How long it is waited for the memory of a room that was reset.
const RELIEF_TAKES: Duration = Duration::from_millis(500);
/// A room that uses less is not what fills the memory.
const WORTH_BYTES: usize = 8 << 20;

/// The live rooms of an engine, with what they use.
#[derive(Default)]
pub(crate) struct Registry {
    rooms: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
}

struct Entry {
    key: RoomKey,
    memory: Arc<MemoryUse>,
    handle: IsolateHandle,
    worker: Arc<Mailbox>,
}

/// A room's entry; dropping it takes the room off the list.
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
    /// Adds a live room.
    pub(crate) fn add(
        self: &Arc<Self>,
        key: RoomKey,
        memory: Arc<MemoryUse>,
        handle: IsolateHandle,
        worker: Arc<Mailbox>,
    ) -> Registered {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Entry { key, memory, handle, worker });
        Registered { registry: self.clone(), number }
    }

    // A thread that panicked while it held the lock left a whole map behind.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Ends the room that uses the most. Answers whether there was one.
    fn end_largest(&self) -> bool {
        let rooms = self.lock();
        let candidates = rooms.values().filter(|room| !room.memory.is_singled_out());
        let Some(room) = candidates.max_by_key(|room| room.memory.bytes()) else { return false };
        if room.memory.bytes() < WORTH_BYTES {
            return false;
        }
        room.memory.single_out();
        // One that is in a turn ends there, another one when its worker comes to it.
        room.handle.terminate_execution();
        room.worker.send(Message::Relieve(room.key.clone())).is_ok()
    }
}

/// Starts the thread. It ends with its engine.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), StartError> {
    let engine = Arc::downgrade(inner);
    let share_max = inner.options.limits.memory_share_max;
    let critical = share_max + (1.0 - share_max).max(0.0) * CRITICAL_PART;
    let watch = move || {
        loop {
            let running = engine.upgrade().filter(|engine| !engine.stopping.load(Ordering::Acquire));
            let Some(engine) = running else { return };
            let share = engine.places.memory_share();
            let sleep = if share > critical && engine.registry.end_largest() {
                RELIEF_TAKES
            } else if share > share_max {
                LOOK_OFTEN_EVERY
            } else {
                LOOK_EVERY
            };
            drop(engine);
            std::thread::sleep(sleep);
        }
    };
    std::thread::Builder::new()
        .name("memory".to_string())
        .spawn(watch)
        .map_err(|error| StartError::Machine(format!("the memory thread could not be started: {error}")))?;
    Ok(())
}
