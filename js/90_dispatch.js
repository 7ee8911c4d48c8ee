// The table of what the host calls, the last script of the snapshot. `boot` is called once in every isolate, before the
// project's bundle is evaluated; `evaluate` runs the bundle; then the host calls `room` or `edge` functions per event.
"use strict";

(function () {
const { core, internals, primordials } = __bootstrap;
const { JSONParse, ObjectDefineProperty } = primordials;
const { install } = core.loadExtScript("ext:partyrun/25_hot.js");
core.loadExtScript("ext:partyrun/20_timers.js");
const { reportException } = core.loadExtScript("ext:deno_web/02_event.js");
const { setLimits } = core.loadExtScript("ext:partyrun/18_limits.js");
const { setEnv } = core.loadExtScript("ext:partyrun/15_process.js");
core.loadExtScript("ext:partyrun/32_fetch.js");
const { setOverrides } = core.loadExtScript("ext:partyrun/65_cf.js");
const room = core.loadExtScript("ext:partyrun/70_room.js");
const edge = core.loadExtScript("ext:partyrun/80_edge.js");

let entries;

function exportedBy(party) {
  return entries[party].default;
}

const host = {
  // Node's modules are loaded when the first of them is asked for: most rooms never do.
  builtin: (specifier) => core.loadExtScript("ext:partyrun/node/loader.js").builtin(specifier),
  wasm: (index) => core.ops.op_bundle_wasm(index),
  binary: (index) => core.ops.op_bundle_binary(index).buffer,
};

// Answers undefined when the modules are evaluated, or a promise when one of them uses top-level await.
function evaluate(bundle) {
  const result = bundle(host);
  if (!core.isPromise(result)) {
    setEntries(result);
    return undefined;
  }
  return result.then(setEntries);
}

function setEntries(result) {
  entries = { main: result.main, ...result.parties };
}

function boot(settings) {
  install(core.loadExtScript("ext:partyrun/99_fast.js"));
  const { limits, env, cf, debug } = JSONParse(settings);
  setLimits(limits);
  setEnv(env);
  setOverrides(cf);
  // Debuggers see what user code prints; the host sees it as well.
  if (debug) core.wrapConsole(globalThis.console, core.v8Console);
  core.setUnhandledPromiseRejectionHandler((_promise, reason) => {
    console.error("Uncaught (in promise)", reason);
    return true;
  });
  // What a timer, a microtask or a listener throws is an event of the global object first (HTML, "report an exception").
  core.setReportExceptionCallback(reportException);
  // User code must not find the runtime's own insides, and packages must not take partyrun for Deno.
  delete globalThis.Deno;
  delete globalThis.__bootstrap;
}

ObjectDefineProperty(globalThis, "__partyrun", {
  __proto__: null,
  configurable: true,
  value: {
    boot,
    evaluate,
    start: (info, restored) => room.start(info, exportedBy(info.party), restored),
    request: room.request,
    connect: room.connect,
    message: room.message,
    end: room.end,
    alarm: room.alarm,
    describe: (info) => edge.describe(entries, info),
    before: edge.before,
    fetch: edge.fetch,
    socket: edge.socket,
    cron: edge.cron,
    cool: room.cool,
  },
});
internals.partyrun = true;
})();
