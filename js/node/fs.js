// `node:fs` and `node:fs/promises`: an empty, read-only file system. Its root is the only folder. Nothing else exists (ENOENT),
// writing fails (EROFS), and no file is ever open (EBADF) except for the streams of the process, whose text goes to the room's
// console. Every function fails as it does in Node: it throws, rejects, calls its callback or emits `error`. So a package that
// looks whether a file exists goes on without it.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePop, BigInt, Date, Error, Number, NumberIsInteger, ObjectAssign, ObjectDefineProperty, ObjectKeys,
  ObjectPrototypeIsPrototypeOf, ObjectSetPrototypeOf, ReflectApply, RegExpPrototypeTest, SafeArrayIterator, SafeRegExp,
  StringPrototypeIncludes, SymbolAsyncIterator, SymbolFor, TypedArrayPrototypeGetSymbolToStringTag, Uint8Array } = primordials;
const { LEVEL_ERROR, LEVEL_LOG } = core.loadExtScript("ext:partyrun/01_wire.js");
const { print: printLine } = core.loadExtScript("ext:partyrun/10_console.js");
const { builtin } = core.loadExtScript("ext:partyrun/node/loader.js");
const { nextTick } = core.loadExtScript("ext:partyrun/node/platform.js");
const { fs: constants } = core.loadExtScript("ext:deno_node/internal_binding/constants.ts");
const { part } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { asBuffer, encoded, textOf, viewed } = core.loadExtScript("ext:partyrun/node/buffers.js");
const { EventEmitter } = core.loadExtScript("ext:deno_node/_events.mjs");
const { ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE } = core.loadExtScript("ext:deno_node/internal/errors.ts");

const ERRORS = {
  __proto__: null,
  EBADF: [-9, "bad file descriptor"],
  EEXIST: [-17, "file already exists"],
  EINVAL: [-22, "invalid argument"],
  EISDIR: [-21, "illegal operation on a directory"],
  ENOENT: [-2, "no such file or directory"],
  EROFS: [-30, "read-only file system"],
};

function failure(code, syscall, path, dest) {
  const { 0: errno, 1: text } = ERRORS[code];
  let message = `${code}: ${text}, ${syscall}`;
  if (path !== undefined) message += ` '${path}'`;
  if (dest !== undefined) message += ` -> '${dest}'`;
  const error = ObjectAssign(new Error(message), { errno, code, syscall });
  if (path !== undefined) error.path = path;
  if (dest !== undefined) error.dest = dest;
  return error;
}

// --- arguments ----------------------------------------------------------------------------------------------------

function pathOf(path, name = "path") {
  if (TypedArrayPrototypeGetSymbolToStringTag(path) === "Uint8Array") path = textOf(path);
  // user code: what is like a URL is one.
  else if (typeof path === "object" && path !== null && typeof path.href === "string") path = builtin("node:url").fileURLToPath(path);
  if (typeof path !== "string") throw new ERR_INVALID_ARG_TYPE(name, ["string", "Buffer", "URL"], path);
  if (StringPrototypeIncludes(path, "\0")) {
    throw new ERR_INVALID_ARG_VALUE(name, path, "must be a string, Uint8Array, or URL without null bytes");
  }
  return path;
}

const onlyDots = new SafeRegExp("^(?:/|\\.\\.?(?=/|$))+$");
const isRoot = (path) => RegExpPrototypeTest(onlyDots, path);

function descriptorOf(fd) {
  if (typeof fd !== "number") throw new ERR_INVALID_ARG_TYPE("fd", "number", fd);
  if (!NumberIsInteger(fd) || fd < 0) throw new ERR_INVALID_ARG_VALUE("fd", fd);
  return fd;
}

function callbackOf(args) {
  const callback = ArrayPrototypePop(args);
  if (typeof callback !== "function") throw new ERR_INVALID_ARG_TYPE("cb", "Function", callback);
  return callback;
}

// --- what is found ------------------------------------------------------------------------------------------------

const TIMES = ["atime", "mtime", "ctime", "birthtime"];
const NUMBERS = ["dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks"];

function Stats() {
  for (let i = 0; i < NUMBERS.length; i++) this[NUMBERS[i]] = 0;
  for (let i = 0; i < TIMES.length; i++) {
    const name = TIMES[i];
    this[`${name}Ms`] = 0;
    this[name] = new Date(0);
  }
}

// An entry of the file system: its type is one of the `S_IF` bits.
const TYPES = { __proto__: null, BlockDevice: "S_IFBLK", CharacterDevice: "S_IFCHR", Directory: "S_IFDIR", FIFO: "S_IFIFO", File: "S_IFREG",
  Socket: "S_IFSOCK", SymbolicLink: "S_IFLNK" };
function Dirent(name, type, path) {
  this.name = name;
  this.parentPath = this.path = path;
  ObjectDefineProperty(this, "type", { __proto__: null, value: type });
}
for (const type in TYPES) {
  const bits = constants[TYPES[type]];
  Stats.prototype[`is${type}`] = function () {
    return (Number(this.mode) & constants.S_IFMT) === bits;
  };
  Dirent.prototype[`is${type}`] = function () {
    return this.type === bits;
  };
}

function statsOf(mode, options) {
  const stats = ObjectAssign(new Stats(), { mode, nlink: 1, blksize: 4096 });
  if (options?.bigint !== true) return stats;
  for (let i = 0; i < NUMBERS.length; i++) stats[NUMBERS[i]] = BigInt(stats[NUMBERS[i]]);
  for (let i = 0; i < TIMES.length; i++) {
    const name = TIMES[i];
    stats[`${name}Ms`] = 0n;
    stats[`${name}Ns`] = 0n;
  }
  return stats;
}

class Dir {
  #path;

  constructor(path) {
    this.#path = path;
  }

  get path() {
    return this.#path;
  }

  // Answers a promise where it is given no callback.
  read(callback) {
    return callback === undefined ? nothing() : nextTick(callback, null, null);
  }

  readSync() {
    return null;
  }

  close(callback) {
    return callback === undefined ? nothing(undefined) : nextTick(callback, null);
  }

  closeSync() {}

  async *entries() {}

  [SymbolAsyncIterator]() {
    return this.entries();
  }
}
const nothing = async (value = null) => value;

// --- operations ---------------------------------------------------------------------------------------------------

// One that asks for what is there: `found` makes its answer for the root.
const looks = (syscall, found) => (path, options) => {
  path = pathOf(path);
  if (!isRoot(path)) throw failure("ENOENT", syscall, path);
  return found?.(path, options);
};

// One that would change what is there.
const changes = (syscall) => looks(syscall, (path) => {
  throw failure("EROFS", syscall, path);
});

// One that takes what is there to another place.
const moves = (syscall) => (from, to) => {
  from = pathOf(from, "oldPath");
  to = pathOf(to, "newPath");
  throw failure(isRoot(from) ? "EROFS" : "ENOENT", syscall, from, to);
};

// One of an open file.
const ofOpen = (syscall, found) => (fd, ...args) => {
  if (descriptorOf(fd) > 2) throw failure("EBADF", syscall);
  return found?.(fd, ...new SafeArrayIterator(args));
};

function open(path, flags = "r") {
  path = pathOf(path);
  const writes = typeof flags === "number" ? (flags & (constants.O_CREAT | constants.O_TRUNC)) !== 0 : RegExpPrototypeTest(writing, flags);
  if (writes) throw failure("EROFS", "open", path);
  throw failure(isRoot(path) ? "EISDIR" : "ENOENT", "open", path);
}
const writing = new SafeRegExp("[wa]");

const bytesOf = (data, encoding) => typeof data === "string" ? encoded(data, encoding) : viewed(data);

// Text for descriptor 1 or 2, as `process.stdout` and `process.stderr` have it.
function print(fd, bytes) {
  if (fd === 0) throw failure("EBADF", "write");
  printLine(core.decode(bytes), fd === 1 ? LEVEL_LOG : LEVEL_ERROR);
  return bytes.length;
}

function write(fd, data, offset, length) {
  if (typeof data === "string") return print(fd, bytesOf(data, typeof length === "string" ? length : "utf8"));
  if (typeof offset === "object" && offset !== null) ({ offset, length } = offset);
  const bytes = bytesOf(data);
  offset ??= 0;
  return print(fd, part(bytes, offset, offset + (length ?? bytes.length - offset)));
}

function writeFile(path, data, options) {
  if (typeof path !== "number") return open(path, options?.flag ?? "w");
  if (descriptorOf(path) > 2) throw failure("EBADF", "write");
  print(path, bytesOf(data, typeof options === "string" ? options : options?.encoding));
}

function readFile(path, options) {
  if (typeof path !== "number") return open(path, options?.flag ?? "r");
  if (descriptorOf(path) !== 0) throw failure("EBADF", "read");
  const encoding = typeof options === "string" ? options : options?.encoding;
  return encoding ? "" : asBuffer(new Uint8Array(0));
}

function mkdir(path, options) {
  path = pathOf(path);
  if (!isRoot(path)) throw failure("EROFS", "mkdir", path);
  if (options?.recursive !== true) throw failure("EEXIST", "mkdir", path);
}

function rm(path, options) {
  path = pathOf(path);
  if (isRoot(path)) throw failure("EROFS", "rm", path);
  if (options?.force !== true) throw failure("ENOENT", "rm", path);
}

function copies(syscall) {
  return (from, to) => {
    from = pathOf(from, "src");
    to = pathOf(to, "dest");
    throw failure(isRoot(from) ? "EROFS" : "ENOENT", syscall, from, to);
  };
}

const FOLDER = constants.S_IFDIR | 0o555;
const found = (path, options) => statsOf(FOLDER, options);
const access = looks("access");

// Those of paths have the three forms; those of descriptors have no promises but those of a FileHandle, which nobody gets.
const OF_PATHS = {
  access(path, mode) {
    access(path);
    if ((mode & constants.W_OK) !== 0) throw failure("EROFS", "access", path);
  },
  appendFile: (path, data, options) => writeFile(path, data, typeof options === "object" ? { flag: "a", ...options } : options),
  chmod: changes("chmod"),
  chown: changes("chown"),
  copyFile: copies("copyfile"),
  cp: copies("cp"),
  lchmod: changes("lchmod"),
  lchown: changes("lchown"),
  link: moves("link"),
  lstat: looks("lstat", found),
  lutimes: changes("lutime"),
  mkdir,
  mkdtemp(prefix) {
    throw failure("EROFS", "mkdtemp", `${pathOf(prefix, "prefix")}XXXXXX`);
  },
  open,
  opendir: looks("opendir", (path) => new Dir(path)),
  readdir: looks("scandir", () => []),
  readFile,
  readlink: looks("readlink", (path) => {
    throw failure("EINVAL", "readlink", path);
  }),
  realpath: looks("realpath", () => "/"),
  rename: moves("rename"),
  rm,
  rmdir: changes("rmdir"),
  stat: looks("stat", found),
  statfs: looks("statfs", () => ({ type: 0, bsize: 4096, blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0 })),
  symlink(target, path) {
    throw failure("EROFS", "symlink", pathOf(target, "target"), pathOf(path));
  },
  truncate: changes("open"),
  unlink: changes("unlink"),
  utimes: changes("utime"),
  writeFile,
};

const OF_DESCRIPTORS = {
  close: ofOpen("close"),
  fchmod: ofOpen("fchmod"),
  fchown: ofOpen("fchown"),
  fdatasync: ofOpen("fdatasync"),
  fstat: ofOpen("fstat", (fd, options) => statsOf(constants.S_IFCHR | 0o620, options)),
  fsync: ofOpen("fsync"),
  ftruncate: ofOpen("ftruncate"),
  futimes: ofOpen("futime"),
  read: ofOpen("read", () => 0),
  readv: ofOpen("read", () => 0),
  write: ofOpen("write", write),
  writev: ofOpen("write", (fd, list) => {
    let bytes = 0;
    for (let index = 0; index < list.length; index++) bytes += write(fd, list[index]);
    return bytes;
  }),
};

// --- the three forms ----------------------------------------------------------------------------------------------

const fs = { constants, F_OK: constants.F_OK, R_OK: constants.R_OK, W_OK: constants.W_OK, X_OK: constants.X_OK, Dir, Dirent, Stats };
const promises = { constants };

function named(name, value) {
  return ObjectDefineProperty(value, "name", { __proto__: null, value: name, configurable: true });
}

// What is wrong with the arguments is thrown at once, as Node does; what happened to the file is for the callback.
function withCallback(name, operation) {
  return named(name, function (...args) {
    const callback = callbackOf(args);
    let result;
    try {
      result = ReflectApply(operation, undefined, args);
    } catch (error) {
      if (error?.syscall === undefined) throw error;
      nextTick(callback, error);
      return;
    }
    // These tell their buffers, too.
    if (operation === OF_DESCRIPTORS.read || operation === OF_DESCRIPTORS.write) nextTick(callback, null, result, args[1]);
    else if (result === undefined) nextTick(callback, null);
    else nextTick(callback, null, result);
  });
}

function offer(operations) {
  const names = ObjectKeys(operations);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    const operation = operations[name];
    fs[name] = withCallback(name, operation);
    fs[`${name}Sync`] = named(`${name}Sync`, (...args) => ReflectApply(operation, undefined, args));
    if (operations === OF_PATHS) promises[name] = named(name, async (...args) => ReflectApply(operation, undefined, args));
  }
}
offer(OF_PATHS);
offer(OF_DESCRIPTORS);

// Whether something is there is an answer as well.
for (const name in { __proto__: null, stat: 0, lstat: 0 }) {
  fs[`${name}Sync`] = named(`${name}Sync`, (path, options) => {
    if (options?.throwIfNoEntry === false && !isRoot(pathOf(path))) return undefined;
    return OF_PATHS[name](path, options);
  });
}
fs.existsSync = function existsSync(path) {
  try {
    return isRoot(pathOf(path));
  } catch {
    return false;
  }
};
fs.exists = function exists(path, callback) {
  if (typeof callback !== "function") throw new ERR_INVALID_ARG_TYPE("cb", "Function", callback);
  nextTick(callback, fs.existsSync(path));
};
ObjectDefineProperty(fs.exists, SymbolFor("nodejs.util.promisify.custom"), {
  __proto__: null,
  value: async (path) => fs.existsSync(path),
});
fs.realpath.native = fs.realpath;
fs.realpathSync.native = fs.realpathSync;
fs.openAsBlob = async (path) => open(path);
fs.glob = function glob(pattern, ...rest) {
  nextTick(callbackOf(rest), null, []);
};
fs.globSync = () => [];
promises.glob = async function* glob() {};

// --- watching and streams -----------------------------------------------------------------------------------------

class Watcher extends EventEmitter {
  close() {}
  ref() {
    return this;
  }
  unref() {
    return this;
  }
}
const watched = looks("watch", () => new Watcher());
fs.watch = named("watch", (path) => watched(path));
// Nothing ever changes.
fs.watchFile = function watchFile(path) {
  pathOf(path, "filename");
  return new Watcher();
};
fs.unwatchFile = function unwatchFile(path) {
  pathOf(path, "filename");
};
promises.watch = async function* watch(path) {
  watched(path);
};

// Functions, because packages build on them with `call` and `Object.create`.
function makeStreams() {
  const { Readable, Writable } = builtin("node:stream");

  function begin(stream, path, options, flags) {
    options = typeof options === "string" ? { encoding: options } : { ...options };
    stream.path = options.fd === undefined || options.fd === null ? pathOf(path) : path;
    stream.fd = options.fd ?? null;
    stream.flags = options.flags ?? flags;
    stream.pending = true;
    options.construct = (done) => {
      try {
        if (stream.fd === null) open(stream.path, stream.flags);
        else if (descriptorOf(stream.fd) > 2) throw failure("EBADF", "fstat");
        stream.pending = false;
        done();
      } catch (error) {
        done(error);
      }
    };
    return options;
  }

  function ReadStream(path, options) {
    if (!ObjectPrototypeIsPrototypeOf(ReadStream.prototype, this)) return new ReadStream(path, options);
    this.bytesRead = 0;
    ReflectApply(Readable, this, [{ ...begin(this, path, options, "r"), read: () => this.push(null) }]);
  }

  function WriteStream(path, options) {
    if (!ObjectPrototypeIsPrototypeOf(WriteStream.prototype, this)) return new WriteStream(path, options);
    this.bytesWritten = 0;
    const put = (chunk, encoding, done) => {
      this.bytesWritten += print(this.fd, chunk);
      done();
    };
    const made = begin(this, path, options, "w");
    ReflectApply(Writable, this, [{ ...made, decodeStrings: true, write: put }]);
    if (made.encoding) this.setDefaultEncoding(made.encoding);
  }

  for (const { 0: Stream, 1: Base } of new SafeArrayIterator([[ReadStream, Readable], [WriteStream, Writable]])) {
    ObjectSetPrototypeOf(Stream.prototype, Base.prototype);
    ObjectSetPrototypeOf(Stream, Base);
    ObjectAssign(Stream.prototype, {
      close(callback) {
        if (callback !== undefined) this.once("close", () => callback(null));
        this.destroy();
      },
    });
  }
  return { ReadStream, WriteStream, FileReadStream: ReadStream, FileWriteStream: WriteStream };
}

// Made when they are asked for: most who import `fs` open no stream.
let streams;
for (const name in { __proto__: null, ReadStream: 0, WriteStream: 0, FileReadStream: 0, FileWriteStream: 0 }) {
  ObjectDefineProperty(fs, name, {
    __proto__: null,
    configurable: true,
    enumerable: true,
    get: () => (streams ??= makeStreams())[name],
    set(value) {
      (streams ??= makeStreams())[name] = value;
    },
  });
}
fs.createReadStream = named("createReadStream", (path, options) => new fs.ReadStream(path, options));
fs.createWriteStream = named("createWriteStream", (path, options) => new fs.WriteStream(path, options));
fs.promises = promises;

return { fs, promises };
})();
