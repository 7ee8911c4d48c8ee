// Gives the scripts of Node's built-ins their ops: the Rust ones, which `op_node_ops` makes on demand (see
// runtime/extensions/src/node/lazy.rs), and those that are simple enough for JavaScript. Loaded by loader.js before anything else.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectSetPrototypeOf, RegExpPrototypeTest, SafeRegExp, StringPrototypeSplit, ArrayPrototypeMap,
  ArrayPrototypeJoin, StringPrototypeStartsWith, StringPrototypeSlice } = primordials;

const { ops } = core;
const lazy = ops.op_node_ops();
for (const name of lazy.async) lazy[name] = core.setUpAsyncStub(name, lazy[name]);
for (const name in lazy) {
  if (name !== "async") ops[name] = lazy[name];
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
  return ArrayPrototypeJoin(ArrayPrototypeMap(StringPrototypeSplit(domain, "."), convert), ".");
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
ops.op_node_fs_constants = () => ({ __proto__: null, F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, O_RDONLY: 0, O_WRONLY: 1, O_RDWR: 2,
  O_CREAT: 64, O_EXCL: 128, O_TRUNC: 512, O_APPEND: 1024, S_IFMT: 61440, S_IFREG: 32768, S_IFDIR: 16384 });
ops.op_node_get_first_expression = () => undefined;
ops.op_node_guess_handle_type = () => 5;
ops.op_node_new_async_id = () => ++asyncIds;
ops.op_node_sys_to_uv_error = () => "UNKNOWN";
ops.op_node_view_has_buffer = () => true;

return lazy;
})();
