// The clock of a process that was started for tests (`--test-clock`): `Date`, `performance.now()` and timers go by a clock that
// the test moves forward. Loaded at the start of each isolate of such a process, and of no other.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayFrom, ArrayPrototypeSort, Date, DateNow, MapPrototypeDelete, MapPrototypeGet, MapPrototypeGetSize, MapPrototypeSet,
  MapPrototypeValues, MathMax, NumberIsNaN, ObjectDefineProperty, Proxy, ReflectApply, ReflectConstruct, SafeMap } = primordials;
const { getAsyncContext, setAsyncContext } = core;
const { op_clock_moved, op_clock_offset } = core.loadExtScript("ext:partyrun/node/ops.js");
// They refuse to be called as methods.
const { clearTimeout, setTimeout } = core.loadExtScript("ext:deno_web/02_timers.js");
const { useTimers } = core.loadExtScript("ext:partyrun/20_timers.js");

function now() {
  return DateNow() + op_clock_offset();
}

// --- Date and performance.now() -----------------------------------------------------------------------------------

function installDate() {
  const moved = new Proxy(Date, {
    __proto__: null,
    apply: () => `${new Date(now())}`,
    construct: (target, values, newTarget) => ReflectConstruct(target, values.length === 0 ? [now()] : values, newTarget),
  });
  const put = (object, name, value) =>
    ObjectDefineProperty(object, name, { __proto__: null, configurable: true, enumerable: false, value, writable: true });
  put(Date, "now", now);
  put(Date.prototype, "constructor", moved);
  put(globalThis, "Date", moved);
  const prototype = globalThis.Performance.prototype;
  const measured = prototype.now;
  put(prototype, "now", function () {
    return ReflectApply(measured, this, []) + op_clock_offset();
  });
}

// --- timers -------------------------------------------------------------------------------------------------------

// The timers that wait, by the number that user code has: { due, every, callback, context, native }.
const waiting = new SafeMap();
let last = 0;

function arm(timer) {
  const context = getAsyncContext();
  setAsyncContext(timer.context);
  timer.native = setTimeout(() => fire(timer), MathMax(0, timer.due - now()));
  setAsyncContext(context);
}

function fire(timer) {
  if (timer.every === undefined) {
    MapPrototypeDelete(waiting, timer.id);
  } else {
    // One that was moved over several times fires as often.
    timer.due += timer.every;
    arm(timer);
  }
  timer.callback();
}

function add(callback, delay, repeats) {
  const number = +delay;
  const wait = NumberIsNaN(number) || number < 0 ? 0 : number;
  const every = repeats ? MathMax(1, wait) : undefined;
  const timer = { id: ++last, due: now() + wait, every, callback, context: getAsyncContext(), native: undefined };
  MapPrototypeSet(waiting, timer.id, timer);
  arm(timer);
  return timer.id;
}

const timers = {
  setTimeout: (callback, delay) => add(callback, delay, false),
  setInterval: (callback, delay) => add(callback, delay, true),
  clearTimeout(id) {
    const timer = MapPrototypeGet(waiting, id);
    if (timer === undefined) return;
    MapPrototypeDelete(waiting, id);
    clearTimeout(timer.native);
  },
};

// Arms all anew after each move, in the order in which they are due.
async function follow() {
  let seen = 0;
  for (;;) {
    const asked = op_clock_moved(seen);
    // A room that waits for nothing else is idle.
    core.unrefOpPromise(asked);
    // own: the promise of an op.
    seen = await asked;
    if (MapPrototypeGetSize(waiting) === 0) continue;
    const all = ArrayPrototypeSort(ArrayFrom(MapPrototypeValues(waiting)), (a, b) => a.due - b.due || a.id - b.id);
    for (let i = 0; i < all.length; i++) {
      clearTimeout(all[i].native);
      arm(all[i]);
    }
  }
}

return {
  install() {
    installDate();
    useTimers(timers);
    follow();
  },
};
})();
