// Asks a party over https and over wss, and prints what it says. A third argument is a certificate to trust; without
// one, whatever the server shows is accepted.
import { readFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";

const WebSocket = createRequire(`${process.env.PACKAGES}/`)("ws");
const [, , address, certificate] = process.argv;
const trust = certificate ? { ca: readFileSync(certificate) } : { rejectUnauthorized: false };

https.get(`https://${address}/party/tls`, { ...trust, agent: false }, (response) => {
  let text = "";
  response.setEncoding("utf8").on("data", (piece) => (text += piece));
  response.on("end", () => {
    console.log(`answer ${response.statusCode} ${text}`);
    const socket = new WebSocket(`wss://${address}/party/tls`, trust);
    const long = "x".repeat(700_000);
    socket.on("open", () => socket.send(long));
    socket.on("message", (message) => {
      console.log(`message ${message.length}`);
      socket.close(4001);
    });
    socket.on("close", (code) => console.log(`closed ${code}`));
    socket.on("error", (error) => console.log(`socket ${error.message}`));
  });
}).on("error", (error) => console.log(`request ${error.message}`));
