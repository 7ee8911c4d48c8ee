// The differential test with real packages: every file in packages/entries is bundled by us and by esbuild, each bundle
// runs in a process of its own, and both must log and export the same. Prints one row per package and the totals.
//
//     npm ci --prefix runtime/bundle/tests/packages
//     cargo build --release --examples && node runtime/bundle/tests/packages.mjs [NAME...]
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { esbuildOptions, jobs } from "./tools.mjs";

const here = import.meta.dirname;
const require = createRequire(path.join(here, "../../../tests/package.json"));
const esbuild = require("esbuild");
const run = promisify(execFile);
const root = path.join(here, "packages");
const out = process.env.OUT ?? mkdtempSync(path.join(tmpdir(), "partyrun-packages-"));
mkdirSync(out, { recursive: true });
const wanted = process.argv.slice(2);
const entries = readdirSync(path.join(root, "entries")).filter((file) => /\.[jt]sx?$/.test(file) && !file.includes("helper"));
const bundler = jobs();
const rows = [];

for (const file of entries) {
  const name = file.replace(/\.\w+$/, "");
  if (wanted.length && !wanted.includes(name)) continue;
  rows.push(await compare(name, path.join(root, "entries", file)));
}
bundler.end();
const good = rows.filter((row) => row.same).length;
const total = (key) => rows.reduce((sum, row) => sum + (row[key] || 0), 0);
console.log(
  `\n${good} of ${rows.length} the same; size ${total("size")} to ${total("theirSize")}: ${(total("size") / total("theirSize")).toFixed(3)}; ` +
    `build ${total("build").toFixed(0)} to ${total("theirBuild").toFixed(0)} ms`,
);
console.log(
  `largest ratio of sizes: ${rows
    .filter((row) => row.ratio)
    .sort((a, b) => b.ratio - a.ratio)
    .slice(0, 8)
    .map((row) => `${row.name} ${row.ratio.toFixed(2)}`)
    .join(", ")}`,
);
process.exit(good === rows.length ? 0 : 1);

async function compare(name, main) {
  const ours = path.join(out, `${name}.ours.js`),
    theirs = path.join(out, `${name}.theirs.mjs`);
  const row = { name, same: false };
  const built = await bundler.run({ root, main, out: ours });
  const start = performance.now();
  let failed;
  const options = { ...esbuildOptions, entryPoints: [main], absWorkingDir: root };
  await esbuild.build({ ...options, outfile: theirs }).catch((error) => {
    failed = error;
  });
  row.theirBuild = performance.now() - start;
  // Ours keeps the names of functions and classes; for that esbuild needs an option that changes its size.
  const named = path.join(out, `${name}.named.mjs`);
  if (!failed) await esbuild.build({ ...options, outfile: named, keepNames: true });
  if (!built.ok || failed) {
    console.log(`${name}: ${built.errors?.join("\n") ?? ""} ${failed ? "esbuild: " + failed.message : ""}`);
    return row;
  }
  Object.assign(row, { build: built.ms, size: built.bytes, theirSize: statSync(theirs).size });
  row.ratio = row.size / row.theirSize;
  const [mine, other] = [await execute("script", ours), await execute("module", named)];
  const text = (result) => JSON.stringify({ lines: result.lines, exports: result.exports, error: result.error }, null, 1);
  row.same = text(mine) === text(other) && !mine.error && mine.lines.length > 0;
  console.log(
    `${row.same ? "same" : "DIFFERENT"} ${name.padEnd(18)} ${String(row.size).padStart(8)} ${String(row.theirSize).padStart(8)} ${row.ratio.toFixed(2)} ` +
      `build ${built.ms.toFixed(0)} / ${row.theirBuild.toFixed(0)} ms`,
  );
  if (!row.same) console.log(`--- ours\n${text(mine)}\n${mine.stack ?? ""}\n--- esbuild\n${text(other)}\n${other.stack ?? ""}`);
  return row;
}

async function execute(kind, file) {
  try {
    const { stdout, stderr } = await run("node", [path.join(here, "run.mjs"), kind, file], {
      maxBuffer: 1 << 28,
      timeout: 60_000,
      env: { ...process.env, TZ: "UTC", NO_COLOR: "1" },
    });
    return JSON.parse(stdout || `{"error": ${JSON.stringify(stderr)}}`);
  } catch (error) {
    return { lines: [], error: String(error.message).slice(0, 2000) };
  }
}
