// Evaluates one bundle in this fresh process with the code cache of an earlier run, and prints the milliseconds from
// source text to the end of evaluation, and those of them that the processor worked:
//
//     evaluate.mjs ours|theirs FILE CACHE
//
// It makes the cache when it is missing, and ends the process that made it with times that mean nothing.
// esbuild's module becomes a function in a classic script, as ours is one: only for those V8 makes a cache with the
// functions that were compiled late. That script is kept beside the cache: whoever tries out how to write it has warmed
// the isolate up.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import vm from "node:vm";

const [kind, file, cache] = process.argv.slice(2);
const require = (globalThis.require = createRequire(import.meta.url));
globalThis.WebSocket ??= class WebSocket extends EventTarget {};
for (const name of ["log", "warn", "error", "info", "debug"]) console[name] = () => {};
process.on("unhandledRejection", () => {});
const cachedData = existsSync(cache) ? readFileSync(cache) : undefined;
const script = kind === "ours" ? file : cache + ".js";
if (kind !== "ours" && !cachedData) writeFileSync(script, classic(readFileSync(file, "utf8")), "latin1");
const source = readFileSync(script, "latin1");

const start = performance.now(), before = process.cpuUsage();
const compiled = new vm.Script(source, { filename: file, cachedData });
await compiled.runInThisContext()({ builtin: require, wasm: () => 0, binary: () => 0 });
const ms = performance.now() - start, used = process.cpuUsage(before);
if (!cachedData) writeFileSync(cache, compiled.createCachedData());
process.stdout.write(JSON.stringify({ ms, cpu: (used.user + used.system) / 1000, rejected: compiled.cachedDataRejected ?? false }), () => process.exit(0));

function classic(module) {
  const names = (list) => list.replaceAll(/(\w+) as (\w+)/g, "$1: $2");
  const body = module
    .replaceAll(/^import \* as (\w+) from ("[^"]+");$/gm, "const $1 = require($2);")
    .replaceAll(/^import (\w+) from ("[^"]+");$/gm, "const $1 = require($2);")
    .replaceAll(/^import (\{[^}]*\}) from ("[^"]+");$/gm, (_, list, name) => `const ${names(list)} = require(${name});`)
    .replaceAll(/^import (\w+), (\{[^}]*\}) from ("[^"]+");$/gm, (_, one, list, name) => `const ${one} = require(${name}), ${names(list)} = ${one};`)
    .replaceAll(/^import ("[^"]+");$/gm, "require($1);")
    .replace(/^export \{[^}]*\};$/m, "")
    .replaceAll("import.meta.url", '"file:///x"');
  // Lines of the top level are not indented; in a block, `await` does not parse.
  const inside = (kind) => `'use strict';\n(${kind}function(host) {\n${body}\n})`;
  if (/^(?![\s/])(?!.*\basync\b).*\bawait\b/m.test(body)) return inside("async ");
  try {
    return new vm.Script(inside("")) && inside("");
  } catch {
    return inside("async ");
  }
}
