// Node's HTTP/2 client: requests, an answer that is streamed, one that is taken back, and two sockets on one connection
// (RFC 8441), which outlive their room's memory. Prints what it saw, and waits until the server ends.
// usage: http2.mjs ADDRESS
import { once } from "node:events";
import { connect } from "node:http2";

const session = connect(`https://${process.argv[2]}`, { rejectUnauthorized: false });
session.on("goaway", (code) => console.log(`goaway ${code}`));
session.on("error", (error) => console.log(`session ${error.message}`));
await once(session, "remoteSettings");
console.log(`sockets ${session.remoteSettings.enableConnectProtocol}`);

async function ask(headers, body) {
  const stream = session.request(headers);
  stream.end(body);
  const [answer] = await once(stream, "response");
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  const text = Buffer.concat(pieces).toString();
  return `${answer[":status"]} ${text.length > 100 ? `${text.slice(0, 30)} ${text.length}` : text}`;
}

console.log(await ask({ ":path": "/party/a", cookie: ["a=1", "b=2"] }));
console.log(await ask({ ":path": "/party/a?length", ":method": "POST" }, "x".repeat(3_000_000)));
console.log(await ask({ ":path": "/none" }));
console.log(await ask({ ":path": "/large.txt" }));

// Each piece comes as soon as the room gives it.
const live = session.request({ ":path": "/party/a?live" });
const [piece] = await once(live.setEncoding("utf8"), "data");
console.log(`live ${piece}`);
live.close(8);

// The shortest frames, with a mask of zeros.
class Socket {
  constructor(path) {
    this.stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": path,
      "sec-websocket-version": "13",
    });
    this.stream.on("response", (answer) => console.log(`socket ${answer[":status"]}`));
    this.messages = this.read();
  }
  async *read() {
    let bytes = Buffer.alloc(0);
    for await (const piece of this.stream) {
      bytes = Buffer.concat([bytes, piece]);
      while (bytes.length >= 2 && bytes.length >= 2 + bytes[1]) {
        const payload = bytes.subarray(2, 2 + bytes[1]);
        yield (bytes[0] & 15) === 8 ? payload.readUInt16BE() : payload.toString();
        bytes = bytes.subarray(2 + bytes[1]);
      }
    }
  }
  send(text, first = 0x81) {
    const payload = Buffer.from(text);
    this.stream.write(Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
  }
  async next() {
    return (await this.messages.next()).value;
  }
}

const sockets = [new Socket("/party/sleepy"), new Socket("/party/sleepy")];
for (const socket of sockets) await socket.next();
sockets[1].send("hi");
for (const socket of sockets) console.log(await socket.next());
// Another life of the room answers on the same sockets.
sockets[0].send("life");
const life = await sockets[0].next();
for (let wait = 500, now = life; now === life; wait += 500) {
  await new Promise((resolve) => setTimeout(resolve, wait));
  sockets[0].send("life");
  now = await sockets[0].next();
}
console.log("woken");
sockets[0].send("end");
for (const socket of sockets) {
  const code = await socket.next();
  console.log(`closed ${code}`);
  socket.send(Buffer.from([code >> 8, code & 255]), 0x88);
  socket.stream.end();
}
await once(session, "close");
