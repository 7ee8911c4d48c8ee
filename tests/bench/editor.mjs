// What the benchmark needs of Yjs: a server, which is y-websocket's, and what people who type send (`editor.mjs updates CLIENTS
// COUNT`): a line for each message, with the client's number and the bytes in hexadecimal.
import { createRequire } from "node:module";

const [what, first, second] = process.argv.slice(2);
const require = createRequire(import.meta.url);

export function serve(port) {
  const { createServer } = require("node:http");
  const { WebSocketServer } = require("ws");
  const { setupWSConnection } = require("y-websocket/bin/utils");
  const server = createServer((_request, response) => response.end("ready"));
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on("connection", setupWSConnection);
  server.listen(port, "127.0.0.1");
}

// A message of the sync protocol with an update: both have the type 0 and 2, and the update has its length before it.
function message(update) {
  const length = [];
  let rest = update.length;
  for (; rest > 127; rest >>>= 7) length.push(128 | (rest & 127));
  return Buffer.from([0, 2, ...length, rest, ...update]).toString("hex");
}

function updates(clients, count) {
  const Y = require("yjs");
  const lines = [];
  const documents = Array.from({ length: clients }, (_, client) => {
    const document = new Y.Doc();
    document.clientID = client + 1;
    document.on("update", (update) => lines.push(`${client} ${message(update)}`));
    return document;
  });
  for (let turn = 0; turn < count; turn++) {
    for (const document of documents) {
      const text = document.getText("text");
      text.insert(text.length, String.fromCharCode(97 + (turn % 26)));
    }
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

if (what === "updates") updates(Number(first), Number(second));
