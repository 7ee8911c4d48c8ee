// The algorithms of WebCrypto in Workers. Reads what user code passes as an algorithm once, before anything is computed, and turns
// it into plain values under the names of the standard.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypeIncludes, ArrayPrototypePush, ObjectPrototypeIsPrototypeOf, SafeArrayIterator, String,
  StringPrototypeToUpperCase, TypeError } = primordials;
const { bytesOf, copyOf: copyOfBytes, isBinary } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");

const NAMES = { __proto__: null };
for (const name of new SafeArrayIterator([
  "AES-CBC", "AES-CTR", "AES-GCM", "AES-KW", "HMAC", "RSASSA-PKCS1-v1_5", "RSA-PSS", "RSA-OAEP", "ECDSA", "ECDH", "Ed25519",
  "NODE-ED25519", "X25519", "PBKDF2", "HKDF",
])) NAMES[StringPrototypeToUpperCase(name)] = name;

// The hashes with the length of a block in bits, which is the length of an HMAC's key if nothing else is said.
const BLOCK_BITS = { __proto__: null, MD5: 512, "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024 };
const CURVES = ["P-256", "P-384", "P-521"];

// What keys may be used for: secret ones, or the private and the public half.
const USAGES = {
  __proto__: null,
  "AES-CBC": [["encrypt", "decrypt", "wrapKey", "unwrapKey"]],
  "AES-CTR": [["encrypt", "decrypt", "wrapKey", "unwrapKey"]],
  "AES-GCM": [["encrypt", "decrypt", "wrapKey", "unwrapKey"]],
  "AES-KW": [["wrapKey", "unwrapKey"]],
  HMAC: [["sign", "verify"]],
  PBKDF2: [["deriveKey", "deriveBits"]],
  HKDF: [["deriveKey", "deriveBits"]],
  "RSASSA-PKCS1-v1_5": [["sign"], ["verify"]],
  "RSA-PSS": [["sign"], ["verify"]],
  "RSA-OAEP": [["decrypt", "unwrapKey"], ["encrypt", "wrapKey"]],
  ECDSA: [["sign"], ["verify"]],
  ECDH: [["deriveKey", "deriveBits"], []],
  Ed25519: [["sign"], ["verify"]],
  "NODE-ED25519": [["sign"], ["verify"]],
  X25519: [["deriveKey", "deriveBits"], []],
};
const ALL_USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];

const fails = (name, message) => {
  throw new DOMException(message, name);
};

function isObject(value) {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** A copy of the bytes that user code passed as `what`. */
function copyOf(data, what) {
  const bytes = bytesOf(data);
  if (bytes === null) throw new TypeError(`${what} must be an ArrayBuffer or a view of one.`);
  return copyOfBytes(bytes);
}

function nameOf(algorithm) {
  if (typeof algorithm === "string") return algorithm;
  const name = isObject(algorithm) ? algorithm.name : undefined;
  if (name === undefined) throw new TypeError("An algorithm must be a string or an object with a `name`.");
  return String(name);
}

/** The name of an algorithm for keys, in its own spelling. */
function keyAlgorithm(algorithm) {
  const asked = nameOf(algorithm);
  return NAMES[StringPrototypeToUpperCase(asked)] ?? fails("NotSupportedError", `Unrecognized key algorithm "${asked}" requested.`);
}

/** Whether `algorithm` names the algorithm of a key. */
function isNamed(algorithm, name) {
  return StringPrototypeToUpperCase(nameOf(algorithm)) === StringPrototypeToUpperCase(name);
}

function hashNamed(algorithm) {
  const asked = nameOf(algorithm);
  const name = StringPrototypeToUpperCase(asked);
  if (BLOCK_BITS[name] === undefined) {
    fails("NotSupportedError", `Unrecognized or unimplemented digest algorithm requested: "${asked}".`);
  }
  return name;
}

/** The hash that is a parameter of `algorithm`. */
function hashOf(algorithm) {
  const hash = isObject(algorithm) ? algorithm.hash : undefined;
  if (hash === undefined) throw new TypeError('Missing field "hash" in "algorithm".');
  return hashNamed(hash);
}

function curveOf(algorithm) {
  const curve = isObject(algorithm) ? algorithm.namedCurve : undefined;
  if (curve === undefined) throw new TypeError('Missing field "namedCurve" in "algorithm".');
  const name = StringPrototypeToUpperCase(String(curve));
  return ArrayPrototypeIncludes(CURVES, name) ? name : fails("NotSupportedError", `Unrecognized curve "${curve}" requested.`);
}

// NODE-ED25519 wants to be told its curve, which has no other name.
function checkNodeCurve(algorithm) {
  const curve = isObject(algorithm) ? algorithm.namedCurve : undefined;
  if (curve === undefined) throw new TypeError('Missing field "namedCurve" in "algorithm".');
  if (String(curve) !== "NODE-ED25519") fails("NotSupportedError", `Unrecognized curve "${curve}" requested.`);
}

/** A whole number of 32 bits; undefined if there is none and none is needed. */
function numberOf(algorithm, field, isNeeded = true) {
  const value = isObject(algorithm) ? algorithm[field] : undefined;
  if (value === undefined) {
    if (isNeeded) throw new TypeError(`Missing field "${field}" in "algorithm".`);
    return undefined;
  }
  return +value >>> 0;
}

function bytesField(algorithm, field, isNeeded = true) {
  const value = isObject(algorithm) ? algorithm[field] : undefined;
  if (value === undefined) {
    if (isNeeded) throw new TypeError(`Missing field "${field}" in "algorithm".`);
    return undefined;
  }
  return copyOf(value, `The field "${field}"`);
}

/** What is in both lists, in the order of the first one. */
function inBoth(list, other) {
  const both = [];
  for (let i = 0; i < list.length; i++) {
    if (ArrayPrototypeIncludes(other, list[i])) ArrayPrototypePush(both, list[i]);
  }
  return both;
}

/** The usages in their own order, each once. */
function usagesOf(list) {
  if (!isObject(list)) throw new TypeError("The usages of a key must be a list.");
  const asked = [];
  // user code: its list is read as it says it is to be read.
  for (const usage of list) ArrayPrototypePush(asked, String(usage));
  for (let i = 0; i < asked.length; i++) {
    if (!ArrayPrototypeIncludes(ALL_USAGES, asked[i])) fails("SyntaxError", `Unrecognized key usage "${asked[i]}".`);
  }
  return inBoth(ALL_USAGES, asked);
}

function checkUsages(asked, allowed, name) {
  for (let i = 0; i < asked.length; i++) {
    if (!ArrayPrototypeIncludes(allowed, asked[i])) fails("SyntaxError", `A key for ${name} cannot be used for "${asked[i]}".`);
  }
}

const JWK_TEXTS = ["kty", "use", "alg", "k", "crv", "x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi"];

/** A copy of a JSON web key, with the fields that mean something. */
function jwkOf(data) {
  if (!isObject(data) || isBinary(data)) {
    throw new TypeError("A key in the format \"jwk\" must be an object.");
  }
  // An ordinary object, because deno_crypto asks it which fields are its own.
  const copy = {};
  for (let i = 0; i < JWK_TEXTS.length; i++) {
    const value = data[JWK_TEXTS[i]];
    if (value !== undefined) copy[JWK_TEXTS[i]] = String(value);
  }
  if (data.ext !== undefined) copy.ext = !!data.ext;
  if (data.key_ops !== undefined) {
    copy.key_ops = [];
    // user code: as above.
    for (const usage of data.key_ops) ArrayPrototypePush(copy.key_ops, String(usage));
  }
  return copy;
}

const isKey = (CryptoKey, value) => ObjectPrototypeIsPrototypeOf(CryptoKey.prototype, value);

return { BLOCK_BITS, bytesField, bytesOf, checkNodeCurve, checkUsages, copyOf, curveOf, fails, hashNamed, hashOf, inBoth, isKey, isNamed,
  isObject, jwkOf, keyAlgorithm, numberOf, USAGES, usagesOf };
})();
