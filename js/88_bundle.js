// Runs the project's bundle (`evaluate`), and loads the modules of one party, or of all of them (`load`).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { DateNow, MathMax, ObjectKeys, PromisePrototypeThen, TypedArrayPrototypeGetBuffer } = primordials;

// By party: the namespace of its module, or the function that evaluates it and answers that, or a promise of it.
let entries;
// The promise of a bundle that uses top-level await.
let evaluating;
// By party: the milliseconds that its modules took, but for what they waited for.
const took = { __proto__: null };

function exportedBy(party) {
  return entries[party].default;
}

// All parties that are evaluated, with their namespaces.
function exported() {
  return entries;
}

const host = {
  // Node's modules are loaded when the first of them is asked for: most rooms never do.
  builtin: (specifier) => core.loadExtScript("ext:partyrun/node/loader.js").complete(specifier),
  wasm: (index) => core.ops.op_bundle_wasm(index),
  binary: (index) => TypedArrayPrototypeGetBuffer(core.ops.op_bundle_binary(index)),
};

// Answers undefined when the bundle has run, or a promise when it uses top-level await.
function evaluate(bundle) {
  const result = bundle(host);
  if (!core.isPromise(result)) {
    setEntries(result);
    return undefined;
  }
  evaluating = PromisePrototypeThen(result, setEntries);
  return evaluating;
}

// Evaluates the modules of a party, or those of all for `null`. Answers as `evaluate` does.
function load(party) {
  if (evaluating !== undefined) return PromisePrototypeThen(evaluating, () => load(party));
  return loadFrom(party === null ? ObjectKeys(entries) : [party], 0);
}

function loadFrom(names, at) {
  for (; at < names.length; at++) {
    const name = names[at];
    if (typeof entries[name] !== "function") continue;
    const began = DateNow();
    const evaluated = entries[name]();
    took[name] = MathMax(0, DateNow() - began);
    if (core.isPromise(evaluated)) {
      return PromisePrototypeThen(evaluated, (namespace) => {
        entries[name] = namespace;
        return loadFrom(names, at + 1);
      });
    }
    entries[name] = evaluated;
  }
  return undefined;
}

function setEntries(result) {
  evaluating = undefined;
  entries = { main: result.main, ...result.parties };
}

return { evaluate, exported, exportedBy, load, took };
})();
