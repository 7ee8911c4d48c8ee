// Random module graphs: cycles, re-exports, `export *` conflicts, CommonJS and ES modules mixed, top-level await,
// dynamic import, `require` of ES modules, live bindings, namespaces that are passed on, packages without side effects of
// which only what is used is read. Each graph is bundled by us and by esbuild, both bundles run,
// and both must log the same. Where they differ, Node.js runs the files themselves: when it logs what ours logs, esbuild
// departs from the standard, which is counted by reason; otherwise the seed fails.
//
//     cargo build --release --examples && node runtime/bundle/tests/graphs.mjs [SEEDS [FIRST]]
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import vm from "node:vm";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { esbuildOptions, jobs } from "./tools.mjs";

let worker;

/** A small generator: the same seed gives the same graph everywhere. */
function random(seed) {
  let state = (seed * 2654435761 + 97) >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * limit);
  };
}

/** The files of a graph, by name; the first is the entry. */
export function graph(seed) {
  const below = random(seed);
  const count = 2 + below(7);
  const flavour = below(4); // 0: ES modules only; 1: no await, `require` of ES modules; 2 and 3: the rest
  const kinds = Array.from({ length: count }, (_, i) => (i && flavour && below(3) === 0 ? "cjs" : "mjs"));
  const files = {};
  for (let i = 0; i < count; i++)
    files[`m${i}.${kinds[i]}`] = kinds[i] === "cjs" ? commonjs(i, below, kinds, flavour > 1) : module(i, below, kinds, flavour);
  return seed % 3 ? files : withoutSideEffects(files);
}

/** A package that says so, of modules that keep their word: which of them are in the bundle must not show. */
function withoutSideEffects(files) {
  const isKept = (line) => !/^(print\(|try |\{ )/.test(line);
  for (const name of Object.keys(files)) files[name] = files[name].split("\n").filter(isKept).join("\n");
  return { ...files, "package.json": `{ "sideEffects": false }` };
}

function commonjs(i, below, kinds, awaits) {
  let text = `print("start ${i}");\nexports.v${i} = ${i};\nexports.f${i} = () => "f${i}:" + exports.v${i};\nexports.common = "c${i}";\n`;
  for (let edge = below(3); edge > 0; edge--) {
    const other = below(kinds.length);
    const name = `./m${other}.${kinds[other]}`;
    // What waits cannot be required.
    if (awaits && kinds[other] === "mjs") continue;
    text += [
      `try { const r = require("${name}"); print("require ${i}", Object.keys(r).sort().join(), typeof r.f${other}, r.v${other}); } catch (e) { print("throw", e.name) }\n`,
      `exports.later${edge} = () => require("${name}").v${other};\n`,
      `if (exports.v${i} > 100) require("${name}");\n`,
      `try { print("nested ${i}", require("${name}").common) } catch (e) { print("throw", e.name) }\n`,
    ][below(4)];
  }
  text += [
    ``,
    `Object.defineProperty(exports, "__esModule", { value: true });\nexports.default = "d${i}";\n`,
    `exports.v${i} = ${i} + 100;\n`,
  ][below(3)];
  return text + `print("end ${i}");\n`;
}

function module(i, below, kinds, flavour) {
  let head = "",
    body = "";
  for (let edge = below(4); edge > 0; edge--) {
    const other = below(kinds.length);
    const name = `./m${other}.${kinds[other]}`;
    const pick = below(11);
    if (pick === 0) head += `import "${name}";\n`;
    if (pick === 1) {
      head += `import * as ns${edge} from "${name}";\n`;
      body += `print("ns ${i}", Object.keys(ns${edge}).sort().join(), typeof ns${edge}.f${other});\n`;
    }
    if (pick === 2) {
      head += `import { f${other} as g${edge} } from "${name}";\n`;
      body += `print("call ${i}", typeof g${edge} === "function" ? g${edge}() : "none");\n`;
    }
    // An ES module made by esbuild cannot list names that it learns at run time.
    if (pick === 3 && other !== i && (i || !flavour)) head += `export * from "${name}";\n`;
    if (pick === 4 && other !== i) head += `export { f${other} as re${i}_${edge} } from "${name}";\n`;
    if (pick === 5 && other !== i) head += `export * as star${i}_${edge} from "${name}";\n`;
    if (pick === 6) {
      head += `import d${edge} from "${name}";\n`;
      body += `print("default ${i}", typeof d${edge}, typeof d${edge} === "string" ? d${edge} : "");\n`;
    }
    if (pick === 7)
      body += `export const lazy${i}_${edge} = () => import("${name}").then((m) => print("dynamic ${i}", Object.keys(m).sort().join(), m.v${other}));\n`;
    if (pick === 8) {
      head += `import { v${other} as w${edge} } from "${name}";\n`;
      body += `export function see${i}_${edge}() { return w${edge} }\n`;
    }
    // A namespace that another module passes on, read by its names or as a whole, when all of them exist.
    if (pick > 8 && kinds[other] === "mjs") {
      const next = (other + 1) % kinds.length;
      head += `import { space${other} as s${edge} } from "${name}";\n`;
      const names = `s${edge}.common, s${edge}.f${next}?.(), s${edge}.v${next}, s${edge}.space${next}?.common`;
      body += `export function see${i}_${edge}() { return [${names}].join() ${pick === 10 ? `+ Object.keys(s${edge}).sort()` : ""} }\n`;
    }
  }
  const next = (i + 1) % kinds.length;
  head += `export * as space${i} from "./m${next}.${kinds[next]}";\n`;
  let text =
    head +
    `print("start ${i}");\nexport var v${i} = ${i};\nexport function f${i}() { v${i}++; return "f${i}:" + v${i} }\nexport var common = "c${i}";\n`;
  text += [
    `export default "d${i}";\n`,
    `export default function () { return ${i} }\n`,
    `var local${i} = "l${i}"; export { local${i} as default };\n`,
  ][below(3)];
  if (flavour > 1 && below(4) === 0) text += `await null;\nprint("awaited ${i}");\n`;
  text +=
    body + [``, `v${i} = "changed ${i}";\n`, `{ var hidden${i} = 1; let inner = 2; print("block", hidden${i} + inner); }\n`][below(3)];
  if (i === 0)
    text += `import * as own from "./m0.mjs";
export async function run() {
  for (const key of Object.keys(own).sort()) {
    const x = own[key];
    if (/^(lazy|see)/.test(key)) print("run", key, await x());
    else if (typeof x !== "function") print("value", key, typeof x === "object" ? Object.keys(x).sort().join() : x);
  }
}
`;
  return text + `print("end ${i}");\n`;
}

/** Runs one program in this thread and gives its log. */
async function execute(kind, file) {
  const lines = [];
  globalThis.print = (...list) => void lines.push(list.join(" "));
  try {
    let main;
    if (kind === "script") {
      const host = { builtin: () => ({}), wasm: () => 0, binary: () => 0 };
      main = (await new vm.Script(readFileSync(file, "latin1"), { filename: file }).runInThisContext()(host)).main;
    } else main = await import(pathToFileURL(file).href);
    print("exports", Object.keys(main).sort().join());
    await main.run();
  } catch (error) {
    print("threw", error.name);
  }
  return lines;
}

async function main(seeds, first) {
  const esbuild = createRequire(path.join(import.meta.dirname, "../../../tests/package.json"))("esbuild");
  const folder = mkdtempSync(path.join(tmpdir(), "partyrun-graphs-"));
  const bundler = jobs();
  const counts = { same: 0 };
  const failed = [];
  for (let seed = first; seed < first + seeds; seed++) {
    const outcome = await compare(seed, path.join(folder, String(seed)), bundler, esbuild);
    if (outcome.reason) counts[outcome.reason] = (counts[outcome.reason] ?? 0) + 1;
    else failed.push(seed);
    if (outcome.text) console.log(outcome.text);
    if (failed.length >= 10) break;
  }
  bundler.end();
  rmSync(folder, { recursive: true, force: true });
  console.log(`${seeds} seeds from ${first}:`, JSON.stringify(counts), failed.length ? `failed: ${failed.join()}` : "none failed");
  process.exit(failed.length ? 1 : 0);
}

async function compare(seed, folder, bundler, esbuild) {
  const files = graph(seed);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  const main = path.join(folder, "m0.mjs"),
    ours = path.join(folder, "ours.js"),
    theirs = path.join(folder, "theirs.mjs");
  const built = await bundler.run({ root: folder, main, out: ours });
  const other = await esbuild.build({ ...esbuildOptions, entryPoints: [main], outfile: theirs, keepNames: true }).catch((error) => error);
  if (!built.ok || other instanceof Error) {
    const agree = !built.ok && other instanceof Error;
    const text = agree
      ? ""
      : `seed ${seed}: ${built.errors?.join("\n") ?? "built"}\n--- esbuild: ${other.message ?? "built"}\n${show(files)}`;
    return { reason: agree ? "both refuse" : undefined, text };
  }
  const mine = await inWorker("script", ours),
    // Some of esbuild's really hang, and each of those costs the whole time.
    yours = await inWorker("module", theirs, 3000);
  if (same(mine, yours)) return { reason: "same" };
  // A cycle whose modules await each other: esbuild's functions wait for themselves.
  if (yours[0] === "hangs" && mine[0] !== "hangs") return { reason: "esbuild never ends, ours does" };
  const native = await inWorker("module", main);
  if (same(mine, native)) return { reason: "esbuild departs, ours is as Node.js" };
  // The standard lets modules run while a sibling awaits; ours waits, esbuild does not even wait for `export *`.
  const waits = Object.values(files).some((text) => text.includes("await null"));
  if (waits && same(mine.toSorted(), yours.toSorted()) && same(mine.toSorted(), native.toSorted())) return { reason: "order around an await" };
  // Node.js finds fewer names in CommonJS, has dead zones in cycles, and runs awaiting siblings side by side.
  return {
    text: `seed ${seed}\n--- ours\n${mine.join("\n")}\n--- esbuild\n${yours.join("\n")}\n--- node\n${native.join("\n")}\n${show(files)}`,
  };
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const show = (files) =>
  Object.entries(files)
    .map(([name, text]) => `=== ${name}\n${text}`)
    .join("");

/** A thread per few programs: modules stay loaded in a thread, and a hang must end. */
async function inWorker(kind, file, patience = 30_000) {
  worker ??= { thread: new Worker(import.meta.filename), uses: 0 };
  const { thread } = worker;
  const answer = await new Promise((resolve) => {
    const timer = setTimeout(() => resolve(["hangs"]), patience);
    thread.once("message", (lines) => {
      clearTimeout(timer);
      resolve(lines);
    });
    thread.postMessage({ kind, file });
  });
  if (++worker.uses > 200 || answer[0] === "hangs") {
    await thread.terminate();
    worker = undefined;
  }
  return answer;
}

if (!isMainThread) {
  parentPort.on("message", async ({ kind, file }) => parentPort.postMessage(await execute(kind, file)));
} else if (process.argv[1] === import.meta.filename) {
  const [seeds = 2000, first = 1] = process.argv.slice(2).map(Number);
  await main(seeds, first);
}
