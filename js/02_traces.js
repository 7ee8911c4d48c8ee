// Where in a trace code runs, while somebody traces: a text that the host makes and reads, carried by V8's async context, so that
// what an event awaits is still in the event's trace. Requests to other servers and rooms pass it on.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeToLowerCase } = primordials;
const { AsyncVariable, setAsyncContext } = core;

const inTrace = new AsyncVariable();
let isTracing = false;
// Of the event that the host gives to the isolate now.
let begun;

function setTracing(value) {
  isTracing = value;
}

// The host calls it before an event that has a place in a trace, and after it with undefined.
function trace(place) {
  begun = place;
  setAsyncContext(undefined);
  if (place !== undefined) inTrace.enter(place);
}

// The event's room has set another async context.
function keepTrace() {
  if (begun !== undefined) inTrace.enter(begun);
}

// Where the code that runs is; undefined while nobody traces, and an empty text outside of any trace.
function currentTrace() {
  return isTracing ? inTrace.get() ?? "" : undefined;
}

// A request begins to another server or room: what `endCall` takes when it has ended; undefined while nobody traces.
function beginCall(room, method, url) {
  const place = currentTrace();
  if (place === undefined) return undefined;
  const own = core.ops.op_trace_begin(room, place, method, url);
  return own === "" ? undefined : { room, place: own, isTraced: place !== "" };
}

// The request has ended with a status, or with 0 if there was no answer.
function endCall(call, status) {
  core.ops.op_trace_end(call.room, call.place, status);
}

function isTraceField(name) {
  name = StringPrototypeToLowerCase(name);
  return name === "traceparent" || name === "tracestate";
}

// The header fields of a call, which are pairs, with its place in the trace. What user code has set stays only outside of any trace.
function withTraceFields(call, list) {
  const fields = [];
  for (let i = 0; i < list.length; i++) {
    const isOurs = isTraceField(list[i][0]);
    if (isOurs && !call.isTraced) return list;
    if (!isOurs) ArrayPrototypePush(fields, list[i]);
  }
  const { place } = call;
  const end = StringPrototypeIndexOf(place, "\n");
  ArrayPrototypePush(fields, ["traceparent", end < 0 ? place : StringPrototypeSlice(place, 0, end)]);
  if (end >= 0) ArrayPrototypePush(fields, ["tracestate", StringPrototypeSlice(place, end + 1)]);
  return fields;
}

return { beginCall, currentTrace, endCall, keepTrace, setTracing, trace, withTraceFields };
})();
