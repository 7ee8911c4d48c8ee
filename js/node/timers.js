// `node:timers`, `node:timers/promises` and `node:perf_hooks`, over the timers and the clock of the room.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectDefineProperty, Promise, PromiseReject, ReflectApply, ReflectConstruct, SymbolDispose,
  SymbolFor, SymbolToPrimitive, TypeError } = primordials;
const timers = core.loadExtScript("ext:partyrun/20_timers.js");
const { AbortError } = core.loadExtScript("ext:deno_node/internal/errors.ts");

const customPromisify = SymbolFor("nodejs.util.promisify.custom");

function checkCallback(callback) {
  if (typeof callback === "function") return;
  const error = new TypeError('The "callback" argument must be of type function.');
  error.code = "ERR_INVALID_ARG_TYPE";
  throw error;
}

// What Node's timer functions answer. It converts to the number that the room's own timers have.
class Timeout {
  #id;
  #callback;
  #delay;
  #args;
  #repeats;
  #keepsAlive = true;

  constructor(callback, delay, args, repeats) {
    checkCallback(callback);
    this.#callback = callback;
    this.#delay = delay;
    this.#args = args;
    this.#repeats = repeats;
    this.#start();
  }

  #start() {
    const run = () => ReflectApply(this.#callback, this, this.#args);
    this.#id = this.#repeats ? timers.setInterval(run, this.#delay) : timers.setTimeout(run, this.#delay);
  }

  refresh() {
    timers.clearTimeout(this.#id);
    this.#start();
    return this;
  }

  close() {
    timers.clearTimeout(this.#id);
    return this;
  }

  ref() {
    this.#keepsAlive = true;
    return this;
  }

  unref() {
    this.#keepsAlive = false;
    return this;
  }

  hasRef() {
    return this.#keepsAlive;
  }

  [SymbolToPrimitive]() {
    return this.#id;
  }

  [SymbolDispose]() {
    this.close();
  }
}

class Immediate extends Timeout {
  constructor(callback, args) {
    super(callback, 0, args, false);
  }
}

function setTimeout(callback, delay, ...args) {
  return new Timeout(callback, delay, args, false);
}

function setInterval(callback, delay, ...args) {
  return new Timeout(callback, delay, args, true);
}

function setImmediate(callback, ...args) {
  return new Immediate(callback, args);
}

function clear(timer) {
  if (timer !== undefined && timer !== null) timers.clearTimeout(timer);
}

function wait(delay, value, options, make) {
  // user code: the signal may be one of a package.
  const signal = options?.signal;
  // user code: as above.
  if (signal?.aborted) return PromiseReject(new AbortError(undefined, { cause: signal.reason }));
  return new Promise((resolve, reject) => {
    const abort = () => {
      clear(timer);
      reject(new AbortError(undefined, { cause: signal.reason }));
    };
    const timer = make(() => {
      // user code: as above.
      signal?.removeEventListener("abort", abort);
      resolve(value);
    }, delay);
    // user code: as above.
    signal?.addEventListener("abort", abort, { once: true });
  });
}

const promises = {
  setTimeout: (delay, value, options) => wait(delay, value, options, setTimeout),
  setImmediate: (value, options) => wait(0, value, options, setTimeout),
  async *setInterval(delay, value, options) {
    for (;;) yield await wait(delay, value, options, setTimeout);
  },
  scheduler: {
    wait: (delay, options) => wait(delay, undefined, options, setTimeout),
    yield: () => wait(0, undefined, undefined, setTimeout),
  },
};
ObjectDefineProperty(setTimeout, customPromisify, { __proto__: null, value: promises.setTimeout });
ObjectDefineProperty(setImmediate, customPromisify, { __proto__: null, value: promises.setImmediate });

// --- node:perf_hooks ----------------------------------------------------------------------------------------------

function perfHooks() {
  const web = core.loadExtScript("ext:deno_web/15_performance.js");
  const { absentFunction } = core.loadExtScript("ext:partyrun/node/absent.js");
  const constants = { NODE_PERFORMANCE_GC_MAJOR: 4, NODE_PERFORMANCE_GC_MINOR: 1, NODE_PERFORMANCE_GC_INCREMENTAL: 8,
    NODE_PERFORMANCE_GC_WEAKCB: 16 };
  const { performance } = web;
  performance.timerify ??= (callback) => {
    checkCallback(callback);
    return function (...args) {
      return new.target ? ReflectConstruct(callback, args) : ReflectApply(callback, this, args);
    };
  };
  performance.eventLoopUtilization ??= () => ({ idle: 0, active: 0, utilization: 0 });
  return {
    constants,
    createHistogram: absentFunction("node:perf_hooks", "createHistogram"),
    eventLoopUtilization: performance.eventLoopUtilization,
    monitorEventLoopDelay: absentFunction("node:perf_hooks", "monitorEventLoopDelay"),
    performance,
    Performance: web.Performance,
    PerformanceEntry: web.PerformanceEntry,
    PerformanceMark: web.PerformanceMark,
    PerformanceMeasure: web.PerformanceMeasure,
    PerformanceObserver: web.PerformanceObserver,
    PerformanceObserverEntryList: web.PerformanceObserverEntryList,
    timerify: performance.timerify,
  };
}

const whole = {
  setTimeout,
  setInterval,
  setImmediate,
  clearTimeout: clear,
  clearInterval: clear,
  clearImmediate: clear,
  promises,
};

return { perfHooks, promises, timers: whole };
})();
