// setTimeout and its relatives, with the room's limit on waiting timers (limits: timers_max).
// Ids are numbers, as in a browser; clearing accepts ids of both kinds (HTML standard, section timers).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ReflectApply, RangeError, SafeSet, SetPrototypeAdd, SetPrototypeDelete, SetPrototypeGetSize, TypeError } = primordials;
const {
  clearTimeout: webClearTimeout,
  setInterval: webSetInterval,
  setTimeout: webSetTimeout,
} = core.loadExtScript("ext:deno_web/02_timers.js");
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");

const waiting = new SafeSet();

function checkRoom() {
  if (SetPrototypeGetSize(waiting) >= limits.timers_max) {
    throw new RangeError(`A room cannot have more than ${limits.timers_max} timers waiting.`);
  }
}

function setTimeout(callback, delay, ...args) {
  if (typeof callback !== "function") {
    throw new TypeError("setTimeout() needs a function: code as a string is not allowed.");
  }
  checkRoom();
  const id = webSetTimeout(() => {
    SetPrototypeDelete(waiting, id);
    ReflectApply(callback, globalThis, args);
  }, delay);
  SetPrototypeAdd(waiting, id);
  return id;
}

function setInterval(callback, delay, ...args) {
  if (typeof callback !== "function") {
    throw new TypeError("setInterval() needs a function: code as a string is not allowed.");
  }
  checkRoom();
  const id = webSetInterval(() => ReflectApply(callback, globalThis, args), delay);
  SetPrototypeAdd(waiting, id);
  return id;
}

function clearTimeout(id) {
  // Node style timer objects convert to their number.
  const number = +id;
  if (SetPrototypeDelete(waiting, number)) webClearTimeout(number);
}

function clearInterval(id) {
  clearTimeout(id);
}

core.defineGlobalProperties(globalThis, {
  setTimeout: core.propWritable(setTimeout),
  setInterval: core.propWritable(setInterval),
  clearTimeout: core.propWritable(clearTimeout),
  clearInterval: core.propWritable(clearInterval),
});

return {
  clearTimeout,
  setInterval,
  setTimeout,
};
})();
