// Speaks permessage-deflate with a server whose room greets and echoes, by `ws`, by raw bytes and by Chromium.
// usage: compressed.mjs ADDRESS matrix|broadcast|offers|off|short|streams|bombs COUNT|broken|sleep|chromium
import { randomBytes } from "node:crypto";
import { request as httpRequest } from "node:http";
import { createRequire } from "node:module";
import { constants, deflateRawSync } from "node:zlib";

const require = createRequire(`${process.env.PACKAGES}/`);
const WebSocket = require("ws");
const [address, what, argument] = process.argv.slice(2);
const url = `ws://${address}/party/room-${process.pid}`;
const LINE = "a line of text that comes again and again\n";
const GREETING = LINE.repeat(100);
const text = (length) => LINE.repeat(Math.ceil(length / LINE.length)).slice(0, length);

// Messages as they come, one after the other.
function inbox(socket) {
  const [heard, waiting] = [[], []];
  socket.on("message", (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    if (waiting.length > 0) waiting.shift().resolve(message);
    else heard.push(message);
  });
  socket.on("close", (code, reason) => waiting.forEach(({ reject }) => reject(new Error(`closed ${code} ${reason}`))));
  return () => new Promise((resolve, reject) => (heard.length > 0 ? resolve(heard.shift()) : waiting.push({ resolve, reject })));
}

async function open(perMessageDeflate, to = url) {
  const socket = new WebSocket(to, { perMessageDeflate });
  const next = inbox(socket);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const greeting = await next();
  if (greeting !== GREETING) throw new Error(`a greeting of ${greeting.length} bytes`);
  return { socket, next };
}

const noise = randomBytes(70_000);

async function speaks(options, window) {
  const { socket, next } = await open(options);
  const same = async (message) => {
    const heard = await next();
    const is = typeof message === "string" ? heard === message : Buffer.isBuffer(heard) && heard.equals(message);
    if (!is) throw new Error(`${JSON.stringify(options)}: ${message.length} bytes came back as ${heard.length}`);
  };
  const lengths = [0, 1, 125, 126, 511, 512, 513, 65_535, 65_536, window - 1, window, window + 1, 3 * window];
  for (const length of lengths) {
    socket.send(text(length));
    await same(text(length));
  }
  for (const length of [0, 100, 600, 65_535, 70_000]) {
    socket.send(noise.subarray(0, length));
    await same(noise.subarray(0, length));
  }
  // In fragments, with a ping between two of them.
  for (const [length, parts] of [[10, 10], [5000, 3], [70_000, 7]]) {
    const message = text(length);
    const size = Math.ceil(length / parts);
    for (let start = 0; start < length; start += size) {
      socket.send(message.slice(start, start + size), { fin: start + size >= length, binary: false });
      socket.ping();
    }
    await same(message);
  }
  // What does not fit into the window is still sent in fewer bytes, but for the smallest one, which zlib cannot write.
  const before = socket._socket.bytesRead;
  const repeated = "partyrun ".repeat(10_000);
  socket.send(repeated);
  await same(repeated);
  if (window > 256 && socket._socket.bytesRead - before > 5000) throw new Error(`${JSON.stringify(options)}: not compressed`);
  socket.close();
}

async function matrix() {
  const all = [];
  for (const serverMaxWindowBits of [undefined, 8, 9, 10, 11, 12, 13, 14, 15]) {
    for (const clientMaxWindowBits of [undefined, true, 9, 12, 15]) {
      for (const serverNoContextTakeover of [false, true]) {
        // An explicit `false` would make ws refuse a server that wants it.
        for (const clientNoContextTakeover of [undefined, true]) {
          const options = { serverMaxWindowBits, clientMaxWindowBits, serverNoContextTakeover, clientNoContextTakeover, threshold: 0 };
          all.push([options, 1 << (serverMaxWindowBits ?? 15)]);
        }
      }
    }
  }
  const count = all.length;
  const work = async () => {
    for (let next = all.pop(); next; next = all.pop()) await speaks(...next);
  };
  await Promise.all([work(), work(), work(), work()]);
  console.log(`${count} sockets, all whole`);
}

async function broadcast() {
  const members = [];
  for (let index = 0; index < 20; index++) {
    const bits = [undefined, 9, 12, 15][index % 4];
    members.push(await open(index % 5 === 0 ? false : { serverMaxWindowBits: bits, threshold: 0 }));
  }
  let heard = 0;
  for (const message of [text(100), text(2000), text(100_000)]) {
    members[0].socket.send(`all:${message}`);
    for (const { next } of members) {
      if ((await next()) !== message) throw new Error("another message");
      heard++;
    }
    // And between two broadcasts something to one of them.
    members[1].socket.send("alone ".repeat(500));
    if ((await members[1].next()) !== "alone ".repeat(500)) throw new Error("another message");
  }
  console.log(`${members.length} sockets heard ${heard} messages`);
}

// The head of the answer to a handshake, and the socket behind it.
function handshake(offer) {
  return new Promise((resolve, reject) => {
    const headers = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
    if (offer !== undefined) headers["sec-websocket-extensions"] = offer;
    const request = httpRequest(`http://${address}/party/room-${process.pid}`, { headers });
    request.on("upgrade", (response, socket, head) => resolve({ response, socket, head }));
    request.on("response", (response) => reject(new Error(`status ${response.statusCode}`)));
    request.on("error", reject);
    request.end();
  });
}

async function offers() {
  const all = ["permessage-deflate", "x, permessage-deflate; server_max_window_bits=10", "permessage-deflate; unknown, permessage-deflate",
    "permessage-deflate; server_max_window_bits=7", "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    "x-webkit-deflate-frame", '=;,"'];
  for (const offer of all) {
    const { response, socket } = await handshake(offer);
    console.log(`${offer} => ${response.headers["sec-websocket-extensions"] ?? "none"}`);
    socket.destroy();
  }
}

async function off() {
  const { socket, next } = await open({ threshold: 0 });
  socket.send(text(5000));
  const whole = (await next()) === text(5000);
  const answer = await new Promise((resolve, reject) => {
    httpRequest(`http://${address}/party/room`, { headers: { "accept-encoding": "gzip" } }, resolve).on("error", reject).end();
  });
  answer.resume();
  console.log(`extensions ${JSON.stringify(socket.extensions)}, content-encoding ${answer.headers["content-encoding"] ?? "none"}, whole ${whole}`);
  socket.close();
}

function answered(query = "") {
  return new Promise((resolve, reject) => {
    const headers = { "accept-encoding": "gzip" };
    httpRequest(`http://${address}/party/answers${query}`, { headers, agent: false }, resolve).on("error", reject).end();
  });
}

const coding = (response) => response.headers["content-encoding"] ?? "none";

async function short() {
  const { socket, next } = await open({ threshold: 0 });
  const sizes = [];
  for (const length of [5999, 6000]) {
    const before = socket._socket.bytesRead;
    socket.send(text(length));
    const whole = (await next()) === text(length);
    sizes.push(`${socket._socket.bytesRead - before > length ? "plain" : "compressed"} ${length} ${whole}`);
  }
  const answer = await answered();
  answer.resume();
  console.log(`${sizes.join(", ")}, content-encoding ${coding(answer)}`);
  socket.close();
}

// Streams that stay open, and one that comes when the first of them has gone.
async function streams() {
  const held = [];
  for (let count = 0; count < 4; count++) held.push(await answered("?held"));
  const codings = held.map(coding).join(" ");
  held[0].destroy();
  for (;;) {
    const later = await answered();
    later.resume();
    if (coding(later) === "gzip") break;
  }
  console.log(`${codings}, gzip`);
}

// A client's frame with a mask of zeros.
function frame(first, payload) {
  const { length } = payload;
  const head = length < 126 ? [first, 0x80 | length] : length < 65_536 ? [first, 0xfe, length >> 8, length & 255]
    : [first, 0xff, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
}

// How the server ends a socket that sends these bytes: the payload of its close frame.
async function ended(offer, bytes) {
  const { socket, head } = await handshake(offer);
  const parts = [head];
  socket.on("data", (part) => parts.push(part));
  socket.on("error", () => {});
  const end = new Promise((resolve) => socket.once("close", resolve));
  socket.write(bytes);
  socket.once("end", () => socket.end());
  await end;
  let rest = Buffer.concat(parts);
  for (;;) {
    const [first, second] = rest;
    const start = second === 126 ? 4 : 2;
    const length = second === 126 ? rest.readUInt16BE(2) : second;
    const payload = rest.subarray(start, start + length);
    if ((first & 15) === 8) return `${payload.readUInt16BE(0)} ${payload.subarray(2)}`;
    rest = rest.subarray(start + length);
    if (rest.length === 0) return "no close frame";
  }
}

function packed(bytes, options = {}) {
  const whole = deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH, ...options });
  return whole.subarray(0, -4);
}

async function bombs() {
  const bomb = frame(0xc2, packed(Buffer.alloc(256 << 20), { level: 9 }));
  const ends = new Map();
  for (let count = 0; count < Number(argument); count++) {
    const end = await ended("permessage-deflate", bomb);
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  for (const [end, count] of ends) console.log(`${count} ${end}`);
}

async function broken() {
  const hello = packed(Buffer.from("hello"));
  const known = text(2000);
  // Refers to what another socket has sent before.
  const { socket, next } = await open({ threshold: 0 });
  socket.send(known);
  await next();
  const referring = packed(Buffer.from(known.slice(100, 900)), { dictionary: Buffer.from(known), windowBits: 15 });
  const cases = {
    "a continuation": Buffer.concat([frame(0x41, hello), frame(0xc0, hello)]),
    "a ping": frame(0xc9, Buffer.from("?")),
    "another bit": frame(0xa1, hello),
    "no deflate": frame(0xc1, Buffer.from("hello, this is no deflate")),
    "cut off": frame(0xc1, packed(Buffer.from(known)).subarray(0, 20)),
    "no UTF-8": frame(0xc1, packed(Buffer.from([0x61, 0xc0, 0x80]))),
    "of another socket": frame(0xc1, referring),
  };
  for (const [name, bytes] of Object.entries(cases)) console.log(`${name} ${await ended("permessage-deflate", bytes)}`);
  console.log(`not agreed ${await ended(undefined, frame(0xc1, hello))}`);
  socket.close();
}

// The room leaves memory between two messages, which its socket must not notice.
async function sleep() {
  const { socket, next } = await open({ threshold: 0 });
  let [whole, lives] = [true, 0];
  for (let round = 0; lives < 4; round++) {
    socket.send(text(3000 + round));
    whole &&= (await next()) === text(3000 + round);
    await new Promise((resolve) => setTimeout(resolve, 300));
    socket.send("lives");
    lives = Number(await next());
  }
  console.log(`whole ${whole}`);
  socket.close();
}

async function chromium() {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  const browser = await require("playwright-core").chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    const answer = await page.goto(`http://${address}/party/page`);
    const coding = answer.headers()["content-encoding"];
    const whole = (await page.evaluate("document.body.innerText")).startsWith("a line of text");
    await page.goto(`http://${address}/`);
    const { extensions, heard } = await page.evaluate("chat()");
    console.log(`${extensions} ${JSON.stringify(heard)}, the page in zstd or br: ${whole && ["zstd", "br"].includes(coding)}`);
  } finally {
    await browser.close();
  }
}

await { matrix, broadcast, offers, off, short, streams, bombs, broken, sleep, chromium }[what]();
process.exit(0);
