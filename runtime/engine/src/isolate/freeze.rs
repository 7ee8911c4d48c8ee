//! The snapshot of a program: a heap in which its modules have been evaluated.

use std::rc::Rc;
use std::sync::Arc;

use deno_core::{JsRuntimeForSnapshot, PollEventLoopOptions, RuntimeOptions, v8};
use partyrun_extensions::{BundleText, Host, HostRef};
use partyrun_limits::Limits;

use crate::ground::memory::MemoryUse;
use crate::ground::program::{BUNDLE_NAME, Program};
use crate::isolate::call::{CallError, caught, text};
use crate::isolate::evaluate::{call_named, take_table};

/// A heap as bytes, and the text of the bundle that its functions refer to.
pub(crate) struct Frozen {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) text: BundleText,
    // What `text` points to.
    _code: Arc<[u8]>,
}

// SAFETY: `text` points to bytes that never change, which `_code` keeps.
unsafe impl Send for Frozen {}
// SAFETY: the same.
unsafe impl Sync for Frozen {}

impl Frozen {
    pub(crate) fn new(bytes: Box<[u8]>, code: Arc<[u8]>) -> Arc<Self> {
        // SAFETY: the bytes live as long as the text, in `_code`.
        let lasting: &'static [u8] = unsafe { &*Arc::as_ptr(&code) };
        Arc::new(Self { bytes, text: v8::String::create_external_onebyte_const(lasting), _code: code })
    }
}

pub(crate) fn freeze(
    program: &Arc<Program>,
    host: Rc<dyn Host>,
    limits: &Limits,
    code: Arc<[u8]>,
) -> Result<Arc<Frozen>, CallError> {
    let draft = Frozen::new(Box::default(), code.clone());
    // SAFETY: `draft` outlives the runtime.
    let borrowed: &'static Frozen = unsafe { &*Arc::as_ptr(&draft) };
    let memory = MemoryUse::new(limits);
    let mut runtime = JsRuntimeForSnapshot::try_new(RuntimeOptions {
        extensions: partyrun_extensions::without_scripts(Some(&borrowed.text)),
        startup_snapshot: Some(partyrun_snapshot::SNAPSHOT),
        skip_op_registration: true,
        residual_lazy_js_sources: partyrun_snapshot::RESIDUAL_SCRIPTS,
        shared_array_buffer_store: Some(Default::default()),
        is_main: true,
        ..Default::default()
    })
    .map_err(|error| CallError::Thrown(error.to_string()))?;
    {
        let state = runtime.op_state();
        let mut state = state.borrow_mut();
        partyrun_extensions::prepare(&mut state, limits, memory.held.clone());
        state.put(HostRef(host));
    }
    {
        let runtime = &mut *runtime;
        deno_core::scope!(scope, runtime);
        scope.get_current_context().set_allow_generation_from_strings(false);
        let table = take_table(scope)?;
        let settings = text(scope, &program.settings(limits, false))?;
        call_named(scope, table, "freeze", &[settings])?;
        let value = run(scope, program, &borrowed.text)?;
        call_named(scope, table, "evaluate", &[value])?;
        scope.perform_microtask_checkpoint();
        let party = text(scope, "main")?;
        call_named(scope, table, "load", &[party])?;
        scope.perform_microtask_checkpoint();
        call_named(scope, table, "frozen", &[table.into()])?;
    }
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = runtime.poll_event_loop(&mut context, PollEventLoopOptions::default());
    println!("event loop: {polled:?}");
    let state = runtime.op_state();
    println!("resources: {:?}", state.borrow().resource_table.names().collect::<Vec<_>>());
    drop(state);
    let bytes = runtime.snapshot();
    println!("snapshot: {} bytes, base {}", bytes.len(), partyrun_snapshot::SNAPSHOT.len());
    Ok(Frozen::new(bytes, code))
}

fn run<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    program: &Program,
    code: &'static BundleText,
) -> Result<v8::Local<'s, v8::Value>, CallError> {
    use v8::script_compiler::{CachedData, CompileOptions, NoCacheReason, Source, compile_unbound_script};
    let code = v8::String::new_from_onebyte_const(scope, code)
        .ok_or(CallError::Failed("making the bundle's string"))?;
    let name = text(scope, BUNDLE_NAME)?;
    let origin = v8::ScriptOrigin::new(scope, name, 0, 0, false, 0, None, false, false, false, None);
    let cache = program.code_cache();
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
    match script.bind_to_current_context(scope).run(scope) {
        Some(value) => Ok(value),
        None => Err(caught(scope)),
    }
}
