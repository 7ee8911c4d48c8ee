// The benchmark's little server for Node with `ws`; with `editor` behind the port it is y-websocket's.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const rooms = new Map();
const server = createServer((_request, response) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ room: "bench", users: 3 }));
});

const sockets = new WebSocketServer({ server, perMessageDeflate: true });
sockets.on("connection", (socket, request) => {
  const name = request.url;
  const room = rooms.get(name) ?? new Set();
  rooms.set(name, room.add(socket));
  socket.on("message", (data) => {
    const message = data.toString();
    if (message.startsWith("all:")) {
      for (const other of room) other.send(message.slice(4));
    } else {
      socket.send(message);
    }
  });
  socket.on("close", () => room.delete(socket));
});

const [port, what] = process.argv.slice(2);
if (what === "editor") (await import("./editor.mjs")).serve(Number(port));
else server.listen(Number(port), "127.0.0.1");
