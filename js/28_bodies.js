// Makes byte streams of the bodies that are strings or bytes, as Workers do: `new Response("text").body.getReader({ mode: "byob" })`.
// deno_fetch makes plain streams of them. Readers have `readAtLeast`, too.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ObjectDefineProperty,
  ObjectGetOwnPropertyDescriptor,
  ObjectPrototypeIsPrototypeOf,
  ReflectApply,
  SafeWeakMap,
  Symbol,
  TypedArrayPrototypeGetBuffer,
  TypedArrayPrototypeGetByteLength,
  TypedArrayPrototypeGetByteOffset,
  TypedArrayPrototypeGetSymbolToStringTag,
  Uint8Array,
  WeakMapPrototypeGet,
  WeakMapPrototypeSet,
} = primordials;
const { copyOf } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { InnerBody } = core.loadExtScript("ext:deno_fetch/22_body.js");
const {
  createReadableByteStream,
  readableByteStreamControllerClose,
  readableByteStreamControllerEnqueue,
  readableByteStreamControllerRespond,
  ReadableStreamBYOBReader,
  readableStreamGetNumReadIntoRequests,
  readableStreamHasBYOBReader,
  ReadableStreamPrototype,
} = core.loadExtScript("ext:deno_web/06_streams.js");

// What a stream was made of, by the stream.
const origins = new SafeWeakMap();

const noop = () => {};
const noopAsync = async () => {};

function byteStream(body, length) {
  const stream = createReadableByteStream(noop, (controller) => {
    // The stream takes its chunks away from whoever had them: others may still need these bytes.
    const bytes = typeof body === "string" ? core.encode(body) : copyOf(body);
    if (bytes.length > 0) readableByteStreamControllerEnqueue(controller, bytes);
    readableByteStreamControllerClose(controller);
    // A reader that wants more than there is hears of the end (Streams standard, "close a readable byte stream").
    if (readableStreamHasBYOBReader(stream) && readableStreamGetNumReadIntoRequests(stream) > 0) {
      readableByteStreamControllerRespond(controller, 0);
    }
  }, noopAsync);
  WeakMapPrototypeSet(origins, stream, { body, length });
  return stream;
}

const { get: webStream } = ObjectGetOwnPropertyDescriptor(InnerBody.prototype, "stream");

ObjectDefineProperty(InnerBody.prototype, "stream", {
  __proto__: null,
  configurable: true,
  get() {
    const { streamOrStatic } = this;
    if (ObjectPrototypeIsPrototypeOf(ReadableStreamPrototype, streamOrStatic) || streamOrStatic.consumed) {
      return ReflectApply(webStream, this, []);
    }
    return this.streamOrStatic = byteStream(streamOrStatic.body, this.length);
  },
});

const kHandedOn = Symbol("no one else reads it");
const { createProxy } = InnerBody.prototype;

ObjectDefineProperty(InnerBody.prototype, "createProxy", {
  __proto__: null,
  configurable: true,
  value() {
    return this[kHandedOn] ? this : ReflectApply(createProxy, this, []);
  },
});

// A request that user code does not see hands its body to the next one as it is: no pipe between them, and an abort reaches the
// body's source at once.
function handOn(inner) {
  if (inner.body !== null) inner.body[kHandedOn] = true;
}

// `new Response(response.body, ...)` with a body that nobody has read is what the body was made of again: it leaves with its
// length, in one write. Bytes whose length was not told, as of a request that came in chunks, stay a stream.
function recover(inner) {
  const { body } = inner;
  if (body === null) return;
  const origin = WeakMapPrototypeGet(origins, body.streamOrStatic);
  if (origin === undefined || (typeof origin.body !== "string" && origin.length === null)) return;
  body.streamOrStatic = { body: origin.body, consumed: false };
  body.length = origin.length;
}

const { read } = ReadableStreamBYOBReader.prototype;

ObjectDefineProperty(ReadableStreamBYOBReader.prototype, "readAtLeast", {
  __proto__: null,
  configurable: true,
  enumerable: true,
  writable: true,
  // As many bytes as asked for, or what there is before the end: `read` with `min` fails at an end that comes too soon.
  value: async function readAtLeast(min, view) {
    if (TypedArrayPrototypeGetSymbolToStringTag(view) !== "Uint8Array") return ReflectApply(read, this, [view, { min }]);
    const length = TypedArrayPrototypeGetByteLength(view);
    let filled = 0;
    let rest = view;
    for (;;) {
      // own: the method as it was.
      const { value, done } = await ReflectApply(read, this, [rest]);
      if (value === undefined) return { value, done };
      filled += value.length;
      const buffer = TypedArrayPrototypeGetBuffer(value);
      const next = TypedArrayPrototypeGetByteOffset(value) + value.length;
      if (done || filled >= min) return { value: new Uint8Array(buffer, next - filled, filled), done: filled === 0 && done };
      rest = new Uint8Array(buffer, next, length - filled);
    }
  },
});

// Another stream in place of a body, of unknown length.
function replaceBody(inner, stream) {
  inner.body = new InnerBody(stream);
}

return { handOn, recover, replaceBody };
})();
