// Talks to a room, changes the project's file, and tells what becomes of the socket.
// usage: survives.mjs SERVER FILE TEXT
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const WebSocket = createRequire(`${process.env.PACKAGES}/`)("ws");
const [server, file, text] = process.argv.slice(2);
const socket = new WebSocket(`ws://${server}/party/socket`);
await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
const answer = () => new Promise((resolve) => socket.once("message", (data) => resolve(String(data))));
socket.send("before");
console.log(await answer());
const closed = new Promise((resolve) => socket.once("close", (code) => resolve(code)));
writeFileSync(file, text);
for (;;) {
  // Until the new code answers, or the socket is closed.
  if (socket.readyState === WebSocket.OPEN) socket.send("after");
  const heard = await Promise.race([answer(), closed]);
  if (typeof heard === "number") {
    console.log(`closed ${heard}`);
    break;
  }
  if (heard.startsWith("two")) {
    console.log(heard);
    break;
  }
}
process.exit(0);
