// Modules that a room cannot have: files, processes, threads, terminals. Importing them works, so that a package which only
// mentions them runs; what is called says which function of which module is missing. Constants that programs look at to find
// out where they run are real.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, ObjectAssign, ObjectDefineProperty, ObjectKeys, PromiseReject, Proxy, ReflectGet } = primordials;

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
  for (const name of names.split(" ")) made[name] = absentFunction(specifier, name);
  return made;
}

function promised(specifier, names) {
  const made = {};
  for (const name of names.split(" ")) made[name] = () => PromiseReject(missing(specifier, name));
  return made;
}

const FS = "access appendFile chmod chown copyFile cp lchown link lstat lutimes mkdir mkdtemp open opendir readdir readFile " +
  "readlink realpath rename rm rmdir stat statfs symlink truncate unlink utimes watch writeFile";
const FS_SYNC = "accessSync appendFileSync chmodSync chownSync closeSync copyFileSync cpSync fstatSync fsyncSync lstatSync " +
  "linkSync mkdirSync mkdtempSync openSync opendirSync readdirSync readFileSync readlinkSync readSync realpathSync renameSync " +
  "rmSync rmdirSync statSync symlinkSync truncateSync unlinkSync utimesSync writeFileSync writeSync";
const FS_MORE = "close createReadStream createWriteStream exists fstat fsync ftruncate read unwatchFile watchFile write " +
  "Dir Dirent FileHandle ReadStream Stats WriteStream";
const DNS = "lookup lookupService resolve resolve4 resolve6 resolveAny resolveCname resolveMx resolveNs resolvePtr resolveSrv " +
  "resolveTxt reverse";

const MODULES = {
  __proto__: null,
  "node:child_process": (s) => functions(s, "exec execFile execFileSync execSync fork spawn spawnSync ChildProcess"),
  "node:cluster": (s) => ({ ...functions(s, "fork setupPrimary disconnect"), isMaster: true, isPrimary: true, isWorker: false }),
  "node:dgram": (s) => functions(s, "createSocket Socket"),
  "node:dns": (s) => ({ ...functions(s, DNS + " Resolver setServers"), getServers: () => [], promises: promised(s, DNS) }),
  "node:dns/promises": (s) => promised(s, DNS),
  "node:domain": (s) => functions(s, "create createDomain Domain"),
  "node:fs": (s) => ({
    ...functions(s, `${FS} ${FS_SYNC} ${FS_MORE}`),
    constants: core.loadExtScript("ext:deno_node/internal_binding/constants.ts").fs,
    existsSync: () => false,
    promises: promised(s, FS),
  }),
  "node:fs/promises": (s) => promised(s, FS),
  "node:http2": (s) => ({ ...functions(s, "connect createServer createSecureServer"), constants: {} }),
  "node:inspector": (s) => ({ ...functions(s, "open waitForDebugger Session"), close() {}, url: () => undefined, console: {} }),
  "node:inspector/promises": (s) => functions(s, "Session"),
  "node:readline": (s) => functions(s, "createInterface clearLine clearScreenDown cursorTo emitKeypressEvents moveCursor Interface"),
  "node:readline/promises": (s) => functions(s, "createInterface Interface Readline"),
  "node:repl": (s) => functions(s, "start REPLServer Recoverable"),
  "node:sqlite": (s) => functions(s, "DatabaseSync StatementSync"),
  "node:test": (s) => functions(s, "after afterEach before beforeEach describe it mock test"),
  "node:tty": (s) => ({ ...functions(s, "ReadStream WriteStream"), isatty: () => false }),
  "node:v8": (s) => ({
    ...functions(s, "getHeapSnapshot setFlagsFromString writeHeapSnapshot Serializer Deserializer"),
    deserialize: (bytes) => core.deserialize(bytes, { forStorage: true }),
    getHeapStatistics: () => ({ total_heap_size: 0, used_heap_size: 0, heap_size_limit: 0, malloced_memory: 0 }),
    serialize: (value) => core.loadExtScript("ext:deno_node/internal/buffer.mjs").Buffer.from(core.serialize(value, { forStorage: true })),
  }),
  "node:vm": (s) => ({
    ...functions(s, "compileFunction createContext runInContext runInNewContext runInThisContext Script SourceTextModule"),
    isContext: () => false,
  }),
  "node:wasi": (s) => functions(s, "WASI"),
  "node:worker_threads": (s) => ({
    ...functions(s, "Worker moveMessagePortToContext receiveMessageOnPort"),
    isMainThread: true,
    MessageChannel: globalThis.MessageChannel,
    MessagePort: globalThis.MessagePort,
    parentPort: null,
    threadId: 0,
    workerData: null,
  }),
  "cloudflare:workers": cloudflareWorkers,
  "cloudflare:email": (s) => functions(s, "EmailMessage"),
};

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
  const known = make === undefined ? {} : make(specifier);
  // Names that nobody thought of: a function that says so, except for what loaders look for.
  return new Proxy(ObjectAssign({}, known), {
    __proto__: null,
    get(target, name, receiver) {
      const found = ReflectGet(target, name, receiver);
      if (found !== undefined || typeof name !== "string" || name in target) return found;
      if (name === "__esModule" || name === "then" || name === "default" || name === "toJSON") return undefined;
      return target[name] = absentFunction(specifier, name);
    },
  });
}

return { absent, absentFunction, absentNames: () => ObjectKeys(MODULES) };
})();
