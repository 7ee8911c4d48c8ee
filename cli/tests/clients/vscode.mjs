// Attaches to the whole server as VS Code's debugger does, with the same messages in the same order: the first address of
// /json/list, the domain NodeWorker, breakpoints set before a room's first statement. Then saves the project, and breaks again.
// At last as DevTools does: flat sessions of the domain Target.
// usage: vscode.mjs SERVER DEBUGGER FILE LINE
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.PACKAGES}/`);
const WebSocket = require("ws");
const { TraceMap, generatedPositionFor, originalPositionFor } = require("@jridgewell/trace-mapping");
const [server, debuggerAt, file, line] = process.argv.slice(2);

// One end of the protocol: calls with their answers, and events.
class Session {
  #next = 0;
  #answers = new Map();
  #listeners = [];
  #past = [];

  constructor(send) {
    this.send = send;
  }

  take(message) {
    if (message.id !== undefined) {
      this.#answers.get(message.id)?.(message);
      this.#answers.delete(message.id);
      return;
    }
    this.#past.push(message);
    for (const listener of [...this.#listeners]) listener(message);
  }

  call(method, params = {}) {
    const id = ++this.#next;
    this.send({ id, method, params });
    return new Promise((resolve) => this.#answers.set(id, resolve));
  }

  on(method, listener) {
    this.#listeners.push((message) => message.method === method && listener(message.params));
  }

  // The first event that fits, of those past or to come.
  event(method, fits = () => true) {
    const is = (message) => message.method === method && fits(message.params);
    const past = this.#past.find(is);
    if (past !== undefined) return Promise.resolve(past.params);
    return new Promise((resolve) => this.#listeners.push((message) => is(message) && resolve(message.params)));
  }
}

function open(url) {
  const socket = new WebSocket(url);
  const session = new Session((message) => socket.send(JSON.stringify(message)));
  session.closed = new Promise((resolve) => socket.once("close", resolve));
  session.socket = socket;
  socket.on("message", (data) => session.take(JSON.parse(data)));
  return new Promise((resolve, reject) => socket.once("open", () => resolve(session)).once("error", reject));
}

const list = await (await fetch(`http://${debuggerAt}/json/list`)).json();
console.log("first", list[0].title);
const root = await open(list[0].webSocketDebuggerUrl);
let lost = false;
root.closed.then(() => lost = true);

const workers = new Map();
const hits = [];
let hit;

// What the debugger does with each worker: it waits until this has let it go on.
async function debug(title, worker) {
  worker.on("Debugger.scriptParsed", (script) => {
    if (script.url.startsWith("ext:") || script.url === "warm.js") console.log("a script of ours", script.url);
    if (script.sourceMapURL.startsWith("data:")) worker.script = script;
  });
  worker.on("Debugger.paused", async ({ reason, callFrames }) => {
    if (reason === "instrumentation") {
      await breakAt(worker);
      await worker.call("Debugger.resume");
      return;
    }
    const [top] = callFrames;
    const at = originalPositionFor(worker.map, { line: top.location.lineNumber + 1, column: top.location.columnNumber });
    const look = async (expression) => {
      const { result } = await worker.call("Debugger.evaluateOnCallFrame", { callFrameId: top.callFrameId, expression });
      return result.result.value ?? result.result.description;
    };
    const seen = await look("[doubled, $room.id, $server === this, Object.keys($rooms)].join()");
    hits.push(`${title} ${top.functionName} ${at.source === pathToFileURL(file).href} ${at.line} ${callFrames.length} ${seen}`);
    await worker.call("Debugger.resume");
    hit();
  });
  await worker.call("Runtime.enable");
  await worker.call("Debugger.enable");
  // One that is there already has its script.
  if (worker.script !== undefined) await breakAt(worker);
  await worker.call("Runtime.runIfWaitingForDebugger");
}

async function breakAt(worker) {
  worker.map = new TraceMap(Buffer.from(worker.script.sourceMapURL.split("base64,")[1], "base64").toString());
  const source = worker.map.sources.find((source) => source === pathToFileURL(file).href);
  const at = generatedPositionFor(worker.map, { source, line: Number(line), column: 4 });
  const { scriptId } = worker.script;
  await worker.call("Debugger.setBreakpoint", { location: { scriptId, lineNumber: at.line - 1, columnNumber: at.column } });
}

root.on("NodeWorker.attachedToWorker", ({ sessionId, workerInfo, waitingForDebugger }) => {
  const worker = new Session((message) =>
    root.call("NodeWorker.sendMessageToWorker", { sessionId, message: JSON.stringify(message) }));
  workers.set(sessionId, worker);
  worker.title = workerInfo.title;
  worker.waits = waitingForDebugger;
  debug(workerInfo.title, worker);
});
root.on("NodeWorker.receivedMessageFromWorker", ({ sessionId, message }) => workers.get(sessionId).take(JSON.parse(message)));
root.on("NodeWorker.detachedFromWorker", ({ sessionId }) => workers.delete(sessionId));

await root.call("NodeWorker.enable", { waitForDebuggerOnStart: true });
await root.call("Runtime.enable");
await root.call("Debugger.enable");
// It takes the server for Node and asks context 1 for the process, to end it or to pass on variables.
const { error } = await root.call("Runtime.evaluate", { contextId: 1, expression: "process.pid" });
console.log("process", error.message);
const sum = await root.call("Runtime.evaluate", { contextId: 1000, expression: "20 + 3" });
console.log("console", sum.result.result.value);
console.log("unknown", (await root.call("No.such")).error.message);
// Garbage, in every form: each gets an answer or none, and the connection goes on.
for (const text of ["", "{", "[]", "null", "5", '{"id":"x"}', '{"id":1,"method":5}', '{"id":2,"method":"Runtime.callFunctionOn","params":[]}',
  '{"id":3,"method":"NodeWorker.sendMessageToWorker","params":7}', '{"id":4,"sessionId":"99","method":"Runtime.enable"}',
  '{"id":5,"method":"Target.attachToTarget","params":{"targetId":"x"}}', "\u0000\uffff"]) {
  root.socket.send(text);
}

async function say(text) {
  const paused = new Promise((resolve) => hit = resolve);
  const party = new WebSocket(`ws://${server}/party/abc`);
  await new Promise((resolve, reject) => party.once("open", resolve).once("error", reject));
  party.send(text);
  const echo = String((await new Promise((resolve) => party.once("message", resolve))));
  await paused;
  party.close();
  return echo;
}

console.log("echo", await say("ab"));
const room = [...workers.values()].find(({ title }) => title === "main/abc");
console.log("waited", room.waits);
const logged = await room.event("Runtime.consoleAPICalled", ({ args }) => args[0]?.value === "got");
console.log("frames", logged.stackTrace.callFrames.map(({ functionName, url }) => `${functionName} ${url}`).join());
const grouped = [];
room.on("Runtime.consoleAPICalled", ({ type, args }) => grouped.push(`${type} ${args[0]?.value ?? ""}`));
await room.call("Runtime.evaluate", { expression: "console.group('g'); console.log('in'); console.groupEnd(); console.trace('t')" });
console.log("grouped", grouped.join(", "));
const failed = await room.call("Runtime.evaluate", { expression: "$server.fail()" });
console.log("stack", failed.result.exceptionDetails.exception.description.split("\n")[1].trim() === `at Server.fail (${pathToFileURL(file).href}:17:11)`);
const stored = await room.call("Runtime.evaluate", {
  expression: "$room.storage.put('a', 5).then(() => $room.storage.get('a'))", awaitPromise: true,
});
console.log("stored", stored.result.result.value);
// The same room under its name, which stays.
const named = await open(`ws://${debuggerAt}/main/abc`);
console.log("named", (await named.call("Runtime.evaluate", { expression: "$room.id" })).result.result.value);

// A save replaces the room. The debugger stays, and its breakpoint holds for the first message of the new code.
const text = readFileSync(file, "utf8");
const updated = root.event("NodeWorker.attachedToWorker", ({ workerInfo, waitingForDebugger }) =>
  workerInfo.title === "edge" && waitingForDebugger);
writeFileSync(file, text.replace("send(doubled)", "send(doubled + ' 2')"));
await updated;
await named.closed;
console.log("echo", await say("cd"));
console.log("lost", lost);
console.log(hits.join("\n"));
root.socket.close();
await root.closed;

const tools = await open(list[0].webSocketDebuggerUrl);
await tools.call("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: true, flatten: true });
const attached = await tools.event("Target.attachedToTarget", ({ targetInfo }) => targetInfo.title === "edge");
tools.send({ id: 900, sessionId: attached.sessionId, method: "Runtime.evaluate", params: { expression: "6 * 7" } });
const flat = await new Promise((resolve) => tools.socket.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.id === 900) resolve(message);
}));
console.log("flat", flat.sessionId === attached.sessionId, flat.result.result.value);
tools.socket.close();
