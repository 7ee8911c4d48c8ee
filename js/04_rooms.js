// The rooms of this isolate. Each is one object with everything that the scripts know about it. An isolate has one room, or many
// that share it; the edge's isolate has one for the edge itself.
// An op is told which room it is for by the object that user code calls: Party.Room, storage, connections, stubs and bindings
// hold their room, because code after an `await` may run in the turn of another one. `currentRoom` is for calls without such an
// object: the console, `fetch`, `new WebSocket`, timers. Where rooms share an isolate, it comes from V8's async context: whatever
// an event of a room starts, and whatever that awaits, runs in the context of the room.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, SafeMap } = primordials;
const { AsyncVariable, getAsyncContext, setAsyncContext } = core;
const { FIRST_ROOM, NO_ROOM } = core.loadExtScript("ext:partyrun/01_wire.js");
const { keepTrace } = core.loadExtScript("ext:partyrun/02_traces.js");

class Room {
  constructor(number) {
    // By which the host knows it: the first argument of its ops. NO_ROOM when it has left.
    this.number = number;
    // The async context of its events, where rooms share the isolate.
    this.context = undefined;
    // How many timers wait (20_timers.js).
    this.timers = 0;
    // The host's sockets by their index, and events of those that user code was not given yet (34_sockets.js).
    this.sockets = [];
    this.early = [];
    // Its connections in the order in which they were registered, the newest of each id, and the map that `room.connections`
    // gave away (40_connections.js).
    this.registered = new SafeMap();
    this.byId = new SafeMap();
    // How many connections another one with the same id hides: nearly always none.
    this.hiddenCount = 0;
    this.live = null;
    this.hibernating = false;
    // How many hold it, and the section that all of its sections are in (45_input_gate.js); who waits for one to end
    // (26_held.js).
    this.holders = 0;
    this.section = null;
    this.heldBack = [];
    // Open transactions, outermost first, as the host has them (52_transaction.js).
    this.transactions = [];
    // Party.Room, and the user's server as functions that take the arguments of the class form (70_room.js).
    this.party = null;
    this.partyName = "";
    this.server = null;
    this.isCreated = false;
    this.onStartDone = false;
  }
}

const rooms = [];
// Whose code runs while no room's does: of modules that several rooms share.
const nobody = new Room(NO_ROOM);
const inRoom = new AsyncVariable();
let isShared = false;

// Whether several rooms share this isolate.
function setShared(value) {
  isShared = value;
}

function sharesIsolate() {
  return isShared;
}

// The room that the host knows by `number`, from its first event or op on.
function roomOf(number) {
  return rooms[number] ??= new Room(number);
}

// The room whose code runs.
function currentRoom() {
  return isShared ? inRoom.get() ?? nobody : roomOf(FIRST_ROOM);
}

// The room whose event begins: everything that the event starts is the room's from now on, until the next one begins.
function enterRoom(number) {
  const room = roomOf(number);
  if (isShared) {
    setAsyncContext(room.context ??= contextOf(room));
    keepTrace();
  }
  return room;
}

// What begins now is no room's.
function leaveRooms() {
  if (isShared) setAsyncContext(undefined);
}

function contextOf(room) {
  setAsyncContext(undefined);
  inRoom.enter(room);
  return getAsyncContext();
}

// The room leaves, and its number may be another's: whatever still holds its objects reaches nobody.
function forgetRoom(number) {
  const room = rooms[number];
  rooms[number] = undefined;
  if (room !== undefined) room.number = NO_ROOM;
  return room;
}

// The rooms that have started, for debuggers.
function liveRooms() {
  const live = [];
  for (let i = 0; i < rooms.length; i++) {
    const room = rooms[i];
    if (room !== undefined && room.party !== null) ArrayPrototypePush(live, room);
  }
  return live;
}

// The snapshot's build lets a room run once, so that its functions are compiled, and then forgets it.
function forgetRooms() {
  rooms.length = 0;
}

return { currentRoom, enterRoom, forgetRoom, forgetRooms, leaveRooms, liveRooms, roomOf, setShared, sharesIsolate };
})();
