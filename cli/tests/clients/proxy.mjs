// A proxy on the given port, an origin, and one behind TLS; then lets a room ask for them.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { createRequire } from "node:module";
import { connect } from "node:net";

const { WebSocketServer } = createRequire(`${process.env.PACKAGES}/`)("ws");
const [address, port] = process.argv.slice(2);
const file = (name) => readFileSync(new URL(`../../../fixtures/tls/certs/${name}`, import.meta.url));
const credentials = (request) => Buffer.from(request.headers["proxy-authorization"]?.split(" ")[1] ?? "", "base64").toString();

const origin = createServer((_request, response) => response.end("direct"));
const secure = createSecureServer({ cert: file("host.pem"), key: file("key.pem") }, (_request, response) => response.end("secure"));
const proxy = createServer((request, response) => {
  console.log("proxied", request.method, request.url, credentials(request));
  response.end("by the proxy");
});
proxy.on("connect", (request, socket) => {
  const [host, target] = request.url.split(":");
  console.log("tunnelled", host, credentials(request));
  if (host === "refused.test") return socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  // Names that only the proxy knows.
  const upstream = connect(Number(target), host.endsWith(".test") ? "127.0.0.1" : host, () => {
    socket.write("HTTP/1.1 200 Connected\r\n\r\n");
    socket.pipe(upstream).pipe(socket);
  });
  for (const end of [socket, upstream]) end.on("error", () => {});
});
new WebSocketServer({ server: origin }).on("connection", (socket) => socket.send("plain words"));
new WebSocketServer({ server: secure }).on("connection", (socket) => socket.send("secure words"));
const listen = (server, at) => new Promise((resolve) => server.listen(at, () => resolve(server.address().port)));
await listen(proxy, Number(port));
const atOrigin = await listen(origin, 0);
const atSecure = await listen(secure, 0);
async function ask(urls) {
  const query = new URLSearchParams(urls.map((url) => ["ask", url]));
  const response = await fetch(`http://${address}/party/lobby?${query}`);
  return response.text();
}
console.log("saw", await ask([
  "http://origin.test/path?q=1",
  `http://127.0.0.1:${atOrigin}/`,
  "http://exempt.test/",
  `https://localhost:${atSecure}/`,
]));
console.log("heard", await ask(["ws://refused.test/", `ws://plain.test:${atOrigin}/`, `wss://localhost:${atSecure}/`]));
process.exit();
