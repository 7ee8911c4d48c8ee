// What Workers have beside the web platform: `caches`, `scheduler`, IdentityTransformStream and FixedLengthStream. Loaded when
// user code first names one of them.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { MapPrototypeGet, MapPrototypeSet, Number, ObjectDefineProperty, Promise, PromiseReject, RegExpPrototypeExec, SafeMap,
  SafeRegExp, String, StringPrototypeToLowerCase, TypeError, Uint8Array } = primordials;
const { ReadableStream, TransformStream, WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { bytesOf: bytesIn, copyOf, isBinary } = core.loadExtScript("ext:partyrun/03_bytes.js");
const {
  AbortSignalPrototypeGetAborted,
  AbortSignalPrototypeGetReason,
  EventTargetPrototypeAddEventListener,
  ReadableByteStreamControllerPrototypeClose,
  ReadableByteStreamControllerPrototypeEnqueue,
  ReadableByteStreamControllerPrototypeError,
  ReadableByteStreamControllerPrototypeGetByobRequest,
  ReadableStreamBYOBRequestPrototypeRespond,
  ResponsePrototypeArrayBuffer,
  URLPrototypeGetHref,
  WritableStreamDefaultControllerPrototypeError,
} = core.loadExtScript("ext:partyrun/06_captured.js");
const { incomingResponse, isRequest, kFixedLength, kPacked, serializeHeaders, toInnerRequest, toInnerResponse } = core.loadExtScript(
  "ext:partyrun/30_http.js",
);
const { afterWrites } = core.loadExtScript("ext:partyrun/29_output_gate.js");
const { op_cache_delete, op_cache_match, op_cache_put } = core.loadExtScript("ext:partyrun/node/ops.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const timers = core.loadExtScript("ext:partyrun/20_timers.js");

// --- caches -------------------------------------------------------------------------------------------------------

const maxAge = new SafeRegExp("(?:^|,)\\s*s-maxage=(\\d+)|(?:^|,)\\s*max-age=(\\d+)", "i");
const unstorable = new SafeRegExp("(?:^|,)\\s*(?:no-store|private)\\b", "i");

function headerOf(list, wanted) {
  for (let i = 0; i < list.length; i++) if (StringPrototypeToLowerCase(list[i][0]) === wanted) return list[i][1];
  return null;
}

function keyOf(request) {
  if (isRequest(request)) {
    const inner = toInnerRequest(request);
    return { method: inner.method, url: inner.url() };
  }
  return { method: "GET", url: URLPrototypeGetHref(new URL(String(request))) };
}

// Added to the status of an answer whose body is kept in its coding (`encodeBody: "manual"`).
const KEPT_PACKED = 1000;

// What is kept is kept in memory for the whole process, up to a limit, and only as long as `Cache-Control` says.
class Cache {
  #name;

  constructor(name) {
    this.#name = name;
  }

  async match(request, options) {
    const { method, url } = keyOf(request);
    if (method !== "GET" && options?.ignoreMethod !== true) return undefined;
    const found = op_cache_match(this.#name, url);
    if (found === null) return undefined;
    const headers = found.headers + "cf-cache-status\nHIT\n";
    const packed = found.status >= KEPT_PACKED;
    const status = packed ? found.status - KEPT_PACKED : found.status;
    const response = incomingResponse(status, "", headers, new Uint8Array(found.bytes), url);
    if (packed) response[kPacked] = true;
    return response;
  }

  async put(request, response) {
    const { method, url } = keyOf(request);
    if (method !== "GET") throw new TypeError("Cannot cache response to non-GET request.");
    if (toInnerResponse(response).status === 206) throw new TypeError("Cannot cache response to a range request (206 Partial Content).");
    const inner = toInnerResponse(response);
    const vary = headerOf(inner.headerList, "vary");
    if (vary === "*") throw new TypeError("Cannot cache response with 'Vary: *' header.");
    const control = headerOf(inner.headerList, "cache-control") ?? "";
    const bytes = new Uint8Array(await ResponsePrototypeArrayBuffer(response));
    const found = RegExpPrototypeExec(maxAge, control);
    const seconds = found === null ? -1 : Number(found[1] ?? found[2]);
    const cookies = headerOf(inner.headerList, "set-cookie") !== null;
    if (cookies || seconds === 0 || RegExpPrototypeExec(unstorable, control) !== null) return;
    const status = response[kPacked] === undefined ? inner.status : inner.status + KEPT_PACKED;
    // Other rooms find it.
    const headers = serializeHeaders(inner.headerList);
    await afterWrites(() => op_cache_put(this.#name, url, status, headers, bytes, seconds));
  }

  async delete(request, options) {
    const { method, url } = keyOf(request);
    if (method !== "GET" && options?.ignoreMethod !== true) return false;
    return await afterWrites(() => op_cache_delete(this.#name, url));
  }
}

class CacheStorage {
  #opened = new SafeMap();
  #default = new Cache("");

  get default() {
    return this.#default;
  }

  async open(name) {
    const text = String(name);
    let cache = MapPrototypeGet(this.#opened, text);
    if (cache === undefined) {
      cache = new Cache(`:${text}`);
      MapPrototypeSet(this.#opened, text, cache);
    }
    return cache;
  }
}

// --- scheduler ----------------------------------------------------------------------------------------------------

class Scheduler {
  wait(delay, options) {
    const { signal } = options ?? {};
    const isThere = signal !== undefined && signal !== null;
    if (isThere && AbortSignalPrototypeGetAborted(signal)) return PromiseReject(AbortSignalPrototypeGetReason(signal));
    return new Promise((resolve, reject) => {
      const timer = timers.setTimeout(resolve, delay);
      if (!isThere) return;
      EventTargetPrototypeAddEventListener(signal, "abort", () => {
        timers.clearTimeout(timer);
        reject(AbortSignalPrototypeGetReason(signal));
      }, { __proto__: null, once: true });
    });
  }
}

// --- byte streams -------------------------------------------------------------------------------------------------

const NOT_BYTES = "This TransformStream is being used as a byte stream, but received an object of " +
  "non-ArrayBuffer/ArrayBufferView type on its writable side.";

function bytesOf(chunk) {
  if (!isBinary(chunk)) throw new TypeError(NOT_BYTES);
  return copyOf(bytesIn(chunk));
}

// A reader that waits with a buffer of its own hears of the end, too.
function closeBytes(controller) {
  ReadableByteStreamControllerPrototypeClose(controller);
  const request = ReadableByteStreamControllerPrototypeGetByobRequest(controller);
  if (request !== null) ReadableStreamBYOBRequestPrototypeRespond(request, 0);
}

// A pipe of bytes without a buffer: a write ends when it has been read.
class IdentityTransformStream extends TransformStream {
  #readable;
  #writable;

  constructor(length) {
    super();
    let reading;
    let drained = null;
    let seen = 0;
    const expected = length;
    this.#readable = new ReadableStream({
      type: "bytes",
      start(controller) {
        reading = controller;
      },
      pull() {
        const next = drained;
        drained = null;
        next?.();
      },
      cancel(reason) {
        drained?.();
        WritableStreamDefaultControllerPrototypeError(writing, reason);
      },
    }, { highWaterMark: 0 });
    let writing;
    this.#writable = new WritableStream({
      start(controller) {
        writing = controller;
      },
      write(chunk) {
        const bytes = bytesOf(chunk);
        seen += bytes.length;
        if (expected !== undefined && seen > expected) {
          const error = new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
          ReadableByteStreamControllerPrototypeError(reading, error);
          throw error;
        }
        if (bytes.length === 0) return;
        return new Promise((resolve) => {
          drained = resolve;
          ReadableByteStreamControllerPrototypeEnqueue(reading, bytes);
        });
      },
      close() {
        if (expected !== undefined && seen < expected) {
          const error = new TypeError("FixedLengthStream did not see all expected bytes before close().");
          ReadableByteStreamControllerPrototypeError(reading, error);
          throw error;
        }
        closeBytes(reading);
      },
      abort: (reason) => ReadableByteStreamControllerPrototypeError(reading, reason),
    });
  }

  get readable() {
    return this.#readable;
  }
  get writable() {
    return this.#writable;
  }
}

// The answer that carries its readable side has a `Content-Length`.
class FixedLengthStream extends IdentityTransformStream {
  constructor(length) {
    const bytes = Number(length);
    if (!(bytes >= 0)) throw new TypeError("FixedLengthStream requires a non-negative length.");
    super(bytes);
    ObjectDefineProperty(this.readable, kFixedLength, { __proto__: null, value: bytes });
  }
}

const caches = new CacheStorage();
const scheduler = new Scheduler();
return { Cache, caches, CacheStorage, FixedLengthStream, IdentityTransformStream, scheduler };
})();
