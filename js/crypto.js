// Web cryptography with what Workers add to it: `crypto.DigestStream`, `crypto.subtle.timingSafeEqual`.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayBufferIsView, ArrayPrototypeIncludes, DataViewPrototypeGetBuffer, DataViewPrototypeGetByteLength,
  DataViewPrototypeGetByteOffset, ObjectDefineProperty, ObjectPrototypeIsPrototypeOf, Promise, ReflectApply, String,
  StringPrototypeReplace, StringPrototypeToLowerCase, StringPrototypeToUpperCase, TypedArrayPrototypeGetBuffer,
  TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset, TypedArrayPrototypeGetSymbolToStringTag, TypeError,
  Uint8Array } = primordials;
const web = core.loadExtScript("ext:deno_crypto/00_crypto.js");
const { WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");

function bytesOf(data) {
  if (core.isAnyArrayBuffer(data)) return new Uint8Array(data);
  if (!ArrayBufferIsView(data)) return null;
  return TypedArrayPrototypeGetSymbolToStringTag(data) === undefined
    ? new Uint8Array(DataViewPrototypeGetBuffer(data), DataViewPrototypeGetByteOffset(data), DataViewPrototypeGetByteLength(data))
    : new Uint8Array(
      TypedArrayPrototypeGetBuffer(data),
      TypedArrayPrototypeGetByteOffset(data),
      TypedArrayPrototypeGetByteLength(data),
    );
}

// A stream that only computes the digest of what is written to it.
class DigestStream extends WritableStream {
  #digest;
  #count = 0n;

  constructor(algorithm) {
    const name = typeof algorithm === "object" && algorithm !== null ? algorithm.name : algorithm;
    const ops = core.loadExtScript("ext:partyrun/node/ops.js");
    let hash;
    try {
      hash = ops.op_node_create_hash(StringPrototypeReplace(StringPrototypeToLowerCase(String(name)), "sha-", "sha"));
    } catch {
      throw new DOMException(`Unrecognized or unimplemented digest algorithm requested: ${name}.`, "NotSupportedError");
    }
    let settle;
    const digest = new Promise((resolve, reject) => settle = { resolve, reject });
    digest.catch(() => {});
    super({
      write: (chunk) => {
        const bytes = typeof chunk === "string" ? core.encode(chunk) : bytesOf(chunk);
        if (bytes === null) {
          const error = new TypeError("DigestStream is a byte stream but received an object of non-ArrayBuffer/ArrayBufferView/string type on its writable side.");
          settle.reject(error);
          throw error;
        }
        this.#count += BigInt(bytes.length);
        ops.op_node_hash_update(hash, bytes);
      },
      close: () => {
        const result = ops.op_node_hash_digest(hash);
        settle.resolve(TypedArrayPrototypeGetBuffer(new Uint8Array(result)));
      },
      abort: (reason) => settle.reject(reason),
    });
    this.#digest = digest;
  }

  get digest() {
    return this.#digest;
  }
  get bytesWritten() {
    return this.#count;
  }
}

const INVALID = "The provided value is not of type 'ArrayBuffer or ArrayBufferView'.";

// Takes as long for equal as for different contents.
function timingSafeEqual(left, right) {
  const one = bytesOf(left);
  const other = bytesOf(right);
  if (one === null || other === null) throw new TypeError(INVALID);
  const length = TypedArrayPrototypeGetByteLength(one);
  if (length !== TypedArrayPrototypeGetByteLength(other)) {
    throw new TypeError("Input buffers must have the same byte length.");
  }
  let difference = 0;
  for (let i = 0; i < length; i++) difference |= one[i] ^ other[i];
  return difference === 0;
}

const method = { __proto__: null, configurable: true, enumerable: true, writable: true };

const TAG_BITS = [32, 64, 96, 104, 112, 120, 128];

// What AES-GCM is asked for, if it is valid and beyond deno_crypto, which knows nonces of 12 and 16 bytes only and opens whole
// tags only. All else stays deno_crypto's, errors too.
function unusualGcm(usage, algorithm, key, data) {
  if (typeof algorithm !== "object" || algorithm === null) return null;
  if (StringPrototypeToUpperCase(String(algorithm.name)) !== "AES-GCM") return null;
  const nonce = bytesOf(algorithm.iv);
  const text = bytesOf(data);
  const additional = algorithm.additionalData === undefined ? new Uint8Array() : bytesOf(algorithm.additionalData);
  if (nonce === null || text === null || additional === null || nonce.length === 0) return null;
  const tagBits = algorithm.tagLength === undefined ? 128 : +algorithm.tagLength;
  const isKnown = (nonce.length === 12 || nonce.length === 16) && (usage === "encrypt" || tagBits === 128);
  if (isKnown || !ArrayPrototypeIncludes(TAG_BITS, tagBits)) return null;
  if (!ObjectPrototypeIsPrototypeOf(web.CryptoKey.prototype, key) || key.algorithm.name !== "AES-GCM") return null;
  if (!ArrayPrototypeIncludes(key.usages, usage)) return null;
  const tagBytes = tagBits / 8;
  return usage === "decrypt" && text.length < tagBytes ? null : { nonce, additional, text, tagBytes };
}

for (const usage of ["encrypt", "decrypt"]) {
  const known = web.SubtleCrypto.prototype[usage];
  const { value } = {
    async value(algorithm, key, data) {
      const asked = unusualGcm(usage, algorithm, key, data);
      if (asked === null) return ReflectApply(known, this, arguments);
      const { data: secret } = web.cryptoKeyExportNodeKeyMaterial(key);
      const { nonce, additional, text, tagBytes } = asked;
      const result = core.ops.op_aes_gcm(usage === "encrypt", secret, nonce, additional, text, tagBytes);
      if (result === null) throw new DOMException("Decryption failed", "OperationError");
      return TypedArrayPrototypeGetBuffer(result);
    },
  };
  ObjectDefineProperty(value, "name", { __proto__: null, configurable: true, value: usage });
  ObjectDefineProperty(web.SubtleCrypto.prototype, usage, { ...method, value });
}

ObjectDefineProperty(web.SubtleCrypto.prototype, "timingSafeEqual", { ...method, value: timingSafeEqual });
ObjectDefineProperty(web.Crypto.prototype, "DigestStream", { ...method, enumerable: false, value: DigestStream });

return web;
})();
