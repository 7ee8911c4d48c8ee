// `node:constants`, put together from the constants of other modules, and `node:console`, which is the global console.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, ObjectAssign, ReflectApply, SafeArrayIterator, StringPrototypeSlice, TypeError } = primordials;
const { os, fs } = core.loadExtScript("ext:deno_node/internal_binding/constants.ts");
const { builtin } = core.loadExtScript("ext:partyrun/node/loader.js");

function constants() {
  return ObjectAssign({}, os.errno, os.priority, os.signals, fs, builtin("node:crypto").constants);
}

// A console that writes lines to the streams it is given, as Node's class does.
class Console {
  #out;
  #error;
  #indent = "";

  constructor(out, error) {
    const options = typeof out?.write === "function" ? { stdout: out, stderr: error } : out ?? {};
    this.#out = options.stdout;
    this.#error = options.stderr ?? options.stdout;
    if (typeof this.#out?.write !== "function") throw new TypeError("Console needs a writable stream as `stdout`.");
  }

  #print(stream, args) {
    const text = ReflectApply(builtin("node:util").format, undefined, args);
    // user code: its stream.
    stream.write(`${this.#indent}${text}\n`);
  }

  log(...args) {
    this.#print(this.#out, args);
  }

  warn(...args) {
    this.#print(this.#error, args);
  }

  dir(value, options) {
    this.#print(this.#out, [builtin("node:util").inspect(value, options)]);
  }

  assert(value, ...args) {
    if (!value) ReflectApply(this.warn, this, ["Assertion failed", ...new SafeArrayIterator(args)]);
  }

  group(...args) {
    if (args.length > 0) ReflectApply(this.log, this, args);
    this.#indent += "  ";
  }

  groupEnd() {
    this.#indent = StringPrototypeSlice(this.#indent, 2);
  }

  trace(...args) {
    this.warn(new Error(ReflectApply(builtin("node:util").format, undefined, args)).stack);
  }
}
const { log, warn } = Console.prototype;
ObjectAssign(Console.prototype, { debug: log, error: warn, info: log });

return {
  constants,
  console: () => ObjectAssign({}, globalThis.console, { Console }),
};
})();
