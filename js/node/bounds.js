// Bounds for native calls of Node's modules that watch no clock. A derived key of a billion rounds, a prime of a million bits, or a
// test of it with a million witnesses would keep the worker's thread, or a thread of the lanes, for as long as they take (the
// messages name the limits). It also decides which of these calls wait in which lane.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { MathCeil, MathTrunc, RangeError } = primordials;
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");
const { bytesOf } = core.loadExtScript("ext:partyrun/crypto_algorithms.js");

const SCRYPT_BLOCK_BYTES = 128;
const RSA_BITS_MIN = 512;
const DSA_DIVISOR_BITS_MIN = 160;
const DSA_DIVISOR_BITS_MAX = 256;
// What a private RSA key in PEM has for each byte of its modulus, beside a few lines of text.
const KEY_CHARS_PER_BYTE = 6;
const KEY_CHARS_MARGIN = 1024;
// Of the smallest hash that there is.
const HASH_BYTES_MIN = 16;

function lengthOf(data) {
  if (data === null || data === undefined) return 0;
  return typeof data === "string" ? data.length : bytesOf(data)?.length ?? 0;
}

function refuse(message) {
  const error = new RangeError(message);
  error.code = "ERR_OUT_OF_RANGE";
  throw error;
}

function within(what, value, name) {
  if (value > limits[name]) refuse(`${what} is ${value}; the limit is ${limits[name]} (${name}).`);
}

function rounds(iterations, hash, bytes) {
  const blocks = MathCeil(bytes / (core.ops.op_node_get_hash_size(hash) || HASH_BYTES_MIN));
  within("The number of PBKDF2 rounds", iterations * blocks, "pbkdf2_rounds_max");
}

function scrypt(_password, _salt, bytes, cost, blockSize, parallelization) {
  const memory = SCRYPT_BLOCK_BYTES * 2 ** cost * blockSize;
  within("The memory of scrypt in bytes", memory, "scrypt_bytes_max");
  within("The work of scrypt in bytes", memory * parallelization, "scrypt_work_bytes_max");
  within("The length of the key in bytes", bytes, "external_bytes_max");
}

const generated = (bits) => within("The length of the key in bits", bits, "rsa_generated_bits_max");

// For shorter keys and for even exponents the search for primes may never end.
function rsa(bits, exponent) {
  generated(bits);
  if (bits < RSA_BITS_MIN) refuse(`RSA keys have ${RSA_BITS_MIN} bits or more, not ${bits}.`);
  if (exponent < 3 || exponent % 2 === 0) refuse(`The public exponent of an RSA key must be odd and at least 3, not ${exponent}.`);
}

function dsa(bits, divisorBits) {
  generated(bits);
  if (bits < RSA_BITS_MIN) refuse(`DSA keys have ${RSA_BITS_MIN} bits or more, not ${bits}.`);
  if (divisorBits < DSA_DIVISOR_BITS_MIN || divisorBits > DSA_DIVISOR_BITS_MAX) {
    refuse(`The divisor of a DSA key has ${DSA_DIVISOR_BITS_MIN} to ${DSA_DIVISOR_BITS_MAX} bits, not ${divisorBits}.`);
  }
}

// The time of punycode grows with the square of the text.
const hostName = (text) => within("The length of the name in characters", lengthOf(text), "host_name_chars_max");

// There is nothing to divide by zero.
function checkPrime(prime) {
  if (prime === null || prime === undefined) return;
  const bytes = bytesOf(prime);
  let at = 0;
  while (at < bytes.length && bytes[at] === 0) at++;
  if (at === bytes.length || (at === bytes.length - 1 && bytes[at] < 3)) refuse("A Diffie-Hellman group needs a prime of at least 3.");
}
const random = (bytes) => within("The number of bytes", bytes, "external_bytes_max");
const given = (key) => within("The length of the key in bytes", lengthOf(key), "key_text_bytes_max");

// The ops that make the handle of a key from its text or its parts.
const KEY_MAKERS = ["op_node_create_private_key", "op_node_create_public_key", "op_node_create_rsa_jwk"];

function checkKey(key, detailsOf) {
  const bits = detailsOf(key)?.modulusLength;
  if (bits !== undefined) within("The length of the key in bits", bits, "rsa_bits_max");
  return key;
}

// Here the key is made from its text where it is used. A private key in PEM has six characters for eight bits of the modulus.
function used(key) {
  given(key);
  within("The length of the key in bits", MathTrunc((lengthOf(key) - KEY_CHARS_MARGIN) / KEY_CHARS_PER_BYTE) * 8, "rsa_bits_max");
}

function group(prime, bits) {
  checkPrime(prime);
  within("The length of the prime in bits", lengthOf(prime) * 8, "dh_bits_max");
  within("The length of the prime in bits", bits, "prime_bits_max");
}

function secret(prime, own, theirs) {
  checkPrime(prime);
  within("The length of the prime in bits", lengthOf(prime) * 8, "dh_bits_max");
  within("The length of the key in bits", lengthOf(own) * 8, "dh_bits_max");
  within("The length of the key in bits", lengthOf(theirs) * 8, "dh_bits_max");
}

function prime(bits, isSafe) {
  within("The length of the prime in bits", bits, isSafe ? "safe_prime_bits_max" : "prime_bits_max");
}

function test(bits, checks) {
  within("The length of the prime in bits", bits, "prime_bits_max");
  within("The number of checks", checks, "prime_checks_max");
}

const bounds = {
  __proto__: null,
  op_node_check_prime: (_number, checks) => test(64, checks),
  op_node_check_prime_async: (_number, checks) => test(64, checks),
  op_node_check_prime_bytes: (bytes, checks) => test(lengthOf(bytes) * 8, checks),
  op_node_check_prime_bytes_async: (bytes, checks) => test(lengthOf(bytes) * 8, checks),
  op_node_create_hash: (_name, bytes) => random(bytes ?? 0),
  op_node_create_private_key: given,
  op_node_create_public_key: given,
  op_node_dh_compute_secret: secret,
  op_node_dh_keys_generate_and_export: group,
  op_node_fill_random_async: random,
  op_node_gen_prime: prime,
  op_node_gen_prime_async: prime,
  op_node_generate_dh_key: group,
  op_node_generate_dh_key_async: group,
  op_node_generate_dsa_key: dsa,
  op_node_generate_dsa_key_async: dsa,
  op_node_generate_rsa_key: rsa,
  op_node_generate_rsa_key_async: rsa,
  op_node_generate_rsa_pss_key: rsa,
  op_node_generate_rsa_pss_key_async: rsa,
  op_node_generate_secret_key: random,
  op_node_generate_secret_key_async: random,
  op_node_hash_clone: (_hash, bytes) => random(bytes ?? 0),
  op_node_hkdf_async: (_hash, _key, _salt, _info, bytes) => random(bytes),
  op_node_idna_domain_to_ascii: hostName,
  op_node_idna_domain_to_unicode: hostName,
  op_node_load_pfx: given,
  op_node_pbkdf2: (_password, _salt, iterations, hash, made) => rounds(iterations, hash, lengthOf(made)),
  op_node_pbkdf2_async: (_password, _salt, iterations, hash, bytes) => rounds(iterations, hash, bytes),
  op_node_private_decrypt: used,
  op_node_private_encrypt: used,
  op_node_public_decrypt: used,
  op_node_public_encrypt: used,
  op_node_punycode_decode: hostName,
  op_node_punycode_encode: hostName,
  op_node_scrypt_async: scrypt,
  op_node_scrypt_sync: scrypt,
};

// Calls that come back later and take milliseconds; all others that do are slow.
const QUICK = {
  __proto__: null,
  op_node_fill_random_async: true,
  op_node_generate_ec_key_async: true,
  op_node_generate_ed25519_key_async: true,
  op_node_generate_ed448_key_async: true,
  op_node_generate_secret_key_async: true,
  op_node_generate_x25519_key_async: true,
  op_node_generate_x448_key_async: true,
  op_node_hkdf_async: true,
};

return { bounds, checkKey, isQuick: (name) => QUICK[name] === true, KEY_MAKERS };
})();
