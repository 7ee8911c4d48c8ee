// Measures `partyrun host`: requests and messages through it beside `start` and nginx, the wake of a stopped project, a deployment,
// and the memory of a host with many stopped projects. Work is counted per CPU-second of all processes of a side.
//
//     node tests/bench/host.mjs target/release/partyrun [PROJECTS]
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const { WebSocket } = createRequire(new URL("../package.json", import.meta.url))("ws");
const program = resolve(process.argv[2] ?? "target/release/partyrun");
const projects = Number(process.argv[3] ?? 500);
const REQUESTS = 40_000;
const MESSAGES = 200_000;
const SOCKETS = 50;
const CLIENTS = 8;
const NAME = "chat.party.test";
const SERVER = `export default class {
  onRequest() { return new Response("room"); }
  onMessage(message, connection) { connection.send(message); }
}`;

const top = mkdtempSync(join(tmpdir(), "partyrun-host-"));
chmodSync(top, 0o755);
const children = [];
process.on("exit", () => {
  children.forEach((child) => child.kill("SIGKILL"));
  rmSync(top, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

async function start(args, env = {}, ready = '"type":"ready"') {
  const child = spawn(program, args, { cwd: top, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  await new Promise((done) => {
    let text = "";
    child.stdout.on("data", (data) => (text = text.slice(-10_000) + data).includes(ready) && done());
  });
  return child;
}

// The CPU time of a process and of all below it, in seconds.
function cpu(pid) {
  const stat = (pid) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const own = (pid) => (Number(stat(pid)[11]) + Number(stat(pid)[12])) / 100;
  const below = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean),
  );
  return own(pid) + below.reduce((sum, child) => sum + cpu(child), 0);
}

const used = (pids) => pids.reduce((sum, pid) => sum + cpu(pid), 0);

async function requests(port, count) {
  const ask = `GET /party/a HTTP/1.1\r\nhost: ${NAME}\r\n\r\n`;
  let left = count;
  const client = () =>
    new Promise((done, failed) => {
      const socket = new Socket().connect(port, "127.0.0.1");
      socket.setNoDelay(true);
      let text = "";
      const next = () => (left-- > 0 ? socket.write(ask) : (socket.destroy(), done()));
      socket.on("connect", next);
      socket.on("error", failed);
      socket.on("data", (data) => {
        text += data;
        if (!text.endsWith("room") && !text.endsWith("room\r\n0\r\n\r\n")) return;
        text = "";
        next();
      });
    });
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

async function echoes(port, count) {
  let left = count;
  const client = (number) =>
    new Promise((done, failed) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/party/${number}`, { headers: { host: NAME } });
      const next = () => (left-- > 0 ? socket.send("hello") : (socket.terminate(), done()));
      socket.on("open", next);
      socket.on("message", next);
      socket.on("error", failed);
    });
  await Promise.all(Array.from({ length: SOCKETS }, (_, number) => client(number)));
}

async function perSecond(work, port, count, pids) {
  await work(port, count / 20);
  const before = used(pids);
  await work(port, count);
  return count / (used(pids) - before);
}

function folder(name, files) {
  const path = join(top, name);
  mkdirSync(path, { recursive: true });
  Object.entries(files).forEach(([file, text]) => writeFileSync(join(path, file), text));
  return path;
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const chat = folder("chat", { "server.js": SERVER, "partykit.json": '{ "name": "chat", "main": "server.js" }' });
const run = (cwd, env, ...args) => execFileSync(program, args, { cwd, env: { ...process.env, ...env }, encoding: "utf8" });

async function host(data, ...args) {
  const path = join(top, data);
  const made = existsSync(join(path, "host.sqlite")) ? "" : run(top, {}, "token", "generate", "--data", path);
  const token = /PARTYKIT_TOKEN=(\S+)/.exec(made)?.[1];
  const port = await freePort();
  const child = await start(["host", "--domain", "party.test", "--data", path, "--host", "127.0.0.1", "--port", `${port}`, ...args]);
  return { child, port, env: { PARTYRUN_URL: `http://127.0.0.1:${port}`, PARTYKIT_TOKEN: token } };
}

async function through() {
  run(chat, {}, "build", "--out", join(top, "chat.partyrun"));
  const [direct, proxied] = [await freePort(), await freePort()];
  const server = await start(["start", "chat.partyrun", "--port", `${direct}`, "--host", "127.0.0.1", "--json"]);
  const hosting = await host("data");
  run(chat, hosting.env, "deploy");
  const sides = [
    ["start", direct, [server.pid]],
    ["host", hosting.port, [hosting.child.pid]],
  ];
  if (existsSync("/usr/sbin/nginx")) {
    const config = join(folder("nginx", {}), "nginx.conf");
    writeFileSync(config, `daemon off; worker_processes 2; pid ${top}/nginx/pid; error_log stderr error; events {}
http { access_log off; keepalive_requests 1000000; upstream a { server 127.0.0.1:${direct}; keepalive 64; keepalive_requests 1000000; }
map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
server { listen 127.0.0.1:${proxied}; location / { proxy_pass http://a; proxy_http_version 1.1; proxy_set_header Host $host;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_read_timeout 1h; } } }`);
    const nginx = spawn("/usr/sbin/nginx", ["-c", config, "-p", top], { stdio: "inherit" });
    children.push(nginx);
    sides.push(["nginx", proxied, [nginx.pid, server.pid]]);
    await new Promise((done) => setTimeout(done, 500));
  }
  for (const [what, work, count] of [["onRequest", requests, REQUESTS], ["echo", echoes, MESSAGES]]) {
    for (const [side, port, pids] of sides) {
      console.log(`${what} through ${side}: ${Math.round(await perSecond(work, port, count, pids))} per CPU-second`);
    }
  }
  const times = [];
  for (let round = 0; round < 5; round += 1) {
    writeFileSync(join(chat, "server.js"), `${SERVER}\n// ${round}\n`);
    const begun = performance.now();
    run(chat, hosting.env, "deploy");
    times.push(performance.now() - begun);
  }
  console.log(`deploy, typed to live: ${median(times).toFixed(0)} ms`);
  children.splice(0).forEach((child) => child.kill());
}

async function stopped() {
  const hosting = await host("many", "--limit", "host_idle_max=1s");
  const { port, env } = hosting;
  const get = async (path, name) => {
    const socket = new Socket().connect(port, "127.0.0.1");
    socket.write(`GET ${path} HTTP/1.1\r\nhost: ${name}\r\nauthorization: Bearer ${env.PARTYKIT_TOKEN}\r\nconnection: close\r\n\r\n`);
    let text = "";
    for await (const data of socket) text += data;
    return text.slice(text.indexOf("\r\n\r\n") + 4);
  };
  const process = async () => JSON.parse(await get("/v1/projects/chat", "party.test")).process;
  run(chat, env, "deploy");
  const times = [];
  for (let round = 0; round < 20; round += 1) {
    while ((await process()) !== null) await new Promise((done) => setTimeout(done, 100));
    const begun = performance.now();
    if ((await get("/party/a", NAME)) !== "room") throw new Error("it did not answer");
    times.push(performance.now() - begun);
  }
  console.log(`wake of a stopped project: ${median(times).toFixed(1)} ms (p50 of ${times.length})`);
  for (let number = 1; number < projects; number += 1) run(chat, env, "deploy", "--name", `p${number}`);
  hosting.child.kill();
  await once(hosting.child, "exit");
  const again = await host("many");
  const status = readFileSync(`/proc/${again.child.pid}/status`, "utf8");
  console.log(`memory of a host with ${projects} stopped projects: ${(Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024).toFixed(1)} MiB`);
}

await through();
await stopped();
process.exit();
