//! Threads for native work that takes long: cryptography that JavaScript waits for.
//!
//! deno_crypto gives such work to the blocking threads of the tokio runtime that is current when an op is called. That would
//! be the worker's runtime, whose hundreds of threads also look up names. [`op_lane_call`] therefore calls the op inside
//! another runtime: a lane, which has one thread less than the machine has cores, and at least one. A call first takes a
//! place of its room and a place of the lane ([`op_lane_enter`]), so that no more calls are handed over than the threads can
//! start at once. Calls that still wait when their room goes never start, and a room does not wait behind a hundred calls of
//! another one. The threads of the slow lane run at a low priority.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use deno_core::{OpState, Resource, ResourceId, op2, v8};
use deno_error::JsErrorBox;
use partyrun_limits::Limits;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

// How far the slow lane gives way: beside a busy worker it gets a quarter of a core, and is not starved.
const SLOW_NICENESS: libc::c_int = 5;

struct Lane {
    runtime: Runtime,
    places: Arc<Semaphore>,
}

// The threads of both lanes that may run at once.
fn threads_max() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().saturating_sub(1).max(2))
}

impl Lane {
    fn new(name: &str, threads: usize, niceness: Option<libc::c_int>) -> Option<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(threads)
            .thread_name(name)
            .on_thread_start(move || {
                if let Some(niceness) = niceness {
                    // SAFETY: sets the calling thread's own priority and touches no memory. That it may fail does no harm.
                    let _refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
                }
            })
            .build()
            .ok()?;
        Some(Self { runtime, places: Arc::new(Semaphore::new(threads)) })
    }
}

static QUICK: LazyLock<Option<Lane>> = LazyLock::new(|| Lane::new("quick-lane", threads_max(), None));
static SLOW: LazyLock<Option<Lane>> =
    LazyLock::new(|| Lane::new("slow-lane", threads_max() - 1, Some(SLOW_NICENESS)));
// Places of both.
static BOTH: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(threads_max())));

fn lane(is_slow: bool) -> Result<&'static Lane, JsErrorBox> {
    let lane = if is_slow { SLOW.as_ref() } else { QUICK.as_ref() };
    lane.ok_or_else(|| JsErrorBox::generic("The threads for native work could not be started."))
}

// How many calls of a room may run at once, in each lane.
struct RoomPlaces {
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

impl RoomPlaces {
    fn new(limits: &Limits) -> Self {
        Self {
            quick: Arc::new(Semaphore::new(limits.quick_calls_per_room_max.max(1))),
            slow: Arc::new(Semaphore::new(limits.slow_calls_per_room_max.max(1))),
        }
    }

    fn of(&self, is_slow: bool) -> Arc<Semaphore> {
        if is_slow { self.slow.clone() } else { self.quick.clone() }
    }
}

fn room_places(state: &mut OpState, is_slow: bool) -> Arc<Semaphore> {
    if !state.has::<RoomPlaces>() {
        let places = RoomPlaces::new(state.borrow::<Limits>());
        state.put(places);
    }
    state.borrow::<RoomPlaces>().of(is_slow)
}

/// Given back when JavaScript closes it, which it does when the call has ended.
struct Place {
    is_slow: bool,
    permits: RefCell<Option<Permits>>,
}

struct Permits {
    _of_room: OwnedSemaphorePermit,
    _of_lane: OwnedSemaphorePermit,
    _of_both: OwnedSemaphorePermit,
}

impl Resource for Place {
    fn name(&self) -> Cow<'_, str> {
        "place".into()
    }

    fn close(self: Rc<Self>) {
        self.permits.take();
    }
}

impl Drop for Place {
    // With the room: the call may still run. The lane hands this task to a thread when one is free.
    fn drop(&mut self) {
        if let (Some(permits), Ok(lane)) = (self.permits.take(), lane(self.is_slow)) {
            drop(lane.runtime.handle().spawn_blocking(move || drop(permits)));
        }
    }
}

// Waits for a place in a lane, and answers it as a resource.
#[op2]
#[smi]
pub(crate) async fn op_lane_enter(
    state: Rc<RefCell<OpState>>,
    is_slow: bool,
) -> Result<ResourceId, JsErrorBox> {
    let of_room = room_places(&mut state.borrow_mut(), is_slow);
    let closed = |_| JsErrorBox::generic("The threads for native work have ended.");
    let of_room = of_room.acquire_owned().await.map_err(closed)?;
    let of_lane = lane(is_slow)?.places.clone().acquire_owned().await.map_err(closed)?;
    let of_both = BOTH.clone().acquire_owned().await.map_err(closed)?;
    let permits = Permits { _of_room: of_room, _of_lane: of_lane, _of_both: of_both };
    let place = Place { is_slow, permits: RefCell::new(Some(permits)) };
    Ok(state.borrow_mut().resource_table.add(place))
}

// Calls `function` where a lane's runtime is the current one. What it throws is thrown on.
#[op2(reentrant)]
pub(crate) fn op_lane_call<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    is_slow: bool,
    function: v8::Local<'s, v8::Function>,
    receiver: v8::Local<'s, v8::Value>,
    values: v8::Local<'s, v8::Array>,
) -> Result<v8::Local<'s, v8::Value>, JsErrorBox> {
    let lane = lane(is_slow)?;
    let undefined: v8::Local<v8::Value> = v8::undefined(scope).into();
    let values: Vec<_> =
        (0..values.length()).map(|index| values.get_index(scope, index).unwrap_or(undefined)).collect();
    let _entered = lane.runtime.enter();
    Ok(function.call(scope, receiver, &values).unwrap_or(undefined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_as_many_places_as_the_limits_say() {
        let limits = Limits { quick_calls_per_room_max: 3, slow_calls_per_room_max: 1, ..Limits::default() };
        let places = RoomPlaces::new(&limits);
        for (is_slow, count) in [(false, 3), (true, 1)] {
            let of_room = places.of(is_slow);
            let taken: Vec<_> = (0..count).map(|_| of_room.clone().try_acquire_owned().unwrap()).collect();
            assert!(of_room.clone().try_acquire_owned().is_err(), "slow: {is_slow}");
            drop(taken);
            assert!(of_room.try_acquire_owned().is_ok());
        }
    }
}
