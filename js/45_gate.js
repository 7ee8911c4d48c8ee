// Holding a room: while it is held, the host delivers no further event to it (design, section 4).
// `onStart`, `blockConcurrencyWhile` and `transaction` hold. Timers and finished fetches of the room go on: the code that
// holds may be waiting for them.
"use strict";

(function () {
const { core } = __bootstrap;

let holders = 0;

function hold() {
  if (holders++ === 0) core.ops.op_room_hold(true);
}

function release() {
  if (--holders === 0) core.ops.op_room_hold(false);
}

return { hold, release };
})();
