// The benchmark's little server for Bun.
Bun.serve({
  port: Number(process.argv[2]),
  hostname: "127.0.0.1",
  fetch(request, server) {
    const name = new URL(request.url).pathname;
    if (request.headers.get("upgrade") === "websocket" && server.upgrade(request, { data: { name } })) return undefined;
    return Response.json({ room: "bench", users: 3 });
  },
  websocket: {
    open(socket) {
      socket.subscribe(socket.data.name);
    },
    message(socket, message) {
      if (message.startsWith("all:")) {
        const text = message.slice(4);
        socket.publish(socket.data.name, text);
        // `publish` leaves the sender out.
        socket.send(text);
      } else {
        socket.send(message);
      }
    },
  },
});
