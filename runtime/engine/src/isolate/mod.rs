//! An isolate, and the only place that enters one.
//!
//! V8 binds an isolate to the thread that made it, and many isolates share a worker's thread, so that each is entered before
//! every touch and left after it: [`Isolate::enter`] gives an [`Entered`], whose drop leaves again. Invariants: a guard never
//! lives across an await; whatever owns V8 handles is dropped inside the guard; creation ends outside (design, section 3).

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use deno_core::JsRuntime;
use deno_core::PollEventLoopOptions;
use deno_core::RuntimeOptions;
use deno_core::error::JsError;
use deno_core::v8;
use partyrun_extensions::HostRef;
use partyrun_limits::Limits;

use crate::Source;
use crate::ground::import_cost::ImportCost;
use crate::ground::inspect::{Debuggee, Inspector};
use crate::ground::memory::{self, AfterCollection, MemoryUse};
use crate::ground::overrun;
use crate::ground::program::{BUNDLE_NAME, Loader, Program};
use crate::ground::pulse::{Pulse, Step, Whose};
use crate::room::host::HostSlot;

use rejections::Rejections;

mod rejections;

/// Why user code did not return.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It was ended by force.
    #[error("the code was ended because it went beyond a limit")]
    Terminated,
    /// The project could not be imported within a limit; the text says which.
    #[error("{0}")]
    Import(String),
    /// It threw; the text is the exception with its stack.
    #[error("{0}")]
    Thrown(String),
    /// V8 could not do what was asked, which only happens when memory is short.
    #[error("out of memory while {0}")]
    Failed(&'static str),
}

// Takes the resource id 0.
struct NoResource;

impl deno_core::Resource for NoResource {}

/// Whose modules an isolate has evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Loaded {
    /// Nobody's: it has only run the script that holds them.
    Nothing,
    /// One party's.
    Party(String),
    /// Everybody's: the edge.
    All,
}

/// The functions of `js/90_dispatch.js`.
pub(crate) struct Calls {
    pub(crate) load: v8::Global<v8::Function>,
    pub(crate) rejected: v8::Global<v8::Function>,
    pub(crate) start: v8::Global<v8::Function>,
    pub(crate) request: v8::Global<v8::Function>,
    pub(crate) connect: v8::Global<v8::Function>,
    pub(crate) message: v8::Global<v8::Function>,
    pub(crate) end: v8::Global<v8::Function>,
    pub(crate) alarm: v8::Global<v8::Function>,
    pub(crate) describe: v8::Global<v8::Function>,
    pub(crate) before: v8::Global<v8::Function>,
    pub(crate) fetch: v8::Global<v8::Function>,
    pub(crate) socket: v8::Global<v8::Function>,
    pub(crate) cron: v8::Global<v8::Function>,
}

/// A V8 heap with what the snapshot holds, which needs no program yet: to make one is half of the way to a room.
pub(crate) struct Heap {
    runtime: ManuallyDrop<JsRuntime>,
    handle: v8::IsolateHandle,
    memory: Arc<MemoryUse>,
    // V8's callback points to it; fields are dropped after `drop` has disposed of the isolate.
    _after_collection: Box<AfterCollection>,
    rejections: Rc<Rejections>,
    loader: Rc<Loader>,
    debuggee: Option<Debuggee>,
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
            partyrun_extensions::prepare(&mut state, limits, memory.held.clone());
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

/// A heap that has evaluated a program, or is about to have.
pub(crate) struct Isolate {
    heap: Heap,
    calls: Option<Rc<Calls>>,
    // The promise of a program with top-level await.
    evaluating: Option<v8::Global<v8::Promise>>,
    script: Option<v8::Global<v8::UnboundScript>>,
    // The version of the code cache that it was made with.
    cache_version: u64,
    loaded: Loaded,
    serial: u64,
    program: Arc<Program>,
    slot: Rc<HostSlot>,
}

impl Isolate {
    /// Begins to run the script of `program` in a heap. What it is for, [`Isolate::load`] says. Debuggers see one that is
    /// `shown` to them under the name of its source.
    pub(crate) fn create(
        heap: Heap,
        program: &Arc<Program>,
        slot: Rc<HostSlot>,
        limits: &Limits,
        serial: u64,
        pulse: &Pulse,
        shown: Option<(&Arc<Inspector>, &Source)>,
    ) -> Result<Self, CallError> {
        heap.loader.set(program.clone());
        let mut isolate = Self {
            heap,
            calls: None,
            evaluating: None,
            script: None,
            cache_version: 0,
            loaded: Loaded::Nothing,
            serial,
            program: program.clone(),
            slot: slot.clone(),
        };
        isolate.heap.runtime.op_state().borrow_mut().put(HostRef(slot));
        let settings = program.settings(limits);
        let mut pause = false;
        if let Some((inspector, source)) = shown {
            isolate.show_to_debuggers(source);
            pause = inspector.pauses_on_start();
        }
        let evaluated = isolate.turn(pulse, Step::Import, |entered| entered.evaluate(&settings, pause));
        if let Err(error) = evaluated {
            return Err(isolate.why_not_imported(error, pulse, limits));
        }
        Ok(isolate)
    }

    // Names the limit that an import went beyond, and the module that took longest.
    fn why_not_imported(&mut self, error: CallError, pulse: &Pulse, limits: &Limits) -> CallError {
        if !matches!(error, CallError::Terminated) {
            return error;
        }
        let ended = pulse.take_overrun().and_then(|overrun| overrun.ended);
        let beyond = self.memory().beyond(Step::Import.subject());
        CallError::Import(match ended {
            _ if beyond.is_some() => beyond.unwrap_or_default(),
            Some(limit) => overrun::time(Step::Import, limit, limits) + &self.longest_import(),
            None => error.to_string(),
        })
    }

    /// `, most of it in MODULE`, where it is known. It is forgotten then.
    pub(crate) fn longest_import(&mut self) -> String {
        let loader = self.heap.loader.clone();
        let entered = self.enter();
        let cost = entered.isolate.heap.runtime.v8_isolate().remove_slot::<ImportCost>();
        match cost.and_then(|cost| cost.longest(loader)) {
            Some((module, share)) if share >= 0.5 => format!(", most of it in `{module}`"),
            Some((module, _)) => format!(", more in `{module}` than in any other module"),
            None => String::new(),
        }
    }

    /// Forgets where the import spent its time, once it has ended.
    pub(crate) fn forget_import(&mut self) {
        if self.evaluating.is_none() {
            let entered = self.enter();
            let _cost = entered.isolate.heap.runtime.v8_isolate().remove_slot::<ImportCost>();
        }
    }

    /// Begins to evaluate modules, if none are evaluated yet. They are ready when [`Isolate::poll_ready`] says so.
    pub(crate) fn load(&mut self, pulse: &Pulse, limits: &Limits, wanted: Loaded) -> Result<(), CallError> {
        if self.loaded != Loaded::Nothing {
            return Ok(());
        }
        let loaded = self.turn(pulse, Step::Import, |entered| entered.load(&wanted));
        self.loaded = wanted;
        loaded.map_err(|error| self.why_not_imported(error, pulse, limits))
    }

    /// Whose modules it has evaluated, or begun to.
    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Enters the isolate.
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        // SAFETY: this thread made the isolate, and the guard leaves it again in its drop.
        unsafe { self.heap.runtime.v8_isolate().enter() };
        Entered { isolate: self }
    }

    /// Runs `body` inside, as a turn that the watchdog watches and that begins with `step`. All user code runs in here.
    pub(crate) fn turn<T>(
        &mut self,
        pulse: &Pulse,
        step: Step,
        body: impl FnOnce(&mut Entered<'_>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        pulse.begin(self.serial, &self.heap.handle, step, || Whose {
            source: self.slot.source(),
            debuggers: self.heap.debuggee.as_ref().map(Debuggee::sessions),
        });
        let mut entered = self.enter();
        let outcome = body(&mut entered);
        entered.tell_memory();
        drop(entered);
        let forced = pulse.end();
        if forced || self.memory().beyond_any() { Err(CallError::Terminated) } else { outcome }
    }

    /// Whether the modules have been evaluated; drives top-level await.
    pub(crate) fn poll_ready(
        &mut self,
        pulse: &Pulse,
        limits: &Limits,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CallError>> {
        if self.evaluating.is_none() {
            return Poll::Ready(Ok(()));
        }
        let evaluated = self.turn(pulse, Step::Import, |entered| {
            let idle = match entered.poll_event_loop(context) {
                Poll::Pending => false,
                Poll::Ready(result) => {
                    result?;
                    true
                }
            };
            match entered.evaluated(idle) {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(result) => result.map(Poll::Ready),
            }
        });
        match evaluated {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                self.forget_import();
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.why_not_imported(error, pulse, limits))),
        }
    }

    /// The host side of this isolate.
    pub(crate) fn slot(&self) -> &Rc<HostSlot> {
        &self.slot
    }

    /// The program that it runs.
    pub(crate) fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Puts the isolate on the list of debuggers, if there is one.
    pub(crate) fn show_to_debuggers(&mut self, source: &Source) {
        if let Some(debuggee) = &mut self.heap.debuggee {
            debuggee.list(source);
        }
    }

    /// Whether debuggers can attach.
    pub(crate) fn debuggable(&self) -> bool {
        self.heap.debuggee.is_some()
    }

    /// Whether one is attached.
    pub(crate) fn debugged(&self) -> bool {
        self.heap.debuggee.as_ref().is_some_and(Debuggee::attached)
    }

    /// What counts its memory.
    pub(crate) fn memory(&self) -> &Arc<MemoryUse> {
        &self.heap.memory
    }

    /// What ends it from other threads.
    pub(crate) fn handle(&self) -> &v8::IsolateHandle {
        &self.heap.handle
    }

    /// Collects garbage as far as it goes, for an isolate that will be left alone: what its start left behind is
    /// about a fifth of it.
    pub(crate) fn tidy(&mut self) {
        self.enter().isolate.heap.runtime.v8_isolate().low_memory_notification();
    }

    /// Whether the program's code cache is still the one that this isolate was made with.
    pub(crate) fn has_latest_code_cache(&self) -> bool {
        self.program.latest_code_cache().version == self.cache_version
    }

    /// Makes the program's code cache from what has been compiled by now.
    pub(crate) fn make_code_cache(&mut self) {
        let made_with = self.cache_version;
        let entered = self.enter();
        let program = entered.isolate.program.clone();
        let Some(script) = entered.isolate.script.clone() else { return };
        let runtime = &mut *entered.isolate.heap.runtime;
        deno_core::scope!(scope, runtime);
        let script = v8::Local::new(scope, &script);
        if let Some(cache) = script.create_code_cache() {
            program.replace_code_cache(made_with, cache.to_vec());
        }
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        // Handles are dropped inside, before the heap is.
        let entered = self.enter();
        entered.isolate.calls = None;
        entered.isolate.evaluating = None;
        entered.isolate.script = None;
        entered.isolate.forget_import();
    }
}

/// An isolate while it is entered.
pub(crate) struct Entered<'isolate> {
    isolate: &'isolate mut Isolate,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: `enter` entered it on this thread, and guards are dropped in the reverse order of their making.
        unsafe { self.isolate.heap.runtime.v8_isolate().exit() };
    }
}

impl Entered<'_> {
    /// Runs `body` in a scope of the isolate, with the functions of the dispatch table.
    pub(crate) fn scope<T>(
        &mut self,
        body: impl FnOnce(&mut v8::PinScope<'_, '_>, &Calls) -> T,
    ) -> Option<T> {
        let calls = self.isolate.calls.clone()?;
        let runtime = &mut *self.isolate.heap.runtime;
        deno_core::scope!(scope, runtime);
        Some(body(scope, &calls))
    }

    /// Lets deno_core dispatch timers and finished ops. Ready means that nothing is pending.
    pub(crate) fn poll_event_loop(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        // Events come before timers, and so do the rejections that they leave.
        self.tell_rejections()?;
        let polled = self.isolate.heap.runtime.poll_event_loop(context, PollEventLoopOptions::default());
        self.tell_rejections()?;
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(CallError::Thrown(error.to_string()))),
        }
    }

    fn tell_rejections(&mut self) -> Result<(), CallError> {
        if self.isolate.heap.rejections.is_empty() {
            return Ok(());
        }
        let rejections = self.isolate.heap.rejections.clone();
        self.scope(|scope, calls| rejections.tell(scope, &calls.rejected)).unwrap_or(Ok(()))
    }

    // V8 collects in time only what it knows of.
    fn tell_memory(&mut self) {
        let heap = &mut self.isolate.heap;
        heap.memory.held.tell(heap.runtime.v8_isolate());
        memory::look_outside(heap.runtime.v8_isolate(), &heap.memory);
    }

    #[cfg(test)]
    pub(crate) fn spaces<T>(&mut self, body: impl FnOnce(&mut v8::Isolate) -> T) -> T {
        body(self.isolate.heap.runtime.v8_isolate())
    }

    // Boots the runtime's JavaScript, then runs the bundle; `pause` waits for a debugger in between.
    fn evaluate(&mut self, settings: &str, pause: bool) -> Result<(), CallError> {
        let program = self.isolate.program.clone();
        let inspector = self.isolate.debuggable().then(|| self.isolate.heap.runtime.inspector());
        let runtime = &mut *self.isolate.heap.runtime;
        let context = runtime.main_context();
        runtime.v8_isolate().set_slot(ImportCost::new(context));
        deno_core::scope!(scope, runtime);
        scope.get_current_context().set_allow_generation_from_strings(false);
        let table = take_table(scope)?;
        let settings = text(scope, settings)?;
        call_named(scope, table, "boot", &[settings])?;
        if let Some(inspector) = inspector.as_ref().filter(|_| pause) {
            // The bundle itself pauses, at the project's first statement (`BundleOptions::pause_first`).
            inspector.wait_for_runtime_run_if_waiting_for_debugger();
        }
        let cache = program.latest_code_cache();
        self.isolate.cache_version = cache.version;
        let (script, value) = run_bundle(scope, &program, cache.bytes, inspector.is_some())?;
        let promise = call_named(scope, table, "evaluate", &[value])?;
        let evaluating =
            v8::Local::<v8::Promise>::try_from(promise).ok().map(|promise| v8::Global::new(scope, promise));
        let calls = Calls {
            load: function(scope, table, "load")?,
            rejected: function(scope, table, "rejected")?,
            start: function(scope, table, "start")?,
            request: function(scope, table, "request")?,
            connect: function(scope, table, "connect")?,
            message: function(scope, table, "message")?,
            end: function(scope, table, "end")?,
            alarm: function(scope, table, "alarm")?,
            describe: function(scope, table, "describe")?,
            before: function(scope, table, "before")?,
            fetch: function(scope, table, "fetch")?,
            socket: function(scope, table, "socket")?,
            cron: function(scope, table, "cron")?,
        };
        scope.perform_microtask_checkpoint();
        let script = v8::Global::new(scope, script);
        self.isolate.calls = Some(Rc::new(calls));
        self.isolate.script = Some(script);
        self.isolate.evaluating = evaluating;
        Ok(())
    }

    // Calls `load` of js/88_bundle.js.
    fn load(&mut self, wanted: &Loaded) -> Result<(), CallError> {
        let Some(calls) = self.isolate.calls.clone() else { return Ok(()) };
        let runtime = &mut *self.isolate.heap.runtime;
        deno_core::scope!(scope, runtime);
        let party = match wanted {
            Loaded::Party(party) => text(scope, party)?,
            Loaded::All => v8::null(scope).into(),
            Loaded::Nothing => return Ok(()),
        };
        let promise = call(scope, &calls.load, &[party])?;
        scope.perform_microtask_checkpoint();
        if let Ok(promise) = v8::Local::<v8::Promise>::try_from(promise) {
            self.isolate.evaluating = Some(v8::Global::new(scope, promise));
        }
        Ok(())
    }

    // How far the promise of top-level await is. `idle` tells that nothing is left which could settle it.
    fn evaluated(&mut self, idle: bool) -> Poll<Result<(), CallError>> {
        let Some(promise) = self.isolate.evaluating.clone() else { return Poll::Ready(Ok(())) };
        let runtime = &mut *self.isolate.heap.runtime;
        deno_core::scope!(scope, runtime);
        let promise = v8::Local::new(scope, &promise);
        let outcome = match promise.state() {
            v8::PromiseState::Pending if idle => Err(CallError::Thrown(
                "A top-level await never finished: nothing is left that could end it.".into(),
            )),
            v8::PromiseState::Pending => return Poll::Pending,
            v8::PromiseState::Fulfilled => Ok(()),
            v8::PromiseState::Rejected => {
                let reason = promise.result(scope);
                Err(CallError::Thrown(describe(scope, reason)))
            }
        };
        self.isolate.evaluating = None;
        Poll::Ready(outcome)
    }
}

/// A string value.
pub(crate) fn text<'s>(
    scope: &v8::PinScope<'s, '_>,
    value: &str,
) -> Result<v8::Local<'s, v8::Value>, CallError> {
    // Nearly all texts are ASCII, which needs no decoding.
    let made = if value.is_ascii() {
        v8::String::new_from_one_byte(scope, value.as_bytes(), v8::NewStringType::Normal)
    } else {
        v8::String::new(scope, value)
    };
    made.map(Into::into).ok_or(CallError::Failed("making a string"))
}

/// Calls a function of the table; microtasks are the caller's matter.
pub(crate) fn call<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    function: &v8::Global<v8::Function>,
    arguments: &[v8::Local<'s, v8::Value>],
) -> Result<v8::Local<'s, v8::Value>, CallError> {
    let function = v8::Local::new(scope, function);
    let receiver = v8::undefined(scope).into();
    v8::tc_scope!(let scope, scope);
    match function.call(scope, receiver, arguments) {
        Some(value) => Ok(value),
        None => Err(caught(scope)),
    }
}

fn caught(scope: &mut v8::PinnedRef<'_, v8::TryCatch<'_, '_, v8::HandleScope<'_>>>) -> CallError {
    if scope.has_terminated() || scope.is_execution_terminating() {
        return CallError::Terminated;
    }
    match scope.exception() {
        Some(exception) => CallError::Thrown(describe(scope, exception)),
        None => CallError::Terminated,
    }
}

// An exception as text, with its source-mapped stack.
fn describe<'s>(scope: &mut v8::PinScope<'s, '_>, exception: v8::Local<'s, v8::Value>) -> String {
    let error = JsError::from_v8_exception(scope, exception);
    error.stack.clone().unwrap_or_else(|| error.exception_message.clone())
}

// The dispatch table, which user code must not find: its property of the global object is deleted.
fn take_table<'s>(scope: &mut v8::PinScope<'s, '_>) -> Result<v8::Local<'s, v8::Object>, CallError> {
    let global = scope.get_current_context().global(scope);
    let name = text(scope, "__partyrun")?;
    let table = global.get(scope, name).and_then(|value| v8::Local::<v8::Object>::try_from(value).ok());
    global.delete(scope, name);
    table.ok_or(CallError::Failed("reading the snapshot"))
}

fn function(
    scope: &mut v8::PinScope<'_, '_>,
    table: v8::Local<v8::Object>,
    name: &'static str,
) -> Result<v8::Global<v8::Function>, CallError> {
    let key = text(scope, name)?;
    let value = table.get(scope, key).and_then(|value| v8::Local::<v8::Function>::try_from(value).ok());
    value.map(|function| v8::Global::new(scope, function)).ok_or(CallError::Failed(name))
}

fn call_named<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    table: v8::Local<'s, v8::Object>,
    name: &'static str,
    arguments: &[v8::Local<'s, v8::Value>],
) -> Result<v8::Local<'s, v8::Value>, CallError> {
    let function = function(scope, table, name)?;
    call(scope, &function, arguments)
}

// Compiles the bundle, with the code cache where there is one, and answers its completion value.
fn run_bundle<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    program: &Program,
    cache: Option<Arc<[u8]>>,
    debuggable: bool,
) -> Result<(v8::Local<'s, v8::UnboundScript>, v8::Local<'s, v8::Value>), CallError> {
    use v8::script_compiler::{CachedData, CompileOptions, NoCacheReason, Source, compile_unbound_script};
    let code = program.source(scope).ok_or(CallError::Failed("making the bundle's string"))?;
    let name = text(scope, BUNDLE_NAME)?;
    let map = match program.debug_map.as_deref().filter(|_| debuggable) {
        Some(map) => Some(text(scope, map)?),
        None => None,
    };
    let origin = v8::ScriptOrigin::new(scope, name, 0, 0, false, 0, map, false, false, false, None);
    let (mut source, options) = match &cache {
        Some(cache) => (
            Source::new_with_cached_data(code, Some(&origin), CachedData::new(cache)),
            CompileOptions::ConsumeCodeCache,
        ),
        None => (Source::new(code, Some(&origin)), CompileOptions::NoCompileOptions),
    };
    v8::tc_scope!(let scope, scope);
    let Some(script) = compile_unbound_script(scope, &mut source, options, NoCacheReason::NoReason) else {
        return Err(caught(scope));
    };
    if source.get_cached_data().is_some_and(CachedData::rejected) {
        program.put_code_cache(None);
    }
    match script.bind_to_current_context(scope).run(scope) {
        Some(value) => Ok((script, value)),
        None => Err(caught(scope)),
    }
}
