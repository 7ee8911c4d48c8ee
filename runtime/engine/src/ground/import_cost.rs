//! Finds out which module an import spends its time in.
//!
//! A bundle is one script without any timers of its own. While an import takes long, the watchdog asks the isolate now and then
//! to record the stack; the module that is being evaluated is looked up in the recorded stacks when a message needs it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::rc::Rc;

use deno_core::{SourceMapApplication, SourceMapper, v8};

use crate::ground::program::{BUNDLE_NAME, Loader};

/// More tell nothing new.
const SAMPLES_MAX: usize = 1000;
/// Deeper stacks are noted without their outer part, and not counted.
const FRAMES_MAX: usize = 200;

/// What was noted while one isolate imports; it lies in the isolate's slot for this type.
pub(crate) struct ImportCost {
    context: v8::Global<v8::Context>,
    // Stacks, the outermost frame first: lines and columns of the bundle.
    stacks: Vec<Vec<(usize, usize)>>,
}

impl ImportCost {
    pub(crate) fn new(context: v8::Global<v8::Context>) -> Self {
        Self { context, stacks: Vec::new() }
    }

    /// The module in which most of the time was spent, and its share of it.
    pub(crate) fn longest(&self, loader: Rc<Loader>) -> Option<(String, f64)> {
        let mut mapper = SourceMapper::new(loader);
        let mut counts: HashMap<String, usize> = HashMap::new();
        for stack in &self.stacks {
            let files: Vec<Option<String>> = stack.iter().map(|place| file(&mut mapper, *place)).collect();
            if let Some(module) = evaluated(&files) {
                *counts.entry(module.to_string()).or_default() += 1;
            }
        }
        let (module, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        Some((module, count as f64 / self.stacks.len() as f64))
    }
}

// The file of a place in the bundle; code of the linker's own has none.
fn file(mapper: &mut SourceMapper, (line, column): (usize, usize)) -> Option<String> {
    let (line, column) = (u32::try_from(line).ok()?, u32::try_from(column).ok()?);
    if line == 0 || column == 0 {
        return None;
    }
    match mapper.apply_source_map(BUNDLE_NAME, line, column) {
        SourceMapApplication::LineAndColumnAndFileName { file_name, .. } => Some(file_name),
        _ => None,
    }
}

// The module that is evaluated: the outermost one that has code on the stack, or the one that it imports, which is told by
// the linker's function between them, and so on.
fn evaluated(files: &[Option<String>]) -> Option<&str> {
    let mut at = files.iter().position(Option::is_some)?;
    while matches!(files.get(at + 1), Some(None)) {
        let Some(next) = files.iter().skip(at + 1).position(Option::is_some) else { break };
        at += 1 + next;
    }
    files.get(at)?.as_deref().map(|name| name.strip_prefix("file:///").unwrap_or(name))
}

/// Notes the stack of an isolate that imports. V8 calls it on the isolate's thread, between two instructions of its code.
pub(crate) unsafe extern "C" fn sample(mut isolate: v8::UnsafeRawIsolatePtr, _data: *mut c_void) {
    // SAFETY: V8 passes the isolate that was interrupted, on its own thread.
    let isolate = unsafe { v8::Isolate::ref_from_raw_isolate_ptr_mut(&mut isolate) };
    let Some(cost) = isolate.get_slot::<ImportCost>().filter(|cost| cost.stacks.len() < SAMPLES_MAX) else {
        return;
    };
    let context = cost.context.clone();
    let stack = {
        v8::scope_with_context!(let scope, &mut *isolate, &context);
        let scope: &v8::PinScope<'_, '_> = scope;
        v8::StackTrace::current_stack_trace(scope, FRAMES_MAX).map(|trace| {
            let frames = (0..trace.get_frame_count()).rev().filter_map(|index| trace.get_frame(scope, index));
            let own = frames.filter(|frame| {
                frame
                    .get_script_name(scope)
                    .is_some_and(|name| name.to_rust_string_lossy(scope) == BUNDLE_NAME)
            });
            own.map(|frame| (frame.get_line_number(), frame.get_column())).collect()
        })
    };
    if let (Some(stack), Some(cost)) = (stack, isolate.get_slot_mut::<ImportCost>()) {
        cost.stacks.push(stack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_behind_the_linkers_functions() {
        let files = |names: &[&str]| -> Vec<Option<String>> {
            names.iter().map(|name| (!name.is_empty()).then(|| format!("file:///{name}"))).collect()
        };
        for (stack, module) in [
            (files(&["", "server.ts"]), Some("server.ts")),
            (files(&["server.ts", "lib.js", "lib.js"]), Some("server.ts")),
            (files(&["server.ts", "", "", "a.cjs", "", "b.cjs", "c.js"]), Some("b.cjs")),
            (files(&["server.ts", ""]), Some("server.ts")),
            (files(&[""]), None),
            (files(&[]), None),
        ] {
            assert_eq!(evaluated(&stack), module, "{stack:?}");
        }
    }
}
