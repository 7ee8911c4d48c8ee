// What waits for a section to end although it is no event: pieces of bodies that code outside of the section reads. As in the
// original, the code that goes on with such a piece finds no section half done.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, Promise } = primordials;
const { AsyncVariable } = core;
const { currentRoom } = core.loadExtScript("ext:partyrun/04_rooms.js");

// The section whose closure runs now, of whichever room (45_input_gate.js).
const current = new AsyncVariable();

// Whether a section of the room is in progress that `own` is not inside.
function isHeld(room, own) {
  let running = null;
  for (let next = room.section?.running; next?.opened; next = next.running) running = next;
  if (running === null) return false;
  for (let section = own; section; section = section.parent) {
    if (section === running) return false;
  }
  return true;
}

// Answers what `promise` does, when the code that waits for it may go on.
async function whenReleased(promise) {
  const room = currentRoom();
  const own = current.get();
  try {
    // own: the promise of an op.
    return await promise;
  } finally {
    while (isHeld(room, own)) await new Promise((resolve) => ArrayPrototypePush(room.heldBack, resolve));
  }
}

// A section has ended: who waits looks again.
function released(room) {
  const waiting = room.heldBack;
  room.heldBack = [];
  for (let i = 0; i < waiting.length; i++) waiting[i]();
}

return { current, released, whenReleased };
})();
