//! An isolate, and the only folder that enters one.
//!
//! V8 binds an isolate to the thread that made it, and many isolates share a worker's thread, so that each is entered before
//! every touch and left after it: [`Isolate::enter`] gives an [`Entered`], whose drop leaves again. Invariants: a guard never
//! lives across an await; whatever owns V8 handles is dropped inside the guard; creation ends outside (design, section 3).

mod call;
mod evaluate;
mod heap;
mod rejections;

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use deno_core::{PollEventLoopOptions, v8};
use partyrun_extensions::{Host, HostRef};
use partyrun_limits::Limits;

use crate::api::Source;
use crate::ground::held_stack::HeldStack;
use crate::ground::import_cost::ImportCost;
use crate::ground::inspect::{Debuggee, Inspector};
use crate::ground::memory::{self, MemoryUse};
use crate::ground::overrun;
use crate::ground::program::Program;
use crate::ground::pulse::{Pulse, Step, Whose};

pub(crate) use call::{CallError, Calls, call, text};
pub(crate) use heap::Heap;

/// Less garbage is not worth a collection.
const WORTH_TIDYING_BYTES: usize = 64 << 10;

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
    // Whose it is, once it is somebody's.
    source: Option<Source>,
    // Whether several rooms live in it.
    shared: bool,
    // Bytes of the heap after its garbage was collected last.
    tidy_bytes: usize,
}

impl Isolate {
    /// Begins to run the script of `program` in a heap, for one room or for those that are to have it `shared`. What it is
    /// for, [`Isolate::load`] says. Debuggers see one that is `shown` to them under the name of its source.
    #[expect(clippy::too_many_arguments, reason = "what an isolate is made from, each once")]
    pub(crate) fn create(
        heap: Heap,
        program: &Arc<Program>,
        host: Rc<dyn Host>,
        limits: &Limits,
        serial: u64,
        pulse: &Pulse,
        shown: Option<(&Arc<Inspector>, &Source)>,
        shared: bool,
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
            source: None,
            shared,
            tidy_bytes: 0,
        };
        isolate.heap.runtime.op_state().borrow_mut().put(HostRef(host));
        let settings = program.settings(limits, shared);
        let evaluated = isolate.turn(pulse, Step::Import, |entered| entered.evaluate(&settings, shown));
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

    /// Where the step was that the watchdog looked at last, as lines of a stack. It is forgotten then.
    pub(crate) fn held_stack(&mut self) -> String {
        let loader = self.heap.loader.clone();
        let entered = self.enter();
        let held = entered.isolate.heap.runtime.v8_isolate().get_slot_mut::<HeldStack>();
        held.map(|held| held.take(loader)).unwrap_or_default()
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
            source: self.source.clone().filter(|_| !self.shared),
            shared: self.shared,
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

    /// The program that it runs.
    pub(crate) fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Says whose the isolate is, to the watchdog and to debuggers.
    pub(crate) fn give_to(&mut self, source: &Source) {
        self.source = Some(source.clone());
        // A spare has nothing left to wait before, and none is taken while somebody follows.
        let _waits = self.show_to_debuggers(source);
    }

    /// The same for one more room of an isolate that rooms share.
    pub(crate) fn also_give_to(&mut self, source: &Source) {
        let _waits = self.show_to_debuggers(source);
    }

    /// One of the rooms that share it has left.
    pub(crate) fn take_from(&self, source: &Source) {
        if let Some(debuggee) = &self.heap.debuggee {
            debuggee.unlist(source);
        }
    }

    // Puts the isolate on the list of debuggers, if there is one. Answers whether it must wait for one.
    fn show_to_debuggers(&mut self, source: &Source) -> bool {
        self.heap.debuggee.as_mut().is_some_and(|debuggee| debuggee.list(source))
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

    /// What it uses now, in bytes.
    pub(crate) fn measure(&mut self) -> usize {
        let statistics = self.heap.runtime.v8_isolate().get_heap_statistics();
        self.heap.memory.note_heap(statistics.total_heap_size());
        self.heap.memory.bytes()
    }

    /// What ends it from other threads.
    pub(crate) fn handle(&self) -> &v8::IsolateHandle {
        &self.heap.handle
    }

    /// Collects the garbage of an isolate that will be left alone, unless it has hardly any: what its import left behind is up
    /// to a half of it.
    pub(crate) fn tidy(&mut self) {
        let entered = self.enter();
        let tidy_bytes = entered.isolate.tidy_bytes;
        let isolate = entered.isolate.heap.runtime.v8_isolate();
        if isolate.get_heap_statistics().used_heap_size() < tidy_bytes + WORTH_TIDYING_BYTES {
            return;
        }
        // Two full collections at least. After one alone (`memory_pressure_notification`) an isolate takes a quarter more: what
        // survived the young generation then lies in pages of its own.
        isolate.low_memory_notification();
        let left = isolate.get_heap_statistics().used_heap_size();
        entered.isolate.tidy_bytes = left;
    }

    /// What it takes: its heap, and what V8 and the ops have for it outside of the heap.
    pub(crate) fn bytes(&mut self) -> usize {
        let entered = self.enter();
        let heap = entered.isolate.heap.runtime.v8_isolate().get_heap_statistics();
        heap.total_physical_size() + heap.malloced_memory() + memory::OUTSIDE_BYTES
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
        // It holds a handle, too.
        let _stack = entered.isolate.heap.runtime.v8_isolate().remove_slot::<HeldStack>();
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
}
