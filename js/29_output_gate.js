// The output gate for ops that leave the room without waiting in the host: requests of deno_fetch, connections of node:net, and
// the cache that all rooms share. What a room has written must be durable before anybody outside can know of it (spec 3.6).
// Messages, responses, stubs, bindings and sockets to other servers wait in the host.
// A test looks in every script for ops that reach outside and are called elsewhere (runtime/bundle/tests/primordials.rs).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { PromisePrototypeThen } = primordials;
const { currentRoom } = core.loadExtScript("ext:partyrun/04_rooms.js");

/** The promise that everything the room has written up to now is durable. */
function written(room) {
  return core.ops.op_storage_sync(room.number);
}

/** Calls `leave` when what the room has written is durable, and answers what it answers: at once if nothing waits for the disk,
 * else a promise, which is rejected without a call if the room is reset. */
function afterWrites(leave, room = currentRoom()) {
  return core.ops.op_storage_pending(room.number) ? PromisePrototypeThen(written(room), leave) : leave();
}

return { afterWrites, written };
})();
