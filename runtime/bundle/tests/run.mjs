// Runs a bundle the way the engine does, or a module natively, and prints what its entry exports.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import vm from "node:vm";

const [kind, file] = process.argv.slice(2);
const require = createRequire(import.meta.url);

async function load() {
  if (kind === "native") return import(pathToFileURL(file).href);
  const host = {
    builtin: (name) => require(name),
    wasm: (index) => "wasm " + index,
    binary: (index) => "binary " + index,
  };
  const start = new vm.Script(readFileSync(file, "ascii"), { filename: file }).runInThisContext();
  return (await start(host)).main;
}

try {
  const main = await load();
  console.log(Object.keys(main).sort().join());
  for (const key of Object.keys(main).sort()) {
    const value = main[key];
    console.log(key, inspect(key === "run" ? await value() : typeof value === "function" ? "function" : value));
  }
} catch (error) {
  console.log("threw", error.name, error.message);
}
