//! Files of the bundle, from the program that the isolate runs.

use std::sync::Arc;

use bytes::Bytes;
use deno_core::v8;
use partyrun_extensions as ext;

use super::HostSlot;

impl ext::Bundle for HostSlot {
    fn bundle_wasm(&self, index: u32) -> Option<Arc<v8::CompiledWasmModule>> {
        self.program.compiled_wasm(index)
    }

    fn bundle_wasm_bytes(&self, index: u32) -> Option<Bytes> {
        self.program.wasm.get(index as usize).cloned()
    }

    fn bundle_keep_wasm(&self, index: u32, module: v8::CompiledWasmModule) {
        self.program.keep_wasm(index, module);
    }

    fn bundle_binary(&self, index: u32) -> Option<Bytes> {
        self.program.binaries.get(index as usize).cloned()
    }
}
