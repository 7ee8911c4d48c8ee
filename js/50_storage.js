// `room.storage` (spec section 3). Keys are strings; values are structured-cloned during the call.
// The host answers reads within the call, so that reading a value, changing it and writing it back is atomic as long as nothing
// else is awaited (design, section 4, input gate). The promise of a write resolves at once, unless the room has written more than
// the disk takes. What the room sends afterwards waits in the host until the write is durable (output gate). If a write fails, the
// room is reset, so that no value here can be wrong. Transactions are in 52_transaction.js.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayIsArray,
  ArrayPrototypePush,
  DateNow,
  DatePrototype,
  DatePrototypeGetTime,
  JSONStringify,
  Map,
  MapPrototypeSet,
  MathMax,
  NumberIsNaN,
  ObjectKeys,
  ObjectPrototypeIsPrototypeOf,
  String,
  TypeError,
} = primordials;
const { console } = core.loadExtScript("ext:partyrun/10_console.js");
const { NO_ALARM, NO_LIMIT } = core.loadExtScript("ext:partyrun/01_wire.js");
const { hot } = core.loadExtScript("ext:partyrun/25_hot.js");
const { written } = core.loadExtScript("ext:partyrun/29_output_gate.js");
const { hold, release } = core.loadExtScript("ext:partyrun/45_input_gate.js");

const { deserialize, serialize } = core.loadExtScript("ext:partyrun/27_values.js");

const PUT_USAGE =
  "put() may only be called with a single key-value pair and optional options as put(key, value, options) " +
  "or with multiple key-value pairs and optional options as put(entries, options)";

function wrongType(owner, method, type) {
  return new TypeError(`Failed to execute '${method}' on '${owner}': parameter 1 is not of type '${type}'.`);
}

function named(key) {
  return `The value of ${JSONStringify(key)}`;
}

function getOne(room, key) {
  const name = String(key);
  const bytes = hot.op_storage_get(room.number, name);
  return bytes === null || bytes === undefined ? undefined : deserialize(bytes, named, name);
}

function getMany({ number }, keys) {
  core.ops.op_storage_check_count(number, keys.length);
  return mapOf(core.ops.op_storage_get_many(number, namesOf(keys)));
}

function namesOf(keys) {
  const names = [];
  for (let i = 0; i < keys.length; i++) ArrayPrototypePush(names, String(keys[i]));
  return names;
}

// A value that cannot be read is left out, and said: it must not keep the room from its other values. Where it is asked for
// alone, `get` throws.
function mapOf(pairs) {
  // own: user code gets it.
  const map = new Map();
  for (let i = 0; i < pairs.length; i += 2) {
    const key = pairs[i];
    try {
      MapPrototypeSet(map, key, deserialize(pairs[i + 1], named, key));
    } catch (error) {
      console.error(`${error.message} It was left out.`);
    }
  }
  return map;
}

function isObject(value) {
  return typeof value === "object" && value !== null || typeof value === "function";
}

function list(room, owner, options) {
  if (options === undefined || options === null) options = {};
  else if (!isObject(options)) throw wrongType(owner, "list", "ListOptions");
  const { start, startAfter, end, prefix, reverse, limit } = options;
  if (start !== undefined && startAfter !== undefined) {
    throw new TypeError("list() cannot be called with both start and startAfter values.");
  }
  if (limit !== undefined && !(limit > 0)) throw new TypeError("List limit must be positive.");
  const text = (value) => value === undefined || value === null ? null : String(value);
  const found = core.ops.op_storage_list(
    room.number,
    text(start),
    text(startAfter),
    text(end),
    text(prefix),
    !!reverse,
    limit === undefined || limit === null ? NO_LIMIT : +limit,
  );
  return mapOf(found);
}

// `count` is the number of arguments that the caller gave.
function put(room, owner, count, keyOrEntries, value) {
  if (count === 0) throw wrongType(owner, "put", "string or object");
  if (!isObject(keyOrEntries)) {
    if (value === undefined) throw new TypeError("put() called with undefined value.");
    hot.op_storage_put(room.number, String(keyOrEntries), serialize(value));
    return;
  }
  if (value !== undefined && !isObject(value)) throw new TypeError(PUT_USAGE);
  // All values are cloned before the first is stored: a value that cannot be cloned stores none.
  const keys = ObjectKeys(keyOrEntries);
  const names = [];
  const values = [];
  for (let i = 0; i < keys.length; i++) {
    const one = keyOrEntries[keys[i]];
    if (one === undefined) continue;
    ArrayPrototypePush(names, keys[i]);
    ArrayPrototypePush(values, serialize(one));
  }
  core.ops.op_storage_put_many(room.number, names, values);
}

function remove({ number }, keyOrKeys) {
  if (!ArrayIsArray(keyOrKeys)) return hot.op_storage_delete(number, String(keyOrKeys));
  return core.ops.op_storage_delete_many(number, namesOf(keyOrKeys));
}

function alarmTime(owner, time) {
  if (ObjectPrototypeIsPrototypeOf(DatePrototype, time)) time = DatePrototypeGetTime(time);
  else if (typeof time !== "number") throw wrongType(owner, "setAlarm", "date");
  if (NumberIsNaN(time)) throw new TypeError("The value cannot be converted because it is not a valid Date.");
  if (time <= 0) throw new TypeError("setAlarm() cannot be called with an alarm time <= 0");
  return MathMax(time, DateNow());
}

// What the storage and a transaction of a room have in common, by name. `owner` is the class that error texts name, `count` the
// number of arguments that the caller gave.
const shared = {
  __proto__: null,
  get(room, owner, count, key) {
    if (count === 0) throw wrongType(owner, "get", "string or Array");
    return ArrayIsArray(key) ? getMany(room, key) : getOne(room, key);
  },
  list: (room, owner, _count, options) => list(room, owner, options),
  put,
  delete(room, owner, count, key) {
    if (count === 0) throw wrongType(owner, "delete", "string or Array");
    return remove(room, key);
  },
  getAlarm(room) {
    const time = core.ops.op_storage_get_alarm(room.number);
    return time === NO_ALARM ? null : time;
  },
  setAlarm(room, owner, _count, time) {
    core.ops.op_storage_set_alarm(room.number, alarmTime(owner, time));
  },
  deleteAlarm(room) {
    core.ops.op_storage_delete_alarm(room.number);
  },
};

// A room that writes faster than the disk takes it waits, and with it its next event, so that nothing comes between a write and
// what follows it.
async function waitForDisk(room) {
  hold(room);
  try {
    await written(room);
  } finally {
    release(room);
  }
}

const ILLEGAL = "Illegal invocation: function called with incorrect `this` reference. See " +
  "https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.";

const OWNER = "DurableObjectStorage";

let roomOfStorage;

class DurableObjectStorage {
  #room;

  static {
    roomOfStorage = (storage) => {
      if (typeof storage !== "object" || storage === null || !(#room in storage)) throw new TypeError(ILLEGAL);
      return storage.#room;
    };
  }

  constructor(room) {
    this.#room = room;
  }
  // Called on anything else they throw; everything else that goes wrong is a rejection.
  deleteAll() {
    return deleteAll(roomOfStorage(this));
  }
  sync() {
    return sync(roomOfStorage(this));
  }
  get(key, _options) {
    return get(roomOfStorage(this), arguments.length, key);
  }
  list(options) {
    return listing(roomOfStorage(this), options);
  }
  put(keyOrEntries, value, _options) {
    return store(roomOfStorage(this), arguments.length, keyOrEntries, value);
  }
  delete(key, _options) {
    return erase(roomOfStorage(this), arguments.length, key);
  }
  getAlarm() {
    return getAlarm(roomOfStorage(this));
  }
  setAlarm(time) {
    return setAlarm(roomOfStorage(this), arguments.length, time);
  }
  deleteAlarm() {
    return deleteAlarm(roomOfStorage(this));
  }
}

async function deleteAll({ number }) {
  core.ops.op_storage_delete_all(number);
}

async function sync(room) {
  await written(room);
}

async function get(room, count, key) {
  return shared.get(room, OWNER, count, key);
}

async function listing(room, options) {
  return list(room, OWNER, options);
}

async function store(room, count, keyOrEntries, value) {
  put(room, OWNER, count, keyOrEntries, value);
  if (core.ops.op_storage_presses(room.number)) await waitForDisk(room);
}

async function erase(room, count, key) {
  const deleted = shared.delete(room, OWNER, count, key);
  if (core.ops.op_storage_presses(room.number)) await waitForDisk(room);
  return deleted;
}

async function getAlarm(room) {
  return shared.getAlarm(room);
}

async function setAlarm(room, count, time) {
  shared.setAlarm(room, OWNER, count, time);
}

async function deleteAlarm(room) {
  shared.deleteAlarm(room);
}

return { DurableObjectStorage, roomOfStorage, shared, wrongType };
})();
