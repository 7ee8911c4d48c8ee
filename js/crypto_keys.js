// Makes, imports and exports keys of WebCrypto. deno_crypto keeps the material in a CryptoKey of its own, which may be used for
// everything that its algorithm can do. What the key says about itself (`about`) is kept here, and decides what it may be used for.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypeIncludes, ArrayPrototypePushApply, MathCeil, ObjectDefineProperty, ObjectFreeze,
  ObjectGetOwnPropertyDescriptor, ObjectPrototypeIsPrototypeOf, ReflectApply, SafeArrayIterator, SafeWeakMap, String, StringPrototypeReplaceAll, StringPrototypeSlice,
  TypedArrayPrototypeGetBuffer, TypeError, Uint8Array,
  WeakMapPrototypeGet, WeakMapPrototypeSet } = primordials;
const { BLOCK_BITS, bytesField, checkNodeCurve, checkUsages, curveOf, fails, hashOf, inBoth, isKey, isObject, keyAlgorithm, numberOf,
  USAGES, usagesOf } = core.loadExtScript("ext:partyrun/crypto_algorithms.js");
const { copyOf, part } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { forgivingBase64Encode, forgivingBase64Decode } = core.loadExtScript("ext:deno_web/00_infra.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { inLane } = core.loadExtScript("ext:partyrun/lanes.js");
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");

const RANDOM_BYTES_MAX = 65536;
const RSA_BITS_MIN = 512;
const RSA_STEP_BITS = 128;
const EXPONENT_BYTES_MAX = 4;

const isRsa = (name) => name === "RSASSA-PKCS1-v1_5" || name === "RSA-PSS" || name === "RSA-OAEP";
const isElliptic = (name) => name === "ECDSA" || name === "ECDH";
// deno_crypto knows no MD5 and no NODE-ED25519: such keys are of another name there.
const nativeHash = (hash) => hash === "MD5" ? "SHA-256" : hash;
const nativeName = (name) => name === "NODE-ED25519" ? "Ed25519" : name;

return function keysOf(web) {
const { CryptoKey } = web;
const { exportNodeMaterial, importSync } = CryptoKey;
const { exportKey, generateKey } = web.SubtleCrypto.prototype;
const { getRandomValues } = web.Crypto.prototype;
const getter = (name) => ObjectGetOwnPropertyDescriptor(CryptoKey.prototype, name).get;
const getters = { __proto__: null };
for (const name of new SafeArrayIterator(["type", "extractable", "algorithm", "usages"])) getters[name] = getter(name);

const known = new SafeWeakMap();

function describe(key, algorithm, usages) {
  WeakMapPrototypeSet(known, key, { __proto__: null, algorithm: ObjectFreeze(algorithm), usages: ObjectFreeze(usages) });
  return key;
}

for (const name of new SafeArrayIterator(["algorithm", "usages"])) {
  const descriptor = ObjectGetOwnPropertyDescriptor(CryptoKey.prototype, name);
  const own = ObjectGetOwnPropertyDescriptor({ get [name]() {
    return WeakMapPrototypeGet(known, this)?.[name] ?? ReflectApply(descriptor.get, this, []);
  } }, name);
  ObjectDefineProperty(CryptoKey.prototype, name, { ...descriptor, __proto__: null, get: own.get });
}

/** What there is to know of a key: name, hash, curve, usages, type, extractable. */
function about(key) {
  if (!isObject(key) || !isKey(CryptoKey, key)) throw new TypeError("A key must be a CryptoKey.");
  const said = WeakMapPrototypeGet(known, key);
  const algorithm = said?.algorithm ?? ReflectApply(getters.algorithm, key, []);
  return {
    __proto__: null,
    name: algorithm.name,
    hash: algorithm.hash?.name,
    curve: algorithm.namedCurve,
    bits: algorithm.length ?? algorithm.modulusLength,
    usages: said?.usages ?? ReflectApply(getters.usages, key, []),
    type: ReflectApply(getters.type, key, []),
    extractable: ReflectApply(getters.extractable, key, []),
  };
}

/** The bytes of a key: of a secret one as they are, else PKCS#8 or SPKI. */
const material = (key) => exportNodeMaterial(key).data;

/** Does native work, whose failures all have one name. */
async function natively(isSlow, native, receiver, values) {
  try {
    return await inLane(isSlow, native, receiver, values);
  } catch (error) {
    if (isObject(error) && ObjectPrototypeIsPrototypeOf(DOMException.prototype, error) && error.name === "OperationError") throw error;
    fails("OperationError", String(error?.message ?? error));
  }
}

// --- secret keys ------------------------------------------------------------------------------------------------------

function secretKey(name, bytes, extractable, usages, hash, bits) {
  const native = { __proto__: null, name };
  if (name === "HMAC") native.hash = nativeHash(hash);
  const key = importSync("raw", bytes, native, extractable, USAGES[name][0]);
  const algorithm = name === "HMAC"
    ? { name, hash: ObjectFreeze({ name: hash }), length: bits }
    : name === "PBKDF2" || name === "HKDF" ? { name } : { name, length: bytes.length * 8 };
  return describe(key, algorithm, usages);
}

function jwkAlgorithm(name, hash, bits) {
  switch (name) {
    case "HMAC":
      return hash === "MD5" ? null : "HS" + hashNumber(hash);
    case "RSASSA-PKCS1-v1_5":
      return hash === "MD5" ? null : "RS" + hashNumber(hash);
    case "RSA-PSS":
      return hash === "MD5" ? null : "PS" + hashNumber(hash);
    case "RSA-OAEP":
      return hash === "MD5" ? null : hash === "SHA-1" ? "RSA-OAEP" : "RSA-OAEP-" + hashNumber(hash);
    case "Ed25519":
      return "EdDSA";
    case "AES-CBC":
    case "AES-CTR":
    case "AES-GCM":
    case "AES-KW":
      return `A${bits}${StringPrototypeSlice(name, 4)}`;
    default:
      return undefined;
  }
}
const hashNumber = (hash) => StringPrototypeSlice(hash, 4);

const toBase64Url = (bytes) =>
  StringPrototypeReplaceAll(StringPrototypeReplaceAll(StringPrototypeReplaceAll(forgivingBase64Encode(bytes), "+", "-"), "/", "_"), "=", "");

function fromBase64Url(text) {
  try {
    return forgivingBase64Decode(StringPrototypeReplaceAll(StringPrototypeReplaceAll(text, "-", "+"), "_", "/"));
  } catch {
    fails("DataError", "A field of the JSON Web Key is not valid base64url.");
  }
}

function secretOfJwk(jwk, name, hash, usages) {
  if (jwk.kty !== "oct") fails("DataError", `A JSON Web Key for ${name} must have the "kty" "oct", not "${jwk.kty}".`);
  if (jwk.k === undefined) fails("DataError", 'The JSON Web Key has no "k".');
  const bytes = fromBase64Url(jwk.k);
  if (jwk.alg !== undefined && jwk.alg !== jwkAlgorithm(name, hash, bytes.length * 8)) {
    fails("DataError", `The JSON Web Key's "alg" "${jwk.alg}" is not that of the algorithm.`);
  }
  if (name !== "HMAC" && jwk.key_ops !== undefined) {
    for (let i = 0; i < usages.length; i++) {
      if (!ArrayPrototypeIncludes(jwk.key_ops, usages[i])) fails("DataError", `The JSON Web Key's "key_ops" lack "${usages[i]}".`);
    }
  }
  return bytes;
}

function importSecret(name, format, data, algorithm, extractable, usages) {
  const hash = name === "HMAC" ? hashOf(algorithm) : undefined;
  checkUsages(usages, USAGES[name][0], name);
  if (usages.length === 0) fails("SyntaxError", "A secret key must have a usage.");
  if (format !== "raw" && format !== "jwk") fails("NotSupportedError", `Keys for ${name} cannot be imported as "${format}".`);
  const bytes = format === "raw" ? data : secretOfJwk(data, name, hash, usages);
  if (name !== "HMAC") {
    if (bytes.length !== 16 && bytes.length !== 24 && bytes.length !== 32) {
      fails("DataError", `A key for ${name} must have 128, 192 or 256 bits, not ${bytes.length * 8}.`);
    }
    return secretKey(name, bytes, extractable, usages);
  }
  const bits = numberOf(algorithm, "length", false) ?? bytes.length * 8;
  if (bits === 0 || bits > bytes.length * 8 || bits <= bytes.length * 8 - 8) {
    fails("DataError", `A key of ${bytes.length} bytes cannot have a length of ${bits} bits.`);
  }
  return secretKey(name, bytes, extractable, usages, hash, bits);
}

function importBase(name, format, data, extractable, usages) {
  if (extractable) fails("SyntaxError", `A key for ${name} cannot be extractable.`);
  if (format !== "raw") fails("NotSupportedError", `Keys for ${name} cannot be imported as "${format}".`);
  checkUsages(usages, USAGES[name][0], name);
  if (usages.length === 0) fails("SyntaxError", "A secret key must have a usage.");
  return secretKey(name, data, false, usages);
}

// --- pairs ------------------------------------------------------------------------------------------------------------

function rsaAlgorithm(key, name, hash) {
  const { modulusLength, publicExponent } = ReflectApply(getters.algorithm, key, []);
  if (modulusLength > limits.rsa_bits_max) {
    fails("OperationError", `The RSA key has ${modulusLength} bits; the limit is ${limits.rsa_bits_max} (rsa_bits_max).`);
  }
  if (publicExponent.length > EXPONENT_BYTES_MAX) fails("OperationError", "The RSA key's public exponent is too large.");
  return { name, modulusLength, publicExponent: copyOf(publicExponent), hash: ObjectFreeze({ name: hash }) };
}

const KEY_TYPES = { __proto__: null, ECDSA: "EC", ECDH: "EC", Ed25519: "OKP", "NODE-ED25519": "OKP", X25519: "OKP" };
const PARTS = ["crv", "x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi"];
const SIGNING_CURVES = { __proto__: null, "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

// Looks at what a JSON Web Key says beside the numbers, and answers the numbers.
function pairOfJwk(jwk, name, hash, curve) {
  const type = KEY_TYPES[name] ?? "RSA";
  if (jwk.kty !== type) fails("DataError", `A JSON Web Key for ${name} must have the "kty" "${type}", not "${jwk.kty}".`);
  const expected = name === "ECDSA" ? SIGNING_CURVES[jwk.crv] : name === "NODE-ED25519" ? "EdDSA" : jwkAlgorithm(name, hash);
  if (jwk.alg !== undefined && expected !== undefined && jwk.alg !== expected) {
    fails("DataError", `The JSON Web Key's "alg" "${jwk.alg}" is not that of the algorithm.`);
  }
  if (curve !== undefined && jwk.crv !== curve) {
    fails(SIGNING_CURVES[jwk.crv] === undefined ? "DataError" : "OperationError", `The JSON Web Key is of the curve "${jwk.crv}".`);
  }
  const parts = { kty: type };
  for (let i = 0; i < PARTS.length; i++) {
    if (jwk[PARTS[i]] !== undefined) parts[PARTS[i]] = jwk[PARTS[i]];
  }
  return parts;
}

function importPair(name, format, data, algorithm, extractable, usages) {
  const hash = isRsa(name) ? hashOf(algorithm) : undefined;
  const curve = isElliptic(name) ? curveOf(algorithm) : undefined;
  if (name === "NODE-ED25519") checkNodeCurve(algorithm);
  if ((format === "raw" && isRsa(name)) || !ArrayPrototypeIncludes(["raw", "jwk", "spki", "pkcs8"], format)) {
    fails("NotSupportedError", `Keys for ${name} cannot be imported as "${format}".`);
  }
  const isPrivate = format === "pkcs8" || (format === "jwk" && data.d !== undefined);
  const allowed = USAGES[name][isPrivate ? 0 : 1];
  let parts = data;
  if (format === "jwk") parts = pairOfJwk(data, name, hash, undefined);
  if (format === "raw" || format === "jwk") checkUsages(usages, allowed, name);
  if (format === "jwk") parts = pairOfJwk(data, name, hash, curve);
  const native = { __proto__: null, name: nativeName(name) };
  if (hash !== undefined) native.hash = nativeHash(hash);
  if (curve !== undefined) native.namedCurve = curve;
  let key;
  try {
    key = importSync(format, parts, native, extractable, allowed);
  } catch (error) {
    fails("DataError", String(error?.message ?? error));
  }
  checkUsages(usages, allowed, name);
  if (isPrivate && usages.length === 0) fails("SyntaxError", "A private key must have a usage.");
  if (hash !== undefined) return describe(key, rsaAlgorithm(key, name, hash), usages);
  return describe(key, pairAlgorithm(name, curve), usages);
}

function pairAlgorithm(name, curve) {
  if (name === "NODE-ED25519") return { name, namedCurve: name };
  return curve === undefined ? { name } : { name, namedCurve: curve };
}

/** Makes a key from `data`, a copy of bytes or what `jwkOf` made of a JSON Web Key. */
function importKey(format, data, algorithm, extractable, usages) {
  const name = keyAlgorithm(algorithm);
  if (format === "jwk" && extractable && data.ext === false) fails("DataError", "The JSON Web Key is not extractable.");
  if (name === "PBKDF2" || name === "HKDF") return importBase(name, format, data, extractable, usages);
  if (USAGES[name].length === 1) return importSecret(name, format, data, algorithm, extractable, usages);
  return importPair(name, format, data, algorithm, extractable, usages);
}

// --- making -----------------------------------------------------------------------------------------------------------

function randomBytes(count) {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += RANDOM_BYTES_MAX) {
    ReflectApply(getRandomValues, web.crypto, [part(bytes, at, at + RANDOM_BYTES_MAX)]);
  }
  return bytes;
}

function rsaParameters(name, algorithm) {
  const modulusLength = numberOf(algorithm, "modulusLength");
  const publicExponent = bytesField(algorithm, "publicExponent");
  const hash = hashOf(algorithm);
  if (modulusLength < RSA_BITS_MIN || modulusLength % RSA_STEP_BITS !== 0) {
    fails("OperationError", `RSA keys cannot have ${modulusLength} bits: take ${RSA_BITS_MIN} or more, in steps of ${RSA_STEP_BITS}.`);
  }
  if (modulusLength > limits.rsa_generated_bits_max) {
    fails("OperationError",
      `RSA keys of ${modulusLength} bits are not generated; the limit is ${limits.rsa_generated_bits_max} (rsa_generated_bits_max).`);
  }
  let at = 0;
  while (publicExponent[at] === 0) at++;
  const digits = copyOf(part(publicExponent, at, publicExponent.length));
  const is3 = digits.length === 1 && digits[0] === 3;
  const isF4 = digits.length === 3 && digits[0] === 1 && digits[1] === 0 && digits[2] === 1;
  if (!is3 && !isF4) fails("OperationError", "The public exponent of an RSA key must be 3 or 65537.");
  return {
    native: { __proto__: null, name, modulusLength, publicExponent: digits, hash: nativeHash(hash) },
    said: () => ({ name, modulusLength, publicExponent: copyOf(publicExponent), hash: ObjectFreeze({ name: hash }) }),
  };
}

function pairParameters(name, algorithm) {
  if (isRsa(name)) return rsaParameters(name, algorithm);
  if (name === "NODE-ED25519") checkNodeCurve(algorithm);
  const curve = isElliptic(name) ? curveOf(algorithm) : undefined;
  const native = { __proto__: null, name: nativeName(name) };
  if (curve !== undefined) native.namedCurve = curve;
  return { native, said: () => pairAlgorithm(name, curve) };
}

function generateSecret(name, algorithm, extractable, usages) {
  const hash = name === "HMAC" ? hashOf(algorithm) : undefined;
  const bits = numberOf(algorithm, "length", name !== "HMAC") ?? BLOCK_BITS[hash];
  if (name !== "HMAC" && bits !== 128 && bits !== 192 && bits !== 256) {
    fails("OperationError", `A key for ${name} must have 128, 192 or 256 bits, not ${bits}.`);
  }
  if (bits === 0) fails("OperationError", "A key for HMAC cannot be empty.");
  checkUsages(usages, USAGES[name][0], name);
  if (usages.length === 0) fails("SyntaxError", "A secret key must have a usage.");
  return secretKey(name, randomBytes(MathCeil(bits / 8)), extractable, usages, hash, bits);
}

async function makeKey(receiver, algorithm, extractable, list) {
  const name = keyAlgorithm(algorithm);
  const usages = usagesOf(list);
  if (name === "PBKDF2" || name === "HKDF") fails("NotSupportedError", `Keys for ${name} are imported, not generated.`);
  const halves = USAGES[name];
  if (halves.length === 1) return generateSecret(name, algorithm, extractable, usages);
  const { native, said } = pairParameters(name, algorithm);
  const all = [];
  for (let i = 0; i < 2; i++) ArrayPrototypePushApply(all, halves[i]);
  checkUsages(usages, all, name);
  const ofPrivate = inBoth(usages, halves[0]);
  const ofPublic = inBoth(usages, halves[1]);
  if (ofPrivate.length === 0) fails("SyntaxError", "A private key must have a usage.");
  const pair = await natively(isRsa(name), generateKey, receiver, [native, extractable, all]);
  describe(pair.publicKey, said(), ofPublic);
  describe(pair.privateKey, said(), ofPrivate);
  return pair;
}

// --- out --------------------------------------------------------------------------------------------------------------

function secretOut(format, key, { name, hash, bits, usages }) {
  if (format === "raw") return TypedArrayPrototypeGetBuffer(copyOf(material(key)));
  if (format !== "jwk") fails("NotSupportedError", `Keys for ${name} cannot be exported as "${format}".`);
  const alg = jwkAlgorithm(name, hash, bits);
  if (alg === null) fails("NotSupportedError", `There is no JSON Web Key for ${name} with ${hash}.`);
  return { kty: "oct", k: toBase64Url(material(key)), alg, key_ops: inBoth(usages, usages), ext: true };
}

async function keyOut(receiver, format, key) {
  const said = about(key);
  const { name, hash, type, usages } = said;
  if (!said.extractable) fails("InvalidAccessError", "The key is not extractable.");
  if (type === "secret") return secretOut(format, key, said);
  if (format === "jwk") {
    const alg = jwkAlgorithm(name, hash);
    if (alg === null) fails("NotSupportedError", `There is no JSON Web Key for ${name} with ${hash}.`);
    const jwk = await natively(false, exportKey, receiver, ["jwk", key]);
    delete jwk.alg;
    if (alg !== undefined) jwk.alg = alg;
    jwk.key_ops = inBoth(usages, usages);
    jwk.ext = true;
    return jwk;
  }
  if (format !== "raw" && format !== "spki" && format !== "pkcs8") {
    fails("NotSupportedError", `Keys for ${name} cannot be exported as "${format}".`);
  }
  if ((format === "pkcs8") !== (type === "private") || (format === "raw" && isRsa(name))) {
    fails("InvalidAccessError", `A ${type} key for ${name} cannot be exported as "${format}".`);
  }
  return await natively(false, exportKey, receiver, [format, key]);
}

/** Checks that a key may do what `usage` says for `algorithm`, and answers what is known of it. */
function used(key, usage, isAsked) {
  const said = about(key);
  if (!isAsked(said.name)) fails("InvalidAccessError", `The key is for ${said.name}, which is not the algorithm that was asked for.`);
  if (!ArrayPrototypeIncludes(said.usages, usage)) fails("InvalidAccessError", `The key cannot be used for "${usage}".`);
  return said;
}

return { about, importKey, keyOut, makeKey, material, natively, used };
};
})();
