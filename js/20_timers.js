// `setTimeout` and its relatives, with the room's limit on pending timers (limits: timers_max).
// Ids are numbers, as in a browser. `clearTimeout` and `clearInterval` take each other's ids (HTML standard, section timers).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { MapPrototypeDelete, MapPrototypeGet, MapPrototypeSet, ReflectApply, RangeError, SafeMap, TypeError } = primordials;
// A process for tests has others.
let {
  clearTimeout: webClearTimeout,
  setInterval: webSetInterval,
  setTimeout: webSetTimeout,
} = core.loadExtScript("ext:deno_web/02_timers.js");
const { reportException } = core.loadExtScript("ext:deno_web/02_event.js");
const { currentRoom, sharesIsolate } = core.loadExtScript("ext:partyrun/04_rooms.js");
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");

// The rooms of the timers that wait, by id.
const waiting = new SafeMap();

function roomWithPlace() {
  const room = currentRoom();
  if (room.timers < limits.timers_max) return room;
  throw new RangeError(`A room cannot have more than ${limits.timers_max} timers waiting (limit \`timers_max\`).`);
}

function add(room, id) {
  room.timers++;
  MapPrototypeSet(waiting, id, room);
  return id;
}

// What a callback throws is reported when it has left its async context. Where that tells the room, it is reported here.
function run(callback, args) {
  try {
    ReflectApply(callback, globalThis, args);
  } catch (error) {
    if (!sharesIsolate()) throw error;
    reportException(error);
  }
}

// Answers whether the timer was waiting.
function remove(id) {
  const room = MapPrototypeGet(waiting, id);
  if (room === undefined) return false;
  room.timers--;
  return MapPrototypeDelete(waiting, id);
}

function setTimeout(callback, delay, ...args) {
  if (typeof callback !== "function") {
    throw new TypeError("setTimeout() needs a function: code as a string is not allowed.");
  }
  const room = roomWithPlace();
  const id = webSetTimeout(() => {
    remove(id);
    run(callback, args);
  }, delay);
  return add(room, id);
}

function setInterval(callback, delay, ...args) {
  if (typeof callback !== "function") {
    throw new TypeError("setInterval() needs a function: code as a string is not allowed.");
  }
  const room = roomWithPlace();
  return add(room, webSetInterval(() => run(callback, args), delay));
}

function clearTimeout(id) {
  // Node style timer objects convert to their number.
  const number = +id;
  if (remove(number)) webClearTimeout(number);
}

function clearInterval(id) {
  clearTimeout(id);
}

// The room leaves an isolate that lives on.
function clearTimersOf(room) {
  if (room.timers === 0) return;
  for (const { 0: id, 1: owner } of waiting) if (owner === room) clearTimeout(id);
}

function useTimers(timers) {
  ({ clearTimeout: webClearTimeout, setInterval: webSetInterval, setTimeout: webSetTimeout } = timers);
}

core.defineGlobalProperties(globalThis, {
  setTimeout: core.propWritable(setTimeout),
  setInterval: core.propWritable(setInterval),
  clearTimeout: core.propWritable(clearTimeout),
  clearInterval: core.propWritable(clearInterval),
});

return {
  clearTimeout,
  clearTimersOf,
  setInterval,
  setTimeout,
  useTimers,
};
})();
