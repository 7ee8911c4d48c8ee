// A client of a proxy that holds a certificate, from an address of its own. Prints what it saw, a line each.
// usage: proxied.mjs SERVER PORT_OF_THE_PROXY RELOAD_COMMAND_AS_JSON
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { request } from "node:https";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(`${process.env.PACKAGES}/`)("ws");
const [, , , port, reload] = process.argv;
// Loopback has more than one address: this one is not the proxy's.
const target = { host: "127.0.0.1", port, localAddress: "127.0.0.2", servername: "chat.example.com", rejectUnauthorized: false };
const headers = { host: "chat.example.com" };

async function send(path, { method = "GET", body } = {}) {
  const asked = request({ ...target, headers, path, method, agent: false });
  for (const part of body ?? []) if (!asked.write(part)) await once(asked, "drain");
  asked.end();
  const [response] = await once(asked, "response");
  response.setEncoding("utf8");
  return response;
}

async function text(response) {
  let whole = "";
  for await (const part of response) whole += part;
  return response.statusCode === 200 ? whole : `status ${response.statusCode}`;
}

async function connect() {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/party/lobby`, { ...target, headers });
  await once(socket, "open");
  return socket;
}

async function echo(socket, message) {
  socket.send(message);
  const [data] = await once(socket, "message");
  return String(data);
}

const who = async () => console.log("seen as", await text(await send("/party/lobby")));
await who();

const socket = await connect();
console.log(await echo(socket, "hello"));

// The end of this answer is written only when its beginning has arrived.
const parts = (await send("/party/lobby?stream"))[Symbol.asyncIterator]();
console.log("streamed", (await parts.next()).value.trim());
await text(await send("/party/lobby?finish"));
console.log("streamed", (await parts.next()).value.trim());

const MIB = Buffer.alloc(1 << 20, "x");
console.log("uploaded", await text(await send("/party/lobby", { method: "POST", body: Array(100).fill(MIB) })));

// A new configuration: who is connected either stays or is told, and whoever comes is served.
const closed = once(socket, "close").then(([code]) => `closed with ${code}`);
const [program, ...args] = JSON.parse(reload);
execFileSync(program, args, { stdio: "pipe" });
const again = await connect();
console.log(await echo(again, "after the reload"));
console.log("who was connected:", await Promise.race([echo(socket, "stays"), closed]));
await who();
process.exit();
