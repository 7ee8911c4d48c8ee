//! The memory limits of one isolate: its heap, and what it takes outside of it.
//!
//! Near the heap limit V8 calls back; the isolate is then terminated and its limit raised by `heap_grace_bytes`, so that V8
//! can unwind. Array buffers come from an allocator that counts: beyond the limit an allocation fails, which JavaScript sees as a
//! RangeError. What ops hold for the room in Rust is counted with them (`extensions/src/memory.rs`). Resizable buffers and
//! WebAssembly memories take their pages past the allocator: a flag bounds each memory, and V8's own count of external
//! bytes is looked at after each collection, at the end of each turn and now and then within a long one. Where one of the
//! counts is beyond its limit, garbage is collected and the room ends only if that frees too little. Growable shared buffers
//! are in neither count, and held in Rust's. Some allocations V8 itself treats as fatal; those end the process (design, section 3).

use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use deno_core::{v8, v8_set_flags};
use partyrun_extensions::RoomMemory;
use partyrun_limits::{Limits, Total};
use partyrun_telemetry::limit_hit;

/// What an isolate takes outside of its heap, and V8's statistics do not tell: V8's stub caches and string table, its `Isolate`,
/// deno_core and our part. `what_an_isolate_takes` in `tests/footprint.rs` measures it.
pub(crate) const OUTSIDE_BYTES: usize = 860 << 10;

/// Bytes of one page of a WebAssembly memory.
const WASM_PAGE_BYTES: usize = 64 << 10;

/// The most pages that a WebAssembly memory can have.
const WASM_PAGES_MAX: usize = 1 << 16;

/// Sets V8's flags for containment and memory; V8 reads them when the platform is initialized.
pub(crate) fn set_v8_flags(limits: &Limits) {
    let wasm_pages_max = (limits.external_bytes_max / WASM_PAGE_BYTES).clamp(1, WASM_PAGES_MAX);
    let unknown = v8_set_flags(vec![
        "partyrun".to_string(),
        // V8 150 takes the interrupt check out of a loop of known length, but where that loop has none (the loop inside an
        // inlined `fill`) it takes the check of the loop around it. That one could then never be ended.
        "--no-turboshaft-loop-unrolling".to_string(),
        format!("--wasm-max-mem-pages={wasm_pages_max}"),
        // V8 remembers the texts of numbers in two tables that grow to 128 and 64 KiB at the first collision, in every isolate.
        "--smi-string-cache-size=1024".to_string(),
        "--double-string-cache-size=512".to_string(),
        // Pages of dropped isolates wait for the next one, but no longer than this many seconds; V8's own eight keep
        // hundreds of MiB after a burst of rooms.
        "--memory-pool-timeout=1".to_string(),
    ]);
    debug_assert_eq!(unknown.len(), 1, "V8 does not know a flag: {unknown:?}");
}

/// The counters of one isolate; shared with V8's callbacks.
pub(crate) struct MemoryUse {
    external: Arc<Total>,
    heap_bytes_max: usize,
    /// What Rust holds for the isolate counts as external, too.
    pub(crate) held: RoomMemory,
    /// Set when the heap limit was reached.
    heap_exhausted: AtomicBool,
    /// Bytes of the heap after its last collection.
    heap_bytes: AtomicUsize,
    /// Set when the process ran out of memory and this isolate used the most.
    singled_out: AtomicBool,
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
        isolate.set_slot(Looked(memory.clone()));
        this
    }
}

// Where an interrupt finds the counters of its isolate.
struct Looked(Arc<MemoryUse>);

/// The interrupt of an isolate that has been in one step for long.
pub(crate) unsafe extern "C" fn look(mut isolate: v8::UnsafeRawIsolatePtr, _data: *mut c_void) {
    // SAFETY: V8 passes the isolate that it interrupts, on its own thread.
    let isolate = unsafe { v8::Isolate::ref_from_raw_isolate_ptr_mut(&mut isolate) };
    if let Some(memory) = isolate.get_slot::<Looked>().map(|looked| looked.0.clone()) {
        look_outside(isolate, &memory);
    }
}

/// Looks at what is used outside of the heap, WebAssembly memories included: their growth alone provokes no collection. What is
/// garbage is collected before it ends anybody.
pub(crate) fn look_outside(isolate: &mut v8::Isolate, memory: &MemoryUse) {
    if memory.held.is_beyond(isolate) {
        isolate.terminate_execution();
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
    let statistics = isolate.get_heap_statistics();
    this.memory.heap_bytes.store(statistics.total_heap_size(), Ordering::Relaxed);
    // It may have collected new objects only, and cannot be followed by another one from here.
    if statistics.external_memory() > 2 * this.memory.external.max() {
        this.handle.request_interrupt(look, ptr::null_mut());
    }
}

impl MemoryUse {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let external = Total::new(limits.external_bytes_max);
        Arc::new(Self {
            held: RoomMemory::new(external.clone()),
            external,
            heap_bytes_max: limits.heap_bytes_max,
            heap_exhausted: AtomicBool::new(false),
            heap_bytes: AtomicUsize::new(0),
            singled_out: AtomicBool::new(false),
        })
    }

    /// What the isolate uses, as far as that is known on any thread.
    pub(crate) fn bytes(&self) -> usize {
        self.external.used().saturating_add(self.heap_bytes.load(Ordering::Relaxed))
    }

    /// Takes note of what the heap was measured to be.
    pub(crate) fn note_heap(&self, bytes: usize) {
        self.heap_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Marks the isolate as the one that must go.
    pub(crate) fn single_out(&self) {
        self.singled_out.store(true, Ordering::Release);
    }

    /// Whether it must go.
    pub(crate) fn is_singled_out(&self) -> bool {
        self.singled_out.load(Ordering::Acquire)
    }

    /// Whether the isolate is beyond a limit and must end.
    pub(crate) fn beyond_any(&self) -> bool {
        let set = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        set(&self.heap_exhausted) || set(&self.singled_out) || self.held.is_exceeded()
    }

    /// Counts that the isolate is ended because of the limit that it is beyond.
    pub(crate) fn count_limit(&self) {
        if self.singled_out.load(Ordering::Acquire) {
            limit_hit!(memory_share_max);
        } else if self.heap_exhausted.load(Ordering::Acquire) {
            limit_hit!(heap_bytes_max);
        } else {
            limit_hit!(external_bytes_max);
        }
    }

    /// What V8's heap has, as of its last collection, and what is outside of it.
    pub(crate) fn parts(&self) -> (usize, usize) {
        (self.heap_bytes.load(Ordering::Relaxed), self.external.used())
    }

    /// The limit that `subject` went beyond, as a sentence without its end; none if it is beyond none.
    pub(crate) fn beyond(&self, subject: &str) -> Option<String> {
        if !self.beyond_any() {
            return None;
        }
        let (heap, external) = (self.heap_bytes_max >> 20, self.external.max() >> 20);
        Some(if self.singled_out.load(Ordering::Acquire) {
            let used = self.bytes() >> 20;
            format!(
                "memory has run out, and with {used} MiB it used the most of all rooms (limit `memory_share_max`)"
            )
        } else if self.heap_exhausted.load(Ordering::Acquire) {
            format!("{subject} used more than {heap} MiB of heap (limit `heap_bytes_max`)")
        } else {
            format!(
                "{subject} used more than {external} MiB outside of its heap (limit `external_bytes_max`)"
            )
        })
    }
}

/// The parameters with which an isolate of these limits is created.
pub(crate) fn create_params(heap_bytes_max: usize, memory: &Arc<MemoryUse>) -> v8::CreateParams {
    // SAFETY: the allocator owns one reference of the Arc and gives it back in `drop_allocator`.
    let allocator = unsafe { v8::new_rust_allocator(Arc::into_raw(memory.clone()), &ALLOCATOR) };
    v8::CreateParams::default().heap_limits(0, heap_bytes_max).array_buffer_allocator(allocator)
}

/// What the near-heap-limit callback does: terminate, and give V8 room to unwind. V8 calls again when code that looks at no
/// interrupt has used that up, too.
pub(crate) fn on_near_heap_limit(
    memory: &MemoryUse,
    handle: &v8::IsolateHandle,
    current: usize,
    grace_bytes: usize,
) -> usize {
    memory.heap_exhausted.store(true, Ordering::Release);
    handle.terminate_execution();
    current.saturating_add(grace_bytes)
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
    if !memory.external.take(length) {
        return ptr::null_mut();
    }
    let pointer = with(layout);
    if pointer.is_null() {
        memory.external.give(length);
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
    memory.external.give(length);
}

unsafe extern "C" fn drop_allocator(memory: *const MemoryUse) {
    // SAFETY: the reference that `create_params` gave away.
    drop(unsafe { Arc::from_raw(memory) });
}
