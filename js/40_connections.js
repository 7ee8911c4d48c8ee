// Connections of a room: the `Party.Connection` object, the registry, tags and broadcasts (spec 2.5 and 2.6).
// Rooms with and without hibernation share one implementation; where the original differs, it looks at the room's
// `hibernating`. A broadcast crosses to the host once, and the host encodes its frame once for all sockets.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayIsArray,
  ArrayPrototypeIncludes,
  ArrayPrototypePush,
  ArrayPrototypeReverse,
  ArrayPrototypeSymbolIterator,
  Error,
  Map,
  MapPrototypeDelete,
  MapPrototypeGet,
  MapPrototypeSet,
  ObjectDefineProperty,
  String,
  StringPrototypeIncludes,
  Symbol,
  TypeError,
  TypedArrayPrototypeGetByteLength,
} = primordials;
const { bytesOf, isBinary } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { console } = core.loadExtScript("ext:partyrun/10_console.js");
const { NO_SOCKET } = core.loadExtScript("ext:partyrun/01_wire.js");
const { adopt, checkSent, kAccepted, kIndex, kRoom, kState, OPEN } = core.loadExtScript("ext:partyrun/34_sockets.js");
const { kBrand, WebSocket } = core.loadExtScript("ext:partyrun/36_socket.js");
const { deserialize, serialize } = core.loadExtScript("ext:partyrun/27_values.js");
const { hot } = core.loadExtScript("ext:partyrun/25_hot.js");
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");

const kTags = Symbol("tags");
const kHidden = Symbol("a newer connection has this id");
const kValue = Symbol("state");
const kStored = Symbol("state as it was stored, not yet read");

class Connection extends WebSocket {
  constructor(id, uri) {
    super(kBrand);
    this.id = id;
    this.uri = uri;
    this[kTags] = null;
    this[kHidden] = false;
    this[kValue] = null;
    this[kStored] = null;
  }

  get state() {
    return valueOf(this);
  }
  set state(value) {
    setState(this, value);
  }
  get socket() {
    return this;
  }

  setState(state) {
    return setState(this, typeof state === "function" ? state(valueOf(this)) : state);
  }

  serializeAttachment(value) {
    if (!this[kRoom].hibernating) return super.serializeAttachment(value);
    storeAttachment(this, value === undefined ? null : value);
  }

  deserializeAttachment() {
    return this[kRoom].hibernating ? valueOf(this) : super.deserializeAttachment();
  }
}
// Objects of a connection are plain WebSockets to `console.log` and to `instanceof` alike.
ObjectDefineProperty(Connection, "name", { __proto__: null, value: "WebSocket" });

function setState(connection, value) {
  if (connection[kRoom].hibernating) storeAttachment(connection, value === undefined ? null : value);
  else connection[kValue] = value;
  return value;
}

function named(connection) {
  return `The state of the connection ${connection.id}`;
}

// The state is read when it is asked for: one that cannot be read costs its connection that state, not the room its waking.
function valueOf(connection) {
  if (connection[kStored] !== null) {
    connection[kValue] = deserialize(connection[kStored], named, connection);
    connection[kStored] = null;
  }
  return connection[kValue];
}

function storeAttachment(connection, value) {
  const bytes = serialize(value);
  const length = TypedArrayPrototypeGetByteLength(bytes);
  if (length > limits.attachment_bytes_max) {
    throw new Error(
      `A WebSocket 'attachment' cannot be larger than ${limits.attachment_bytes_max} bytes.` +
        `'attachment' was ${length} bytes.`,
    );
  }
  if (connection[kIndex] !== NO_SOCKET) core.ops.op_connection_attach(connection[kRoom].number, connection[kIndex], bytes);
  connection[kValue] = value;
  connection[kStored] = null;
}

// --- the registry -------------------------------------------------------------------------------------------------

function createConnection(room, index, id, uri) {
  return adopt(new Connection(id, uri), room, index);
}

function register(connection) {
  const { byId, live, number, registered } = connection[kRoom];
  connection[kAccepted] = true;
  const older = MapPrototypeGet(byId, connection.id);
  if (older !== undefined) {
    hide(older, true);
    connection[kRoom].hiddenCount++;
  }
  MapPrototypeSet(byId, connection.id, connection);
  if (live !== null) MapPrototypeSet(live, connection.id, connection);
  MapPrototypeSet(registered, connection[kIndex], connection);
  core.ops.op_connection_list(number, connection[kIndex], true);
}

// The handshake of the socket is answered: from now on it is open.
function accept(room, index) {
  core.ops.op_connection_accept(room.number, index);
}

function hide(connection, hidden) {
  connection[kHidden] = hidden;
  core.ops.op_connection_list(connection[kRoom].number, connection[kIndex], !hidden);
}

function unregister(connection) {
  const { byId, live, number, registered } = connection[kRoom];
  if (!MapPrototypeDelete(registered, connection[kIndex])) return;
  core.ops.op_connection_list(number, connection[kIndex], false);
  const room = connection[kRoom];
  if (connection[kHidden]) room.hiddenCount--;
  if (MapPrototypeGet(byId, connection.id) !== connection) return;
  MapPrototypeDelete(byId, connection.id);
  if (live !== null) MapPrototypeDelete(live, connection.id);
  if (room.hiddenCount === 0) return;
  // An older connection with the same id, if it is still there, is found again.
  // own: a SafeMap.
  for (const { 1: other } of registered) {
    if (other.id === connection.id) MapPrototypeSet(byId, connection.id, other);
  }
  const next = MapPrototypeGet(byId, connection.id);
  if (next === undefined) return;
  hide(next, false);
  room.hiddenCount--;
  if (live !== null) MapPrototypeSet(live, next.id, next);
}

// A room that wakes from hibernation finds its connections again: id, uri, tags and state come from the host.
function restore(room, index, id, uri, tags, attachment) {
  const connection = createConnection(room, index, id, uri);
  connection[kTags] = tags;
  if (attachment !== undefined) connection[kStored] = attachment;
  register(connection);
}

// --- tags ---------------------------------------------------------------------------------------------------------

function setTags(connection, tags) {
  const { hibernating, number } = connection[kRoom];
  // The original fails here by calling a method of what was returned (spec 2.6); the text is kept.
  if (!ArrayIsArray(tags)) {
    throw new TypeError(`Cannot read properties of ${tags} (reading 'filter')`);
  }
  const all = [connection.id];
  for (let i = 0; i < tags.length; i++) {
    if (!ArrayPrototypeIncludes(all, tags[i])) ArrayPrototypePush(all, tags[i]);
  }
  if (hibernating) checkTags(all);
  connection[kTags] = all;
  // Where the room does not hibernate, they are kept for operators only, if they are such as one that does could have.
  if (hibernating || (all.length > 1 && areTags(all))) core.ops.op_connection_tags(number, connection[kIndex], all);
}

function areTags(tags) {
  for (let i = 0; i < tags.length; i++) {
    if (typeof tags[i] !== "string" || tags[i].length > limits.tag_chars_max) return false;
  }
  return tags.length <= limits.tags_max;
}

function checkTags(tags) {
  if (tags.length > limits.tags_max) {
    throw new Error(`A connection can only have ${limits.tags_max} tags, including the default id tag.`);
  }
  for (let i = 0; i < tags.length; i++) {
    const tag = tags[i];
    if (typeof tag !== "string") {
      throw new Error(`A connection tag must be a string. Received: ${String(tag)}`);
    }
    if (tag === "") throw new Error("A connection tag must not be an empty string.");
    if (tag.length > limits.tag_chars_max) throw new Error(`A connection tag must not exceed ${limits.tag_chars_max} characters`);
  }
}

// --- finding and addressing ---------------------------------------------------------------------------------------

function getConnection({ byId, isCreated }, id) {
  if (!isCreated) {
    console.warn(".getConnection was invoked before first connection. This will always return undefined.");
  }
  return MapPrototypeGet(byId, id);
}

function* iterate({ registered }, tag) {
  // own: a SafeMap.
  for (const { 1: connection } of registered) {
    if (isListed(connection, tag)) yield connection;
  }
}

function isListed(connection, tag) {
  if (connection[kHidden]) return false;
  // Without hibernation a closing connection is listed until it is gone (spec 2.6).
  if (connection[kRoom].hibernating && connection[kState] !== OPEN) return false;
  return !tag || hasTag(connection, tag);
}

function hasTag(connection, tag) {
  const tags = connection[kTags];
  return tags === null ? connection.id === tag : ArrayPrototypeIncludes(tags, tag);
}

function getConnections(room, tag) {
  if (!room.isCreated) {
    console.warn("Party.getConnections was invoked before first connection. This will always return an empty list.");
  }
  if (!room.hibernating) return iterate(room, tag);
  if (tag === "") return ArrayPrototypeSymbolIterator([]);
  const list = [];
  // own: a SafeMap.
  for (const { 1: connection } of room.registered) {
    if (isListed(connection, tag)) ArrayPrototypePush(list, connection);
  }
  // The original lists the newest first when it hibernates and no tag is asked for (spec 2.6).
  return ArrayPrototypeSymbolIterator(tag ? list : ArrayPrototypeReverse(list));
}

function isWithout(without, id) {
  if (typeof without === "string") return StringPrototypeIncludes(without, id);
  if (ArrayIsArray(without)) return ArrayPrototypeIncludes(without, id);
  // user code: whatever says who is left out, as on the original.
  if (typeof without.has === "function") return without.has(id);
  // user code: as above.
  if (typeof without.includes === "function") return without.includes(id);
  return false;
}

function broadcast(room, message, without) {
  if (without !== undefined && without !== null) skip(room, without);
  const { number } = room;
  const status = typeof message === "string"
    ? hot.op_broadcast_text(number, message)
    : isBinary(message)
    ? hot.op_broadcast_binary(number, bytesOf(message))
    : hot.op_broadcast_text(number, String(message));
  checkSent(status);
}

// The usual list holds one or two ids, so that looking each up is cheaper than asking every connection.
function skip({ byId, number, registered }, without) {
  if (ArrayIsArray(without)) {
    for (let i = 0; i < without.length; i++) {
      const connection = MapPrototypeGet(byId, without[i]);
      if (connection !== undefined) hot.op_broadcast_skip(number, connection[kIndex]);
    }
    return;
  }
  // own: a SafeMap.
  for (const { 1: connection } of registered) {
    if (isWithout(without, connection.id)) hot.op_broadcast_skip(number, connection[kIndex]);
  }
}

// What the deprecated `room.connections` gave away without hibernation: it goes on to change with the room (spec 2.4).
function connectionsMap(room) {
  if (!room.isCreated) {
    console.warn("Party.connections was invoked before first connection. This will always return an empty Map.");
    // own: user code gets it.
    return new Map();
  }
  if (room.hibernating) return copyConnections(room);
  return room.live ??= copyConnections(room);
}

function copyConnections({ registered }) {
  // own: user code gets it.
  const map = new Map();
  // own: a SafeMap.
  for (const { 1: connection } of registered) {
    if (isListed(connection)) MapPrototypeSet(map, connection.id, connection);
  }
  return map;
}

return {
  accept,
  broadcast,
  Connection,
  connectionsMap,
  createConnection,
  getConnection,
  getConnections,
  register,
  restore,
  setState,
  setTags,
  unregister,
  valueOf,
};
})();
