// room.storage (spec section 3): keys are strings, values are structured-cloned when the call is made.
// Reads are answered inside the call by the host, so that get, change, put without other awaits is atomic (design,
// section 4, input gate). The promise of a write resolves at once; what the room says afterwards waits in the host until
// the write is durable (output gate); only a room that has written more than the disk takes waits. A failed write resets the room: there is no value here that could be wrong.
// Transactions are in 52_transaction.js.
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

function getOne(key) {
  const name = String(key);
  const bytes = hot.op_storage_get(name);
  return bytes === null || bytes === undefined ? undefined : deserialize(bytes, named, name);
}

function getMany(keys) {
  core.ops.op_storage_check_count(keys.length);
  return mapOf(core.ops.op_storage_get_many(namesOf(keys)));
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

function list(owner, options) {
  if (options === undefined || options === null) options = {};
  else if (!isObject(options)) throw wrongType(owner, "list", "ListOptions");
  const { start, startAfter, end, prefix, reverse, limit } = options;
  if (start !== undefined && startAfter !== undefined) {
    throw new TypeError("list() cannot be called with both start and startAfter values.");
  }
  if (limit !== undefined && !(limit > 0)) throw new TypeError("List limit must be positive.");
  const text = (value) => value === undefined || value === null ? null : String(value);
  const found = core.ops.op_storage_list(
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
function put(owner, count, keyOrEntries, value) {
  if (count === 0) throw wrongType(owner, "put", "string or object");
  if (!isObject(keyOrEntries)) {
    if (value === undefined) throw new TypeError("put() called with undefined value.");
    hot.op_storage_put(String(keyOrEntries), serialize(value));
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
  core.ops.op_storage_put_many(names, values);
}

function remove(keyOrKeys) {
  if (!ArrayIsArray(keyOrKeys)) return hot.op_storage_delete(String(keyOrKeys));
  return core.ops.op_storage_delete_many(namesOf(keyOrKeys));
}

function alarmTime(owner, time) {
  if (ObjectPrototypeIsPrototypeOf(DatePrototype, time)) time = DatePrototypeGetTime(time);
  else if (typeof time !== "number") throw wrongType(owner, "setAlarm", "date");
  if (NumberIsNaN(time)) throw new TypeError("The value cannot be converted because it is not a valid Date.");
  if (time <= 0) throw new TypeError("setAlarm() cannot be called with an alarm time <= 0");
  return MathMax(time, DateNow());
}

// What the storage and a transaction have in common, by name. `owner` is the class that error texts name, `count` the
// number of arguments that the caller gave.
const shared = {
  __proto__: null,
  get(owner, count, key) {
    if (count === 0) throw wrongType(owner, "get", "string or Array");
    return ArrayIsArray(key) ? getMany(key) : getOne(key);
  },
  list: (owner, _count, options) => list(owner, options),
  put,
  delete(owner, count, key) {
    if (count === 0) throw wrongType(owner, "delete", "string or Array");
    return remove(key);
  },
  getAlarm() {
    const time = core.ops.op_storage_get_alarm();
    return time === NO_ALARM ? null : time;
  },
  setAlarm(owner, _count, time) {
    core.ops.op_storage_set_alarm(alarmTime(owner, time));
  },
  deleteAlarm() {
    core.ops.op_storage_delete_alarm();
  },
};

// A room that writes faster than the disk takes it waits, and with it its next event, so that nothing comes between a write and
// what follows it.
async function waitForDisk() {
  hold();
  try {
    await core.ops.op_storage_sync();
  } finally {
    release();
  }
}

class DurableObjectStorage {
  async deleteAll() {
    core.ops.op_storage_delete_all();
  }
  async sync() {
    await core.ops.op_storage_sync();
  }
  async get(key, _options) {
    return shared.get("DurableObjectStorage", arguments.length, key);
  }
  async list(options) {
    return list("DurableObjectStorage", options);
  }
  async put(keyOrEntries, value, _options) {
    put("DurableObjectStorage", arguments.length, keyOrEntries, value);
    if (core.ops.op_storage_presses()) await waitForDisk();
  }
  async delete(key, _options) {
    const deleted = shared.delete("DurableObjectStorage", arguments.length, key);
    if (core.ops.op_storage_presses()) await waitForDisk();
    return deleted;
  }
  async getAlarm() {
    return shared.getAlarm();
  }
  async setAlarm(time) {
    shared.setAlarm("DurableObjectStorage", arguments.length, time);
  }
  async deleteAlarm() {
    shared.deleteAlarm();
  }
}

return { DurableObjectStorage, shared, wrongType };
})();
