// What Deno's Node scripts ask of their platform, answered for a room: ticks are microtasks, there is no terminal, and there
// are no command line options. Replaces several scripts of deno_node (see REPLACED in generate.mjs).
"use strict";

(function () {
const { core, internals, primordials } = __bootstrap;
const { Error, ObjectFreeze, PromisePrototypeThen, PromiseResolve, ReflectApply, TypeError } = primordials;
const { reportException } = core.loadExtScript("ext:deno_web/02_event.js");

const resolved = PromiseResolve(undefined);

// The promise's reaction keeps the async context of whoever asked, as Node's queue of ticks does.
function nextTick(callback, ...args) {
  if (typeof callback !== "function") {
    const error = new TypeError('The "callback" argument must be of type function.');
    error.code = "ERR_INVALID_ARG_TYPE";
    throw error;
  }
  PromisePrototypeThen(resolved, () => {
    try {
      ReflectApply(callback, undefined, args);
    } catch (error) {
      reportException(error);
    }
  });
}

const stream = ObjectFreeze({ __proto__: null, isTerminal: () => false });

class NoSuchError extends Error {}

// Where deno_node says `Deno`.
internals.nodeHost = {
  __proto__: null,
  build: { os: "linux", arch: "x86_64" },
  consoleSize: () => ({ columns: 80, rows: 24 }),
  cwd: () => "/",
  errors: { BadResource: NoSuchError, NotCapable: NoSuchError },
  noColor: true,
  pid: 1,
};

return {
  nextTick,
  enableNextTick() {},
  processTicksAndRejections() {},
  runNextTicks() {},
  getOptionValue: () => undefined,
  stderr: stream,
  stdin: stream,
  stdout: stream,
};
})();
