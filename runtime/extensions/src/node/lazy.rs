//! Ops that an isolate gets only when it asks for them.
//!
//! A registered op costs every isolate about 2 KiB whether or not it is ever called, and the built-ins of Node need more
//! than a hundred of them. So only one is registered, `op_node_ops`: it makes the functions of all the others when the
//! first built-in is loaded. Each of them runs with the context of `op_node_ops`, which differs from a context of its own
//! in name and number only; both serve nothing but metrics and traces, which partyrun does not collect.

use std::mem::{MaybeUninit, align_of, size_of};

use deno_core::_ops::OpDecl;
use deno_core::{AccessorType, OpMetadata, v8};

use super::table::table;

/// The declaration of `op_node_ops`: answers an object with a function for each op of [`table`], and under `async`
/// the names of those that answer a promise, which `js/node/ops.js` wraps as deno_core wraps its own.
pub(crate) const fn declaration() -> OpDecl {
    declare(deno_core::__op_name_fast!(op_node_ops), op_node_ops)
}

const fn declare(
    name: (&'static str, deno_core::FastStaticString),
    callback: v8::FunctionCallback,
) -> OpDecl {
    let accessor = AccessorType::None;
    let metadata = OpMetadata::default();
    OpDecl::new_internal_op2(
        name, false, true, false, 0, false, false, callback, no_metrics, accessor, None, None, metadata,
    )
}

// What deno_core would call where metrics are on, which is nowhere.
fn no_metrics(_info: *const v8::FunctionCallbackInfo) -> usize {
    0
}

unsafe extern "C" fn op_node_ops(info: *const v8::FunctionCallbackInfo) {
    // SAFETY: V8 calls this with a valid `info` that outlives the call.
    let info = unsafe { &*info };
    v8::callback_scope!(unsafe scope, info);
    let arguments = v8::FunctionCallbackArguments::from_function_callback_info(info);
    let mut result = v8::ReturnValue::<v8::Value>::from_function_callback_info(info);
    let context = arguments.data();
    if let Some(table) = build(scope, context) {
        result.set(table.into());
    }
}

fn build<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    context: v8::Local<'s, v8::Value>,
) -> Option<v8::Local<'s, v8::Object>> {
    let place = callback_place()?;
    let ops = v8::Object::new(scope);
    let mut asynchronous: Vec<v8::Local<v8::Value>> = Vec::new();
    for declaration in table() {
        // SAFETY: `callback_place` found at this offset of an `OpDecl` the callback that it had put there.
        let callback = unsafe { read_callback(&declaration, place) };
        let name = v8::String::new(scope, declaration.name)?;
        let function = v8::Function::builder_raw(callback)
            .data(context)
            .constructor_behavior(v8::ConstructorBehavior::Throw)
            .length(i32::from(declaration.arg_count))
            .build(scope)?;
        function.set_name(name);
        ops.set(scope, name.into(), function.into())?;
        if declaration.is_async {
            asynchronous.push(name.into());
        }
    }
    let key = v8::String::new(scope, "async")?;
    let names = v8::Array::new_with_elements(scope, &asynchronous);
    ops.set(scope, key.into(), names.into())?;
    Some(ops)
}

// Where an `OpDecl` keeps its callback. The field is private to deno_core, so that the place is found by looking for a known
// callback in a declaration of our own; every `OpDecl` of one build has the same layout. `None` if it is not there once.
fn callback_place() -> Option<usize> {
    let probe = declare(deno_core::__op_name_fast!(op_node_probe), probe_callback);
    let wanted: v8::FunctionCallback = probe_callback;
    let mut found = None;
    for offset in (0..=size_of::<OpDecl>() - size_of::<usize>()).step_by(align_of::<usize>()) {
        // SAFETY: the offset is aligned and inside of `probe`. Bytes of padding are read as `MaybeUninit` and compared by
        // address only, after a volatile read, so that the compiler cannot draw conclusions from them.
        let word = unsafe {
            let address = (&raw const probe).cast::<u8>().add(offset).cast::<MaybeUninit<usize>>();
            std::ptr::read_volatile(address).assume_init()
        };
        if word == wanted as usize {
            if found.is_some() {
                return None;
            }
            found = Some(offset);
        }
    }
    found
}

unsafe extern "C" fn probe_callback(_info: *const v8::FunctionCallbackInfo) {}

// SAFETY: `place` must be what `callback_place` answered.
unsafe fn read_callback(declaration: &OpDecl, place: usize) -> v8::FunctionCallback {
    let address = std::ptr::from_ref(declaration).cast::<u8>();
    // SAFETY: the caller vouches for the place.
    unsafe { std::ptr::read(address.add(place).cast::<v8::FunctionCallback>()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_lazy_op_has_a_callback_of_its_own() {
        let place = super::callback_place().expect("deno_core keeps an op's callback in its declaration");
        let mut seen = std::collections::HashSet::new();
        for declaration in super::table() {
            // SAFETY: `place` comes from `callback_place`.
            let callback = unsafe { super::read_callback(&declaration, place) };
            assert!(seen.insert(callback as usize), "{} shares its callback", declaration.name);
        }
    }
}
