//! Notes where code is that takes long: the watchdog asks the isolate for its stack, before it ends the step and where it warns.
//!
//! V8 has no stack to tell of once a step has been ended by force. So the stack is noted one look before that, between two
//! instructions of the code. It is mapped to the project's files only when a message needs it.

use std::ffi::c_void;
use std::fmt::Write;
use std::rc::Rc;

use deno_core::{SourceMapApplication, SourceMapper, v8};

use crate::ground::program::{BUNDLE_NAME, Loader};

/// Outer frames beyond are left out.
const FRAMES_MAX: usize = 10;

/// What was noted in one isolate; it lies in the isolate's slot for this type.
pub(crate) struct HeldStack {
    context: v8::Global<v8::Context>,
    frames: Vec<Frame>,
}

struct Frame {
    function: String,
    line: u32,
    column: u32,
}

impl HeldStack {
    pub(crate) fn new(context: v8::Global<v8::Context>) -> Self {
        Self { context, frames: Vec::new() }
    }

    /// The stack as lines of an error's, each after a line break; nothing if none was noted. It is forgotten then.
    pub(crate) fn take(&mut self, loader: Rc<Loader>) -> String {
        let frames = std::mem::take(&mut self.frames);
        let mut mapper = SourceMapper::new(loader);
        frames.iter().fold(String::new(), |mut text, frame| {
            let place = mapper.apply_source_map(BUNDLE_NAME, frame.line, frame.column);
            // Code of the linker's own is in no file.
            if let SourceMapApplication::LineAndColumnAndFileName { file_name, line_number, column_number } =
                place
            {
                let place = format!("{file_name}:{line_number}:{column_number}");
                let _infallible = match frame.function.as_str() {
                    "" => write!(text, "\n    at {place}"),
                    function => write!(text, "\n    at {function} ({place})"),
                };
            }
            text
        })
    }
}

/// Notes the stack. V8 calls it on the isolate's thread, between two instructions of its code.
pub(crate) unsafe extern "C" fn note(mut isolate: v8::UnsafeRawIsolatePtr, _data: *mut c_void) {
    // SAFETY: V8 passes the isolate that was interrupted, on its own thread.
    let isolate = unsafe { v8::Isolate::ref_from_raw_isolate_ptr_mut(&mut isolate) };
    let Some(context) = isolate.get_slot::<HeldStack>().map(|held| held.context.clone()) else { return };
    let frames = {
        v8::scope_with_context!(let scope, &mut *isolate, &context);
        let scope: &v8::PinScope<'_, '_> = scope;
        frames(scope)
    };
    if let (Some(frames), Some(held)) = (frames, isolate.get_slot_mut::<HeldStack>()) {
        held.frames = frames;
    }
}

// The frames of the bundle, the innermost first.
fn frames(scope: &v8::PinScope<'_, '_>) -> Option<Vec<Frame>> {
    let trace = v8::StackTrace::current_stack_trace(scope, FRAMES_MAX * 2)?;
    let all = (0..trace.get_frame_count()).filter_map(|index| trace.get_frame(scope, index));
    let of_bundle = all.filter_map(|frame| {
        let script = frame.get_script_name(scope)?.to_rust_string_lossy(scope);
        if script != BUNDLE_NAME {
            return None;
        }
        let function = frame.get_function_name(scope).map(|name| name.to_rust_string_lossy(scope));
        Some(Frame {
            function: function.unwrap_or_default(),
            line: u32::try_from(frame.get_line_number()).ok().filter(|line| *line > 0)?,
            column: u32::try_from(frame.get_column()).ok().filter(|column| *column > 0)?,
        })
    });
    Some(of_bundle.take(FRAMES_MAX).collect())
}
