//! Calls into JavaScript: the functions of the dispatch table, and why one did not return.

use deno_core::error::JsError;
use deno_core::v8;

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
    pub(crate) trace: v8::Global<v8::Function>,
    pub(crate) leave: v8::Global<v8::Function>,
    pub(crate) describe: v8::Global<v8::Function>,
    pub(crate) before: v8::Global<v8::Function>,
    pub(crate) fetch: v8::Global<v8::Function>,
    pub(crate) socket: v8::Global<v8::Function>,
    pub(crate) cron: v8::Global<v8::Function>,
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

pub(super) fn caught(scope: &mut v8::PinnedRef<'_, v8::TryCatch<'_, '_, v8::HandleScope<'_>>>) -> CallError {
    if scope.has_terminated() || scope.is_execution_terminating() {
        return CallError::Terminated;
    }
    match scope.exception() {
        Some(exception) => CallError::Thrown(describe(scope, exception)),
        None => CallError::Terminated,
    }
}

// An exception as text, with its source-mapped stack.
pub(super) fn describe<'s>(scope: &mut v8::PinScope<'s, '_>, exception: v8::Local<'s, v8::Value>) -> String {
    let error = JsError::from_v8_exception(scope, exception);
    error.stack.clone().unwrap_or_else(|| error.exception_message.clone())
}
