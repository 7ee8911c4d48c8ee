// Structured clones as Workers make them: for storage, for the state of a connection, and for `structuredClone` itself.
// 00_kinds.js says what the platform's objects are cloned to; runtime/extensions/src/values.rs makes the bytes.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayIsArray,
  Error,
  ObjectDefineProperty,
  ObjectGetOwnPropertyDescriptor,
  ObjectGetPrototypeOf,
  ObjectPrototypeIsPrototypeOf,
  ReflectApply,
  TypedArrayPrototypeGetByteLength,
  TypedArrayPrototypeSet,
  TypeError,
  Uint8Array,
} = primordials;
const { ops } = core;
const { CLONE_DOM_EXCEPTION, CLONE_HEADERS, CLONE_RECORD } = core.loadExtScript("ext:partyrun/01_wire.js");
const { part } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { builders, cloneAll, kParts, refuse, refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { structuredClone: cloneAndTransfer } = core.loadExtScript("ext:deno_web/13_message_port.js");
const { Headers, headerListFromHeaders } = core.loadExtScript("ext:deno_fetch/20_headers.js");
const { FormData } = core.loadExtScript("ext:deno_fetch/21_formdata.js");
const { URLSearchParams } = core.loadExtScript("ext:deno_web/00_url.js");

// Headers that may be changed: a copy always may.
const UNGUARDED = 3;

const { get: nameOf } = ObjectGetOwnPropertyDescriptor(DOMException.prototype, "name");
const { get: messageOf } = ObjectGetOwnPropertyDescriptor(DOMException.prototype, "message");

function exception(name, message, stack) {
  const made = new DOMException(message, name);
  ObjectDefineProperty(made, "stack", { __proto__: null, value: stack, writable: true, configurable: true });
  return made;
}

function exceptionParts() {
  const { stack } = this;
  const text = typeof stack === "string" ? stack : "";
  return [CLONE_DOM_EXCEPTION, ReflectApply(nameOf, this, []), ReflectApply(messageOf, this, []), text];
}

cloneAll(DOMException.prototype, CLONE_DOM_EXCEPTION, exceptionParts, ({ 0: name, 1: message, 2: stack }) =>
  exception(name, message, stack));

builders[CLONE_RECORD] = ({ 0: record }) =>
  record.type === "DOMException" ? exception(record.name, record.message, `${record.stack}`) : undefined;

const { append } = Headers.prototype;

function headersOf(parts) {
  const headers = new Headers();
  // They are checked as any others: stored bytes may come from elsewhere.
  for (let i = 0; i + 1 < parts.length; i += 2) ReflectApply(append, headers, [parts[i], parts[i + 1]]);
  return headers;
}

function headersParts() {
  const list = headerListFromHeaders(this);
  const parts = [CLONE_HEADERS, UNGUARDED, list.length];
  for (let i = 0; i < list.length; i++) {
    const at = parts.length;
    parts[at] = 0;
    parts[at + 1] = list[i][0];
    parts[at + 2] = list[i][1];
  }
  return parts;
}

cloneAll(Headers.prototype, CLONE_HEADERS, headersParts, headersOf);

// Adds the headers of a clone, if that is what they are, to `target`.
function copyHeaders(headers, target) {
  if (!ObjectPrototypeIsPrototypeOf(Headers.prototype, headers)) return;
  const list = headerListFromHeaders(headers);
  for (let i = 0; i < list.length; i++) ReflectApply(append, target, [list[i][0], list[i][1]]);
}

// Their iterators have classes without a name.
for (const list of [new Headers(), new URLSearchParams(), new FormData()]) {
  refuseAll(ObjectGetPrototypeOf(list.entries()), "EntryIterator");
}

function build(kind, parts) {
  return builders[kind]?.(parts);
}

function serialize(value) {
  return ops.op_value_serialize(value, kParts, refuse);
}

// `named` makes the value's name in the message of an error of what it is called with.
function deserialize(bytes, named, key) {
  try {
    return ops.op_value_deserialize(bytes, build);
  } catch (cause) {
    throw new Error(`${named(key)} cannot be read: ${cause.message}.`);
  }
}

// The mark of a message that was cloned here, before its bytes. V8's own format begins with 0xff, and deno_web has 0xfe.
const CLONED_HERE = 0xfd;

// A message of a port as bytes, or null for what is left to deno_web: plain values, and objects that only it can clone.
function pack(message) {
  if (typeof message !== "object" || message === null) return null;
  let bytes;
  try {
    bytes = serialize(message);
  } catch {
    return null;
  }
  const packed = new Uint8Array(TypedArrayPrototypeGetByteLength(bytes) + 1);
  packed[0] = CLONED_HERE;
  TypedArrayPrototypeSet(packed, bytes, 1);
  return packed;
}

function unpack(packed) {
  return deserialize(part(packed, 1, packed.length), () => "A message");
}

// Buffers, ports and streams can be transferred. The latter two have a name for deno_web under its brand.
function checkTransfer(transfer) {
  for (let i = 0; i < transfer.length; i++) {
    const one = transfer[i];
    if (core.isAnyArrayBuffer(one) || typeof one?.[core.hostObjectBrand] === "string") continue;
    throw new TypeError("Object is not transferable");
  }
}

// Nothing is transferred in most calls; those that do are deno_web's.
function structuredClone(value, options) {
  const transfer = options?.transfer;
  const none = transfer === undefined || ArrayIsArray(transfer) && transfer.length === 0;
  const usual = options === undefined || options === null || typeof options === "object";
  if (arguments.length === 0 || !none || !usual) {
    if (ArrayIsArray(transfer)) checkTransfer(transfer);
    return ReflectApply(cloneAndTransfer, undefined, arguments);
  }
  if (value === null || value === undefined || typeof value === "string" || typeof value === "number") return value;
  return ops.op_value_clone(value, kParts, refuse, build);
}

core.defineGlobalProperties(globalThis, { structuredClone: core.propNonEnumerable(structuredClone) });

return { copyHeaders, deserialize, pack, serialize, unpack };
})();
