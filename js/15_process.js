// The `process` global, which npm packages look at to find out where they run. Its `env` holds the keys of the project's
// environment files, never the environment of the server's process (spec 4.2, threat 19).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { BigInt, DateNow, Error, MathTrunc, ObjectAssign, PromisePrototypeThen, PromiseResolve, ReflectApply, TypedArrayPrototypeGetBuffer,
  Uint32Array, Uint8Array } = primordials;
const { console } = core.loadExtScript("ext:partyrun/10_console.js");

const bytes = new Uint8Array(8);
const numbers = new Uint32Array(TypedArrayPrototypeGetBuffer(bytes));

// Milliseconds since the isolate was made, as `performance.now()` tells them.
function now() {
  core.ops.op_now(bytes);
  return numbers[0] * 1000 + numbers[1] / 1e6;
}

const process = {
  env: {},
  argv: [],
  platform: "",
  version: "",
  versions: { node: "" },
  browser: false,
  title: "partyrun",
  pid: 1,
  cwd: () => "/",
  nextTick(callback, ...args) {
    PromisePrototypeThen(PromiseResolve(undefined), () => ReflectApply(callback, undefined, args));
  },
  hrtime: ObjectAssign((previous) => {
    const time = now();
    const seconds = MathTrunc(time / 1000);
    const nanoseconds = MathTrunc((time - seconds * 1000) * 1e6);
    if (previous === undefined) return [seconds, nanoseconds];
    const difference = nanoseconds - previous[1];
    return difference < 0 ? [seconds - previous[0] - 1, difference + 1e9] : [seconds - previous[0], difference];
  }, { bigint: () => BigInt(MathTrunc(now() * 1e6)) }),
  uptime: () => now() / 1000,
  exit() {
    throw new Error("process.exit() is not available: a server of a party cannot end the process.");
  },
  on: () => process,
  once: () => process,
  off: () => process,
  emit: () => false,
  emitWarning: (warning) => console.warn(warning),
};

core.defineGlobalProperties(globalThis, { process: core.propNonEnumerable(process) });

return {
  process,
  setEnv(entries) {
    ObjectAssign(process.env, entries);
  },
  startedAt: DateNow,
};
})();
