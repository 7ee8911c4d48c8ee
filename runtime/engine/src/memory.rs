//! The memory limits of one isolate: its heap, and what its array buffers take outside of it.
//!
//! Near the heap limit V8 calls back; the isolate is then terminated and its limit raised once, by enough for V8 to unwind.
//! Array buffers come from an allocator that counts: beyond the limit an allocation fails, which JavaScript sees as a
//! RangeError. Some allocations V8 itself treats as fatal; those end the process (design, section 3).

use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use deno_core::v8;

/// What V8 may take after it came near the limit, until the termination has unwound: a single string or array may ask for
/// as much at once.
const HEAP_GRACE_BYTES: usize = 1 << 30;

/// The counters of one isolate; shared with V8's callbacks.
pub(crate) struct MemoryUse {
    external_bytes: AtomicUsize,
    external_bytes_max: usize,
    /// Set when the heap limit was reached.
    pub(crate) heap_exhausted: AtomicBool,
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
