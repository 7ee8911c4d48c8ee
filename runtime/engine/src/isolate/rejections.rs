//! Rejected promises that nobody handles: kept until the turn is over, and told then if that is still so.
//!
//! This takes the place of deno_core's own list. That one is handed over as the arguments of a single call, and a hundred
//! thousand do not fit on a stack; asking JavaScript to empty it before each poll costs every turn two calls. Here a turn
//! without rejections costs one look at an empty list. A rejection that is handled before the end of the turn, as in
//! `await failing()`, is forgotten at once when it was the last one, and else whenever the list has doubled, so that a long
//! turn does not pile them up. Where rooms share the isolate, each keeps the async context in which it was made: it tells the
//! room.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use deno_core::v8;

use crate::isolate::call::{CallError, call};

/// So many are kept before the first look for handled ones.
const SIFT_FROM: usize = 1024;
/// So many reasons are told in one call.
const TOLD_AT_ONCE: usize = 1024;

struct Rejection {
    promise: v8::Global<v8::Promise>,
    // The async context in which it was rejected; none where there is nothing to tell apart.
    context: Option<v8::Global<v8::Value>>,
}

impl Rejection {
    fn is_handled(&self, scope: &v8::PinScope<'_, '_>) -> bool {
        v8::Local::new(scope, &self.promise).has_handler()
    }
}

/// The rejections of one isolate. Its handles must go before the isolate does: [`Rejections::forget`].
#[derive(Default)]
pub(crate) struct Rejections {
    promises: RefCell<Vec<Rejection>>,
    // When the list is this long, handled ones are looked for.
    sift_at: Cell<usize>,
}

impl Rejections {
    /// Listens to what `isolate` rejects from now on.
    pub(crate) fn watch(isolate: &mut v8::Isolate) -> Rc<Self> {
        let this = Rc::new(Self { promises: RefCell::default(), sift_at: Cell::new(SIFT_FROM) });
        isolate.set_slot(this.clone());
        isolate.set_promise_reject_callback(on_event);
        this
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.promises.borrow().is_empty()
    }

    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        self.promises.borrow_mut().clear();
    }

    /// Tells `rejected` of js/90_dispatch.js the reasons of those that nobody handles, and of those that telling makes.
    pub(crate) fn tell(
        &self,
        scope: &mut v8::PinScope<'_, '_>,
        rejected: &v8::Global<v8::Function>,
    ) -> Result<(), CallError> {
        while !self.is_empty() {
            let promises = self.promises.take();
            self.sift_at.set(SIFT_FROM);
            for some in promises.chunks(TOLD_AT_ONCE) {
                v8::scope!(let scope, scope);
                let mut reasons = Vec::new();
                for one in some {
                    if one.is_handled(scope) {
                        continue;
                    }
                    let reason = v8::Local::new(scope, &one.promise).result(scope);
                    match &one.context {
                        None => reasons.push(reason),
                        Some(context) => {
                            let context = v8::Local::new(scope, context);
                            scope.set_continuation_preserved_embedder_data(context);
                            tell(scope, rejected, &[reason])?;
                        }
                    }
                }
                let nobody = v8::undefined(scope).into();
                scope.set_continuation_preserved_embedder_data(nobody);
                tell(scope, rejected, &reasons)?;
            }
            scope.perform_microtask_checkpoint();
        }
        Ok(())
    }

    fn add(&self, scope: &v8::PinScope<'_, '_>, promise: v8::Local<'_, v8::Promise>) {
        let mut promises = self.promises.borrow_mut();
        if promises.len() >= self.sift_at.get() {
            promises.retain(|one| !one.is_handled(scope));
            self.sift_at.set((2 * promises.len()).max(SIFT_FROM));
        }
        let context = scope.get_continuation_preserved_embedder_data();
        let context = (!context.is_undefined()).then(|| v8::Global::new(scope, context));
        promises.push(Rejection { promise: v8::Global::new(scope, promise), context });
    }

    // Only the last one: the others are looked at when they are told.
    fn remove(&self, scope: &v8::PinScope<'_, '_>, promise: v8::Local<'_, v8::Promise>) {
        let mut promises = self.promises.borrow_mut();
        if promises.last().is_some_and(|last| v8::Local::new(scope, &last.promise) == promise) {
            promises.pop();
        }
    }
}

fn tell<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    rejected: &v8::Global<v8::Function>,
    reasons: &[v8::Local<'s, v8::Value>],
) -> Result<(), CallError> {
    if reasons.is_empty() {
        return Ok(());
    }
    let reasons = v8::Array::new_with_elements(scope, reasons).into();
    call(scope, rejected, &[reasons]).map(drop)
}

unsafe extern "C" fn on_event(message: v8::PromiseRejectMessage<'_>) {
    // SAFETY: V8 calls this while it runs JavaScript of the isolate that the message belongs to.
    v8::callback_scope!(unsafe scope, &message);
    let Some(rejections) = scope.get_slot::<Rc<Rejections>>().cloned() else { return };
    match message.get_event() {
        v8::PromiseRejectEvent::PromiseRejectWithNoHandler => rejections.add(scope, message.get_promise()),
        v8::PromiseRejectEvent::PromiseHandlerAddedAfterReject => {
            rejections.remove(scope, message.get_promise());
        }
        // Promises that were settled before: nothing has happened to them.
        v8::PromiseRejectEvent::PromiseRejectAfterResolved
        | v8::PromiseRejectEvent::PromiseResolveAfterResolved => {}
    }
}
