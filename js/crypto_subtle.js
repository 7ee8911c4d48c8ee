// `crypto.subtle` as Workers have it: which algorithm does what with which key, parameters and result. deno_crypto computes, in a
// lane beside the worker's thread (lanes.js).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypeIncludes, BigInt, DataViewPrototypeGetBigUint64, DataView, DataViewPrototypeSetBigUint64, JSONParse,
  JSONStringify, MathCeil, Number, ObjectDefineProperty, ObjectPrototypeIsPrototypeOf, String, TypedArrayPrototypeGetBuffer,
  TypedArrayPrototypeSet, TypeError, Uint8Array } = primordials;
const { BLOCK_BITS, bytesField, bytesOf, copyOf, fails, hashNamed, hashOf, isKey, isNamed, isObject, jwkOf, keyAlgorithm,
  numberOf, usagesOf } = core.loadExtScript("ext:partyrun/crypto_algorithms.js");
const { copyOf: copyOfBytes, part } = core.loadExtScript("ext:partyrun/03_bytes.js");
const keysOf = core.loadExtScript("ext:partyrun/crypto_keys.js");
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");

// From here on a call is one for the slow lane.
const LARGE_BYTES = 1 << 20;
const MANY_ROUNDS = 10000;

const AES_BLOCK_BYTES = 16;
const TAG_BITS = [32, 64, 96, 104, 112, 120, 128];
const ED25519_SIGNATURE_BYTES = 64;
const HASH_BYTES = { __proto__: null, MD5: 16, "SHA-1": 20, "SHA-256": 32, "SHA-384": 48, "SHA-512": 64 };
const HKDF_BLOCKS_MAX = 255;
const KEY_WRAP_STEP_BYTES = 8;
const KEY_WRAP_BYTES_MIN = 16;

const old = () => core.loadExtScript("ext:partyrun/crypto_old.js");
const bufferOf = (bytes) => TypedArrayPrototypeGetBuffer(copyOfBytes(bytes));
const isLarge = (bytes) => bytes.length >= LARGE_BYTES;

return function subtleOf(web) {
const { CryptoKey, SubtleCrypto } = web;
const native = { __proto__: null };
for (const name in { __proto__: null, decrypt: 0, deriveBits: 0, digest: 0, encrypt: 0, sign: 0, unwrapKey: 0, verify: 0, wrapKey: 0 }) {
  native[name] = SubtleCrypto.prototype[name];
}
const { about, importKey, keyOut, makeKey, material, natively, used } = keysOf(web);

function check(receiver) {
  if (!isObject(receiver) || !ObjectPrototypeIsPrototypeOf(SubtleCrypto.prototype, receiver)) throw new TypeError("Illegal invocation");
}

// --- signatures -------------------------------------------------------------------------------------------------------

function saltOf(algorithm) {
  const length = numberOf(algorithm, "saltLength", false);
  return length ?? fails("DataError", 'RSA-PSS needs a "saltLength".');
}

// What deno_crypto is to be told beside the key, or null where MD5 is asked for.
function signature({ name, hash }, algorithm) {
  if (name === "RSA-PSS") return { __proto__: null, name, saltLength: saltOf(algorithm) };
  if (name === "ECDSA") {
    const asked = hashOf(algorithm);
    if (asked === "MD5") fails("NotSupportedError", "ECDSA does not sign MD5 digests.");
    return { __proto__: null, name, hash: asked };
  }
  return { __proto__: null, name: name === "NODE-ED25519" ? "Ed25519" : name, hash };
}

// deno_crypto has no digests that are shorter than half of the curve's numbers, but for P-521.
const isShort = ({ curve }, { hash }) => curve === "P-384" && hash === "SHA-1";

async function sign(receiver, algorithm, key, bytes) {
  const said = used(key, "sign", (name) => isNamed(algorithm, name));
  const parameters = signature(said, algorithm);
  if (said.hash === "MD5") {
    const made = said.name === "HMAC"
      ? old().hmac(material(key), bytes)
      : attempt(() => old().sign(material(key), bytes, parameters.saltLength));
    return bufferOf(made);
  }
  if (isShort(said, parameters)) return bufferOf(attempt(() => old().signSha1P384(material(key), bytes)));
  return await natively(isLarge(bytes), native.sign, receiver, [parameters, key, bytes]);
}

async function verify(receiver, algorithm, key, given, bytes) {
  const said = used(key, "verify", (name) => isNamed(algorithm, name));
  const parameters = signature(said, algorithm);
  if (parameters.name === "Ed25519" && given.length !== ED25519_SIGNATURE_BYTES) {
    fails("OperationError", `A signature of ${said.name} has ${ED25519_SIGNATURE_BYTES} bytes, not ${given.length}.`);
  }
  if (said.hash === "MD5") {
    if (said.name === "HMAC") return timingSafe(old().hmac(material(key), bytes), given);
    return attempt(() => old().verify(material(key), given, bytes, parameters.saltLength));
  }
  if (isShort(said, parameters)) return attempt(() => old().verifySha1P384(material(key), given, bytes));
  return await natively(isLarge(bytes), native.verify, receiver, [parameters, key, given, bytes]);
}

function attempt(call) {
  try {
    return call();
  } catch (error) {
    fails("OperationError", String(error?.message ?? error));
  }
}

// --- ciphers ----------------------------------------------------------------------------------------------------------

async function cipher(receiver, usage, said, algorithm, key, bytes) {
  const seals = usage === "encrypt";
  const run = (parameters, some = bytes) => natively(isLarge(some), native[usage], receiver, [parameters, key, some]);
  switch (said.name) {
    case "AES-CBC": {
      const iv = bytesField(algorithm, "iv");
      if (iv.length !== AES_BLOCK_BYTES) fails("OperationError", `The "iv" of AES-CBC must have 16 bytes, not ${iv.length}.`);
      return await run({ __proto__: null, name: "AES-CBC", iv });
    }
    case "AES-CTR":
      return await counted(run, algorithm, bytes);
    case "AES-GCM":
      return await sealed(seals, run, algorithm, key, bytes);
    case "RSA-OAEP": {
      const label = bytesField(algorithm, "label", false);
      if (said.hash === "MD5") return bufferOf(attempt(() => old()[seals ? "seal" : "open"](material(key), bytes, label)));
      const parameters = { __proto__: null, name: "RSA-OAEP" };
      if (label !== undefined) parameters.label = label;
      return await run(parameters);
    }
    default:
      return fails("NotSupportedError", `${said.name} does not ${usage}.`);
  }
}

// AES-CTR, where the last `length` bits of the counter count and the others stay. deno_crypto counts with all 128, so that what
// comes after the counter's turn is a call of its own.
async function counted(run, algorithm, bytes) {
  const counter = bytesField(algorithm, "counter");
  const bits = numberOf(algorithm, "length");
  if (counter.length !== AES_BLOCK_BYTES) fails("OperationError", `The "counter" of AES-CTR must have 16 bytes, not ${counter.length}.`);
  if (bits === 0 || bits > 128) fails("OperationError", `The counter of AES-CTR has 1 to 128 bits, not ${bits}.`);
  const view = new DataView(TypedArrayPrototypeGetBuffer(counter));
  const whole = DataViewPrototypeGetBigUint64(view, 0) << 64n | DataViewPrototypeGetBigUint64(view, 8);
  const turn = 1n << BigInt(bits);
  const blocks = BigInt(MathCeil(bytes.length / AES_BLOCK_BYTES));
  if (blocks > turn) fails("OperationError", `The text is longer than a counter of ${bits} bits can count.`);
  const left = turn - whole % turn;
  const parameters = { __proto__: null, name: "AES-CTR", counter, length: 128 };
  // own: a function of `cipher`.
  if (blocks <= left) return await run(parameters);
  const start = new Uint8Array(AES_BLOCK_BYTES);
  const startView = new DataView(TypedArrayPrototypeGetBuffer(start));
  const kept = whole - whole % turn;
  DataViewPrototypeSetBigUint64(startView, 0, kept >> 64n);
  DataViewPrototypeSetBigUint64(startView, 8, kept & 0xffffffffffffffffn);
  const at = Number(left) * AES_BLOCK_BYTES;
  // own: a function of `cipher`.
  const first = await run(parameters, part(bytes, 0, at));
  // own: a function of `cipher`.
  const rest = await run({ ...parameters, __proto__: null, counter: start }, part(bytes, at, bytes.length));
  const made = new Uint8Array(bytes.length);
  TypedArrayPrototypeSet(made, new Uint8Array(first));
  TypedArrayPrototypeSet(made, new Uint8Array(rest), at);
  return TypedArrayPrototypeGetBuffer(made);
}

// AES-GCM. deno_crypto knows nonces of 12 and 16 bytes only and opens whole tags only; the others are ours.
async function sealed(seals, run, algorithm, key, bytes) {
  const iv = bytesField(algorithm, "iv");
  const additionalData = bytesField(algorithm, "additionalData", false);
  const tagLength = numberOf(algorithm, "tagLength", false) ?? 128;
  if (iv.length === 0) fails("OperationError", 'The "iv" of AES-GCM must not be empty.');
  if (!ArrayPrototypeIncludes(TAG_BITS, tagLength)) fails("OperationError", `The tag of AES-GCM cannot have ${tagLength} bits.`);
  const tagBytes = tagLength / 8;
  if (!seals && bytes.length < tagBytes) fails("OperationError", "The text is shorter than its tag.");
  if ((iv.length === 12 || iv.length === 16) && (seals || tagLength === 128)) {
    const parameters = { __proto__: null, name: "AES-GCM", iv, tagLength };
    if (additionalData !== undefined) parameters.additionalData = additionalData;
    // own: a function of `cipher`.
    return await run(parameters);
  }
  const made = core.ops.op_aes_gcm(seals, material(key), iv, additionalData ?? new Uint8Array(), bytes, tagBytes);
  return made === null ? fails("OperationError", "Decryption failed") : TypedArrayPrototypeGetBuffer(made);
}

// --- derived bits -----------------------------------------------------------------------------------------------------

// Answers bytes. `length` is in bits, null for all there are.
async function derive(receiver, said, algorithm, key, length) {
  if (said.name === "PBKDF2" || said.name === "HKDF") return await stretch(receiver, said.name, algorithm, key, length);
  if (said.name !== "ECDH" && said.name !== "X25519") fails("NotSupportedError", `${said.name} derives no bits.`);
  const theirs = isObject(algorithm) ? algorithm.public : undefined;
  if (!isObject(theirs) || !isKey(CryptoKey, theirs)) throw new TypeError('Missing field "public" in "algorithm".');
  const other = about(theirs);
  if (other.type !== "public") fails("InvalidAccessError", "The other side's key must be a public one.");
  if (other.name !== said.name || other.curve !== said.curve) fails("InvalidAccessError", "The two keys are not of the same algorithm and curve.");
  const bits = await natively(false, native.deriveBits, receiver, [{ __proto__: null, name: said.name, public: theirs }, key, null]);
  const all = new Uint8Array(bits);
  if (length === null) return all;
  if (length > all.length * 8) fails("OperationError", `There are ${all.length * 8} bits, not ${length}.`);
  const made = copyOfBytes(part(all, 0, MathCeil(length / 8)));
  if (length % 8 !== 0) made[made.length - 1] &= 0xff << (8 - length % 8);
  return made;
}

async function stretch(receiver, name, algorithm, key, length) {
  const hash = hashOf(algorithm);
  const salt = bytesField(algorithm, "salt");
  const info = name === "HKDF" ? bytesField(algorithm, "info") : undefined;
  const iterations = name === "HKDF" ? 1 : numberOf(algorithm, "iterations");
  if (length === null || length === 0 || length % 8 !== 0) {
    fails("OperationError", `${name} derives whole bytes, at least one, not ${length} bits.`);
  }
  const bytes = length / 8;
  const blocks = MathCeil(bytes / HASH_BYTES[hash]);
  if (name === "HKDF") {
    if (blocks > HKDF_BLOCKS_MAX) fails("OperationError", `HKDF with ${hash} derives up to ${HKDF_BLOCKS_MAX * HASH_BYTES[hash]} bytes.`);
    if (hash === "MD5") return old().hkdf(material(key), salt, info, bytes);
    const parameters = { __proto__: null, name, hash, salt, info };
    return new Uint8Array(await natively(false, native.deriveBits, receiver, [parameters, key, length]));
  }
  if (iterations === 0) fails("OperationError", "PBKDF2 needs at least one iteration.");
  const rounds = iterations * blocks;
  if (rounds > limits.pbkdf2_rounds_max) {
    fails("OperationError", `PBKDF2 would take ${rounds} rounds; the limit is ${limits.pbkdf2_rounds_max} (pbkdf2_rounds_max).`);
  }
  const isSlow = rounds >= MANY_ROUNDS;
  // own: a script.
  if (hash === "MD5") return new Uint8Array(await old().pbkdf2(isSlow, material(key), salt, iterations, bytes));
  const parameters = { __proto__: null, name, hash, salt, iterations };
  return new Uint8Array(await natively(isSlow, native.deriveBits, receiver, [parameters, key, length]));
}

// How many bits a key of this kind is made of, and what its import is to be told; null for as many as there are.
function wanted(type) {
  const name = keyAlgorithm(type);
  if (name === "PBKDF2" || name === "HKDF") return { bits: null, as: { __proto__: null, name } };
  if (name === "HMAC") {
    const hash = hashOf(type);
    const length = numberOf(type, "length", false) ?? BLOCK_BITS[hash];
    if (length === 0) fails("OperationError", "A key for HMAC cannot be empty.");
    return { bits: length, as: { __proto__: null, name, hash, length } };
  }
  if (name !== "AES-CBC" && name !== "AES-CTR" && name !== "AES-GCM" && name !== "AES-KW") {
    fails("NotSupportedError", `A key for ${name} cannot be derived.`);
  }
  const length = numberOf(type, "length");
  if (length !== 128 && length !== 192 && length !== 256) fails("OperationError", `A key for ${name} cannot have ${length} bits.`);
  return { bits: length, as: { __proto__: null, name } };
}

// --- wrapped keys -----------------------------------------------------------------------------------------------------

// deno_crypto wraps keys with AES-KW, not bytes; a key for HMAC may be any bytes.
async function wrapBytes(receiver, key, bytes) {
  if (bytes.length < KEY_WRAP_BYTES_MIN || bytes.length % KEY_WRAP_STEP_BYTES !== 0) {
    fails("OperationError", `AES-KW wraps 16 bytes or more in steps of ${KEY_WRAP_STEP_BYTES}, not ${bytes.length}.`);
  }
  const carrier = importKey("raw", bytes, { __proto__: null, name: "HMAC", hash: "SHA-1" }, true, ["sign"]);
  return await natively(isLarge(bytes), native.wrapKey, receiver, ["raw", carrier, key, { __proto__: null, name: "AES-KW" }]);
}

async function unwrapBytes(receiver, key, bytes) {
  const carrier = { __proto__: null, name: "HMAC", hash: "SHA-1" };
  const values = ["raw", bytes, key, { __proto__: null, name: "AES-KW" }, carrier, true, ["sign"]];
  return material(await natively(isLarge(bytes), native.unwrapKey, receiver, values));
}

function readJwk(bytes) {
  try {
    return jwkOf(JSONParse(core.decode(bytes)));
  } catch {
    return fails("DataError", "What was unwrapped is no JSON Web Key.");
  }
}

function timingSafe(one, other) {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let i = 0; i < one.length; i++) difference |= one[i] ^ other[i];
  return difference === 0;
}

const keyData = (format, data) => format === "jwk" ? jwkOf(data) : copyOf(data, "The key");

const methods = {
  __proto__: null,
  async digest(algorithm, data) {
    check(this);
    const name = hashNamed(algorithm);
    const bytes = copyOf(data, "The data");
    if (name === "MD5") return TypedArrayPrototypeGetBuffer(old().digest(bytes));
    return await natively(isLarge(bytes), native.digest, this, [{ __proto__: null, name }, bytes]);
  },
  async sign(algorithm, key, data) {
    check(this);
    return await sign(this, algorithm, key, copyOf(data, "The data"));
  },
  async verify(algorithm, key, signature, data) {
    check(this);
    return await verify(this, algorithm, key, copyOf(signature, "The signature"), copyOf(data, "The data"));
  },
  async encrypt(algorithm, key, data) {
    check(this);
    const said = used(key, "encrypt", (name) => isNamed(algorithm, name));
    return await cipher(this, "encrypt", said, algorithm, key, copyOf(data, "The data"));
  },
  async decrypt(algorithm, key, data) {
    check(this);
    const said = used(key, "decrypt", (name) => isNamed(algorithm, name));
    return await cipher(this, "decrypt", said, algorithm, key, copyOf(data, "The data"));
  },
  async deriveBits(algorithm, baseKey, length = null) {
    check(this);
    const said = used(baseKey, "deriveBits", (name) => isNamed(algorithm, name));
    const bits = length === null ? null : +length >>> 0;
    return bufferOf(await derive(this, said, algorithm, baseKey, bits));
  },
  async deriveKey(algorithm, baseKey, derivedKeyType, extractable, keyUsages) {
    check(this);
    const said = used(baseKey, "deriveKey", (name) => isNamed(algorithm, name));
    const usages = usagesOf(keyUsages);
    const { bits, as } = wanted(derivedKeyType);
    return importKey("raw", await derive(this, said, algorithm, baseKey, bits), as, !!extractable, usages);
  },
  async generateKey(algorithm, extractable, keyUsages) {
    check(this);
    return await makeKey(this, algorithm, !!extractable, keyUsages);
  },
  async importKey(format, data, algorithm, extractable, keyUsages) {
    check(this);
    const asked = String(format);
    const usages = usagesOf(keyUsages);
    return importKey(asked, keyData(asked, data), algorithm, !!extractable, usages);
  },
  async exportKey(format, key) {
    check(this);
    return await keyOut(this, String(format), key);
  },
  async wrapKey(format, key, wrappingKey, wrapAlgorithm) {
    check(this);
    const asked = String(format);
    const said = used(wrappingKey, "wrapKey", (name) => isNamed(wrapAlgorithm, name));
    const out = await keyOut(this, asked, key);
    const bytes = asked === "jwk" ? core.encode(JSONStringify(out)) : bytesOf(out);
    if (said.name === "AES-KW") return await wrapBytes(this, wrappingKey, bytes);
    return await cipher(this, "encrypt", said, wrapAlgorithm, wrappingKey, bytes);
  },
  async unwrapKey(format, wrappedKey, unwrappingKey, unwrapAlgorithm, unwrappedKeyAlgorithm, extractable, keyUsages) {
    check(this);
    const asked = String(format);
    const usages = usagesOf(keyUsages);
    const bytes = copyOf(wrappedKey, "The wrapped key");
    const said = used(unwrappingKey, "unwrapKey", (name) => isNamed(unwrapAlgorithm, name));
    const out = said.name === "AES-KW"
      ? await unwrapBytes(this, unwrappingKey, bytes)
      : new Uint8Array(await cipher(this, "decrypt", said, unwrapAlgorithm, unwrappingKey, bytes));
    return importKey(asked, asked === "jwk" ? readJwk(out) : out, unwrappedKeyAlgorithm, !!extractable, usages);
  },
};

for (const name in methods) {
  ObjectDefineProperty(SubtleCrypto.prototype, name, {
    __proto__: null, configurable: true, enumerable: true, writable: true, value: methods[name],
  });
}
// What Workers do not have.
for (const name in { __proto__: null, decapsulateBits: 0, decapsulateKey: 0, encapsulateBits: 0, encapsulateKey: 0, getPublicKey: 0 }) {
  delete SubtleCrypto.prototype[name];
}

return { importKey, keyData, material, usagesOf };
};
})();
