// Holds a room: until it is released, the host delivers no further event to it (design, section 4). `onStart`,
// `blockConcurrencyWhile` and `transaction` do. Timers and finished fetches of the room go on, because the code that holds it may
// wait for them. Reading bodies waits as well (26_held.js).
// The closures of `blockConcurrencyWhile` and `transaction` are sections. Sections that are begun side by side run one after the
// other, in the order in which they were begun. One that is begun inside another's closure runs within it. V8's async context
// tells which closure begins a section.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, ArrayPrototypeShift, Promise } = primordials;
const { setAsyncContext } = core;
const { current, released } = core.loadExtScript("ext:partyrun/26_held.js");

function hold(room) {
  if (room.holders++ === 0) core.ops.op_room_hold(room.number, true);
}

function release(room) {
  if (--room.holders === 0) core.ops.op_room_hold(room.number, false);
}

// `running` is the one section inside this one whose turn it is, `waiting` are those whose turn comes later. A section whose
// closure has come to its end is `closing` until the one that runs inside it has ended, too.
class Section {
  constructor(room) {
    this.room = room;
  }
  parent = null;
  running = null;
  waiting = [];
  opened = false;
  closing = false;
  ended = false;
  wake = null;
  idle = null;
}

// The section that one which begins now in `room` is inside: another room's closure is not around it.
function around(room) {
  const outermost = room.section ??= new Section(room);
  let section = current.get() ?? outermost;
  if (section.room !== room) return outermost;
  while (section.ended) section = section.parent;
  return section;
}

// Waits for the turn of `section` inside `parent`.
async function turnOf(section, parent) {
  section.parent = parent;
  if (parent.running === null && !parent.closing) parent.running = section;
  else {
    ArrayPrototypePush(parent.waiting, section);
    await new Promise((resolve) => section.wake = resolve);
  }
  // What the caller does before it waits for something else comes before the closure, as in the original.
  await core.ops.op_void_async_deferred();
  section.opened = true;
}

// The section inside `parent` has ended: exactly one of those that wait is woken, and has the turn from now on.
function next(parent) {
  parent.running = null;
  if (parent.closing) {
    parent.idle?.();
    return;
  }
  if (parent.waiting.length === 0) return;
  parent.running = ArrayPrototypeShift(parent.waiting);
  parent.running.wake();
}

// Whether something runs inside `section`: it cannot end before that.
function isBusy(section) {
  return section.running !== null && section.running.opened;
}

function untilIdle(section) {
  return new Promise((resolve) => section.idle = resolve);
}

function end(section) {
  section.ended = true;
  const { parent, running, waiting } = section;
  if (running === null) next(parent);
  else {
    // It has not begun, and does so as if it had been begun outside.
    running.parent = parent;
    parent.running = running;
    if (parent.closing) parent.idle?.();
  }
  for (let i = 0; i < waiting.length; i++) {
    waiting[i].parent = parent;
    ArrayPrototypePush(parent.waiting, waiting[i]);
  }
  if (parent.running === null) next(parent);
}

// Calls the closure with the section as its context; what the closure awaits goes on in that context.
function run(section, closure, argument) {
  const outside = current.enter(section);
  try {
    return closure(argument);
  } finally {
    setAsyncContext(outside);
  }
}

// Runs `closure` as a section. `open` answers its argument at the moment when it begins, and `close` is called with that and
// with whether the closure returned, when it has ended with all that was begun inside it.
async function inSection(room, closure, open, close) {
  hold(room);
  const section = new Section(room);
  try {
    await turnOf(section, around(room));
    const argument = open?.(room);
    let result;
    let failure = null;
    try {
      result = await run(section, closure, argument);
    } catch (error) {
      failure = { error };
    }
    section.closing = true;
    while (isBusy(section)) await untilIdle(section);
    // From the last look to the end nothing else may run: what was begun inside would find a closed section.
    close?.(argument, failure === null);
    if (failure !== null) throw failure.error;
    return result;
  } finally {
    end(section);
    release(room);
    released(room);
  }
}

return { hold, inSection, release };
})();
