// A proxy on the given port, an origin, and one behind TLS; then lets a room ask for them.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { connect } from "node:net";

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
  const upstream = connect(Number(target), host, () => {
    socket.write("HTTP/1.1 200 Connected\r\n\r\n");
    socket.pipe(upstream).pipe(socket);
  });
  for (const end of [socket, upstream]) end.on("error", () => {});
});
const listen = (server, at) => new Promise((resolve) => server.listen(at, () => resolve(server.address().port)));
await listen(proxy, Number(port));
const ask = [
  "http://origin.test/path?q=1",
  `http://127.0.0.1:${await listen(origin, 0)}/`,
  "http://exempt.test/",
  `https://localhost:${await listen(secure, 0)}/`,
];
const query = new URLSearchParams(ask.map((url) => ["ask", url]));
const response = await fetch(`http://${address}/party/lobby?${query}`);
console.log("saw", await response.text());
process.exit();
