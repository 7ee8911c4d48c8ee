// Three things that a developer waits for, with partyrun, `partykit dev` and `wrangler dev` on one project each that does the
// same: installing, the start of the project to its first answer, and a save to the new answer. Prints a table for docs/tour.md.
// usage: node tests/bench/tasks.mjs TARBALL...   (what `node cli/npm/pack.mjs` has written; needs the npm registry)
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const tarballs = process.argv.slice(2).map((path) => resolve(path));
const ROUNDS = 3;
const party = (text) => `export default class Main { onRequest() { return new Response("${text}"); } }\n`;
const worker = (text) => `import { Server, routePartykitRequest } from "partyserver";
export class Main extends Server { onRequest() { return new Response("${text}"); } }
export default { fetch: async (request, env) => (await routePartykitRequest(request, env)) ?? new Response("", { status: 404 }) };
`;
const partykit = { "partykit.json": JSON.stringify({ name: "tasks", main: "server.js", compatibilityDate: "2024-07-18" }) };
const wrangler = {
  "wrangler.json": JSON.stringify({
    name: "tasks",
    main: "server.js",
    compatibility_date: "2024-07-18",
    durable_objects: { bindings: [{ name: "Main", class_name: "Main" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Main"] }],
  }),
};
const TOOLS = [
  { name: "partyrun", packages: tarballs, source: party, files: partykit, args: ["partyrun", "dev"] },
  { name: "partykit dev", packages: ["partykit@0.0.115"], source: party, files: partykit, args: ["partykit", "dev"] },
  { name: "wrangler dev", packages: ["wrangler", "partyserver"], source: worker, files: wrangler, args: ["wrangler", "dev"] },
];

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const npm = (folder, ...args) =>
  execFileSync("npm", ["install", "--no-audit", "--no-fund", ...args], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// CPU time of a process and all below it, in milliseconds.
function cpu(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const own = [11, 12, 13, 14].reduce((sum, field) => sum + Number(stat[field]), 0) * 10;
  const below = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean),
  );
  return below.reduce((sum, child) => sum + cpu(child), own);
}

async function answers(port, wanted) {
  for (;;) {
    try {
      const text = await (await fetch(`http://127.0.0.1:${port}/parties/main/lobby`)).text();
      if (text === wanted) return;
    } catch {
      // It does not listen yet.
    }
    await new Promise((done) => setTimeout(done, 5));
  }
}

async function start(tool, folder, wanted, visit) {
  const port = await freePort();
  const program = join(folder, "node_modules/.bin", tool.args[0]);
  const begun = performance.now();
  const child = spawn(program, [...tool.args.slice(1), "--port", String(port)], { cwd: folder, stdio: "ignore", detached: true });
  await answers(port, wanted);
  const took = { wall: performance.now() - begun, cpu: cpu(child.pid) };
  await visit?.(port);
  process.kill(-child.pid, "SIGKILL");
  await new Promise((done) => child.on("exit", done));
  return took;
}

async function measure(tool) {
  const folder = mkdtempSync(join(tmpdir(), "tasks-"));
  const write = (path, text) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  write("package.json", JSON.stringify({ name: "tasks", private: true, type: "module" }));
  // Once for npm's cache, and once to be timed.
  npm(folder, ...tool.packages);
  rmSync(join(folder, "node_modules"), { recursive: true });
  const begun = performance.now();
  npm(folder);
  const install = performance.now() - begun;
  const size = Number(execFileSync("du", ["-sm", join(folder, "node_modules")], { encoding: "utf8" }).split("\t")[0]);
  const packages = execFileSync("npm", ["ls", "--all", "--parseable"], { cwd: folder, encoding: "utf8" }).trim().split("\n").length - 1;
  Object.entries(tool.files).forEach(([path, text]) => write(path, text));
  write("server.js", tool.source("0"));
  const starts = [];
  for (let round = 0; round < ROUNDS; round++) starts.push(await start(tool, folder, "0"));
  const saves = [];
  await start(tool, folder, "0", async (port) => {
    for (let round = 1; round <= ROUNDS; round++) {
      const saved = performance.now();
      write("server.js", tool.source(String(round)));
      await answers(port, String(round));
      saves.push(performance.now() - saved);
    }
  });
  rmSync(folder, { recursive: true });
  const wall = median(starts.map(({ wall }) => wall));
  const used = median(starts.map(({ cpu }) => cpu));
  return [
    `${(install / 1000).toFixed(1)} s`,
    `${packages} packages, ${size} MiB`,
    `${Math.round(wall)} ms`,
    `${Math.round(used)} ms`,
    `${Math.round(median(saves))} ms`,
  ];
}

console.log("| | install | that is | start to first answer | CPU time of that | save to new answer |\n|---|---|---|---|---|---|");
for (const tool of TOOLS) console.log(`| ${tool.name} | ${(await measure(tool)).join(" | ")} |`);
