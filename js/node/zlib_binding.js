// The binding below node:zlib, in the form that Node's library expects: handles with `init`, `write`, `writeSync`, `reset`, `params`
// and `close`. They report errors to `onerror`, and leave in `writeState` how much output space and input remains.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, ReflectApply, SafeArrayIterator, Uint32Array, Uint8Array } = primordials;
const { bytesOf: bytesIn } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { op_node_brotli_decoder, op_node_brotli_encoder, op_node_brotli_write, op_node_crc32, op_node_zlib_create,
  op_node_zlib_message, op_node_zlib_params, op_node_zlib_reset, op_node_zlib_write } = core.ops;

const Z_FINISH = 4;
const Z_OK = 0;
const Z_STREAM_END = 1;
const Z_NEED_DICT = 2;
const Z_BUF_ERROR = -5;
const MESSAGES = {
  __proto__: null,
  [Z_NEED_DICT]: "Missing dictionary",
  [Z_BUF_ERROR]: "unexpected end of file",
};
const NOTHING = new Uint8Array(0);
const NO_FLUSH = 0;

// How much one native call is given: V8 ends a loop that takes too long, and no native call.
const PIECE_BYTES = 65536;

// Gives `step` the input in pieces, the last one with `flush`, until the input is taken, the output is full or something else is
// to be said. `left` tells what remains of output and input, as after one call.
function inPieces(step, flush, inOffset, inLength, outOffset, outLength, left) {
  let status;
  let moved;
  do {
    const piece = inLength < PIECE_BYTES ? inLength : PIECE_BYTES;
    status = step(piece === inLength ? flush : NO_FLUSH, inOffset, piece, outOffset, outLength);
    const taken = piece - left[1];
    const made = outLength - left[0];
    moved = taken + made > 0;
    inOffset += taken;
    inLength -= taken;
    outOffset += made;
    outLength -= made;
  } while ((status === Z_OK || status === Z_STREAM_END) && inLength > 0 && outLength > 0 && moved);
  left[0] = outLength;
  left[1] = inLength;
  return status;
}

function bytesOf(view) {
  return bytesIn(view) ?? NOTHING;
}

class Zlib {
  #mode;
  #stream = null;
  #settings = null;
  #rejectsGarbage = false;

  constructor(mode) {
    this.#mode = mode;
  }

  init(windowBits, level, memLevel, strategy, _processed, dictionary) {
    this.#settings = [windowBits, level, memLevel, strategy, dictionary === undefined ? null : bytesOf(dictionary)];
    this.#stream = ReflectApply(op_node_zlib_create, undefined, [this.#mode, ...new SafeArrayIterator(this.#settings)]);
    return Z_OK;
  }

  // Errors go to `onerror`, in both forms of writing.
  write(flush, input, inOffset, inLength, output, outOffset, outLength, left) {
    if (this.#stream === null) throw new Error("zlib binding closed");
    const from = bytesOf(input);
    const to = bytesOf(output);
    const step = (flush, inOffset, inLength, outOffset, outLength) =>
      op_node_zlib_write(this.#stream, flush, from, inOffset, inLength, to, outOffset, outLength, left, this.#rejectsGarbage);
    const status = inPieces(step, flush, inOffset, inLength, outOffset, outLength, left);
    if (status === Z_STREAM_END) return;
    if (status === Z_OK || status === Z_BUF_ERROR) {
      if (left[0] !== 0 && flush === Z_FINISH) this.onerror(MESSAGES[Z_BUF_ERROR], Z_BUF_ERROR);
      return;
    }
    let message = op_node_zlib_message(this.#stream) || (MESSAGES[status] ?? "Zlib error");
    if (status === Z_NEED_DICT && this.#settings[4] !== null) message = "Bad dictionary";
    this.onerror(message, status);
  }

  writeSync(flush, input, inOffset, inLength, output, outOffset, outLength, left) {
    this.write(flush, input, inOffset, inLength, output, outOffset, outLength, left);
  }

  setRejectGarbageAfterEnd(value) {
    this.#rejectsGarbage = value;
  }

  reset() {
    return op_node_zlib_reset(this.#stream);
  }

  params(level, strategy) {
    return op_node_zlib_params(this.#stream, level, strategy);
  }

  close() {
    this.#stream = null;
  }
}

class Brotli {
  #stream = null;
  #parameters = null;
  #decodes;

  constructor(decodes) {
    this.#decodes = decodes;
  }

  init(parameters) {
    this.#parameters = new Uint32Array(parameters);
    this.reset();
    return true;
  }

  write(operation, input, inOffset, inLength, output, outOffset, outLength, left) {
    if (this.#stream === null) throw new Error("zlib binding closed");
    const from = bytesOf(input);
    const to = bytesOf(output);
    const step = (operation, inOffset, inLength, outOffset, outLength) =>
      op_node_brotli_write(this.#stream, operation, from, inOffset, inLength, to, outOffset, outLength, left);
    const status = inPieces(step, operation, inOffset, inLength, outOffset, outLength, left);
    if (status < 0) {
      this.onerror("Decompression failed", "ERR__ERROR_FORMAT_PADDING_1", "ERR__ERROR_FORMAT_PADDING_1");
    } else if (this.#decodes && status === 0 && operation === 2 && left[0] !== 0) {
      this.onerror("unexpected end of file", Z_BUF_ERROR, "Z_BUF_ERROR");
    }
  }

  writeSync(operation, input, inOffset, inLength, output, outOffset, outLength, left) {
    this.write(operation, input, inOffset, inLength, output, outOffset, outLength, left);
  }

  params() {}

  reset() {
    this.#stream = this.#decodes ? op_node_brotli_decoder() : op_node_brotli_encoder(this.#parameters);
  }

  close() {
    this.#stream = null;
  }
}

class BrotliEncoder extends Brotli {
  constructor() {
    super(false);
  }
}

class BrotliDecoder extends Brotli {
  constructor() {
    super(true);
  }
}

class Zstd {
  constructor() {
    throw new Error("node:zlib: zstd is not available in partyrun. Use gzip, deflate or brotli.");
  }
}

function crc32(data, seed = 0) {
  return op_node_crc32(typeof data === "string" ? core.encode(data) : bytesOf(data), seed);
}

return { BrotliDecoder, BrotliEncoder, crc32, Zlib, ZstdCompress: Zstd, ZstdDecompress: Zstd };
})();
