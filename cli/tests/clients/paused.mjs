// With --inspect-brk the edge waits for a debugger before the project's first statement; this one looks where, and lets it
// go on.
// usage: paused.mjs DEBUGGER
import { createRequire } from "node:module";

const require = createRequire(`${process.env.PACKAGES}/`);
const WebSocket = require("ws");
const { TraceMap, originalPositionFor } = require("@jridgewell/trace-mapping");
const targets = await (await fetch(`http://${process.argv[2]}/json/list`)).json();
const edge = targets.find(({ title }) => title === "edge");
console.log("waits", edge.title);
const socket = new WebSocket(edge.webSocketDebuggerUrl);
const maps = new Map();
const paused = new Promise((resolve) => {
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.method === "Debugger.scriptParsed") {
      maps.set(message.params.scriptId, message.params.sourceMapURL);
    }
    if (message.method === "Debugger.paused") resolve(message.params);
  });
});
await new Promise((resolve) => socket.once("open", resolve));
let id = 0;
const call = (method) => socket.send(JSON.stringify({ id: ++id, method }));
call("Debugger.enable");
call("Runtime.runIfWaitingForDebugger");
const { scriptId, lineNumber, columnNumber } = (await paused).callFrames[0].location;
const map = new TraceMap(Buffer.from(maps.get(scriptId).split("base64,")[1], "base64").toString());
const { source, line } = originalPositionFor(map, { line: lineNumber + 1, column: columnNumber });
console.log(`paused at ${source.split("/").at(-1)}:${line}`);
call("Debugger.resume");
call("Debugger.disable");
socket.close();
