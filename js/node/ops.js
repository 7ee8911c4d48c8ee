// Gives the scripts of Node's built-ins their ops: the ones in Rust, which `op_node_ops` makes on demand (see
// runtime/extensions/src/node/lazy.rs), and the ones that are simple enough for JavaScript. loader.js loads it before the others.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectKeys, ObjectSetPrototypeOf, ReflectApply, RegExpPrototypeTest, SafeRegExp, StringPrototypeSplit,
  ArrayPrototypeJoin, StringPrototypeStartsWith, StringPrototypeSlice } = primordials;

const { ops } = core;
const { bounds, checkKey, isQuick, KEY_MAKERS } = core.loadExtScript("ext:partyrun/node/bounds.js");
const { inLane } = core.loadExtScript("ext:partyrun/lanes.js");

const lazy = ops.op_node_ops();
for (let i = 0; i < lazy.async.length; i++) {
  const name = lazy.async[i];
  const native = core.setUpAsyncStub(name, lazy[name]);
  // Those of deno_node_crypto compute, ours wait for the network.
  lazy[name] = StringPrototypeStartsWith(name, "op_node_net_") || !StringPrototypeStartsWith(name, "op_node_") ? native
    : (...values) => inLane(!isQuick(name), native, undefined, values);
}
// own: a list without a prototype.
for (const name in bounds) {
  const native = lazy[name];
  lazy[name] = (...values) => {
    ReflectApply(bounds[name], undefined, values);
    return ReflectApply(native, undefined, values);
  };
}
// How long the modulus of a key is, is known when the key is there; each use of one that is too long would take the thread for long.
for (let i = 0; i < KEY_MAKERS.length; i++) {
  const make = lazy[KEY_MAKERS[i]];
  lazy[KEY_MAKERS[i]] = (...values) => checkKey(ReflectApply(make, undefined, values), lazy.op_node_get_asymmetric_key_details);
}
// Long primes and those with a condition are looked for in steps.
const STEPS_FROM_BITS = 768;
const { op_node_gen_prime, op_node_gen_prime_async } = lazy;
const isOneCall = (bits, isSafe, add, rem) => bits < 2 || (bits < STEPS_FROM_BITS && !isSafe && !add && !rem);
const primes = () => core.loadExtScript("ext:partyrun/node/primes.js");
lazy.op_node_gen_prime = (bits, isSafe, add, rem) => {
  if (isOneCall(bits, isSafe, add, rem)) return op_node_gen_prime(bits, isSafe, add, rem);
  bounds.op_node_gen_prime(bits, isSafe);
  const isPrime = (bytes) => lazy.op_node_check_prime_bytes(bytes, 0);
  return primes().findPrime(bits, isSafe, add, rem, lazy.op_node_fill_random, isPrime);
};
lazy.op_node_gen_prime_async = (bits, isSafe, add, rem) => {
  if (isOneCall(bits, isSafe, add, rem)) return op_node_gen_prime_async(bits, isSafe, add, rem);
  bounds.op_node_gen_prime(bits, isSafe);
  const isPrime = (bytes) => lazy.op_node_check_prime_bytes_async(bytes, 0);
  return primes().findPrimeLater(bits, isSafe, add, rem, lazy.op_node_fill_random, isPrime);
};
const NAMES = ObjectKeys(lazy);
for (let i = 0; i < NAMES.length; i++) {
  if (NAMES[i] !== "async") ops[NAMES[i]] = lazy[NAMES[i]];
}

// A hash is told from an algorithm's name by its prototype.
class Hasher {}
const { op_node_create_hash, op_node_hash_clone } = lazy;
ops.Hasher = Hasher;
ops.op_node_create_hash = (algorithm, length) =>
  ObjectSetPrototypeOf(op_node_create_hash(algorithm, length), Hasher.prototype);
ops.op_node_hash_clone = (hasher, length) => {
  const clone = op_node_hash_clone(hasher, length);
  return clone === null ? null : ObjectSetPrototypeOf(clone, Hasher.prototype);
};

const beyondAscii = new SafeRegExp("[^\\0-\\x7F]");

// A domain is converted label by label (RFC 3492, section 5).
function eachLabel(domain, convert) {
  const labels = StringPrototypeSplit(domain, ".");
  for (let i = 0; i < labels.length; i++) labels[i] = convert(labels[i]);
  return ArrayPrototypeJoin(labels, ".");
}

let asyncIds = 1;

ops.op_mark_as_untransferable = lazy.op_node_mark_untransferable;
ops.op_transcode = lazy.op_node_transcode;
ops.op_node_idna_to_ascii = lazy.op_node_idna_domain_to_ascii;
ops.op_node_idna_punycode_decode = lazy.op_node_punycode_decode;
ops.op_node_idna_punycode_encode = lazy.op_node_punycode_encode;
ops.op_node_idna_punycode_to_ascii = (domain) =>
  eachLabel(domain, (label) =>
    RegExpPrototypeTest(beyondAscii, label) ? "xn--" + lazy.op_node_punycode_encode(label) : label);
ops.op_node_idna_punycode_to_unicode = (domain) =>
  eachLabel(domain, (label) =>
    StringPrototypeStartsWith(label, "xn--") ? lazy.op_node_punycode_decode(StringPrototypeSlice(label, 4)) : label);
ops.op_node_build_os = () => "linux";
ops.op_node_call_is_from_dependency = () => false;
ops.op_node_fs_constants = () => ({ __proto__: null, UV_FS_SYMLINK_DIR: 1, UV_FS_SYMLINK_JUNCTION: 2, O_RDONLY: 0, O_WRONLY: 1,
  O_RDWR: 2, UV_DIRENT_UNKNOWN: 0, UV_DIRENT_FILE: 1, UV_DIRENT_DIR: 2, UV_DIRENT_LINK: 3, UV_DIRENT_FIFO: 4,
  UV_DIRENT_SOCKET: 5, UV_DIRENT_CHAR: 6, UV_DIRENT_BLOCK: 7, EXTENSIONLESS_FORMAT_JAVASCRIPT: 0, EXTENSIONLESS_FORMAT_WASM: 1,
  S_IFMT: 61440, S_IFREG: 32768, S_IFDIR: 16384, S_IFCHR: 8192, S_IFBLK: 24576, S_IFIFO: 4096, S_IFLNK: 40960, S_IFSOCK: 49152,
  O_CREAT: 64, O_EXCL: 128, UV_FS_O_FILEMAP: 0, O_NOCTTY: 256, O_TRUNC: 512, O_APPEND: 1024, O_DIRECTORY: 65536,
  O_NOATIME: 262144, O_NOFOLLOW: 131072, O_SYNC: 1052672, O_DSYNC: 4096, O_DIRECT: 16384, O_NONBLOCK: 2048, S_IRWXU: 448,
  S_IRUSR: 256, S_IWUSR: 128, S_IXUSR: 64, S_IRWXG: 56, S_IRGRP: 32, S_IWGRP: 16, S_IXGRP: 8, S_IRWXO: 7, S_IROTH: 4,
  S_IWOTH: 2, S_IXOTH: 1, F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, UV_FS_COPYFILE_EXCL: 1, COPYFILE_EXCL: 1,
  UV_FS_COPYFILE_FICLONE: 2, COPYFILE_FICLONE: 2, UV_FS_COPYFILE_FICLONE_FORCE: 4, COPYFILE_FICLONE_FORCE: 4 });
ops.op_node_get_first_expression = () => undefined;
ops.op_node_guess_handle_type = () => 5;
ops.op_node_new_async_id = () => ++asyncIds;
ops.op_node_sys_to_uv_error = () => "UNKNOWN";
ops.op_node_view_has_buffer = () => true;

return lazy;
})();
