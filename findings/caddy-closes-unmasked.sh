#!/usr/bin/env bash
# Caddy 2.6.2 (Debian 12) closes proxied WebSockets when its configuration is reloaded, and the close frame that it sends to the
# backend has no mask, although a client's frames must have one (RFC 6455, 5.3). A backend that checks masks sees a broken frame
# where it would expect a close with 1001. Seen: 88 02 03 e9 on the backend's socket; the first bit of the second byte is the mask.
# Needs: apt, dpkg-deb, node. Installs into a temporary folder. Fails if the frame is masked, or none comes.
set -euo pipefail
version=2.6.2-5
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -o APT::Sandbox::User=root download -qq "caddy=$version*" >/dev/null
dpkg-deb -x caddy_*.deb caddy
cat > try.mjs <<'JS'
import { createHash } from "node:crypto";
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";

const caddy = "caddy/usr/bin/caddy";
const free = () => new Promise((resolve) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const [admin, front] = [await free(), await free()];
// The backend: answers the handshake, then keeps what comes.
let frame;
const closed = new Promise((resolve) => (frame = resolve));
const backend = createServer((socket) => {
  let head = "";
  let open = false;
  socket.on("error", () => {});
  socket.on("data", (data) => {
    if (open) return frame(data);
    head += data.toString("latin1");
    const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1];
    if (!key || !head.includes("\r\n\r\n")) return;
    open = true;
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  });
});
await new Promise((resolve) => backend.listen(0, "127.0.0.1", resolve));
const configure = (note) => writeFileSync("Caddyfile", `{
  admin 127.0.0.1:${admin}
  auto_https off
}
http://127.0.0.1:${front} {
  header x-note ${note}
  reverse_proxy 127.0.0.1:${backend.address().port}
}
`);
configure("one");
const env = { ...process.env, HOME: process.cwd(), XDG_DATA_HOME: process.cwd(), XDG_CONFIG_HOME: process.cwd() };
const options = ["--config", "Caddyfile", "--adapter", "caddyfile"];
const server = spawn(caddy, ["run", ...options], { env, stdio: "ignore" });
const answers = () => new Promise((resolve) => {
  const socket = connect(front, "127.0.0.1", () => (socket.destroy(), resolve(true)));
  socket.on("error", () => resolve(false));
});
while (!(await answers())) await new Promise((resolve) => setTimeout(resolve, 50));
const client = connect(front, "127.0.0.1");
client.on("error", () => {});
client.write([
  "GET / HTTP/1.1",
  `Host: 127.0.0.1:${front}`,
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
  "\r\n",
].join("\r\n"));
await new Promise((resolve) => client.once("data", resolve));
configure("two");
execFileSync(caddy, ["reload", "--address", `127.0.0.1:${admin}`, ...options], { env, stdio: "ignore" });
const late = setTimeout(() => frame(Buffer.alloc(0)), 20_000);
const bytes = await closed;
clearTimeout(late);
server.kill();
console.log(`caddy sent ${bytes.toString("hex") || "nothing"}`);
process.exit(bytes[0] === 0x88 && (bytes[1] & 0x80) === 0 ? 0 : 1);
JS
node try.mjs
echo "as described: Caddy $version sends an unmasked close frame to the backend when it is reloaded"
