// The rooms of this isolate, each as one object with everything that the scripts know of it: one room today, and in an isolate
// of the edge the edge itself. Whose op it is comes from the object that user code calls it on: a room's Party.Room, storage,
// connections, stubs and bindings hold their room, because what an await goes on with may run in the turn of another one.
// `currentRoom` is for what has no object: the console, `fetch`, `new WebSocket`.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { SafeMap } = primordials;
const { FIRST_ROOM } = core.loadExtScript("ext:partyrun/01_wire.js");

class Room {
  constructor(number) {
    // By which the host knows it: the first argument of its ops.
    this.number = number;
    // The host's sockets by their index, and events of those that user code was not given yet (34_sockets.js).
    this.sockets = [];
    this.early = [];
    // Its connections in the order in which they were registered, the newest of each id, and the map that `room.connections`
    // gave away (40_connections.js).
    this.registered = new SafeMap();
    this.byId = new SafeMap();
    this.live = null;
    this.hibernating = false;
    // How many hold it, and the section that all of its sections are in (45_input_gate.js).
    this.holders = 0;
    this.section = null;
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

// The room that the host knows by `number`, from its first event or op on.
function roomOf(number) {
  return rooms[number] ??= new Room(number);
}

// The room whose code runs.
function currentRoom() {
  return roomOf(FIRST_ROOM);
}

// The snapshot's build lets a room run once, so that its functions are compiled, and then forgets it.
function forgetRooms() {
  rooms.length = 0;
}

return { currentRoom, forgetRooms, roomOf };
})();
