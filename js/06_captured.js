// Methods and getters of the web platform's classes, taken from their prototypes while the snapshot is built, as deno_core's
// `primordials` are for the language. `ReadableStreamPrototypeGetReader(stream)` is `stream.getReader()`, and
// `URLPrototypeGetHref(url)` is `url.href`, whatever user code has put in their place since.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectGetOwnPropertyDescriptor, StringPrototypeSlice, StringPrototypeToUpperCase, uncurryThis } = primordials;
const { AbortController, AbortSignal } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { EventTarget } = core.loadExtScript("ext:deno_web/02_event.js");
const streams = core.loadExtScript("ext:deno_web/06_streams.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { Headers } = core.loadExtScript("ext:deno_fetch/20_headers.js");
const { Request } = core.loadExtScript("ext:deno_fetch/23_request.js");
const { Response } = core.loadExtScript("ext:deno_fetch/23_response.js");

const captured = { __proto__: null };

function capital(name) {
  return StringPrototypeToUpperCase(name[0]) + StringPrototypeSlice(name, 1);
}

function capture(owner, { prototype }, methods, getters) {
  for (let i = 0; i < methods.length; i++) {
    captured[`${owner}Prototype${capital(methods[i])}`] = uncurryThis(prototype[methods[i]]);
  }
  for (let i = 0; i < getters.length; i++) {
    const { get } = ObjectGetOwnPropertyDescriptor(prototype, getters[i]);
    captured[`${owner}PrototypeGet${capital(getters[i])}`] = uncurryThis(get);
  }
}

capture("AbortController", AbortController, ["abort"], ["signal"]);
capture("AbortSignal", AbortSignal, [], ["aborted", "reason"]);
capture("EventTarget", EventTarget, ["addEventListener", "dispatchEvent", "removeEventListener"], []);
capture("Headers", Headers, ["append", "delete", "get", "set"], []);
capture("ReadableByteStreamController", streams.ReadableByteStreamController, ["close", "enqueue", "error"], ["byobRequest"]);
capture("ReadableStream", streams.ReadableStream, ["getReader", "pipeThrough"], []);
capture("ReadableStreamBYOBRequest", streams.ReadableStreamBYOBRequest, ["respond"], []);
capture("ReadableStreamDefaultController", streams.ReadableStreamDefaultController, ["close", "enqueue"], ["desiredSize"]);
capture("ReadableStreamDefaultReader", streams.ReadableStreamDefaultReader, ["cancel", "read"], []);
capture("Request", Request, [], ["headers", "signal"]);
capture("Response", Response, ["arrayBuffer", "blob", "json", "text"], ["body", "bodyUsed", "headers", "status", "statusText"]);
capture("URL", URL, [], ["hostname", "href", "password", "pathname", "port", "protocol", "search", "username"]);
capture("WritableStreamDefaultController", streams.WritableStreamDefaultController, ["error"], []);

return captured;
})();
