// The benchmark's little server for Deno.
const rooms = new Map();

function upgrade(request) {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const name = new URL(request.url).pathname;
  const room = rooms.get(name) ?? new Set();
  rooms.set(name, room);
  socket.onopen = () => room.add(socket);
  socket.onclose = () => room.delete(socket);
  socket.onmessage = ({ data }) => {
    if (data.startsWith("all:")) {
      for (const other of room) other.send(data.slice(4));
    } else {
      socket.send(data);
    }
  };
  return response;
}

Deno.serve({ port: Number(Deno.args[0]), hostname: "127.0.0.1", onListen() {} }, (request) => {
  if (request.headers.get("upgrade") === "websocket") return upgrade(request);
  return Response.json({ room: "bench", users: 3 });
});
