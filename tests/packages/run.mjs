// Imports public packages in a room, one project for each, and compares what they export with what the original and Node.js get:
//
//     node tests/packages/run.mjs --work DIR --install          installs the packages of packages.json there, without their scripts
//     node tests/packages/run.mjs --work DIR [PACKAGE ...]      runs them (all by default) and compares with packages.json
//         --on partyrun,original,node    where (partyrun by default)      --partyrun PATH    target/release/partyrun by default
//         --update    writes what came out into packages.json             --jobs N    servers at a time (1)
//
// DIR lies outside of the repository. Each entry of packages.json is a package with its version and, for each runtime, the
// number of names that it exports or why it cannot be imported; `lacks` are names that only the original gets, and `why` says
// in a person's words why a package fails here. A difference fails the run. What has not been run on the original has no entry.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const LIST = join(here, "packages.json");
const WAIT_MS = 60_000;

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    work: { type: "string" },
    install: { type: "boolean" },
    on: { type: "string", default: "partyrun" },
    partyrun: { type: "string", default: "target/release/partyrun" },
    original: { type: "string", default: join(here, "../node_modules/.bin/partykit") },
    update: { type: "boolean" },
    jobs: { type: "string", default: "1" },
  },
});
if (options.work === undefined) throw new Error("--work needs a folder outside of the repository");
const work = resolve(options.work);
const list = JSON.parse(readFileSync(LIST, "utf8"));

if (options.install) {
  mkdirSync(work, { recursive: true });
  const dependencies = Object.fromEntries(Object.entries(list).map(([name, { version }]) => [name, version]));
  writeFileSync(join(work, "package.json"), JSON.stringify({ private: true, dependencies }, null, 2));
  const flags = ["install", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"];
  process.exit(spawnSync("npm", flags, { cwd: work, stdio: "inherit" }).status ?? 1);
}

// --- one package on one runtime -----------------------------------------------------------------------------------

const server = (name) => `import * as all from ${JSON.stringify(name)};
export default class { onRequest() { return Response.json(Object.keys(all)); } }
`;

function project(name) {
  const folder = join(work, "projects", name.replaceAll("/", "+"));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "server.ts"), server(name));
  return folder;
}

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => listener.once("listening", done));
  const { port } = listener.address();
  await new Promise((done) => listener.close(done));
  return port;
}

// The first line that says what is wrong.
function reason(text) {
  const lines = text.replace(/\x1b\[[0-9;]*m/g, "").replaceAll(work, "").split("\n").map((line) => line.trim());
  const line = lines.find((line) => /error|✘|could not|cannot|not defined/i.test(line) && !/^at /.test(line)) ?? lines[0] ?? "";
  return line.replace(/^✘ /, "").replace(/:\d{4,5}\b/g, "").slice(0, 160);
}

// Both servers load the project when it is built, and say in one place what is wrong with either.
const kind = (why) => `${/could not resolve|no loader|cannot import|plugin|unexpected|expected/i.test(why) ? "build" : "load"}: ${why}`;

const programs = {
  partyrun: (port) => [resolve(options.partyrun), ["dev", "server.ts", "--port", `${port}`, "--persist", "false"]],
  original: (port) => [resolve(options.original), ["dev", "server.ts", "--port", `${port}`]],
};

async function inRoom(runtime, name) {
  const port = await freePort();
  const [program, args] = programs[runtime](port);
  const env = { ...process.env, CI: "1", NO_COLOR: "1" };
  const child = spawn(program, args, { cwd: project(name), env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let ended = false;
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  child.once("exit", () => (ended = true));
  try {
    for (const until = Date.now() + WAIT_MS; Date.now() < until; await new Promise((done) => setTimeout(done, 100))) {
      const failed = /build failed|could not start|could not resolve|\[ERROR\]|no loader is configured/i.test(output);
      const isReady = /ready on/i.test(output);
      if (ended || (failed && !isReady)) return { problem: kind(reason(output)) };
      if (!isReady) continue;
      const answer = await fetch(`http://127.0.0.1:${port}/party/room`, { signal: AbortSignal.timeout(30_000) }).catch(() => undefined);
      if (answer === undefined) continue;
      const text = await answer.text();
      if (answer.status === 200) return { names: JSON.parse(text) };
      return { problem: `load: ${reason(text)}` };
    }
    return { problem: "no answer" };
  } finally {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

function inNode(name) {
  const code = `import(${JSON.stringify(name)}).then((all) => { console.log("\\n" + JSON.stringify(Object.keys(all))); process.exit(0); });`;
  const { stdout, stderr } = spawnSync("node", ["--input-type=module", "-e", code], { cwd: project(name), encoding: "utf8", timeout: WAIT_MS });
  const last = stdout.trim().split("\n").at(-1);
  return last.startsWith("[") ? { names: JSON.parse(last) } : { problem: `load: ${reason(stderr)}` };
}

// --- all of them --------------------------------------------------------------------------------------------------

const runtimes = options.on.split(",");
const names = wanted.length > 0 ? wanted : Object.keys(list);
const waiting = [...names];
const differences = [];

function compare(name, runtime, found) {
  const entry = (list[name] ??= { version: "" });
  const outcome = found.problem ?? found.names.length;
  if (entry[runtime] !== outcome) differences.push(`${name} on ${runtime}: ${entry[runtime] ?? "unknown"} -> ${outcome}`);
  if (options.update) entry[runtime] = outcome;
}

async function worker() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const found = {};
    for (const runtime of runtimes) {
      found[runtime] = runtime === "node" ? inNode(name) : await inRoom(runtime, name);
      compare(name, runtime, found[runtime]);
      console.log(`${name} on ${runtime}: ${found[runtime].problem ?? found[runtime].names.length}`);
    }
    const [ours, theirs] = [found.partyrun?.names, found.original?.names];
    if (ours === undefined || theirs === undefined) continue;
    const lacks = theirs.filter((name) => !ours.includes(name));
    if (`${lacks}` !== `${list[name].lacks ?? ""}`) differences.push(`${name} lacks ${lacks}`);
    if (options.update) list[name].lacks = lacks.length > 0 ? lacks : undefined;
  }
}
await Promise.all(Array.from({ length: Number(options.jobs) }, worker));

if (options.update) {
  for (const name of names) {
    const manifest = join(work, "node_modules", name, "package.json");
    if (existsSync(manifest)) list[name].version = JSON.parse(readFileSync(manifest, "utf8")).version;
  }
  const sorted = Object.entries(list).sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(LIST, `{\n${sorted.map(([name, entry]) => `  ${JSON.stringify(name)}: ${JSON.stringify(entry)}`).join(",\n")}\n}\n`);
}
const works = (entry, runtime) => typeof entry[runtime] === "number";
const all = Object.values(list);
console.log(`\n${all.length} packages: ${["node", "original", "partyrun"].map((runtime) => `${all.filter((entry) => works(entry, runtime)).length} on ${runtime}`).join(", ")}`);
console.log(`fail here and not on the original: ${all.filter((entry) => works(entry, "original") && !works(entry, "partyrun")).length}`);
console.log(`fail on both and not in Node: ${all.filter((entry) => works(entry, "node") && !works(entry, "original") && !works(entry, "partyrun")).length}`);
console.log(`fail on the original and not here: ${all.filter((entry) => !works(entry, "original") && works(entry, "partyrun")).length}`);
for (const difference of differences) console.log(`differs: ${difference}`);
process.exit(options.update || differences.length === 0 ? 0 : 1);
