//! A V8 heap before it has a program: made from the snapshot, with its limits and what counts its memory.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use deno_core::{JsRuntime, RuntimeOptions, v8};
use partyrun_limits::Limits;

use crate::ground::inspect::{Debuggee, Inspector};
use crate::ground::memory::{self, AfterCollection, MemoryUse};
use crate::ground::program::Loader;
use crate::isolate::call::CallError;
use crate::isolate::rejections::Rejections;

// Takes the resource id 0.
struct NoResource;

impl deno_core::Resource for NoResource {}

/// A V8 heap with what the snapshot holds, which needs no program yet: to make one is half of the way to a room.
pub(crate) struct Heap {
    pub(super) runtime: ManuallyDrop<JsRuntime>,
    pub(super) handle: v8::IsolateHandle,
    pub(super) memory: Arc<MemoryUse>,
    // V8's callback points to it; fields are dropped after `drop` has disposed of the isolate.
    _after_collection: Box<AfterCollection>,
    pub(super) rejections: Rc<Rejections>,
    pub(super) loader: Rc<Loader>,
    pub(super) debuggee: Option<Debuggee>,
}

impl Heap {
    /// Makes one on this thread, for good. Needs a tokio runtime.
    pub(crate) fn new(limits: &Limits, inspector: Option<&Arc<Inspector>>) -> Result<Self, CallError> {
        let memory = MemoryUse::new(limits);
        let loader = Rc::new(Loader::default());
        let mut runtime = JsRuntime::try_new(RuntimeOptions {
            module_loader: Some(loader.clone()),
            extensions: partyrun_extensions::without_scripts(),
            startup_snapshot: Some(partyrun_snapshot::SNAPSHOT),
            skip_op_registration: true,
            residual_lazy_js_sources: partyrun_snapshot::RESIDUAL_SCRIPTS,
            // Buffers that message ports of this isolate transfer wait in it.
            shared_array_buffer_store: Some(Default::default()),
            #[cfg(test)]
            op_metrics_factory_fn: Some(crate::ground::hot_ops::counter()),
            create_params: Some(memory::create_params(limits.heap_bytes_max, &memory)),
            inspector: inspector.is_some(),
            is_main: true,
            ..Default::default()
        })
        .map_err(|error| CallError::Thrown(error.to_string()))?;
        {
            let state = runtime.op_state();
            let mut state = state.borrow_mut();
            // Ops say "no resource" with 0, so that no stream may have it.
            let _zero = state.resource_table.add(NoResource);
            partyrun_extensions::prepare(&mut state, limits, memory.held.clone(), runtime.v8_isolate());
        }
        let debuggee =
            inspector.map(|inspector| Debuggee::new(inspector, runtime.inspector().get_session_sender()));
        // A wait on shared memory would stop all rooms of the thread. The original refuses it, too.
        runtime.v8_isolate().set_allow_atomics_wait(false);
        let handle = runtime.v8_isolate().thread_safe_handle();
        let near_limit = (memory.clone(), handle.clone(), limits.heap_grace_bytes);
        runtime.add_near_heap_limit_callback(move |current, _initial| {
            memory::on_near_heap_limit(&near_limit.0, &near_limit.1, current, near_limit.2)
        });
        let after_collection = AfterCollection::watch(runtime.v8_isolate(), &memory, &handle);
        let rejections = Rejections::watch(runtime.v8_isolate());
        // `JsRuntime` leaves its isolate entered; from here on only the guard enters.
        // SAFETY: it was entered by its creation on this thread.
        unsafe { runtime.v8_isolate().exit() };
        Ok(Self {
            runtime: ManuallyDrop::new(runtime),
            handle,
            memory,
            _after_collection: after_collection,
            rejections,
            loader,
            debuggee,
        })
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: this thread made the isolate. Dropping the runtime leaves it and disposes of it.
        unsafe { self.runtime.v8_isolate().enter() };
        self.handle.cancel_terminate_execution();
        self.rejections.forget();
        // SAFETY: `runtime` is not used again.
        unsafe { ManuallyDrop::drop(&mut self.runtime) };
        crate::ground::trim::note_dropped();
    }
}
