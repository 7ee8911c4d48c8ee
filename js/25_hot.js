// The ops that run for each message or request. Scripts in the snapshot hold V8's slow op functions, because a snapshot cannot
// hold fast ones (design, section 3). When an isolate starts, `99_fast.js` puts the fast functions into this object, and every
// hot caller reads them from it.
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
