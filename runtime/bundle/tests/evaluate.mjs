// Evaluates one bundle in this fresh process with the code cache of an earlier run, and prints the milliseconds from
// source text to the end of evaluation: `evaluate.mjs script|module FILE CACHE`. Makes the cache when it is missing.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import vm from "node:vm";

const [kind, file, cache] = process.argv.slice(2);
const require = (globalThis.require = createRequire(import.meta.url));
globalThis.WebSocket ??= class WebSocket extends EventTarget {};
for (const name of ["log", "warn", "error", "info", "debug"]) console[name] = () => {};
process.on("unhandledRejection", () => {});
const source = readFileSync(file, kind === "script" ? "latin1" : "utf8");
const cachedData = existsSync(cache) ? readFileSync(cache) : undefined;
const builtins = new Map();
for (const [, name] of source.matchAll(/^import .*?"((?:node|cloudflare):[\w:/]+|[a-z_/]+)";$/gm)) builtins.set(name, await load(name));

const start = performance.now();
let unit;
if (kind === "script") {
  unit = new vm.Script(source, { filename: file, cachedData });
  await unit.runInThisContext()({ builtin: require, wasm: () => 0, binary: () => 0 });
} else {
  unit = new vm.SourceTextModule(source, { identifier: file, cachedData, initializeImportMeta: (meta) => (meta.url = "file:///x") });
  await unit.link((name) => builtins.get(name));
  await unit.evaluate();
}
const ms = performance.now() - start;
if (!cachedData) writeFileSync(cache, unit.createCachedData());
process.stdout.write(JSON.stringify({ ms, rejected: unit.cachedDataRejected ?? false }), () => process.exit(0));

async function load(name) {
  const exports = await import(name);
  const made = new vm.SyntheticModule(Object.keys(exports), function () {
    for (const key of Object.keys(exports)) this.setExport(key, exports[key]);
  });
  await made.link(() => {});
  return made;
}
