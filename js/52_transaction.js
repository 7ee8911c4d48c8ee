// `storage.transaction` (spec 3.5): reads inside it see its writes, and an error takes them back.
// A transaction is a section (45_input_gate.js), so the open ones form a stack, here and in the host: one that is begun inside
// another's closure is inside it, and those begun side by side run one after the other. Calls of the storage itself belong to the
// innermost open transaction, whoever makes them, as on the original.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePop, ArrayPrototypePush, Error, ObjectDefineProperty, Symbol } = primordials;
const { inSection } = core.loadExtScript("ext:partyrun/45_input_gate.js");
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { DurableObjectStorage, roomOfStorage, shared, wrongType } = core.loadExtScript("ext:partyrun/50_storage.js");

const OPEN = 0;
const COMMITTED = 1;
const ROLLED_BACK = 2;

const kEnd = Symbol("how the transaction ended");

function begin(room) {
  core.ops.op_storage_begin(room.number);
  const opened = new DurableObjectTransaction(room);
  ArrayPrototypePush(room.transactions, opened);
  return opened;
}

function end(transaction, how) {
  const { number, transactions } = roomOf(transaction);
  transaction[kEnd] = how;
  ArrayPrototypePop(transactions);
  if (how === COMMITTED) core.ops.op_storage_commit(number);
  else core.ops.op_storage_rollback(number);
}

function close(opened, succeeded) {
  if (opened[kEnd] === OPEN) end(opened, succeeded ? COMMITTED : ROLLED_BACK);
}

async function transaction(room, closure) {
  if (typeof closure !== "function") throw wrongType("DurableObjectStorage", "transaction", "function");
  return await inSection(room, closure, begin, close);
}

let roomOf;

class DurableObjectTransaction {
  #room;

  static {
    roomOf = (transaction) => transaction.#room;
  }

  constructor(room) {
    this.#room = room;
    this[kEnd] = OPEN;
  }
  deleteAll() {
    throw new Error("Cannot call deleteAll() within a transaction");
  }
  rollback() {
    if (this[kEnd] === ROLLED_BACK) return;
    check(this, "rollback");
    const { transactions } = this.#room;
    if (transactions[transactions.length - 1] !== this) {
      throw new Error("Cannot roll back an outer transaction while a nested transaction is still running.");
    }
    end(this, ROLLED_BACK);
  }
}

function check(transaction, method) {
  if (transaction[kEnd] === ROLLED_BACK) throw new Error(`Cannot ${method}() on rolled back transaction`);
  if (transaction[kEnd] === COMMITTED) {
    throw new Error(
      `Cannot call ${method}() on transaction that has already committed: did you move \`txn\` outside of the closure?`,
    );
  }
}

for (const name of ["get", "list", "put", "delete", "getAlarm", "setAlarm", "deleteAlarm"]) {
  const method = shared[name];
  const value = {
    async [name](first, second) {
      check(this, name);
      return method(roomOf(this), "DurableObjectTransaction", arguments.length, first, second);
    },
  }[name];
  const property = { __proto__: null, value, writable: true, configurable: true };
  ObjectDefineProperty(DurableObjectTransaction.prototype, name, property);
}

ObjectDefineProperty(DurableObjectStorage.prototype, "transaction", {
  __proto__: null,
  value: {
    transaction(closure) {
      return transaction(roomOfStorage(this), closure);
    },
  }.transaction,
  writable: true,
  configurable: true,
});

refuseAll(DurableObjectStorage.prototype, "DurableObjectStorage");
refuseAll(DurableObjectTransaction.prototype, "DurableObjectTransaction");

return { DurableObjectStorage };
})();
