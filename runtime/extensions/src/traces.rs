//! Traces: requests that user code makes to other servers and rooms, and lines that it prints, as parts of the trace of an
//! event. A place in a trace is a text that only the host reads (`traceparent`, and `tracestate` behind a line feed).

use deno_core::OpState;
use deno_core::op2;

use crate::host::{RoomNumber, host};

/// What knows of traces.
pub trait Traces {
    /// Code at `place`, which may be empty, begins a request. Answers the place that the request has, to be told to whoever is
    /// asked; an empty one if nobody traces.
    fn trace_begin(&self, room: RoomNumber, place: &str, method: &str, url: &str) -> String;

    /// The request at that place has ended, with the status of its answer or with 0.
    fn trace_end(&self, room: RoomNumber, place: &str, status: u32);

    /// The same as [`Console::console`](crate::Console::console) by code at `place`.
    fn trace_console(&self, room: RoomNumber, place: &str, level: u32, text: &str);
}

#[op2]
#[string]
pub(crate) fn op_trace_begin(
    state: &OpState,
    #[smi] room: u32,
    #[string] place: &str,
    #[string] method: &str,
    #[string] url: &str,
) -> String {
    host(state).trace_begin(room, place, method, url)
}

#[op2(fast)]
pub(crate) fn op_trace_end(state: &OpState, #[smi] room: u32, #[string] place: &str, #[smi] status: u32) {
    host(state).trace_end(room, place, status);
}

#[op2(fast)]
pub(crate) fn op_trace_console(
    state: &OpState,
    #[smi] room: u32,
    #[string] place: &str,
    #[string] text: &str,
    #[smi] level: u32,
) {
    host(state).trace_console(room, place, level, text);
}
