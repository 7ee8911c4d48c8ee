// Gets the bytes of buffers and views without calling anything that user code can replace. It reads no getter of a prototype, and
// always makes a Uint8Array, whatever `constructor` and `Symbol.species` of the given object say.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayBufferIsView,
  ArrayBufferPrototypeGetByteLength,
  DataViewPrototypeGetBuffer,
  DataViewPrototypeGetByteLength,
  DataViewPrototypeGetByteOffset,
  TypedArrayPrototypeGetBuffer,
  TypedArrayPrototypeGetByteLength,
  TypedArrayPrototypeGetByteOffset,
  TypedArrayPrototypeGetSymbolToStringTag,
  Uint8Array,
} = primordials;

function isBinary(data) {
  return typeof data === "object" && data !== null && (ArrayBufferIsView(data) || core.isAnyArrayBuffer(data));
}

/** The bytes of a buffer or a view where they are; null for anything else. */
function bytesOf(data) {
  if (core.isAnyArrayBuffer(data)) return new Uint8Array(data);
  if (!ArrayBufferIsView(data)) return null;
  return TypedArrayPrototypeGetSymbolToStringTag(data) === undefined
    ? new Uint8Array(DataViewPrototypeGetBuffer(data), DataViewPrototypeGetByteOffset(data), DataViewPrototypeGetByteLength(data))
    : part(data, 0, TypedArrayPrototypeGetByteLength(data));
}

/** Some bytes of a typed array of bytes, where they are. `end` may lie beyond its own. */
function part(bytes, start, end) {
  const length = TypedArrayPrototypeGetByteLength(bytes);
  const from = start < length ? start : length;
  const to = end < length ? end : length;
  return new Uint8Array(TypedArrayPrototypeGetBuffer(bytes), TypedArrayPrototypeGetByteOffset(bytes) + from, to > from ? to - from : 0);
}

/** A copy of a typed array of bytes. */
function copyOf(bytes) {
  return new Uint8Array(bytes);
}

/** A buffer that holds exactly these bytes: the array's own one, if it does. */
function bufferOf(bytes) {
  const buffer = TypedArrayPrototypeGetBuffer(bytes);
  // A SharedArrayBuffer never is one that was made here.
  const whole = !core.isSharedArrayBuffer(buffer) &&
    ArrayBufferPrototypeGetByteLength(buffer) === TypedArrayPrototypeGetByteLength(bytes);
  return whole ? buffer : TypedArrayPrototypeGetBuffer(copyOf(bytes));
}

return { bufferOf, bytesOf, copyOf, isBinary, part };
})();
