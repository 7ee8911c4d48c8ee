// With --inspect-brk the edge waits for a debugger before the project's first statement; this one lets it go on.
// usage: paused.mjs DEBUGGER
import { createRequire } from "node:module";

const WebSocket = createRequire(`${process.env.PACKAGES}/`)("ws");
const [edge] = await (await fetch(`http://${process.argv[2]}/json/list`)).json();
console.log("waits", edge.title);
const socket = new WebSocket(edge.webSocketDebuggerUrl);
const urls = new Map();
const paused = new Promise((resolve) => {
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.method === "Debugger.scriptParsed") urls.set(message.params.scriptId, message.params.url);
    if (message.method === "Debugger.paused") resolve(message.params);
  });
});
await new Promise((resolve) => socket.once("open", resolve));
let id = 0;
const call = (method) => socket.send(JSON.stringify({ id: ++id, method }));
call("Debugger.enable");
call("Runtime.runIfWaitingForDebugger");
console.log("paused at", urls.get((await paused).callFrames[0].location.scriptId));
call("Debugger.resume");
call("Debugger.disable");
socket.close();
