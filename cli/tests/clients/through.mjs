// A client of a proxy that speaks HTTP/2 to the server: a request, an upload, and a socket.
// usage: through.mjs PORT
import { createRequire } from "node:module";

const WebSocket = createRequire(`${process.env.PACKAGES}/`)("ws");
const at = `127.0.0.1:${process.argv[2]}`;
console.log((await fetch(`http://${at}/party/a`)).status);
console.log(await (await fetch(`http://${at}/party/a?length`, { method: "POST", body: "x".repeat(3_000_000) })).text());
const socket = new WebSocket(`ws://${at}/party/a`);
socket.on("message", (message) => {
  console.log(`${message}`.split(" ")[0]);
  if (`${message}`.startsWith("hello")) socket.send("hi");
  else socket.close(4001);
});
socket.on("close", (code) => console.log(`closed ${code}`));
socket.on("error", (error) => console.log(error.message));
