// Runs native calls that take long on threads of their own (src/lanes.rs), a few calls of a room at a time. There are two lanes: the
// quick one for calls of some milliseconds, the slow one for the rest, so that deriving a key does not hold up the signatures of
// another room.
"use strict";

(function () {
const { core } = __bootstrap;
const { op_lane_call, op_lane_enter, op_void_async_deferred } = core.ops;

// deno_core starts the task that drives an isolate's ops when one is pending for the first time, on the runtime that is current
// then. That has to be the worker's, not the lane's.
let isDriven = false;

/** Calls `native`, an op whose Rust half goes on in the background, as soon as the lane has a place. Its arguments must be plain:
 * no code of the user may run while the lane's runtime is entered. */
async function inLane(isSlow, native, receiver, values) {
  if (!isDriven) {
    await op_void_async_deferred();
    isDriven = true;
  }
  const place = await op_lane_enter(isSlow);
  try {
    return await op_lane_call(isSlow, native, receiver, values);
  } finally {
    core.tryClose(place);
  }
}

return { inLane };
})();
