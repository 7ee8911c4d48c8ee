// How calls of KV namespaces, buckets and vector indexes reach the host. A call names kind, binding and method. Its arguments
// cross as JSON, and the bytes of a value beside them (runtime/bindings). The answer comes when the change is durable.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  Error,
  JSONParse,
  JSONStringify,
  ObjectPrototypeIsPrototypeOf,
  Uint8Array,
} = primordials;
const { ResponsePrototypeArrayBuffer } = core.loadExtScript("ext:partyrun/06_captured.js");
const { bytesOf: bytesIn, copyOf, isBinary } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { Response } = core.loadExtScript("ext:partyrun/30_http.js");
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { Blob } = core.loadExtScript("ext:deno_web/09_file.js");

// `binding` is whose it is, and what the configuration binds the name to. Answers the result, and the stored bytes where the method reads some.
async function callBinding(kind, { room, name }, method, args, bytes) {
  const reply = await core.ops.op_binding_call(room.number, kind, name, method, JSONStringify(args), bytes ?? null);
  if (reply.error !== null) throw new Error(reply.error);
  return { result: JSONParse(reply.json), bytes: reply.bytes };
}

function isStream(value) {
  return ObjectPrototypeIsPrototypeOf(ReadableStream.prototype, value);
}

// The bytes of a value that may be stored; `refuse` makes the error for every other one. What can change is copied now.
function bytesOf(value, refuse) {
  if (typeof value === "string") return core.encode(value);
  if (isBinary(value)) return copyOf(bytesIn(value));
  if (isStream(value) || ObjectPrototypeIsPrototypeOf(Blob.prototype, value)) return readAll(value);
  throw refuse();
}

async function readAll(streamOrBlob) {
  return new Uint8Array(await ResponsePrototypeArrayBuffer(new Response(streamOrBlob)));
}

return { bytesOf, callBinding };
})();
