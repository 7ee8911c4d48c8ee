// CompressionStream and DecompressionStream of deno_web. Its decoders inflate a whole chunk at once, however much comes out of it.
// Here they get a chunk in pieces, and what a chunk may inflate to has a limit (limits: inflated_chunk_bytes_max), so that a bomb
// exhausts neither the room's memory nor the process's.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, SafeWeakMap, TypeError, TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet,
  Uint8Array, WeakMapPrototypeGet, WeakMapPrototypeSet } = primordials;
const { bytesOf, part } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");
const { op_compression_finish, op_compression_new, op_compression_write, op_memory_hold, op_memory_release } = core.ops;

// A piece of deflated data inflates to a thousand times its length at most. For brotli there is no such bound: a few bytes
// begin a block of 16 MiB.
const PIECE_BYTES = { __proto__: null, deflate: 16384, "deflate-raw": 16384, gzip: 16384, brotli: 64 };

// What the state of a stream takes outside of the heap. For brotli that depends on the window and on what was written: it is half
// of what a large one may take in the end.
const STATE_BYTES = {
  __proto__: null,
  deflate: [327680, 65536],
  "deflate-raw": [327680, 65536],
  gzip: [327680, 65536],
  brotli: [8388608, 8388608],
};

const pieceBytes = new SafeWeakMap();
const states = new SafeWeakMap();

core.ops.op_compression_new = (format, isDecoder) => {
  const held = op_memory_hold(STATE_BYTES[format][isDecoder ? 1 : 0]);
  const resource = op_compression_new(format, isDecoder);
  WeakMapPrototypeSet(states, resource, held);
  if (isDecoder) WeakMapPrototypeSet(pieceBytes, resource, PIECE_BYTES[format]);
  return resource;
};

core.ops.op_compression_finish = (resource, reportErrors) => {
  try {
    return op_compression_finish(resource, reportErrors);
  } finally {
    op_memory_release(WeakMapPrototypeGet(states, resource));
  }
};

core.ops.op_compression_write = (resource, chunk) => {
  const most = WeakMapPrototypeGet(pieceBytes, resource);
  if (most === undefined) return op_compression_write(resource, chunk);
  const bytes = bytesOf(chunk);
  const given = TypedArrayPrototypeGetByteLength(bytes);
  if (given <= most) return op_compression_write(resource, bytes);
  const pieces = [];
  let length = 0;
  for (let at = 0; at < given; at += most) {
    const piece = op_compression_write(resource, part(bytes, at, at + most));
    length += TypedArrayPrototypeGetByteLength(piece);
    if (length > limits.inflated_chunk_bytes_max) {
      throw new TypeError(`A chunk inflates to more than ${limits.inflated_chunk_bytes_max} bytes (limit \`inflated_chunk_bytes_max\`).`);
    }
    if (TypedArrayPrototypeGetByteLength(piece) > 0) ArrayPrototypePush(pieces, piece);
  }
  if (pieces.length === 1) return pieces[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < pieces.length; i++) {
    TypedArrayPrototypeSet(whole, pieces[i], at);
    at += TypedArrayPrototypeGetByteLength(pieces[i]);
  }
  return whole;
};

return core.loadExtScript("ext:deno_web/14_compression.js");
})();
