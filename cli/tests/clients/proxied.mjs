// A client of a proxy that holds a certificate, from an address of its own. Prints what it saw, a line each.
// usage: proxied.mjs SERVER PORT_OF_THE_PROXY RELOAD_COMMAND_AS_JSON SOCKETS
// or:    proxied.mjs SERVER PORT_OF_THE_PROXY cut SOCKETS: waits until the proxy has cut so many silent sockets
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect as connectOver } from "node:http2";
import { request } from "node:https";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(`${process.env.PACKAGES}/`)("ws");
const [, , , port, reload, sockets] = process.argv;
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

// More sockets than one address has ports for need more addresses.
async function connect(number = 0) {
  const localAddress = `127.0.0.${2 + Math.floor(number / 5000)}`;
  const socket = new WebSocket(`wss://127.0.0.1:${port}/party/lobby`, { ...target, localAddress, headers });
  await once(socket, "open");
  return socket;
}

async function echo(socket, message) {
  socket.send(message);
  const [data] = await once(socket, "message");
  return String(data);
}

// Many at once, in groups that no backlog is too small for.
async function crowd(count, then) {
  const all = [];
  while (all.length < count) {
    const group = Array.from({ length: Math.min(50, count - all.length) }, (_, index) => connect(all.length + index));
    all.push(...await Promise.all(group));
  }
  const done = await Promise.all(all.map(then));
  all.forEach((socket) => socket.terminate());
  return done;
}

if (reload === "cut") {
  const codes = await crowd(Number(sockets), async (socket) => (await once(socket, "close"))[0]);
  console.log("cut", new Set(codes).size === 1 ? codes[0] : codes);
  process.exit();
}

// What a browser does for everything but WebSockets: one connection over HTTP/2, with streams beside each other.
async function overHttp2() {
  const session = connectOver(`https://127.0.0.1:${port}`, { servername: "chat.example.com", rejectUnauthorized: false });
  const read = async (path, stop) => {
    const stream = session.request({ ":path": path, ":authority": "chat.example.com" });
    const [headers] = await once(stream, "response");
    let text = `${headers[":status"]} `;
    for await (const part of stream) {
      text += part;
      if (stop?.(text)) break;
    }
    return text;
  };
  const first = await read("/party/other?stream", (text) => text.includes("first"));
  const pages = await Promise.all(Array.from({ length: 20 }, () => read("/party/other")));
  const all = new Set(pages);
  session.destroy();
  return `${session.alpnProtocol}: ${first.trim()}; ${pages.length} answers, ${[...all].map((text) => text.slice(0, 3).trim())}`;
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

console.log("over", await overHttp2());

// Silent for longer than the proxy waits, but for the pings of the server.
const silent = await connect();
for (let pings = 0; pings < 6; pings++) await once(silent, "ping");
console.log(await echo(silent, "after a silence"));

const echoes = await crowd(Number(sockets), (one, index) => echo(one, `socket ${index}`));
console.log("crowd", echoes.every((text, index) => text === `echo socket ${index}`) ? echoes.length : echoes);

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
