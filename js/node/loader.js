// Loads `node:` and `cloudflare:` modules when they are first asked for. Their scripts are in the table of late scripts
// (runtime/snapshot), so a room that asks for none pays nothing.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectAssign, ObjectKeys, ObjectDefineProperty, SafeMap, MapPrototypeGet, MapPrototypeHas,
  MapPrototypeSet, StringPrototypeStartsWith } = primordials;
core.loadExtScript("ext:partyrun/node/ops.js");
// Before a module of Node loads the streams of deno_web as they are.
core.loadExtScript("ext:partyrun/compression.js");

// Workers have no `setImmediate`, and packages ask whether it is there. Those that came for Node's modules call it unasked.
core.defineGlobalProperties(globalThis, {
  clearImmediate: core.propWritableLazyLoaded((timers) => timers.clearImmediate, () => builtin("node:timers")),
  setImmediate: core.propWritableLazyLoaded((timers) => timers.setImmediate, () => builtin("node:timers")),
});

const DENO = "ext:deno_node/";
const OWN = "ext:partyrun/node/";

// Modules that are one script. A function takes the module out of it.
const SCRIPTS = {
  __proto__: null,
  "node:assert": [DENO + "assert.ts"],
  "node:assert/strict": [DENO + "assert.ts", (script) => script.strict],
  "node:async_hooks": [DENO + "async_hooks.ts"],
  "node:buffer": [DENO + "internal/buffer.mjs"],
  "node:console": [OWN + "constants.js", (script) => script.console()],
  "node:constants": [OWN + "constants.js", (script) => script.constants()],
  "node:crypto": [DENO + "crypto.ts"],
  "node:diagnostics_channel": [DENO + "diagnostics_channel.js"],
  "node:events": [DENO + "_events.mjs"],
  "node:fs": [OWN + "fs.js", (script) => script.fs],
  "node:fs/promises": [OWN + "fs.js", (script) => script.promises],
  "node:http": [OWN + "http.js", (script) => script.http],
  "node:https": [OWN + "http.js", (script) => script.https],
  "node:module": [OWN + "process.js", (script) => script.module],
  "node:net": [OWN + "net.js", (script) => script.net],
  "node:os": [OWN + "os.js"],
  "node:path": [DENO + "path/mod.ts"],
  "node:path/posix": [DENO + "path/mod.ts", (script) => script.posix],
  "node:path/win32": [DENO + "path/mod.ts", (script) => script.win32],
  "node:perf_hooks": [OWN + "timers.js", (script) => script.perfHooks()],
  "node:process": [OWN + "process.js", (script) => script.process],
  "node:punycode": [DENO + "punycode.ts"],
  "node:querystring": [DENO + "querystring.js"],
  "node:stream": [DENO + "stream.ts"],
  "node:stream/consumers": [DENO + "stream/consumers.js"],
  "node:stream/promises": [DENO + "stream/promises.js"],
  "node:stream/web": [DENO + "stream/web.js"],
  "node:string_decoder": [DENO + "string_decoder.ts"],
  "node:sys": [DENO + "util.ts", withOldChecks],
  "node:timers": [OWN + "timers.js", (script) => script.timers],
  "node:timers/promises": [OWN + "timers.js", (script) => script.promises],
  "node:tls": [OWN + "tls.js", (script) => script.tls],
  "node:url": [DENO + "url.ts"],
  "node:util": [DENO + "util.ts", withOldChecks],
  "node:util/types": [DENO + "util.ts", (script) => script.types],
  "node:zlib": [DENO + "zlib.js"],
  "cloudflare:sockets": [OWN + "tls.js", (script) => script.cloudflareSockets],
};

// The checks of old that Node has still and Deno's library has not.
function withOldChecks(util) {
  if (util.isString === undefined) ObjectAssign(util, core.loadExtScript(OWN + "old_checks.js"));
  return util;
}

const scripts = new SafeMap();
const builtins = new SafeMap();
const namespaces = new SafeMap();
const completed = new SafeMap();

// A script of the table. Modules in ES form are kept from their first line on, so that cycles among them find each other.
function script(specifier) {
  if (MapPrototypeHas(scripts, specifier)) return MapPrototypeGet(scripts, specifier).exports;
  const loaded = core.loadExtScript(specifier);
  if (typeof loaded?.module !== "function" || !StringPrototypeStartsWith(specifier, DENO)) {
    // What an ES module imports from a script is what it would from the module that stands around the script.
    if (loaded?.default !== undefined) ObjectDefineProperty(loaded, "__esModule", { __proto__: null, value: true });
    MapPrototypeSet(scripts, specifier, { exports: loaded });
    return loaded;
  }
  const module = { exports: {} };
  MapPrototypeSet(scripts, specifier, module);
  loaded.module(module, module.exports, required);
  return module.exports;
}

// `import` of the scripts: other scripts as they are, built-ins as namespaces.
function required(specifier) {
  if (specifier === "ext:core/mod.js") return __bootstrap;
  return StringPrototypeStartsWith(specifier, "ext:") ? script(specifier) : namespace(specifier);
}

// What a script finds under a specifier.
function builtin(specifier) {
  if (MapPrototypeHas(builtins, specifier)) return MapPrototypeGet(builtins, specifier);
  const place = SCRIPTS[specifier];
  let found;
  if (place === undefined) {
    found = core.loadExtScript(OWN + "absent.js").absent(specifier);
  } else {
    const loaded = script(place[0]);
    const whole = loaded.default ?? loaded;
    found = place.length === 1 ? whole : place[1](whole);
  }
  MapPrototypeSet(builtins, specifier, found);
  return found;
}

// What `import` and `require` give user code: every name that Node's module has, with a function that says so where a room has
// no such thing. Scripts take modules without it: a module that is still being loaded gets its own names later.
function complete(specifier) {
  const module = builtin(specifier);
  if (!MapPrototypeHas(completed, specifier)) {
    MapPrototypeSet(completed, specifier, true);
    core.loadExtScript(OWN + "absent.js").complete(specifier, module);
  }
  return module;
}

function namespace(specifier) {
  if (MapPrototypeHas(namespaces, specifier)) return MapPrototypeGet(namespaces, specifier);
  const module = builtin(specifier);
  const made = { __proto__: null, __esModule: true, default: module };
  const names = ObjectKeys(module);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (name !== "default") ObjectDefineProperty(made, name, { __proto__: null, get: () => module[name] });
  }
  MapPrototypeSet(namespaces, specifier, made);
  return made;
}

return {
  builtin,
  builtinNames: () => ObjectKeys(SCRIPTS),
  complete,
  // Takes the place of deno_core's loader of modules that are needed later.
  lazy: (specifier) => () => required(specifier),
  script,
};
})();
