// What the console of a debugger finds in an isolate, loaded where debuggers may attach: the lines that user code prints, once
// each, and the rooms by name: `$room`, `$server`, and `$rooms` where several share the isolate.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectCreate, ObjectDefineProperty, ObjectGetOwnPropertyDescriptors, ObjectGetPrototypeOf } = primordials;
const { currentRoom, liveRooms } = core.loadExtScript("ext:partyrun/04_rooms.js");

// The room whose code runs or waits at a breakpoint, or else the only one.
function oneRoom() {
  const current = currentRoom();
  if (current.party !== null) return current;
  const live = liveRooms();
  return live.length === 1 ? live[0] : undefined;
}

function all() {
  const named = { __proto__: null };
  const live = liveRooms();
  for (let i = 0; i < live.length; i++) {
    const { party, partyName, server } = live[i];
    named[`${partyName}/${party.id}`] = { room: party, server: server?.instance };
  }
  return named;
}

// Code of a project that has such a name of its own keeps it.
function define(name, get) {
  ObjectDefineProperty(globalThis, name, {
    __proto__: null,
    configurable: true,
    enumerable: false,
    get,
    set: (value) => ObjectDefineProperty(globalThis, name, { __proto__: null, ...core.propNonEnumerable(value) }),
  });
}

// What `console.group` prints it gives to the `log` of its own console. V8 has shown the group by then, so that the console
// of user code is another one than that.
function shown(console) {
  const copy = ObjectCreate(ObjectGetPrototypeOf(console), ObjectGetOwnPropertyDescriptors(console));
  core.wrapConsole(copy, core.v8Console);
  return copy;
}

return {
  install() {
    core.defineGlobalProperties(globalThis, { console: core.propNonEnumerable(shown(globalThis.console)) });
    define("$room", () => oneRoom()?.party);
    define("$server", () => oneRoom()?.server?.instance);
    define("$rooms", all);
  },
};
})();
