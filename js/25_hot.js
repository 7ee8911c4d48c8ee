// The ops that run per message or per request, in one place. Scripts in the snapshot hold V8's slow op functions, because
// fast-call functions cannot be part of a snapshot (design, section 3): `99_fast.js` is loaded when an isolate starts,
// captures the fast functions and puts them here. Every hot caller reads them through this object.
"use strict";

(function () {
const { core } = __bootstrap;

const hot = { __proto__: null };

const NAMES = [
  "op_socket_send_text",
  "op_socket_send_binary",
  "op_broadcast_skip",
  "op_broadcast_text",
  "op_broadcast_binary",
  "op_response_static",
  "op_response_bytes",
  "op_storage_get",
  "op_storage_put",
  "op_storage_delete",
];

function install(ops) {
  for (let i = 0; i < NAMES.length; i++) hot[NAMES[i]] = ops[NAMES[i]];
}

install(core.ops);

// `ops` are those that all scripts see: the snapshot's warm-up replaces them for a while.
return { hot, install, ops: core.ops };
})();
