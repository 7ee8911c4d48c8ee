// `fetch` of user code: deno_fetch's, behind the output gate. A request to another server leaves when everything that the room
// wrote before it is durable (spec 3.6). A request with `Upgrade: websocket` opens a WebSocket, which the response holds as
// `response.webSocket` (spec 2.7).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  Error,
  MapPrototypeDelete,
  MapPrototypeGet,
  MapPrototypeSet,
  NumberPrototypeToString,
  ObjectAssign,
  ObjectDefineProperty,
  ObjectHasOwn,
  PromisePrototypeCatch,
  PromisePrototypeThen,
  PromiseReject,
  RegExpPrototypeTest,
  SafeMap,
  SafeRegExp,
  SafeWeakMap,
  StringFromCharCode,
  StringPrototypeCharCodeAt,
  StringPrototypeReplace,
  StringPrototypeToLowerCase,
  StringPrototypeToUpperCase,
  StringPrototypeTrim,
  TypeError,
  TypedArrayPrototypeGetByteLength,
  Uint8Array,
  WeakMapPrototypeSet,
} = primordials;

// Shorter bodies are not worth counting: their requests take as much.
const { COUNTED_FROM_BYTES } = core.loadExtScript("ext:partyrun/01_wire.js");
const { beginCall, endCall, withTraceFields } = core.loadExtScript("ext:partyrun/02_traces.js");
const { currentRoom } = core.loadExtScript("ext:partyrun/04_rooms.js");
const { afterWrites } = core.loadExtScript("ext:partyrun/29_output_gate.js");
const { op_fetch, op_fetch_send, op_memory_hold, op_request_coded } = core.ops;

// The bytes of a request's body are copied for the connection: they count until its answer, or the failure, is no longer needed.
const copies = new SafeMap();
// Those that are traced.
const calls = new SafeMap();
const counted = new SafeWeakMap();
core.ops.op_fetch = (method, url, headers, client, hasBody, body, stream) => {
  const bytes = body === null || body === undefined ? 0 : TypedArrayPrototypeGetByteLength(body);
  const held = bytes < COUNTED_FROM_BYTES ? null : op_memory_hold(bytes);
  const call = beginCall(currentRoom().number, method, url);
  if (call !== undefined) headers = withTraceFields(call, headers);
  let request;
  try {
    request = op_fetch(method, url, headers, client, hasBody, body, stream);
  } catch (error) {
    if (call !== undefined) endCall(call, 0);
    throw error;
  }
  request.requestRid = op_request_coded(request.requestRid);
  if (call !== undefined) MapPrototypeSet(calls, request.requestRid, call);
  if (held !== null) MapPrototypeSet(copies, request.requestRid, held);
  return request;
};
// The request leaves here, for EventSource as well. With nothing to wait for it begins at once, so that an abort that follows at
// once reaches its body.
core.ops.op_fetch_send = (request) => {
  const answer = afterWrites(() => op_fetch_send(request));
  const call = MapPrototypeGet(calls, request);
  if (call !== undefined) {
    MapPrototypeDelete(calls, request);
    PromisePrototypeThen(answer, ({ status }) => endCall(call, status), () => endCall(call, 0));
  }
  const held = MapPrototypeGet(copies, request);
  if (held !== undefined) {
    MapPrototypeDelete(copies, request);
    WeakMapPrototypeSet(counted, answer, held);
  }
  return answer;
};
const { fetch: webFetch } = core.loadExtScript("ext:deno_fetch/26_fetch.js");
const { incomingResponse, keepPacked, kWebSocket, Request, serializeHeaders, toInnerRequest, toInnerResponse } = core
  .loadExtScript("ext:partyrun/30_http.js");
const { handOn, replaceBody } = core.loadExtScript("ext:partyrun/28_bodies.js");
const { AbortSignalPrototypeGetAborted, ReadableStreamPrototypePipeThrough, RequestPrototypeGetSignal } = core
  .loadExtScript("ext:partyrun/06_captured.js");
const { getReadableStreamResourceBacking } = core.loadExtScript("ext:deno_web/06_streams.js");

let openSocket;

function fetch(input, init = undefined) {
  let request;
  try {
    if (arguments.length === 0) {
      throw new TypeError("Failed to execute 'fetch': 1 argument required, but only 0 present");
    }
    request = new Request(input, init);
    handOn(toInnerRequest(request));
  } catch (error) {
    return PromiseReject(error);
  }
  if (StringPrototypeToLowerCase(headerOf(request, "upgrade")) === "websocket") return upgraded(request);
  // Nothing leaves: the promise is rejected at once.
  if (AbortSignalPrototypeGetAborted(RequestPrototypeGetSignal(request))) return webFetch(request);
  return send(request);
}

async function send(request) {
  mapValues(toInnerRequest(request).headerList, toBytes);
  const response = await PromisePrototypeCatch(webFetch(request), (error) => failed(error, request));
  mapValues(toInnerResponse(response).headerList, fromBytes);
  bound(response);
  unpack(response);
  return response;
}
ObjectDefineProperty(fetch, "length", { __proto__: null, value: 1, configurable: true });

// What went wrong on the way to the other server has a code of the host (runtime/extensions/src/codes.rs), which programs for Node
// look for at the cause. What anything else was is the caller's own.
function failed(error, request) {
  const isOwn = core.isNativeError(error) && ObjectHasOwn(error, "code") && typeof error.code === "string";
  if (!isOwn || AbortSignalPrototypeGetAborted(RequestPrototypeGetSignal(request))) throw error;
  const cause = ObjectAssign(new Error(error.message), { code: error.code });
  throw new TypeError("fetch failed", { __proto__: null, cause });
}

// Holds the answer's body to the limits (limits: answer_bytes_max, answer_inflated_bytes_max).
function bound(response) {
  const { body } = toInnerResponse(response);
  if (body === null) return;
  const backing = getReadableStreamResourceBacking(body.streamOrStatic);
  if (backing) core.ops.op_answer_bound(backing.rid);
}

// Values cross deno_fetch as bytes, a character each; for user code they are the text that the bytes are in UTF-8.
const NOT_ASCII = new SafeRegExp("[^\\0-\\x7f]");

function mapValues(list, convert) {
  for (let i = 0; i < list.length; i++) {
    const { 0: name, 1: value } = list[i];
    if (RegExpPrototypeTest(NOT_ASCII, value)) list[i] = [name, convert(value)];
  }
}

function toBytes(text) {
  const bytes = core.encode(text);
  let value = "";
  for (let i = 0; i < bytes.length; i++) value += StringFromCharCode(bytes[i]);
  return value;
}

function fromBytes(value) {
  const bytes = new Uint8Array(value.length);
  for (let i = 0; i < value.length; i++) bytes[i] = StringPrototypeCharCodeAt(value, i);
  return core.decode(bytes);
}

// For the place that a redirect names, where each is one byte of a URL.
function escaped(value) {
  let url = "";
  for (let i = 0; i < value.length; i++) {
    const byte = StringPrototypeCharCodeAt(value, i);
    url += byte < 0x80 ? value[i] : `%${StringPrototypeToUpperCase(NumberPrototypeToString(byte, 16))}`;
  }
  return url;
}

// deno_fetch leaves an answer packed that was asked for in parts, or as it is. A part cannot be read without the others and is
// passed on as it came; anything else is plain for user code, as every answer.
function unpack(response) {
  const inner = toInnerResponse(response);
  if (inner.bodyDecoded || inner.body === null) return;
  const coding = StringPrototypeToLowerCase(StringPrototypeTrim(valueOf(inner.headerList, "content-encoding")));
  if (coding !== "gzip" && coding !== "br" || valueOf(inner.headerList, "content-length") === "0") return;
  if (inner.status === 206) {
    keepPacked(response);
    return;
  }
  const { DecompressionStream } = core.loadExtScript("ext:partyrun/compression.js");
  const unpacking = new DecompressionStream(coding === "br" ? "brotli" : coding);
  replaceBody(inner, ReadableStreamPrototypePipeThrough(inner.body.stream, unpacking));
}

function headerOf(request, wanted) {
  return valueOf(toInnerRequest(request).headerList, wanted);
}

function valueOf(list, wanted) {
  for (let i = 0; i < list.length; i++) {
    if (StringPrototypeToLowerCase(list[i][0]) === wanted) return list[i][1];
  }
  return "";
}

async function upgraded(request) {
  const inner = toInnerRequest(request);
  const href = inner.url();
  const url = StringPrototypeReplace(href, "http", "ws");
  const protocols = headerOf(request, "sec-websocket-protocol");
  // own: the function of 36_socket.js.
  const { socket, reply } = await openSocket(currentRoom(), url, protocols, serializeHeaders(inner.headerList));
  const body = reply.bytes ?? undefined;
  // own: what the host answered.
  const response = incomingResponse(reply.status, reply.reason, reply.headers, body, href);
  if (socket !== null) response[kWebSocket] = socket;
  return response;
}

core.defineGlobalProperties(globalThis, { fetch: core.propWritable(fetch) });

return {
  escaped,
  fetch,
  // 36_socket.js, which comes later, tells how a socket is opened.
  setOpenSocket(open) {
    openSocket = open;
  },
};
})();
