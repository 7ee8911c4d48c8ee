// Web cryptography as Workers have it. deno_crypto's own script loads this one and exports what its parts make
// (AMENDMENTS in runtime/snapshot/build.rs), so everybody who loads that script gets the same classes.
"use strict";

(function () {
const { core, internals, primordials } = __bootstrap;
const { BigInt, ObjectDefineProperty, Promise, PromisePrototypeCatch, StringPrototypeReplace, StringPrototypeToLowerCase, TypedArrayPrototypeGetBuffer,
  TypedArrayPrototypeGetByteLength, TypeError, Uint8Array } = primordials;
const { bytesOf, hashNamed } = core.loadExtScript("ext:partyrun/crypto_algorithms.js");
const subtleOf = core.loadExtScript("ext:partyrun/crypto_subtle.js");

// A stream that only computes the digest of what is written to it.
function digestStream() {
  const { WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
  return class DigestStream extends WritableStream {
    #digest;
    #count = 0n;

    constructor(algorithm) {
      const name = hashNamed(algorithm);
      const ops = core.loadExtScript("ext:partyrun/node/ops.js");
      const hash = ops.op_node_create_hash(StringPrototypeReplace(StringPrototypeToLowerCase(name), "sha-", "sha"));
      let fulfil;
      let fail;
      const digest = new Promise((resolve, reject) => (fulfil = resolve, fail = reject));
      PromisePrototypeCatch(digest, () => {});
      super({
        write: (chunk) => {
          const bytes = typeof chunk === "string" ? core.encode(chunk) : bytesOf(chunk);
          if (bytes === null) {
            const error = new TypeError("DigestStream is a byte stream but received an object of non-ArrayBuffer/ArrayBufferView/string type on its writable side.");
            fail(error);
            throw error;
          }
          this.#count += BigInt(bytes.length);
          ops.op_node_hash_update(hash, bytes);
        },
        close: () => {
          const result = ops.op_node_hash_digest(hash);
          fulfil(TypedArrayPrototypeGetBuffer(new Uint8Array(result)));
        },
        abort: (reason) => fail(reason),
      });
      this.#digest = digest;
    }

    get digest() {
      return this.#digest;
    }
    get bytesWritten() {
      return this.#count;
    }
  };
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

// node:crypto tells a CryptoKey by a property of a name of its own, and compares keys by it.
function showToNode(CryptoKey, material) {
  const show = (symbol) =>
    ObjectDefineProperty(CryptoKey.prototype, symbol, {
      __proto__: null,
      configurable: true,
      get() {
        return this === CryptoKey.prototype ? undefined : material(this);
      },
    });
  let symbol = internals.kKeyObject;
  if (symbol !== undefined) show(symbol);
  ObjectDefineProperty(internals, "kKeyObject", {
    __proto__: null,
    configurable: true,
    get: () => symbol,
    set(given) {
      symbol = given;
      show(given);
    },
  });
}

return function amend(web) {
  const { Crypto, CryptoKey, SubtleCrypto } = web;
  const { exportNodeMaterial } = CryptoKey;
  const { importKey, keyData, usagesOf } = subtleOf(web);
  ObjectDefineProperty(SubtleCrypto.prototype, "timingSafeEqual", { ...method, value: timingSafeEqual });
  ObjectDefineProperty(Crypto.prototype, "DigestStream", { ...method, enumerable: false, value: digestStream() });
  showToNode(CryptoKey, exportNodeMaterial);
  // What deno_crypto's scripts use among themselves is nothing for user code.
  for (const name in { __proto__: null, create: 0, registerSymbols: 0 }) delete Crypto[name];
  for (const name in { __proto__: null, create: 0, supports: 0 }) delete SubtleCrypto[name];
  for (const name in { __proto__: null, exportNodeMaterial: 0, fromCloneData: 0, importSync: 0 }) delete CryptoKey[name];
  return {
    __proto__: null,
    Crypto,
    get crypto() {
      return web.crypto;
    },
    CryptoKey,
    cryptoKeyExportNodeKeyMaterial: exportNodeMaterial,
    importCryptoKeySync: (format, data, algorithm, extractable, usages) =>
      importKey(format, keyData(format, data), algorithm, !!extractable, usagesOf(usages)),
    SubtleCrypto,
  };
};
})();
