// Runs Autobahn's test suite for WebSockets against partyrun: all 517 cases, groups 12 and 13 (compression) among them.
//
// usage: node tests/autobahn.mjs [--partyrun PROGRAM] [CASES...], for example `12.* 13.*`
//
// Needs the suite's program `wstest` on the PATH. It is written in Python 2 (`pip install autobahntestsuite`, with Python 2.7 or
// PyPy 2), which Debian 12 does not have, so nothing else in this repository depends on it. The report stays in target/autobahn.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const here = import.meta.dirname;
const cases = process.argv.slice(2);
const at = cases.indexOf("--partyrun");
const program = resolve(at >= 0 ? cases.splice(at, 2)[1] : join(here, "../target/release/partyrun"));
const FINE = new Set(["OK", "NON-STRICT", "INFORMATIONAL"]);

const found = spawnSync("wstest", ["--help"]);
if (found.error) {
  console.error("There is no `wstest` on the PATH: it comes with `pip install autobahntestsuite` for Python 2.7 or PyPy 2.");
  process.exit(2);
}

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

const folder = mkdtempSync(join(tmpdir(), "autobahn-"));
const reports = join(here, "../target/autobahn");
mkdirSync(reports, { recursive: true });
writeFileSync(join(folder, "server.js"), "export default class { onMessage(message, connection) { connection.send(message); } }\n");
const port = await freePort();
// Group 9 sends messages of 16 MiB, and some in 65,536 fragments.
const limits = ["message_in_bytes_max=32MiB", "message_fragments_max=1000000"].flatMap((limit) => ["--limit", limit]);
const args = ["start", "server.js", "--host", "127.0.0.1", "--port", `${port}`, "--persist", "false", ...limits];
const server = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
let failed = true;
try {
  await new Promise((done, gone) => {
    let said = "";
    server.stdout.on("data", (text) => (said += text).includes("Ready on") && done());
    server.once("error", gone).once("exit", () => gone(new Error(`${program} has ended:\n${said}`)));
  });
  const specification = join(folder, "fuzzingclient.json");
  writeFileSync(specification, JSON.stringify({
    outdir: reports,
    servers: [{ agent: "partyrun", url: `ws://127.0.0.1:${port}/party/autobahn` }],
    cases: cases.length > 0 ? cases : ["*"],
    "exclude-cases": [],
    "exclude-agent-cases": {},
  }));
  const ran = spawnSync("wstest", ["--mode", "fuzzingclient", "--spec", specification], { stdio: ["ignore", "ignore", "inherit"] });
  if (ran.status !== 0) throw new Error(`wstest has ended with ${ran.status ?? ran.signal}`);
  const results = Object.entries(JSON.parse(readFileSync(join(reports, "index.json"), "utf8")).partyrun ?? {});
  const wrong = results.filter(([, { behavior, behaviorClose }]) => !FINE.has(behavior) || !FINE.has(behaviorClose));
  for (const [name, { behavior, behaviorClose }] of wrong) console.log(`${name}: ${behavior}, closed ${behaviorClose}`);
  console.log(`${results.length - wrong.length} of ${results.length} cases are fine; the report is ${join(reports, "index.html")}`);
  failed = wrong.length > 0 || results.length === 0;
} finally {
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
