//! What Rust holds for a room outside V8's heap, counted together with its array buffers (`external_bytes_max`).
//!
//! V8 counts only what its allocator gave out. Parts of blobs, states of compressors, and copies on their way to other rooms
//! are not among it. Ops charge for those before they make them. A charge that does not fit first makes V8 collect garbage,
//! and then throws a RangeError. V8 is also told what is held, so that it collects in time.
//!
//! What cannot be refused is counted anyway. Where that goes beyond the limit, garbage is collected before anything else
//! happens ([`RoomMemory::is_beyond`]). A collection that leaves nearly the whole limit in use is the last one, so that each is
//! paid for by what was taken since the one before.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use deno_core::_ops::OpDecl;
use deno_core::url::Url;
use deno_core::{GarbageCollected, JsBuffer, OpState, op2, v8};
use deno_error::JsErrorBox;
use deno_web::{Blob, BlobPart, BlobStore, BlobStoreTrait};
use partyrun_limits::{Charge, Total};
use uuid::Uuid;

/// What the entry of a part, and of an object URL, takes beside its bytes: two tables, and a URL with its text.
const ENTRY_BYTES: usize = 512;
/// A collection beyond the limit must free this part of it at least.
const FREED_PART: usize = 16;

/// The memory of one room outside of V8's heap. Clones are the same.
#[derive(Clone, Debug)]
pub struct RoomMemory {
    /// Everything outside of the heap, array buffers included.
    all: Arc<Total>,
    /// What Rust holds of it, and how much of that V8 knows of.
    held: Arc<Total>,
    told: Arc<AtomicUsize>,
    /// Set for good when more was used than may be, and collecting garbage did not help.
    exceeded: Arc<AtomicBool>,
}

/// The isolate whose memory is counted, for ops that cannot be given it.
pub(crate) struct Collected(v8::UnsafeRawIsolatePtr);

impl Collected {
    pub(crate) fn of(isolate: &v8::Isolate) -> Self {
        // SAFETY: the pointer is used by ops only, which run in this isolate.
        Self(unsafe { isolate.as_raw_isolate_ptr() })
    }

    // Takes memory where garbage may have to be collected first.
    fn take(&self, memory: &RoomMemory, bytes: usize) -> Result<Charge, JsErrorBox> {
        let mut isolate = self.0;
        // SAFETY: an op runs, so that the isolate lives and this thread has entered it.
        memory.take(unsafe { v8::Isolate::ref_from_raw_isolate_ptr_mut(&mut isolate) }, bytes)
    }
}

impl RoomMemory {
    /// The memory of a room whose bytes outside of the heap `all` counts, array buffers included.
    pub fn new(all: Arc<Total>) -> Self {
        Self { all, held: Total::new(usize::MAX), told: Arc::default(), exceeded: Arc::default() }
    }

    /// Counts `bytes` until the answer is dropped; a RangeError where they do not fit.
    pub fn take(&self, isolate: &mut v8::Isolate, bytes: usize) -> Result<Charge, JsErrorBox> {
        let mut charge = self.charge(bytes);
        if charge.is_none() {
            isolate.low_memory_notification();
            charge = self.charge(bytes);
        }
        self.tell(isolate);
        charge.ok_or_else(|| self.refusal())
    }

    fn refusal(&self) -> JsErrorBox {
        let mib = self.all.max() >> 20;
        JsErrorBox::range_error(format!(
            "The room would use more than {mib} MiB outside of its heap (limit `external_bytes_max`)."
        ))
    }

    fn charge(&self, bytes: usize) -> Option<Charge> {
        Charge::of([&self.all, &self.held], bytes)
    }

    /// Counts `bytes` that are there whether they fit or not, until the answer is dropped. Whoever does so asks
    /// [`RoomMemory::check`] when it can refuse again.
    pub(crate) fn charge_anyway(&self, bytes: usize) -> Charge {
        Charge::both([&self.all, &self.held], bytes)
    }

    /// A RangeError where more is used than may be, garbage apart.
    pub(crate) fn check(&self, isolate: &mut v8::Isolate) -> Result<(), JsErrorBox> {
        if self.is_beyond(isolate) { Err(self.refusal()) } else { Ok(()) }
    }

    /// Whether more is used than may be by what is no garbage. What V8 counts as outside of its heap, WebAssembly memories
    /// among it, may be twice the limit: array buffers are in both counts.
    pub fn is_beyond(&self, isolate: &mut v8::Isolate) -> bool {
        let max = self.all.max();
        if !self.is_exceeded() && self.uses_more_than(max, isolate) {
            isolate.low_memory_notification();
            self.tell(isolate);
            let spent = self.uses_more_than(max - max / FREED_PART, isolate);
            self.exceeded.store(spent, Ordering::Release);
        }
        self.is_exceeded()
    }

    fn uses_more_than(&self, bytes: usize, isolate: &mut v8::Isolate) -> bool {
        let counted = isolate.adjust_amount_of_external_allocated_memory(0);
        self.all.used() > bytes || usize::try_from(counted).unwrap_or(0) > bytes.saturating_mul(2)
    }

    // Whether `bytes` fit that are counted by whoever keeps them; what nobody needs is collected first.
    fn check_free(&self, isolate: &mut v8::Isolate, bytes: usize) -> Result<(), JsErrorBox> {
        let fits = || self.all.used().saturating_add(bytes) <= self.all.max();
        if !fits() {
            isolate.low_memory_notification();
        }
        if fits() { Ok(()) } else { Err(self.refusal()) }
    }

    /// Tells V8 how much is held now, so that it collects garbage in time. Call it after each change, on the isolate's
    /// thread.
    pub fn tell(&self, isolate: &mut v8::Isolate) {
        let held = self.held.used();
        let told = self.told.swap(held, Ordering::Relaxed);
        if held != told {
            let change = i64::try_from(held).unwrap_or(i64::MAX) - i64::try_from(told).unwrap_or(i64::MAX);
            isolate.adjust_amount_of_external_allocated_memory(change);
        }
    }

    /// Whether [`RoomMemory::is_beyond`] has found that more is used than may be: the isolate must end.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Acquire)
    }
}

/// Memory that JavaScript holds through something that does not say so itself.
pub(crate) struct Held(Cell<Option<Charge>>);

// SAFETY: it holds no handles of the heap.
unsafe impl GarbageCollected for Held {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Held"
    }
}

/// Counts `bytes` until the answer is collected or given to `op_memory_release`.
#[op2]
#[cppgc]
pub(crate) fn op_memory_hold(
    isolate: &mut v8::Isolate,
    state: &OpState,
    #[number] bytes: usize,
) -> Result<Held, JsErrorBox> {
    let charge = take(isolate, state, bytes)?;
    Ok(Held(Cell::new(charge)))
}

#[op2(fast)]
pub(crate) fn op_memory_release(#[cppgc] held: &Held) {
    held.0.take();
}

/// [`RoomMemory::take`] for an op.
pub(crate) fn take(
    isolate: &mut v8::Isolate,
    state: &OpState,
    bytes: usize,
) -> Result<Option<Charge>, JsErrorBox> {
    // The snapshot's build has no limits.
    state.try_borrow::<RoomMemory>().map(|memory| memory.take(isolate, bytes)).transpose()
}

/// The same for an op that is not given its isolate.
pub(crate) fn take_here(state: &OpState, bytes: usize) -> Result<Option<Charge>, JsErrorBox> {
    let (memory, isolate) = (state.try_borrow::<RoomMemory>(), state.try_borrow::<Collected>());
    memory.zip(isolate).map(|(memory, isolate)| isolate.take(memory, bytes)).transpose()
}

/// The names of deno_web's ops that are replaced.
pub(crate) const REPLACED: [&str; 3] =
    ["op_blob_create_part", "op_blob_create_object_url", "op_blob_remove_part"];

/// Their replacements.
pub(crate) fn ops() -> [OpDecl; 3] {
    [op_blob_create_part(), op_blob_create_object_url(), op_blob_keep_part()]
}

/// A part of a blob as long as JavaScript has it: it goes with the collection itself, not with a task that comes after it.
pub(crate) struct Kept {
    store: Arc<dyn BlobStoreTrait>,
    id: Uuid,
}

// SAFETY: it holds no handles of the heap.
unsafe impl GarbageCollected for Kept {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"BlobPart"
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.store.remove_part(&self.id));
    }
}

#[op2]
#[cppgc]
pub(crate) fn op_blob_keep_part(state: &OpState, #[scoped] id: Uuid) -> Kept {
    Kept { store: state.borrow::<Arc<dyn BlobStoreTrait>>().clone(), id }
}

#[op2]
pub(crate) fn op_blob_create_part(
    isolate: &mut v8::Isolate,
    state: &OpState,
    #[buffer] data: JsBuffer,
) -> Result<Uuid, JsErrorBox> {
    let charge = take(isolate, state, data.len())?;
    let part = Part { bytes: data.to_vec(), _charge: charge };
    Ok(state.borrow::<Arc<dyn BlobStoreTrait>>().insert_part(Arc::new(part)))
}

// An object URL keeps a copy of the blob's type and a list of its parts, as many as there are.
#[op2]
#[string]
pub(crate) fn op_blob_create_object_url(
    isolate: &mut v8::Isolate,
    state: &OpState,
    #[string] media_type: String,
    #[scoped] part_ids: Vec<Uuid>,
) -> Result<String, JsErrorBox> {
    let store = state.borrow::<Arc<dyn BlobStoreTrait>>().clone();
    let missing = || JsErrorBox::type_error("Blob part not found");
    let parts = part_ids.iter().map(|id| store.get_part(id).ok_or_else(missing)).collect::<Result<_, _>>()?;
    let blob = Blob { media_type, parts };
    if let Some(memory) = state.try_borrow::<RoomMemory>() {
        memory.check_free(isolate, bytes_of(&blob))?;
    }
    Ok(store.insert_object_url(blob, None).into())
}

// What an object URL takes.
fn bytes_of(blob: &Blob) -> usize {
    ENTRY_BYTES + blob.media_type.len() + size_of_val(blob.parts.as_slice())
}

struct Part {
    bytes: Vec<u8>,
    _charge: Option<Charge>,
}

impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Part({} bytes)", self.bytes.len())
    }
}

impl BlobPart for Part {
    fn read<'a, 'f>(&'a self) -> Pin<Box<dyn Future<Output = &'a [u8]> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(std::future::ready(&self.bytes[..]))
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// The blobs of a room, whose entries count although slices share their bytes.
#[derive(Debug)]
pub(crate) struct Blobs {
    store: BlobStore,
    memory: Arc<Total>,
}

impl Blobs {
    pub(crate) fn within(memory: &RoomMemory) -> Arc<dyn BlobStoreTrait> {
        Arc::new(Self { store: BlobStore::default(), memory: memory.all.clone() })
    }
}

impl BlobStoreTrait for Blobs {
    fn insert_part(&self, part: Arc<dyn BlobPart + Send + Sync>) -> Uuid {
        self.memory.add(ENTRY_BYTES);
        self.store.insert_part(part)
    }

    fn get_part(&self, id: &Uuid) -> Option<Arc<dyn BlobPart + Send + Sync>> {
        self.store.get_part(id)
    }

    fn remove_part(&self, id: &Uuid) -> Option<Arc<dyn BlobPart + Send + Sync>> {
        self.store.remove_part(id).inspect(|_| self.memory.give(ENTRY_BYTES))
    }

    fn get_object_url(&self, url: Url) -> Option<Arc<Blob>> {
        self.store.get_object_url(url)
    }

    fn insert_object_url(&self, blob: Blob, location: Option<Url>) -> Url {
        self.memory.add(bytes_of(&blob));
        self.store.insert_object_url(blob, location)
    }

    fn remove_object_url(&self, url: &Url) {
        if let Some(blob) = self.store.get_object_url(url.clone()) {
            self.memory.give(bytes_of(&blob));
        }
        self.store.remove_object_url(url);
    }

    fn clear(&self) {
        self.store.clear();
    }
}
