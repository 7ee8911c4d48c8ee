// room.storage (spec section 3): keys are strings, values are structured-cloned when the call is made.
// Reads are answered inside the call by the host, so that get, change, put without other awaits is atomic (design,
// section 4, input gate). The promise of a write resolves at once; what the room says afterwards waits in the host until
// the write is durable (output gate). A failed write resets the room: there is no value here that could be wrong.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayIsArray,
  ArrayPrototypePush,
  DateNow,
  DatePrototypeGetTime,
  Error,
  Map,
  MapPrototypeSet,
  MathMax,
  NumberIsNaN,
  ObjectKeys,
  ObjectPrototypeIsPrototypeOf,
  String,
  Symbol,
  TypeError,
} = primordials;
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { hot } = core.loadExtScript("ext:partyrun/25_hot.js");
const { hold, release } = core.loadExtScript("ext:partyrun/45_gate.js");

const FOR_STORAGE = { forStorage: true };
const PUT_USAGE =
  "put() may only be called with a single key-value pair and optional options as put(key, value, options) " +
  "or with multiple key-value pairs and optional options as put(entries, options)";

function serialize(value) {
  return core.serialize(value, FOR_STORAGE, (message) => {
    throw new DOMException(message, "DataCloneError");
  });
}

function deserialize(bytes) {
  return core.deserialize(bytes, FOR_STORAGE);
}

function missing(method, type) {
  return new TypeError(
    `Failed to execute '${method}' on 'DurableObjectStorage': parameter 1 is not of type '${type}'.`,
  );
}

function getOne(key) {
  const bytes = hot.op_storage_get(String(key));
  return bytes === null || bytes === undefined ? undefined : deserialize(bytes);
}

function getMany(keys) {
  core.ops.op_storage_check_count(keys.length);
  const names = [];
  for (let i = 0; i < keys.length; i++) ArrayPrototypePush(names, String(keys[i]));
  return mapOf(core.ops.op_storage_get_many(names));
}

function mapOf(pairs) {
  const map = new Map();
  for (let i = 0; i < pairs.length; i += 2) MapPrototypeSet(map, pairs[i], deserialize(pairs[i + 1]));
  return map;
}

function list(options) {
  const { start, startAfter, end, prefix, reverse, limit } = options ?? {};
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
    limit === undefined || limit === null ? 0 : +limit,
  );
  return mapOf(found);
}

function put(keyOrEntries, value, options, count) {
  if (typeof keyOrEntries === "object" && keyOrEntries !== null) {
    if (count > 1 && value !== undefined && (typeof value !== "object" || value === null)) throw new TypeError(PUT_USAGE);
    const keys = ObjectKeys(keyOrEntries);
    // All values are cloned before the first is stored: a value that cannot be cloned stores none.
    const names = [];
    const values = [];
    for (let i = 0; i < keys.length; i++) {
      const one = keyOrEntries[keys[i]];
      if (one === undefined) continue;
      ArrayPrototypePush(names, keys[i]);
      ArrayPrototypePush(values, serialize(one));
    }
    core.ops.op_storage_put_many(names, values);
    return;
  }
  if (count === 0) throw new TypeError(PUT_USAGE);
  if (value === undefined) throw new TypeError("put() called with undefined value.");
  hot.op_storage_put(String(keyOrEntries), serialize(value));
}

function remove(keyOrKeys) {
  if (!ArrayIsArray(keyOrKeys)) return hot.op_storage_delete(String(keyOrKeys));
  const names = [];
  for (let i = 0; i < keyOrKeys.length; i++) ArrayPrototypePush(names, String(keyOrKeys[i]));
  return core.ops.op_storage_delete_many(names);
}

function alarmTime(time) {
  if (ObjectPrototypeIsPrototypeOf(Date.prototype, time)) time = DatePrototypeGetTime(time);
  else if (typeof time !== "number") throw missing("setAlarm", "date");
  if (NumberIsNaN(time)) throw new TypeError("The value cannot be converted because it is not a valid Date.");
  if (time <= 0) throw new TypeError("setAlarm() cannot be called with an alarm time <= 0");
  return MathMax(time, DateNow());
}

function getAlarm() {
  const time = core.ops.op_storage_get_alarm();
  return time < 0 ? null : time;
}

// Transactions stack in the host: `begin` opens one, `commit` and `rollback` close the innermost.
async function transaction(closure) {
  if (typeof closure !== "function") throw missing("transaction", "function");
  hold();
  const txn = new Transaction();
  core.ops.op_storage_begin();
  let result;
  try {
    result = await closure(txn);
  } catch (error) {
    if (txn[kEnd] === null) end(txn, "rolled back", false);
    throw error;
  } finally {
    release();
  }
  if (txn[kEnd] === null) end(txn, "committed", true);
  return result;
}

const kEnd = Symbol("how the transaction ended");

function end(txn, how, commit) {
  txn[kEnd] = how;
  if (commit) core.ops.op_storage_commit();
  else core.ops.op_storage_rollback();
}

// Methods that the storage and a transaction have in common.
const shared = {
  async get(key, _options) {
    if (arguments.length === 0) throw missing("get", "string or Array");
    return ArrayIsArray(key) ? getMany(key) : getOne(key);
  },
  async list(options) {
    return list(options);
  },
  async put(key, value, options) {
    put(key, value, options, arguments.length);
  },
  async delete(key, _options) {
    if (arguments.length === 0) throw missing("delete", "string or Array");
    return remove(key);
  },
  async getAlarm() {
    return getAlarm();
  },
  async setAlarm(time) {
    if (arguments.length === 0) throw missing("setAlarm", "date");
    core.ops.op_storage_set_alarm(alarmTime(time));
  },
  async deleteAlarm() {
    core.ops.op_storage_delete_alarm();
  },
};

class DurableObjectStorage {
  async deleteAll() {
    core.ops.op_storage_delete_all();
  }
  transaction(closure) {
    return transaction(closure);
  }
  async sync() {
    await core.ops.op_storage_sync();
  }
}

class Transaction {
  constructor() {
    this[kEnd] = null;
  }
  deleteAll() {
    throw new Error("Cannot call deleteAll() within a transaction");
  }
  rollback() {
    if (this[kEnd] === null) end(this, "rolled back", false);
  }
}
Object.defineProperty(Transaction, "name", { value: "DurableObjectTransaction" });

for (const name of ["get", "list", "put", "delete", "getAlarm", "setAlarm", "deleteAlarm"]) {
  const method = shared[name];
  Object.defineProperty(DurableObjectStorage.prototype, name, { value: method, writable: true, configurable: true });
  Object.defineProperty(Transaction.prototype, name, {
    value: {
      [name](...args) {
        if (this[kEnd] === "rolled back") throw new Error(`Cannot ${name}() on rolled back transaction`);
        if (this[kEnd] !== null) {
          throw new Error(
            `Cannot call ${name}() on transaction that has already committed: ` +
              "did you move `txn` outside of the closure?",
          );
        }
        return method.apply(this, args);
      },
    }[name],
    writable: true,
    configurable: true,
  });
}

return { DurableObjectStorage };
})();
