// `node:process` and `node:module`. The process object is the global one of 15_process.js, completed with what only Node
// programs look for once somebody imports it: events, `stdout`, figures of memory.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, FunctionPrototypeBind, MapPrototypeHas, ObjectAssign, ObjectDefineProperty, SafeMap, String,
  StringPrototypeSlice, StringPrototypeStartsWith, TypeError } = primordials;
const { builtin, builtinNames } = core.loadExtScript("ext:partyrun/node/loader.js");
const { absentNames } = core.loadExtScript("ext:partyrun/node/absent.js");
const { process } = core.loadExtScript("ext:partyrun/15_process.js");
const { nextTick } = core.loadExtScript("ext:partyrun/node/platform.js");
const { EventEmitter } = core.loadExtScript("ext:deno_node/_events.mjs");

const emitter = new EventEmitter();
const EVENTS = ["addListener", "on", "once", "off", "removeListener", "removeAllListeners", "emit", "listeners",
  "listenerCount", "eventNames", "prependListener", "prependOnceListener", "setMaxListeners", "getMaxListeners",
  "rawListeners"];
for (const name of EVENTS) process[name] = FunctionPrototypeBind(emitter[name], emitter);

function absent(name) {
  return () => {
    throw new Error(`process.${name}() is not available: a room is not a process of its own.`);
  };
}

ObjectAssign(process, {
  abort: absent("abort"),
  arch: "x64",
  argv0: "partyrun",
  chdir: absent("chdir"),
  config: { target_defaults: {}, variables: {} },
  execArgv: [],
  execPath: "",
  exitCode: undefined,
  features: { inspector: false, tls: true },
  getBuiltinModule: (name) => isBuiltin(name) ? builtin(withScheme(`${name}`)) : undefined,
  getegid: () => 1000,
  geteuid: () => 1000,
  getgid: () => 1000,
  getuid: () => 1000,
  kill: absent("kill"),
  nextTick,
  ppid: 0,
  release: { name: "" },
  umask: () => 0o22,
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
          core.ops.op_console_write(String(chunk), level);
          done();
        },
      });
      stream.fd = level === 1 ? 1 : 2;
      stream.isTTY = false;
      return stream;
    },
  };
}
ObjectDefineProperty(process, "stdout", output(1));
ObjectDefineProperty(process, "stderr", output(3));

// --- node:module --------------------------------------------------------------------------------------------------

// Those that a room cannot have are modules all the same: their functions say that they are missing.
const known = new SafeMap();
for (const name of [...builtinNames(), ...absentNames()]) known.set(name, true);

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
    if (isBuiltin(name)) return builtin(withScheme(name));
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

class Module {
  static createRequire = createRequire;
  static isBuiltin = isBuiltin;
  static builtinModules = [];
  static findSourceMap() {}
  static register() {}
}
for (const name of known.keys()) {
  if (StringPrototypeStartsWith(name, "node:")) Module.builtinModules.push(StringPrototypeSlice(name, 5));
}
Module.Module = Module;

return { process, module: Module };
})();
