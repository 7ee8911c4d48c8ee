//! The memory limits of one isolate: its heap, and what it takes outside of it.
//!
//! Near the heap limit V8 calls back; the isolate is then terminated and its limit raised once, by enough for V8 to unwind.
//! Array buffers come from an allocator that counts: beyond the limit an allocation fails, which JavaScript sees as a
//! RangeError. Resizable buffers and WebAssembly memories take their pages past the allocator: a flag bounds each memory,
//! and V8's own count of external bytes is looked at after each collection, which growth provokes. Some allocations V8
//! itself treats as fatal; those end the process (design, section 3).

use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use deno_core::{v8, v8_set_flags};
use partyrun_limits::Limits;

/// What V8 may take after it came near the limit, until the termination has unwound: a single string or array may ask for
/// as much at once.
const HEAP_GRACE_BYTES: usize = 1 << 30;

/// Bytes of one page of a WebAssembly memory.
const WASM_PAGE_BYTES: usize = 64 << 10;

/// Sets V8's flags for containment and memory; V8 reads them when the platform is initialized.
pub(crate) fn set_v8_flags() {
    let wasm_pages_max = Limits::default().external_bytes_max / WASM_PAGE_BYTES;
    let unknown = v8_set_flags(vec![
        "partyrun".to_string(),
        // V8 150 takes the interrupt check out of a loop of known length, but where that loop has none (the loop inside an
        // inlined `fill`) it takes the check of the loop around it. That one could then never be ended.
        "--no-turboshaft-loop-unrolling".to_string(),
        format!("--wasm-max-mem-pages={wasm_pages_max}"),
        // Pages of dropped isolates wait for the next one, but no longer than this many seconds; V8's own eight keep
        // hundreds of MiB after a burst of rooms.
        "--memory-pool-timeout=1".to_string(),
    ]);
    debug_assert_eq!(unknown.len(), 1, "V8 does not know a flag: {unknown:?}");
}

/// The counters of one isolate; shared with V8's callbacks.
pub(crate) struct MemoryUse {
    external_bytes: AtomicUsize,
    external_bytes_max: usize,
    /// Set when the heap limit was reached, or V8's count of external bytes went beyond theirs.
    pub(crate) heap_exhausted: AtomicBool,
}

/// What the callback after a collection needs; it must live as long as the isolate.
pub(crate) struct AfterCollection {
    memory: Arc<MemoryUse>,
    handle: v8::IsolateHandle,
}

impl AfterCollection {
    /// Looks at the external bytes of `isolate` after each of its collections, as long as the answer lives.
    pub(crate) fn watch(
        isolate: &mut v8::Isolate,
        memory: &Arc<MemoryUse>,
        handle: &v8::IsolateHandle,
    ) -> Box<Self> {
        let this = Box::new(Self { memory: memory.clone(), handle: handle.clone() });
        let data = ptr::from_ref(&*this).cast_mut().cast::<c_void>();
        isolate.add_gc_epilogue_callback(after_collection, data, v8::GCType::kGCTypeAll);
        this
    }
}

unsafe extern "C" fn after_collection(
    mut isolate: v8::UnsafeRawIsolatePtr,
    _type: v8::GCType,
    _flags: v8::GCCallbackFlags,
    data: *mut c_void,
) {
    // SAFETY: V8 passes the isolate that collects, on its own thread; `data` is the box that the isolate's owner keeps.
    let (isolate, this) = unsafe {
        (v8::Isolate::ref_from_raw_isolate_ptr_mut(&mut isolate), &*data.cast::<AfterCollection>())
    };
    // Buffers of the allocator are in V8's count too. Twice the limit: they must not end a room by themselves.
    if isolate.get_heap_statistics().external_memory() > 2 * this.memory.external_bytes_max {
        this.memory.heap_exhausted.store(true, Ordering::Release);
        this.handle.terminate_execution();
    }
}

impl MemoryUse {
    pub(crate) fn new(external_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            external_bytes: AtomicUsize::new(0),
            external_bytes_max,
            heap_exhausted: AtomicBool::new(false),
        })
    }

    fn reserve(&self, bytes: usize) -> bool {
        let before = self.external_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.external_bytes_max {
            self.external_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn release(&self, bytes: usize) {
        // Buffers that deno_core hands to V8 from Rust are freed by their own deleters, so that the count never underflows;
        // saturating keeps a miscount from wrapping into "no memory left".
        let _ = self
            .external_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(held.saturating_sub(bytes)));
    }
}

/// The parameters with which an isolate of these limits is created.
pub(crate) fn create_params(heap_bytes_max: usize, memory: &Arc<MemoryUse>) -> v8::CreateParams {
    // SAFETY: the allocator owns one reference of the Arc and gives it back in `drop_allocator`.
    let allocator = unsafe { v8::new_rust_allocator(Arc::into_raw(memory.clone()), &ALLOCATOR) };
    v8::CreateParams::default().heap_limits(0, heap_bytes_max).array_buffer_allocator(allocator)
}

/// What the near-heap-limit callback does: terminate, and give V8 room to unwind.
pub(crate) fn on_near_heap_limit(memory: &MemoryUse, handle: &v8::IsolateHandle, current: usize) -> usize {
    memory.heap_exhausted.store(true, Ordering::Release);
    handle.terminate_execution();
    current.saturating_add(HEAP_GRACE_BYTES)
}

static ALLOCATOR: v8::RustAllocatorVtable<MemoryUse> = v8::RustAllocatorVtable {
    allocate: allocate_zeroed,
    allocate_uninitialized: allocate,
    free,
    drop: drop_allocator,
};

const ALIGNMENT: usize = 16;

fn layout(length: usize) -> Option<Layout> {
    Layout::from_size_align(length.max(1), ALIGNMENT).ok()
}

fn allocate_with(memory: &MemoryUse, length: usize, with: impl FnOnce(Layout) -> *mut u8) -> *mut c_void {
    let Some(layout) = layout(length) else { return ptr::null_mut() };
    if !memory.reserve(length) {
        return ptr::null_mut();
    }
    let pointer = with(layout);
    if pointer.is_null() {
        memory.release(length);
    }
    pointer.cast()
}

unsafe extern "C" fn allocate_zeroed(memory: &MemoryUse, length: usize) -> *mut c_void {
    // SAFETY: the layout has a size of at least one byte.
    allocate_with(memory, length, |layout| unsafe { std::alloc::alloc_zeroed(layout) })
}

unsafe extern "C" fn allocate(memory: &MemoryUse, length: usize) -> *mut c_void {
    // SAFETY: the layout has a size of at least one byte.
    allocate_with(memory, length, |layout| unsafe { std::alloc::alloc(layout) })
}

unsafe extern "C" fn free(memory: &MemoryUse, data: *mut c_void, length: usize) {
    let Some(layout) = layout(length) else { return };
    // SAFETY: V8 frees what `allocate` or `allocate_zeroed` gave it, with the same length.
    unsafe { std::alloc::dealloc(data.cast(), layout) };
    memory.release(length);
}

unsafe extern "C" fn drop_allocator(memory: *const MemoryUse) {
    // SAFETY: the reference that `create_params` gave away.
    drop(unsafe { Arc::from_raw(memory) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_beyond_the_limit_fail_and_leave_the_count_alone() {
        let memory = MemoryUse::new(100);
        assert!(memory.reserve(60));
        assert!(!memory.reserve(60));
        assert!(memory.reserve(40));
        memory.release(100);
        memory.release(100);
        assert!(memory.reserve(100));
    }
}
