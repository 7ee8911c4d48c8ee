//! A program's way into an isolate: the runtime's scripts boot, the bundle runs, and modules are evaluated.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use deno_core::v8;

use crate::api::Source;
use crate::ground::held_stack::HeldStack;
use crate::ground::import_cost::ImportCost;
use crate::ground::inspect::Inspector;
use crate::ground::program::{BUNDLE_NAME, Program};
use crate::isolate::call::{CallError, Calls, call, caught, describe, text};
use crate::isolate::{Entered, Loaded};

impl Entered<'_> {
    // Boots the runtime's JavaScript, then runs the bundle. In between the isolate is shown to debuggers, and waits for those
    // that want it: what they say is heard whenever a script runs, and a word to go on must not come before the wait.
    pub(super) fn evaluate(
        &mut self,
        settings: &str,
        shown: Option<(&Arc<Inspector>, &Source)>,
    ) -> Result<(), CallError> {
        let program = self.isolate.program.clone();
        let inspector = self.isolate.debuggable().then(|| self.isolate.heap.runtime.inspector());
        let runtime = &mut *self.isolate.heap.runtime;
        let context = runtime.main_context();
        runtime.v8_isolate().set_slot(HeldStack::new(context.clone()));
        runtime.v8_isolate().set_slot(ImportCost::new(context));
        deno_core::scope!(scope, runtime);
        scope.get_current_context().set_allow_generation_from_strings(false);
        let table = take_table(scope)?;
        let settings = text(scope, settings)?;
        call_named(scope, table, "boot", &[settings])?;
        if let (Some(v8), Some((inspector, source))) = (&inspector, shown) {
            let is_awaited =
                self.isolate.heap.debuggee.as_mut().is_some_and(|debuggee| debuggee.list(source));
            if is_awaited || inspector.pauses_on_start() {
                // With `--inspect-brk` the bundle itself pauses, at the project's first statement.
                v8.wait_for_runtime_run_if_waiting_for_debugger();
            }
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
            trace: function(scope, table, "trace")?,
            leave: function(scope, table, "leave")?,
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
    pub(super) fn load(&mut self, wanted: &Loaded) -> Result<(), CallError> {
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
    pub(super) fn evaluated(&mut self, idle: bool) -> Poll<Result<(), CallError>> {
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
    let map = match program.debug.as_ref().filter(|_| debuggable) {
        Some(map) => Some(text(scope, &map.url)?),
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
