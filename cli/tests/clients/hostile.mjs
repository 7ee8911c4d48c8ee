// Thousands of connections that do what no client should: half a handshake, frames that lie, ends at any moment. The choices come
// from a seed, so that a run can be repeated; their timing cannot.
import { connect } from "node:net";

const [address, total = "3000", seed = "1"] = process.argv.slice(2);
const port = Number(address.split(":")[1]);
const AT_ONCE = 100;

let state = Number(seed) >>> 0;
function random(below) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}
const pick = (list) => list[random(list.length)];
const bytes = (most) => Buffer.from(Array.from({ length: random(most) }, () => random(256)));

const UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const HOWS = ["", "slow", "throw", "close", "pair", "refuse", "late"];
const WORDS = ["hi", "close", "throw", "put", "broadcast", "kick", "other", "reject", "transaction", "tick", "alarm"];
const FIELDS = ["", "Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 99999999999\r\n", "Expect: 100-continue\r\n",
  "X: y\r\n".repeat(300)];
const BODIES = ["0123456789", "5\r\nhello\r\n0\r\n\r\n", "zz\r\n", "\0\xff"];

function frame(opcode, payload, { head = 0x80, masked = 0x80, lie = 0 } = {}) {
  const length = payload.length + lie;
  const size = length < 126 ? [masked | length] : [masked | 126, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([head | opcode, ...size]), Buffer.alloc(masked ? 4 : 0), payload]);
}

function message() {
  const kind = random(100);
  if (kind < 60) return frame(1, Buffer.from(pick(WORDS)));
  if (kind < 70) return frame(2, bytes(3000));
  if (kind < 76) return frame(8, Buffer.from(pick([[], [3, 232], [0], [3, 237], [255, 255, 65]])));
  if (kind < 82) return frame(pick([9, 10]), bytes(130));
  if (kind < 88) return frame(random(16), bytes(20), { head: random(16) << 4, masked: random(2) * 0x80 });
  if (kind < 94) return frame(random(2), Buffer.from("part"), { head: random(2) * 0x80 });
  return kind < 97 ? frame(1, Buffer.from("x"), { lie: 1000 }) : bytes(50);
}

const head = (method, target, fields) => `${method} ${target} HTTP/1.1\r\nHost: ${address}\r\n${fields}\r\n`;
const room = () => `/${pick(["party", "parties/main", "parties/sleepy", "parties/nobody"])}/${pick(["a", "b", "c%20", `d${random(20)}`])}`;

// Some of what is sent, and the pause before each piece.
function speech() {
  if (random(10) < 7) {
    const handshake = head("GET", `${room()}?how=${pick(HOWS)}`, UPGRADE);
    const frames = Array.from({ length: random(8) }, message);
    return random(10) === 0 ? [handshake.slice(0, random(handshake.length))] : [handshake, ...frames];
  }
  const request = () => head(pick(["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "FOO"]), pick([room(), "/", "*", `/${"y".repeat(9000)}`]),
    pick(FIELDS));
  return pick([[request(), pick(BODIES)], [request() + request() + request()], [bytes(2000)]]);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function connection() {
  const socket = connect(port, "127.0.0.1");
  const ended = new Promise((resolve) => socket.on("close", resolve));
  socket.on("error", () => {});
  if (random(5) > 0) socket.resume();
  for (const piece of speech()) {
    socket.write(piece, "latin1");
    if (random(2) === 0) await pause(random(20));
  }
  if (random(3) > 0) await pause(random(60));
  const end = random(4);
  if (end === 0) socket.resetAndDestroy();
  if (end === 1) {
    socket.end();
    await pause(random(100));
  }
  socket.destroy();
  await ended;
}

let begun = 0;
async function connections() {
  while (begun++ < Number(total)) await connection();
}
await Promise.all(Array.from({ length: AT_ONCE }, connections));
console.log(`${total} connections`);
