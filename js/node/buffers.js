// Makes buffers for our own scripts without the functions of `Buffer` that user code can replace.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ReflectConstruct, StringPrototypeToLowerCase, TypedArrayPrototypeGetBuffer, TypedArrayPrototypeGetByteLength,
  TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeSet, Uint8Array } = primordials;
const { bytesOf } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { Buffer } = core.loadExtScript("ext:deno_node/internal/buffer.mjs");

/** A Buffer over the memory of a typed array of bytes. */
function asBuffer(bytes) {
  const place = [TypedArrayPrototypeGetBuffer(bytes), TypedArrayPrototypeGetByteOffset(bytes), TypedArrayPrototypeGetByteLength(bytes)];
  return ReflectConstruct(Uint8Array, place, Buffer);
}

/** A Buffer over the memory of any view, or of a buffer. */
function viewed(data) {
  return asBuffer(bytesOf(data));
}

/** The bytes of a text in one of Node's encodings. */
function encoded(text, encoding) {
  const name = encoding === undefined || encoding === null ? "utf8" : StringPrototypeToLowerCase(`${encoding}`);
  if (name === "utf8" || name === "utf-8" || name === "buffer") return asBuffer(core.encode(text));
  // user code: only Buffer knows the others.
  return Buffer.from(text, encoding);
}

/** One Buffer with the bytes of all in a list. */
function joined(list) {
  let length = 0;
  for (let i = 0; i < list.length; i++) length += TypedArrayPrototypeGetByteLength(list[i]);
  const whole = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < list.length; i++) {
    TypedArrayPrototypeSet(whole, list[i], at);
    at += TypedArrayPrototypeGetByteLength(list[i]);
  }
  return asBuffer(whole);
}

/** The text that bytes are in UTF-8. */
function textOf(data) {
  return core.decode(bytesOf(data));
}

return { asBuffer, encoded, joined, textOf, viewed };
})();
