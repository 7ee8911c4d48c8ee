// Runs one bundle in a process of its own and prints what it logged and exports, as JSON: `run.mjs script FILE` the way
// the engine runs ours, `run.mjs module FILE` for an ES module, either esbuild's bundle or unbundled files.
import { existsSync, readFileSync } from "node:fs";
import { SourceMap, createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { format, inspect } from "node:util";
import vm from "node:vm";

const [kind, file] = process.argv.slice(2);
const require = (globalThis.require = createRequire(import.meta.url));
const lines = [];
const out = process.stdout;
// Nothing but the bundle's own output may differ: the colours and positions of a terminal do.
for (const name of ["log", "warn", "error", "info", "debug"]) console[name] = (...list) => lines.push(format(...list));
// An isolate of ours has it, this version of Node.js does not.
globalThis.WebSocket ??= class WebSocket extends EventTarget {};
globalThis.print = (...list) => void lines.push(list.join(" "));
process.on("unhandledRejection", (error) => lines.push("unhandled " + error));

async function load() {
  if (kind === "module") {
    const start = performance.now();
    const main = await import(pathToFileURL(file).href);
    return [main, performance.now() - start];
  }
  const binary = (index) => new Uint8Array([index, 1, 2]).buffer;
  const host = { builtin: (name) => require(name), wasm: (index) => "wasm " + index, binary };
  const source = readFileSync(file, "latin1");
  const start = performance.now();
  const entries = await new vm.Script(source, { filename: file }).runInThisContext()(host);
  const evaluated = async (entry) => (typeof entry === "function" ? await entry() : entry);
  const exports = await evaluated(entries.main);
  for (const party of Object.values(entries.parties)) await evaluated(party);
  return [exports, performance.now() - start];
}

let result;
try {
  const [main, ms] = await load();
  const exports = Object.keys(main)
    .sort()
    .map((key) => `${key}: ${shape(main[key])}`);
  if (typeof main.run === "function") await main.run();
  result = { lines, exports, ms };
} catch (error) {
  result = { lines, error: `${error?.name}: ${error?.message}`, stack: error?.stack, frames: frames(error) };
}
out.write(JSON.stringify(result) + "\n", () => process.exit(0));

/** The places of a stack trace in the bundle, as the source map beside it names them. */
function frames(error) {
  if (!existsSync(file + ".map") || typeof error?.stack !== "string") return [];
  const map = new SourceMap(JSON.parse(readFileSync(file + ".map", "utf8")));
  const places = [...error.stack.matchAll(/bundle\.out\.js:(\d+):(\d+)/g)].map(([, line, column]) => map.findEntry(line - 1, column - 1));
  return places.filter((found) => found.originalSource).map((found) => `${found.originalSource}:${found.originalLine + 1}:${found.originalColumn + 1}`);
}

function shape(value) {
  if (typeof value === "function") return `function ${value.name} ${value.length}`;
  if (typeof value !== "object" || value === null) return inspect(value);
  // esbuild's namespaces inside of a bundle inherit from Object.prototype.
  return `${value[Symbol.toStringTag] === "Module" ? "Object" : (value.constructor?.name ?? "object")} ${Object.keys(value).sort()}`;
}
