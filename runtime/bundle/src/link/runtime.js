var __pk_define = Object.defineProperty;
var __pk_name = (fn, name, given) => { if (fn.name === given) __pk_define(fn, "name", { value: name, configurable: true }); };
var __pk_esm = (fn) => {
 var state = 0, error;
 return () => {
  if (state === 1) return;
  if (state === 2) throw error;
  state = 1;
  try { fn(); } catch (e) { state = 2; error = e; throw e; }
 };
};
var __pk_async = (fn) => {
 var promise, init = () => {
  if (promise) return promise;
  // A cycle comes back here while `fn` runs its synchronous part: it must find the promise.
  let done, fail;
  promise = new Promise((resolve, reject) => { done = resolve; fail = reject; });
  (async () => fn(init))().then(done, fail);
  return promise;
 };
 return init;
};
var __pk_wait = async (from, to) => {
 for (var at = to; at; at = at.waits) if (at === from) return void to().catch(() => {});
 from.waits = to;
 try { await to(); } finally { from.waits = undefined; }
};
var __pk_server = { id: ".", filename: "/server.js", exports: {}, children: [], paths: [], loaded: true };
// What a program finds that asks who loads it: a server that is no file, so that it does not take itself for the program.
var __pk_module = { id: "", filename: "/", path: "/", loaded: false, parent: __pk_server, children: [], paths: [] };
var __pk_cjs = (fn) => {
 var module;
 return () => {
  if (!module) {
   module = Object.create(__pk_module);
   module.exports = {};
   try { fn(module.exports, module); } catch (e) { module = undefined; throw e; }
  }
  return module.exports;
 };
};
var __pk_copy = (to, from, except) => {
 if (from && typeof from === "object" || typeof from === "function") {
  for (let key of Object.getOwnPropertyNames(from)) {
   if (key !== except && !Object.prototype.hasOwnProperty.call(to, key)) {
    let found = Object.getOwnPropertyDescriptor(from, key);
    __pk_define(to, key, { get: () => from[key], enumerable: !found || found.enumerable });
   }
  }
 }
 return to;
};
var __pk_toESM = (mod, node) => {
 var target = mod != null ? Object.create(Object.getPrototypeOf(mod)) : {};
 if (node || !mod || !mod.__esModule) __pk_define(target, "default", { value: mod, enumerable: true });
 return __pk_copy(target, mod);
};
var __pk_converted = new WeakMap();
var __pk_toCommonJS = (ns) => {
 if ("module.exports" in ns) return ns["module.exports"];
 var made = __pk_converted.get(ns);
 if (!made) {
  made = __pk_copy(__pk_define({}, "__esModule", { value: true }), ns);
  __pk_converted.set(ns, made);
 }
 return made;
};
var __pk_ns = (getters) => {
 var ns = Object.create(null);
 for (let key of Object.keys(getters)) __pk_define(ns, key, { get: getters[key], enumerable: true });
 return __pk_define(ns, Symbol.toStringTag, { value: "Module" });
};
var __pk_modules = new Map();
var __pk_builtin = (name) => {
 if (!__pk_modules.has(name)) __pk_modules.set(name, host.builtin(name));
 return __pk_modules.get(name);
};
var __pk_builtins = new Map();
var __pk_builtinNs = (name) => {
 var ns = __pk_builtins.get(name);
 if (!ns) {
  let mod = __pk_builtin(name);
  let hasDefault = mod !== null && (typeof mod === "object" || typeof mod === "function") && "default" in mod;
  ns = Object.create(null);
  __pk_define(ns, "default", { get: () => hasDefault ? mod.default : mod, enumerable: true });
  __pk_define(__pk_copy(ns, mod), Symbol.toStringTag, { value: "Module" });
  __pk_builtins.set(name, ns);
 }
 return ns;
};
var __pk_templates = new Map();
var __pk_template = (cooked, raw) => {
 var key = raw.join("\n${"), made = __pk_templates.get(key);
 if (!made) {
  made = Object.freeze(__pk_define(cooked, "raw", { value: Object.freeze(raw) }));
  __pk_templates.set(key, made);
 }
 return made;
};
var __pk_regexp = (RegExp => (source, flags) => new RegExp(source, flags))(RegExp);
var __pk_missing = (name) => {
 throw Object.assign(new Error("Cannot find module '" + name + "'"), { code: "MODULE_NOT_FOUND" });
};
var __pk_waits = (name) => {
 throw Object.assign(new Error("'" + name + "' uses top-level await and cannot be required"), { code: "ERR_REQUIRE_ASYNC_MODULE" });
};
var __pk_require = Object.assign((name) => __pk_missing(name), {
 resolve: Object.assign((name) => name, { paths: () => [] }), main: __pk_server, cache: {}, extensions: {},
});
var __pk_filename = (url) => url.slice("file://".length);
var __pk_dirname = (url) => __pk_filename(url).replace(/\/[^/]*$/, "") || "/";
var __pk_meta = (url) => ({ url, filename: __pk_filename(url), dirname: __pk_dirname(url) });
// For programs that ask a page or a worker for its address without looking whether there is one.
var __pk_location = new URL("http://localhost/");
var __pk_dynamic = async (name) => __pk_missing(String(name));
var __pk_glob = (files) => async (name) => {
 name = String(name);
 return Object.prototype.hasOwnProperty.call(files, name) ? files[name]() : __pk_missing(name);
};
