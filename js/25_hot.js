// The ops that run per message or per request, in one place. Scripts in the snapshot hold V8's slow op functions, because
// fast-call functions cannot be part of a snapshot (design, section 3): `99_fast.js` is loaded when an isolate starts,
// captures the fast functions and puts them here. Every hot caller reads them through this object.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectKeys } = primordials;

// A literal with all names, and with a prototype: V8 then reads a hot op as a constant instead of looking it up.
const hot = {
  op_socket_send_text: undefined,
  op_socket_send_binary: undefined,
  op_broadcast_skip: undefined,
  op_broadcast_text: undefined,
  op_broadcast_binary: undefined,
  op_response_static: undefined,
  op_response_bytes: undefined,
  op_storage_get: undefined,
  op_storage_put: undefined,
  op_storage_delete: undefined,
};

const NAMES = ObjectKeys(hot);

function install(ops) {
  for (let i = 0; i < NAMES.length; i++) hot[NAMES[i]] = ops[NAMES[i]];
}

install(core.ops);

// `ops` are those that all scripts see: the snapshot's warm-up replaces them for a while.
return { hot, install, ops: core.ops };
})();
