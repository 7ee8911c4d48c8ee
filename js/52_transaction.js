// storage.transaction (spec 3.5): reads inside see its writes, and what throws takes them back.
// Open transactions are a stack in the host: a nested one belongs to the one in whose closure it was begun. Which closure
// that is, is told by V8's async context, so that two transactions which a handler begins side by side run one after the
// other instead of ending each other. While one is open the room is held (45_gate.js).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayPrototypePop,
  ArrayPrototypePush,
  Error,
  ObjectDefineProperty,
  Promise,
  Symbol,
} = primordials;
const { AsyncVariable, setAsyncContext } = core;
const { hold, release } = core.loadExtScript("ext:partyrun/45_gate.js");
const { DurableObjectStorage, shared, wrongType } = core.loadExtScript("ext:partyrun/50_storage.js");

const OPEN = 0;
const COMMITTED = 1;
const ROLLED_BACK = 2;

const kEnd = Symbol("how the transaction ended");
const kParent = Symbol("the transaction around it");

// The transaction whose closure runs now.
const current = new AsyncVariable();
// Open transactions, outermost first, as the host has them.
const stack = [];
// Those that wait until the stack is as they need it: functions.
let waiting = [];

function innermost() {
  return stack.length === 0 ? null : stack[stack.length - 1];
}

// The innermost open transaction around the code that runs now.
function around() {
  let transaction = current.get() ?? null;
  while (transaction !== null && transaction[kEnd] !== OPEN) transaction = transaction[kParent];
  return transaction;
}

async function turnOf(parent) {
  while (innermost() !== parent) {
    await new Promise((resolve) => ArrayPrototypePush(waiting, resolve));
    // What was around this one may have ended while it waited.
    while (parent !== null && parent[kEnd] !== OPEN) parent = parent[kParent];
  }
  return parent;
}

function end(transaction, how) {
  transaction[kEnd] = how;
  ArrayPrototypePop(stack);
  if (how === COMMITTED) core.ops.op_storage_commit();
  else core.ops.op_storage_rollback();
  const woken = waiting;
  waiting = [];
  for (let i = 0; i < woken.length; i++) woken[i]();
}

// Ends `transaction` when all that were begun inside it have ended.
async function finish(transaction, how) {
  if (transaction[kEnd] === OPEN && innermost() !== transaction) await turnOf(transaction);
  if (transaction[kEnd] === OPEN) end(transaction, how);
}

// Calls the closure with the transaction as its context; what the closure awaits goes on in that context.
function run(opened, closure) {
  const outside = current.enter(opened);
  try {
    return closure(opened);
  } finally {
    setAsyncContext(outside);
  }
}

async function transaction(closure) {
  if (typeof closure !== "function") throw wrongType("DurableObjectStorage", "transaction", "function");
  hold();
  try {
    let parent = around();
    if (innermost() !== parent) parent = await turnOf(parent);
    const opened = new DurableObjectTransaction(parent);
    core.ops.op_storage_begin();
    ArrayPrototypePush(stack, opened);
    let result;
    try {
      result = await run(opened, closure);
    } catch (error) {
      await finish(opened, ROLLED_BACK);
      throw error;
    }
    await finish(opened, COMMITTED);
    return result;
  } finally {
    release();
  }
}

class DurableObjectTransaction {
  constructor(parent) {
    this[kEnd] = OPEN;
    this[kParent] = parent;
  }
  deleteAll() {
    throw new Error("Cannot call deleteAll() within a transaction");
  }
  rollback() {
    if (this[kEnd] === ROLLED_BACK) return;
    check(this, "rollback");
    // What was begun inside and is still open goes with it.
    while (innermost() !== this) end(innermost(), ROLLED_BACK);
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
      return method("DurableObjectTransaction", arguments.length, first, second);
    },
  }[name];
  const property = { __proto__: null, value, writable: true, configurable: true };
  ObjectDefineProperty(DurableObjectTransaction.prototype, name, property);
}

ObjectDefineProperty(DurableObjectStorage.prototype, "transaction", {
  __proto__: null,
  value: { transaction: (closure) => transaction(closure) }.transaction,
  writable: true,
  configurable: true,
});

return { DurableObjectStorage };
})();
