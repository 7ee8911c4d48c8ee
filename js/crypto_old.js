// What Workers do with old hashes and deno_crypto does not, through the ops of node:crypto: MD5 as a hash, for HMAC, RSA and derived
// keys, and SHA-1 with P-384. Its ops are made when a room first asks for them, because only old services need them.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { TypedArrayPrototypeFill, TypedArrayPrototypeSet, Uint8Array } = primordials;
const { inLane } = core.loadExtScript("ext:partyrun/lanes.js");
const ops = core.loadExtScript("ext:partyrun/node/ops.js");

const BLOCK_BYTES = 64;
// OpenSSL's numbers of the paddings.
const PKCS1 = 1;
const OAEP = 4;
const PSS = 6;
// Node's number of the form of signatures that WebCrypto has.
const P1363 = 1;
// A digest for P-384 must be half as long as the curve's numbers.
const P384_DIGEST_BYTES_MIN = 24;

function digestOf(name, ...parts) {
  const hash = ops.op_node_create_hash(name);
  for (let i = 0; i < parts.length; i++) ops.op_node_hash_update(hash, parts[i]);
  return new Uint8Array(ops.op_node_hash_digest(hash));
}

const digest = (data) => digestOf("md5", data);

// RFC 2104.
function hmac(key, data) {
  const start = key.length > BLOCK_BYTES ? digest(key) : key;
  const inner = new Uint8Array(BLOCK_BYTES);
  const outer = new Uint8Array(BLOCK_BYTES);
  TypedArrayPrototypeFill(inner, 0x36);
  TypedArrayPrototypeFill(outer, 0x5c);
  for (let i = 0; i < start.length; i++) {
    inner[i] ^= start[i];
    outer[i] ^= start[i];
  }
  return digestOf("md5", outer, digestOf("md5", inner, data));
}

// `key` is PKCS#8; without `saltLength` the signature is RSASSA-PKCS1-v1_5.
function sign(key, data, saltLength) {
  const handle = ops.op_node_create_private_key(key, "der", "pkcs8", null);
  const made = ops.op_node_sign(handle, digest(data), "md5", saltLength ?? null, saltLength === undefined ? PKCS1 : PSS, 0);
  return new Uint8Array(made);
}

// `key` is SPKI.
function verify(key, signature, data, saltLength) {
  const handle = ops.op_node_create_public_key(key, "der", "spki", null);
  return ops.op_node_verify(handle, digest(data), "md5", signature, saltLength ?? null, saltLength === undefined ? PKCS1 : PSS, 0);
}

// Zeros in front do not change the number that a digest stands for.
function longer(digest) {
  const made = new Uint8Array(P384_DIGEST_BYTES_MIN);
  TypedArrayPrototypeSet(made, digest, P384_DIGEST_BYTES_MIN - digest.length);
  return made;
}

function signSha1P384(key, data) {
  const handle = ops.op_node_create_private_key(key, "der", "pkcs8", null);
  return new Uint8Array(ops.op_node_sign(handle, longer(digestOf("sha1", data)), "sha1", null, null, P1363));
}

function verifySha1P384(key, signature, data) {
  const handle = ops.op_node_create_public_key(key, "der", "spki", null);
  return ops.op_node_verify(handle, longer(digestOf("sha1", data)), "sha1", signature, null, null, P1363);
}

const seal = (key, data, label) => ops.op_node_public_encrypt(key, data, OAEP, "md5", label ?? null);
const open = (key, data, label) => ops.op_node_private_decrypt(key, data, OAEP, "md5", label ?? null);

const pbkdf2 = (isSlow, password, salt, iterations, bytes) =>
  inLane(isSlow, ops.op_node_pbkdf2_async, undefined, [password, salt, iterations, "md5", bytes]);

function hkdf(secret, salt, info, bytes) {
  const made = new Uint8Array(bytes);
  ops.op_node_hkdf("md5", ops.op_node_create_secret_key(secret), salt, info, made);
  return made;
}

return { digest, hkdf, hmac, open, pbkdf2, seal, sign, signSha1P384, verify, verifySha1P384 };
})();
