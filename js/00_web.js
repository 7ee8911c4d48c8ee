// The web platform of a room: which globals user code sees, and which module each of them comes from.
// It runs once, while the snapshot is built. What EAGER lists is in the snapshot's heap. What LAZY lists is loaded when user
// code first touches it, so that a room that never does pays nothing for it.
// Sources: spec 2.15 (globals of the original); deno_web, deno_crypto and deno_fetch implement the web standards.
"use strict";

(function () {
const { core, internals } = __bootstrap;
const load = core.loadExtScript;
const { refuseAll, refuseExport } = load("ext:partyrun/00_kinds.js");

// deno_fetch asks for a telemetry module; partyrun has none, so its hooks are given as functions that do nothing.
internals.__telemetry = {
  __proto__: null,
  TRACING_ENABLED: false,
  PROPAGATORS: [],
  builtinTracer: () => undefined,
  ContextManager: { __proto__: null, active: () => undefined },
  DID_NOT_ENTER: Symbol("did not enter"),
  enterSpan: () => undefined,
  exitSpan: () => undefined,
};
internals.__telemetryUtil = {
  __proto__: null,
  updateSpanFromClientResponse: () => undefined,
  updateSpanFromError: () => undefined,
  updateSpanFromRequest: () => undefined,
};

const EAGER = {
  "ext:deno_web/01_dom_exception.js": ["DOMException", "QuotaExceededError"],
  "ext:deno_web/00_url.js": ["URL", "URLSearchParams"],
  "ext:deno_web/02_event.js": [
    "CloseEvent",
    "CustomEvent",
    "ErrorEvent",
    "Event",
    "EventTarget",
    "MessageEvent",
    "ProgressEvent",
    "PromiseRejectionEvent",
    "reportError",
  ],
  "ext:deno_web/13_message_port.js": ["MessageChannel", "MessagePort"],
  "ext:deno_web/03_abort_signal.js": ["AbortController", "AbortSignal"],
  "ext:deno_web/05_base64.js": ["atob", "btoa"],
  "ext:deno_web/06_streams.js": [
    "ByteLengthQueuingStrategy",
    "CountQueuingStrategy",
    "ReadableByteStreamController",
    "ReadableStream",
    "ReadableStreamBYOBReader",
    "ReadableStreamBYOBRequest",
    "ReadableStreamDefaultController",
    "ReadableStreamDefaultReader",
    "TransformStream",
    "TransformStreamDefaultController",
    "WritableStream",
    "WritableStreamDefaultController",
    "WritableStreamDefaultWriter",
  ],
  "ext:deno_web/08_text_encoding.js": [
    "TextDecoder",
    "TextDecoderStream",
    "TextEncoder",
    "TextEncoderStream",
  ],
  "ext:deno_web/09_file.js": ["Blob", "File"],
  "ext:deno_fetch/20_headers.js": ["Headers"],
  "ext:deno_fetch/21_formdata.js": ["FormData"],
};

const LAZY = {
  "ext:partyrun/urlpattern.js": ["URLPattern"],
  "ext:partyrun/compression.js": ["CompressionStream", "DecompressionStream"],
  "ext:deno_web/15_performance.js": [
    "Performance",
    "PerformanceEntry",
    "PerformanceMark",
    "PerformanceMeasure",
    "PerformanceObserver",
    "PerformanceObserverEntryList",
    "performance",
  ],
  "ext:deno_crypto/00_crypto.js": ["Crypto", "CryptoKey", "SubtleCrypto", "crypto"],
  "ext:deno_fetch/27_eventsource.js": ["EventSource"],
  "ext:partyrun/html_rewriter.js": ["HTMLRewriter"],
  "ext:partyrun/workers.js": ["caches", "Cache", "CacheStorage", "FixedLengthStream", "IdentityTransformStream", "scheduler"],
};

const properties = { __proto__: null };
for (const specifier in EAGER) {
  const module = load(specifier);
  for (const name of EAGER[specifier]) {
    // As a DOMException it is kept.
    if (name !== "QuotaExceededError") refuseExport(module[name], name);
    properties[name] = core.propNonEnumerable(module[name]);
  }
}
for (const name of ["ReadableStream", "WritableStream"]) {
  refuseAll(properties[name].value.prototype, name, `${name} can only be serialized for RPC.`);
}
// `performance` counts from the start of the isolate, and wants to be told so.
function loadLazily(specifier) {
  const module = load(specifier);
  const names = LAZY[specifier];
  for (let i = 0; i < names.length; i++) refuseExport(module[names[i]], names[i]);
  module.setTimeOrigin?.();
  return module;
}

for (const specifier in LAZY) {
  for (const name of LAZY[specifier]) {
    properties[name] = core.propNonEnumerableLazyLoaded((module) => module[name], () => loadLazily(specifier));
  }
}
properties.self = core.propWritable(globalThis);
properties.global = core.propNonEnumerable(globalThis);
core.defineGlobalProperties(globalThis, properties);
})();
