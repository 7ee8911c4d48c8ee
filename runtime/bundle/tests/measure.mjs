// Measures what the bundler promises: time of a cold build, of a second start, of a rebuild after one edit, and the
// evaluation of the bundles of tests/packages with a code cache, each beside esbuild. Run it on a quiet machine:
//
//     OUT=/tmp/bundles node runtime/bundle/tests/packages.mjs && OUT=/tmp/bundles node runtime/bundle/tests/measure.mjs
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { esbuildOptions, jobs } from "./tools.mjs";

const here = import.meta.dirname;
const esbuild = createRequire(path.join(here, "../../../tests/package.json"))("esbuild");
const packages = path.join(here, "packages");
const folder = mkdtempSync(path.join(tmpdir(), "partyrun-measure-"));
const low = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 4)];
const rounds = Number(process.env.ROUNDS ?? 7);

if (!process.argv.includes("evaluation")) await builds();
if (process.env.OUT) evaluations(process.env.OUT);
rmSync(folder, { recursive: true, force: true });

/** One project with a graph of two megabytes. */
async function builds() {
  symlinkSync(path.join(packages, "node_modules"), path.join(folder, "node_modules"));
  const main = path.join(folder, "main.ts"), edited = path.join(folder, "edited.ts");
  const names = ["openai", "zod", "yjs", "hono", "drizzle-orm/pg-core", "xstate", "@reduxjs/toolkit"];
  writeFileSync(main, names.map((name, i) => `import * as p${i} from "${name}";\n`).join("") +
    `import { number } from "./edited";\nexport default [${names.map((_, i) => "p" + i)}, number];\n`);
  const edit = (n) => writeFileSync(edited, `export const number: number = ${n};\n`);
  const rows = { cold: [], second: [], rebuild: [], map: [], theirs: [], again: [] };
  let answer;
  for (let round = 0; round < rounds; round++) {
    const cache = path.join(folder, `cache${round}`);
    edit(0);
    for (const kind of ["cold", "second"]) {
      const bundler = jobs();
      answer = await bundler.run({ id: 1, root: folder, main, cache, map: kind === "cold" || undefined });
      if (!answer.ok) throw new Error(answer.errors.join("\n"));
      rows[kind].push(answer.ms);
      if (kind === "cold") rows.map.push(answer.mapMs);
      if (kind === "second") {
        edit(round + 1);
        rows.rebuild.push((await bundler.run({ id: 1 })).ms);
      }
      bundler.end();
    }
    const context = await esbuild.context({ ...esbuildOptions, entryPoints: [main], absWorkingDir: folder, write: false, sourcemap: true });
    for (const kind of ["theirs", "again"]) {
      const start = performance.now();
      await context.rebuild();
      rows[kind].push(performance.now() - start);
      edit(-round - 1);
    }
    await context.dispose();
  }
  console.log(`graph: ${answer.inputs} files, ${(answer.read / 1e6).toFixed(2)} MB; bundle ${(answer.bytes / 1e6).toFixed(2)} MB; lower quartile of ${rounds}, in ms`);
  console.log(`cold ${low(rows.cold).toFixed(0)}, esbuild ${low(rows.theirs).toFixed(0)}; second start ${low(rows.second).toFixed(0)}; ` +
    `rebuild after one edit ${low(rows.rebuild).toFixed(0)}, esbuild ${low(rows.again).toFixed(0)}; ` +
    `source map, which esbuild's times contain and ours makes when it is asked for, ${low(rows.map).toFixed(0)}`);
}

function evaluations(out) {
  let [mine, other] = [0, 0];
  for (const file of readdirSync(out).filter((file) => file.endsWith(".ours.js"))) {
    const name = file.slice(0, -".ours.js".length);
    // These wait for the network or for timers.
    if (["postgres", "pg", "rxjs", "partysocket"].includes(name)) continue;
    const [a, b] = [evaluation("ours", path.join(out, file)), evaluation("theirs", path.join(out, `${name}.theirs.mjs`))];
    console.log(`${name.padEnd(20)} ${a.toFixed(2).padStart(8)} ${b.toFixed(2).padStart(8)}`);
    mine += a;
    other += b;
  }
  console.log(`evaluation in all, processor time: ${mine.toFixed(1)} ms, esbuild's ${other.toFixed(1)} ms`);
}

function evaluation(kind, file) {
  const local = path.join(folder, path.basename(file));
  copyFileSync(file, local);
  const run = () => JSON.parse(execFileSync("node", [path.join(here, "evaluate.mjs"), kind, local, local + ".cache"]));
  run();
  return low(Array.from({ length: rounds }, () => run().cpu));
}
