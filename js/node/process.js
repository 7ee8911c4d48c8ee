// `node:process` and `node:module`. The process object is the global one of 15_process.js, with what only Node programs look for
// added once somebody imports it: events, `stdout`, figures of memory.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, Error, FunctionPrototypeBind, MapPrototypeHas, ObjectAssign, ObjectDefineProperty, SafeMap, Set, String,
  StringPrototypeSlice, StringPrototypeStartsWith, TypeError } = primordials;
const { LEVEL_ERROR, LEVEL_LOG } = core.loadExtScript("ext:partyrun/01_wire.js");
const { print } = core.loadExtScript("ext:partyrun/10_console.js");
const { builtin, builtinNames, complete } = core.loadExtScript("ext:partyrun/node/loader.js");
const { absentNames } = core.loadExtScript("ext:partyrun/node/absent.js");
const { process } = core.loadExtScript("ext:partyrun/15_process.js");
const { nextTick } = core.loadExtScript("ext:partyrun/node/platform.js");
const { EventEmitter } = core.loadExtScript("ext:deno_node/_events.mjs");

const emitter = new EventEmitter();
const EVENTS = ["addListener", "on", "once", "off", "removeListener", "removeAllListeners", "emit", "listeners",
  "listenerCount", "eventNames", "prependListener", "prependOnceListener", "setMaxListeners", "getMaxListeners",
  "rawListeners"];
for (let i = 0; i < EVENTS.length; i++) process[EVENTS[i]] = FunctionPrototypeBind(emitter[EVENTS[i]], emitter);

const nothing = () => {};

function absent(name) {
  return () => {
    throw new Error(`process.${name}() is not available: a room is not a process of its own.`);
  };
}

// What only asks or only tells does so; what would change the process throws.
ObjectAssign(process, {
  abort: absent("abort"),
  // own: user code gets it.
  allowedNodeEnvironmentFlags: new Set(),
  arch: "x64",
  argv0: "partyrun",
  availableMemory: () => 0,
  binding(name) {
    throw ObjectAssign(new Error(`No such module: ${name}`), { code: "ERR_INVALID_MODULE" });
  },
  chdir: absent("chdir"),
  constrainedMemory: () => 0,
  cpuUsage: () => ({ user: 0, system: 0 }),
  config: { target_defaults: {}, variables: {} },
  debugPort: 0,
  domain: null,
  execArgv: [],
  execPath: "",
  exitCode: undefined,
  features: { inspector: false, tls: true },
  getBuiltinModule: (name) => isBuiltin(name) ? complete(withScheme(`${name}`)) : undefined,
  finalization: { register: nothing, registerBeforeExit: nothing, unregister: nothing },
  getActiveResourcesInfo: () => [],
  getegid: () => 1000,
  geteuid: () => 1000,
  getgid: () => 1000,
  getgroups: () => [1000],
  getuid: () => 1000,
  hasUncaughtExceptionCaptureCallback: () => false,
  kill: absent("kill"),
  moduleLoadList: [],
  nextTick,
  ppid: 0,
  ref: nothing,
  release: { name: "" },
  resourceUsage: () => ({ userCPUTime: 0, systemCPUTime: 0, maxRSS: 0, sharedMemorySize: 0, unsharedDataSize: 0,
    unsharedStackSize: 0, minorPageFault: 0, majorPageFault: 0, swappedOut: 0, fsRead: 0, fsWrite: 0, ipcSent: 0, ipcReceived: 0,
    signalsCount: 0, voluntaryContextSwitches: 0, involuntaryContextSwitches: 0 }),
  setSourceMapsEnabled: nothing,
  setUncaughtExceptionCaptureCallback: nothing,
  sourceMapsEnabled: true,
  threadCpuUsage: () => ({ user: 0, system: 0 }),
  umask: () => 0o22,
  unref: nothing,
});
process.memoryUsage ??= ObjectAssign(
  () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }),
  { rss: () => 0 },
);

// Lines of `process.stdout` and `process.stderr` go to the console of the room.
function output(level) {
  let stream;
  return {
    __proto__: null,
    configurable: true,
    get() {
      if (stream !== undefined) return stream;
      const { Writable } = builtin("node:stream");
      stream = new Writable({
        decodeStrings: false,
        write(chunk, _encoding, done) {
          print(String(chunk), level);
          done();
        },
      });
      stream.fd = level === LEVEL_LOG ? 1 : 2;
      stream.isTTY = false;
      return stream;
    },
  };
}
let stdin;
ObjectDefineProperty(process, "stdin", {
  __proto__: null,
  configurable: true,
  enumerable: true,
  // Nobody types anything.
  // user code: a stream that ends at once.
  get: () => stdin ??= ObjectAssign(builtin("node:stream").Readable.from([]), { fd: 0, isTTY: false }),
});
ObjectDefineProperty(process, "stdout", output(LEVEL_LOG));
ObjectDefineProperty(process, "stderr", output(LEVEL_ERROR));

// --- node:module --------------------------------------------------------------------------------------------------

// Those that a room cannot have are modules all the same: their functions say that they are missing.
const known = new SafeMap();
function know(names) {
  for (let i = 0; i < names.length; i++) known.set(names[i], true);
}
know(builtinNames());
know(absentNames());

function withScheme(name) {
  return StringPrototypeStartsWith(name, "node:") ? name : `node:${name}`;
}

function isBuiltin(name) {
  return MapPrototypeHas(known, withScheme(`${name}`));
}

// Files of the project were linked when it was built: what is asked for at run time can only be a built-in.
function createRequire(from) {
  if (from === undefined) throw new TypeError("createRequire() needs the path or the URL of a module.");
  const require = (name) => {
    if (isBuiltin(name)) return complete(withScheme(name));
    const error = new Error(
      `Cannot find module '${name}': a server has no files at run time. Import it, so that it becomes part of the build.`,
    );
    error.code = "MODULE_NOT_FOUND";
    throw error;
  };
  require.resolve = (name) => name;
  require.cache = { __proto__: null };
  return require;
}

// Packages that watch what is required take the place of some of these; nothing of the bundle asks them.
class Module {
  static createRequire = createRequire;
  static isBuiltin = isBuiltin;
  static builtinModules = [];
  static constants = { compileCacheStatus: { __proto__: null, FAILED: 0, ENABLED: 1, ALREADY_ENABLED: 2, DISABLED: 3 } };
  static enableCompileCache = () => ({ status: 3, message: "A room has no compile cache." });
  static findPackageJSON() {}
  static findSourceMap() {}
  static flushCompileCache() {}
  static getCompileCacheDir() {}
  static getSourceMapsSupport = () => ({ __proto__: null, enabled: true, nodeModules: true, generatedCode: false });
  static globalPaths = [];
  static register() {}
  static registerHooks = () => ({ deregister() {} });
  static setSourceMapsSupport() {}
  static syncBuiltinESMExports() {}
  static wrap = (script) => `(function (exports, require, module, __filename, __dirname) { ${script}\n});`;
  static _cache = { __proto__: null };
  static _extensions = { __proto__: null, ".js"() {}, ".json"() {}, ".node"() {} };
  static _pathCache = { __proto__: null };
  static _load = (name) => createRequire("/")(name);
  static _nodeModulePaths = () => [];
  static _resolveFilename = (name) => name;
  static _resolveLookupPaths = () => [];

  constructor(id = "") {
    this.id = id;
    this.exports = {};
    this.filename = id;
    this.loaded = false;
    this.children = [];
    this.paths = [];
  }

  require(name) {
    return createRequire("/")(name);
  }
}
for (const { 0: name } of known) {
  if (StringPrototypeStartsWith(name, "node:")) ArrayPrototypePush(Module.builtinModules, StringPrototypeSlice(name, 5));
}
Module.Module = Module;

return { process, module: Module };
})();
