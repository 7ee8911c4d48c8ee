//! Files of the project's bundle that are no JavaScript.

use std::sync::Arc;

use bytes::Bytes;
use deno_core::OpState;
use deno_core::convert::Uint8Array;
use deno_core::op2;
use deno_core::v8;
use deno_error::JsErrorBox;

use crate::host::{bytes_of, host};

/// Where the bundle's files are found, by the number that the bundler gave them.
pub trait Bundle {
    /// A wasm module that some isolate has compiled already.
    fn bundle_wasm(&self, index: u32) -> Option<Arc<v8::CompiledWasmModule>>;
    /// The bytes of a wasm module.
    fn bundle_wasm_bytes(&self, index: u32) -> Option<Bytes>;
    /// Keeps a compiled module for all isolates of the program.
    fn bundle_keep_wasm(&self, index: u32, module: v8::CompiledWasmModule);
    /// The bytes of a file that was imported as binary.
    fn bundle_binary(&self, index: u32) -> Option<Bytes>;
}

#[op2]
pub(crate) fn op_bundle_wasm<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    state: &OpState,
    #[smi] index: u32,
) -> Result<v8::Local<'s, v8::WasmModuleObject>, JsErrorBox> {
    let unusable = || JsErrorBox::generic("The wasm module could not be compiled");
    // Compiled once, shared by all rooms.
    if let Some(module) = host(state).bundle_wasm(index) {
        return v8::WasmModuleObject::from_compiled_module(scope, &module).ok_or_else(unusable);
    }
    let bytes = host(state).bundle_wasm_bytes(index).ok_or_else(unusable)?;
    let module = v8::WasmModuleObject::compile(scope, &bytes).ok_or_else(unusable)?;
    host(state).bundle_keep_wasm(index, module.get_compiled_module());
    Ok(module)
}

#[op2]
pub(crate) fn op_bundle_binary(state: &OpState, #[smi] index: u32) -> Result<Uint8Array, JsErrorBox> {
    let bytes = host(state).bundle_binary(index).ok_or_else(|| JsErrorBox::generic("The file is missing"))?;
    Ok(bytes_of(bytes))
}
