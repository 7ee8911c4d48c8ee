// Modules that a room cannot have: processes, threads, terminals. They can be imported, so that a package that only mentions them
// runs. Calling one of their functions throws an error that names it and its module. Constants that programs look at to find out
// where they run are real, and calls that may do nothing, such as hints, do nothing.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, MapPrototypeGet, MapPrototypeSet, ObjectAssign, ObjectDefineProperty, ObjectHasOwn, ObjectKeys, PromiseReject, Proxy,
  ReflectGet, SafeArrayIterator, SafeMap, StringPrototypeSlice, StringPrototypeSplit, StringPrototypeStartsWith, Symbol,
  SymbolFor } = primordials;

function missing(specifier, name) {
  const error = new Error(`${specifier}: ${name} is not available in partyrun`);
  error.code = "ERR_METHOD_NOT_IMPLEMENTED";
  return error;
}

// Callable and constructible, so that `new` and `extends` of it get as far as the message.
function absentFunction(specifier, name) {
  const stand = function () {
    throw missing(specifier, name);
  };
  ObjectDefineProperty(stand, "name", { __proto__: null, value: name, configurable: true });
  return stand;
}

function functions(specifier, names) {
  const made = {};
  const list = StringPrototypeSplit(names, " ");
  for (let i = 0; i < list.length; i++) made[list[i]] = absentFunction(specifier, list[i]);
  return made;
}

function promised(specifier, names) {
  const made = {};
  const list = StringPrototypeSplit(names, " ");
  for (let i = 0; i < list.length; i++) made[list[i]] = () => PromiseReject(missing(specifier, list[i]));
  return made;
}

const DNS = "lookup lookupService resolve resolve4 resolve6 resolveAny resolveCname resolveMx resolveNs resolvePtr resolveSrv " +
  "resolveTxt reverse";

const nothing = () => {};
const no = () => false;

const MODULES = {
  __proto__: null,
  "node:child_process": (s) => functions(s, "exec execFile execFileSync execSync fork spawn spawnSync ChildProcess"),
  "node:cluster": cluster,
  "node:dgram": (s) => functions(s, "createSocket Socket"),
  "node:dns": (s) => ({ ...functions(s, DNS + " Resolver"), ...resolverSettings(), promises: dnsPromises("node:dns/promises") }),
  "node:dns/promises": dnsPromises,
  "node:domain": (s) => functions(s, "create createDomain Domain"),
  "node:http2": (s) => functions(s, "connect createServer createSecureServer"),
  "node:inspector": inspector,
  "node:inspector/promises": inspector,
  "node:readline": (s) => functions(s, "createInterface clearLine clearScreenDown cursorTo emitKeypressEvents moveCursor Interface"),
  "node:readline/promises": (s) => functions(s, "createInterface Interface Readline"),
  "node:repl": (s) => functions(s, "start REPLServer Recoverable"),
  "node:sea": (s) => ({ ...functions(s, "getAsset getRawAsset getAssetAsBlob"), getAssetKeys: () => [], isSea: no }),
  "node:sqlite": (s) => functions(s, "DatabaseSync StatementSync"),
  "node:test": (s) => functions(s, "after afterEach before beforeEach describe it mock test"),
  "node:trace_events": () => ({
    createTracing: ({ categories }) => ({ categories: `${categories}`, enabled: false, enable() {}, disable() {} }),
    getEnabledCategories: nothing,
  }),
  "node:tty": (s) => ({ ...functions(s, "ReadStream WriteStream"), isatty: no }),
  "node:v8": v8,
  "node:vm": (s) => ({
    ...functions(s, "compileFunction createContext runInContext runInNewContext runInThisContext Script SourceTextModule"),
    constants: { __proto__: null, DONT_CONTEXTIFY: Symbol("vm_context_no_contextify"), USE_MAIN_CONTEXT_DEFAULT_LOADER:
      Symbol("vm_dynamic_import_main_context_default") },
    isContext: no,
  }),
  "node:wasi": (s) => functions(s, "WASI"),
  "node:worker_threads": workerThreads,
  "cloudflare:workers": cloudflareWorkers,
  "cloudflare:email": (s) => functions(s, "EmailMessage"),
};

function cluster(s) {
  const { EventEmitter } = core.loadExtScript("ext:deno_node/_events.mjs");
  return ObjectAssign(new EventEmitter(), functions(s, "fork setupPrimary disconnect"), { isMaster: true, isPrimary: true,
    isWorker: false, schedulingPolicy: 2, settings: {}, workers: {} });
}

// Where names are looked up is the host's business.
function resolverSettings() {
  let order = "verbatim";
  return {
    getDefaultResultOrder: () => order,
    getServers: () => [],
    setDefaultResultOrder(value) {
      order = value;
    },
    setServers: nothing,
  };
}

function dnsPromises(s) {
  return { ...promised(s, DNS), ...resolverSettings(), Resolver: absentFunction(s, "Resolver") };
}

function inspector(s) {
  const { console } = globalThis;
  return { ...functions(s, "open waitForDebugger Session"), close: nothing, console, DOMStorage: {}, Network: {}, NetworkResources: {},
    url: nothing };
}

function v8(s) {
  const { asBuffer } = core.loadExtScript("ext:partyrun/node/buffers.js");
  return {
    ...functions(s, "getHeapSnapshot writeHeapSnapshot Serializer Deserializer"),
    cachedDataVersionTag: () => 0,
    deserialize: (bytes) => core.deserialize(bytes, { forStorage: true }),
    getHeapCodeStatistics: () => ({ code_and_metadata_size: 0, bytecode_and_metadata_size: 0, external_script_source_size: 0,
      cpu_profiler_metadata_size: 0 }),
    getHeapSpaceStatistics: () => [],
    getHeapStatistics: () => ({ total_heap_size: 0, total_heap_size_executable: 0, total_physical_size: 0, total_available_size: 0,
      used_heap_size: 0, heap_size_limit: 0, malloced_memory: 0, peak_malloced_memory: 0, does_zap_garbage: 0,
      number_of_native_contexts: 1, number_of_detached_contexts: 0, total_global_handles_size: 0, used_global_handles_size: 0,
      external_memory: 0 }),
    serialize: (value) => asBuffer(core.serialize(value, { forStorage: true })),
    setFlagsFromString: nothing,
    setHeapSnapshotNearHeapLimit: nothing,
    startupSnapshot: { addAfterUserSerializeDeserializeSnapshot: nothing, addDeserializeCallback: nothing,
      addSerializeCallback: nothing, isBuildingSnapshot: no, setDeserializeMainFunction: nothing },
    stopCoverage: nothing,
    takeCoverage: nothing,
  };
}

// A room is the only thread that its code knows of. Marks say how objects would travel to others.
function workerThreads(s) {
  const shared = new SafeMap();
  return {
    ...functions(s, "Worker moveMessagePortToContext receiveMessageOnPort"),
    getEnvironmentData: (key) => MapPrototypeGet(shared, key),
    isInternalThread: false,
    isMainThread: true,
    isMarkedAsUntransferable: no,
    markAsUncloneable: nothing,
    markAsUntransferable: nothing,
    MessageChannel: globalThis.MessageChannel,
    MessagePort: globalThis.MessagePort,
    parentPort: null,
    resourceLimits: {},
    setEnvironmentData(key, value) {
      MapPrototypeSet(shared, key, value);
    },
    SHARE_ENV: SymbolFor("nodejs.worker_threads.SHARE_ENV"),
    threadId: 0,
    threadName: "",
    workerData: null,
  };
}

// Base classes that modules extend at their top level; nothing of partyrun makes instances of them.
function cloudflareWorkers(specifier) {
  class RpcTarget {}
  class WorkerEntrypoint {
    constructor(ctx, env) {
      this.ctx = ctx;
      this.env = env;
    }
  }
  class DurableObject extends WorkerEntrypoint {}
  class WorkflowEntrypoint extends WorkerEntrypoint {}
  return { DurableObject, env: {}, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint, ...functions(specifier, "withEnv waitUntil") };
}

function absent(specifier) {
  const make = MODULES[specifier];
  if (make !== undefined) return make(specifier);
  // A module that nobody has heard of: whatever is asked for is a function that says so, except for what loaders look for.
  return new Proxy({}, {
    __proto__: null,
    get(target, name, receiver) {
      const found = ReflectGet(target, name, receiver);
      if (found !== undefined || typeof name !== "string" || name in target) return found;
      if (name === "__esModule" || name === "then" || name === "default" || name === "toJSON") return undefined;
      return target[name] = absentFunction(specifier, name);
    },
  });
}

// Gives a module what Node's has besides: constants, and functions that say that they are missing. Names that Node has not are
// not there, so that programs which look for one find that out.
function complete(specifier, module) {
  if (!StringPrototypeStartsWith(specifier, "node:")) return;
  const known = core.loadExtScript("ext:partyrun/node/names.generated.js")[StringPrototypeSlice(specifier, 5)];
  if (known === undefined) return;
  const values = known.values ?? {};
  for (const name of new SafeArrayIterator(StringPrototypeSplit(known.names, " "))) {
    if (name in module) continue;
    const value = ObjectHasOwn(values, name) ? values[name] : absentFunction(specifier, name);
    ObjectDefineProperty(module, name, { __proto__: null, value, configurable: true, enumerable: true, writable: true });
  }
}

return { absent, absentFunction, complete, absentNames: () => ObjectKeys(MODULES) };
})();
