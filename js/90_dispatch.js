// The table of functions that the host calls; the last script of the snapshot. The host calls `boot` once in every isolate, then
// `evaluate` to run the project's bundle and `load` for the modules of one party or of all, and then functions of `room` or `edge`
// for each event.
"use strict";

(function () {
const { core, internals, primordials } = __bootstrap;
const { DateNow, JSONParse, ObjectDefineProperty } = primordials;
const { install: installShared } = core.loadExtScript("ext:partyrun/09_shared_buffers.js");
const { setTracing, trace } = core.loadExtScript("ext:partyrun/02_traces.js");
const { console } = core.loadExtScript("ext:partyrun/10_console.js");
const { install } = core.loadExtScript("ext:partyrun/25_hot.js");
const { clearTimersOf } = core.loadExtScript("ext:partyrun/20_timers.js");
const { reportException } = core.loadExtScript("ext:deno_web/02_event.js");
const { setConcealing, setFiles } = core.loadExtScript("ext:partyrun/17_failures.js");
const { setLimits } = core.loadExtScript("ext:partyrun/18_limits.js");
const { setEnv } = core.loadExtScript("ext:partyrun/15_process.js");
core.loadExtScript("ext:partyrun/32_fetch.js");
const { setOverrides } = core.loadExtScript("ext:partyrun/65_cf.js");
const { forgetRoom, forgetRooms, leaveRooms, setShared } = core.loadExtScript("ext:partyrun/04_rooms.js");
const room = core.loadExtScript("ext:partyrun/70_room.js");
const edge = core.loadExtScript("ext:partyrun/80_edge.js");
const bundle = core.loadExtScript("ext:partyrun/88_bundle.js");

// Rejections without a handler, as long as they follow each other quickly: a loop can make more than anybody reads.
const APART_MS = 1000;
let printedMax = 0;
let rejections = 0;
let nextTold = 0;
let lastRejection = 0;
let firstReason;

function tellRejection(reason) {
  const now = DateNow();
  if (now - lastRejection > APART_MS) {
    rejections = 0;
    nextTold = 10;
    firstReason = reason;
  }
  lastRejection = now;
  rejections++;
  if (rejections <= printedMax) console.error("Uncaught (in promise)", reason);
  if (rejections < nextTold) return;
  nextTold *= 10;
  if (rejections > printedMax) {
    console.error(`Uncaught (in promise): ${rejections} rejections by now. The reason of the first:`, firstReason);
  }
}

// The host calls it with what promises were rejected with that nobody handles.
function rejected(reasons) {
  for (let i = 0; i < reasons.length; i++) tellRejection(reasons[i]);
}

function boot(settings) {
  installShared();
  install(core.loadExtScript("ext:partyrun/99_fast.js"));
  const { limits, env, cf, debug, conceal, shared, tracing, files, clock } = JSONParse(settings);
  setShared(shared === true);
  setTracing(tracing === true);
  setLimits(limits);
  setEnv(env);
  setOverrides(cf);
  setConcealing(conceal);
  if (files !== undefined) setFiles(files);
  // Debuggers see what user code prints; the host sees it as well.
  if (debug) core.loadExtScript("ext:partyrun/inspected.js").install();
  if (clock === true) core.loadExtScript("ext:partyrun/moved_clock.js").install();
  printedMax = limits.rejections_printed_max;
  // What a timer, a microtask or a listener throws is an event of the global object first (HTML, "report an exception").
  core.setReportExceptionCallback(reportException);
  // User code must not find the runtime's own insides, and packages must not take partyrun for Deno.
  delete globalThis.Deno;
  delete globalThis.__bootstrap;
}

// Evaluates the modules of a party, or of all: rooms that share an isolate share them.
function load(party) {
  leaveRooms();
  return bundle.load(party);
}

// The room has left, and others of the isolate stay.
function leave(number) {
  const left = forgetRoom(number);
  if (left !== undefined) clearTimersOf(left);
}

ObjectDefineProperty(globalThis, "__partyrun", {
  __proto__: null,
  configurable: true,
  value: {
    boot,
    evaluate: bundle.evaluate,
    load,
    leave,
    rejected,
    start: (number, info, restored) => room.start(number, info, bundle.exportedBy(info.party), restored),
    request: room.request,
    connect: room.connect,
    message: room.message,
    end: room.end,
    alarm: room.alarm,
    trace,
    describe: (info) => edge.describe(bundle.exported(), info, bundle.took),
    before: edge.before,
    fetch: edge.fetch,
    socket: edge.socket,
    cron: edge.cron,
    cool: forgetRooms,
  },
});
internals.partyrun = true;
})();
