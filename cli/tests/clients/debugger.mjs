// A client of the DevTools protocol: sends garbage, sets a breakpoint in the project's TypeScript, looks at a value
// there, goes on, sees the console, takes a heap snapshot, and profiles a busy handler.
// usage: debugger.mjs SERVER DEBUGGER
import { createRequire } from "node:module";

const require = createRequire(`${process.env.PACKAGES}/`);
const WebSocket = require("ws");
const { TraceMap, generatedPositionFor, originalPositionFor } = require("@jridgewell/trace-mapping");
const [server, debuggerAt] = process.argv.slice(2);

async function open(url) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  return socket;
}

class Session {
  #next = 0;
  #answers = new Map();
  #events = [];
  #waiting = [];

  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data) => this.#take(JSON.parse(data)));
  }

  #take(message) {
    if (this.#answers.has(message.id)) {
      this.#answers.get(message.id)(message);
      this.#answers.delete(message.id);
    } else {
      this.#events.push(message);
      this.#waiting.forEach((look) => look());
    }
  }

  call(method, params = {}) {
    const id = ++this.#next;
    this.socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.#answers.set(id, resolve));
  }

  event(method, fits = () => true) {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.#events.find((event) => event.method === method && fits(event.params));
        if (found) resolve(found.params);
      };
      this.#waiting.push(look);
      look();
    });
  }
}

const party = await open(`ws://${server}/party/abc`);
const targets = await (await fetch(`http://${debuggerAt}/json/list`)).json();
console.log("targets", targets.map((target) => target.title).sort().join(" "));
const target = targets.find((target) => target.title === "main/abc");

// Garbage, in every form. The server answers what it can, and others are not disturbed.
const rude = await open(target.webSocketDebuggerUrl);
for (const text of ["", "{", "[]", "null", '{"id":"x"}', '{"id":1,"method":5}', '{"id":2,"method":"No.such"}', "\u0000\uffff"]) {
  rude.send(text);
}
rude.send("x".repeat(1 << 20));
rude.send(Buffer.from([1, 2, 3]));
await new Promise((resolve) => rude.once("close", resolve));
const stray = new WebSocket(`ws://${debuggerAt}/0123456789abcdef0123456789abcdef`);
console.log("unknown target", await new Promise((resolve) => stray.once("error", (error) => resolve(error.message))));

const session = new Session(await open(target.webSocketDebuggerUrl));
await session.call("Runtime.enable");
await session.call("Debugger.enable");
const script = await session.event("Debugger.scriptParsed", ({ url }) => url === "file:///bundle.js");
const map = JSON.parse(Buffer.from(script.sourceMapURL.split("base64,")[1], "base64"));
const source = map.sources.find((source) => source.endsWith("/server.ts"));
const at = generatedPositionFor(new TraceMap(map), { source, line: Number(process.argv[4]), column: 4 });
const set = { url: script.url, lineNumber: at.line - 1, columnNumber: at.column };
console.log("breakpoints", (await session.call("Debugger.setBreakpointByUrl", set)).result.locations.length);

party.send("ab");
const paused = await session.event("Debugger.paused");
const { callFrameId, functionName } = paused.callFrames[0];
const value = await session.call("Debugger.evaluateOnCallFrame", { callFrameId, expression: "doubled + '!'" });
console.log("paused in", functionName, value.result.result.value);
const echo = new Promise((resolve) => party.once("message", (data) => resolve(String(data))));
await session.call("Debugger.resume");
console.log("echo", await echo);
const logged = await session.event("Runtime.consoleAPICalled", ({ args }) => args[0]?.value === "got");
console.log("console", logged.type, logged.args[1].value);

let bytes = 0;
session.socket.on("message", (data) => bytes += String(data).includes("addHeapSnapshotChunk") ? data.length : 0);
await session.call("HeapProfiler.takeHeapSnapshot");
console.log("snapshot", bytes > 100_000);

// The functions of the project's own TypeScript that a CPU profile shows.
// Nothing pauses meanwhile.
await session.call("Debugger.disable");
await session.call("Profiler.enable");
await session.call("Profiler.start");
const spun = new Promise((resolve) => party.once("message", resolve));
party.send("spin");
await spun;
const { profile } = (await session.call("Profiler.stop")).result;
const lines = new TraceMap(map);
const seen = profile.nodes.map(({ callFrame }) => callFrame).filter(({ url, functionName }) => url === script.url && functionName);
const ours = seen.filter(({ lineNumber, columnNumber }) => {
  const { source } = originalPositionFor(lines, { line: lineNumber + 1, column: columnNumber });
  return source?.endsWith("/server.ts");
});
console.log("profile of server.ts:", [...new Set(ours.map(({ functionName }) => functionName))].sort().join(" "));
session.socket.close();
party.close();
