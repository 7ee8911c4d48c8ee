import PartySocket, { WebSocket as Reconnecting } from "partysocket";
const socket = new PartySocket({
  host: "127.0.0.1:1",
  room: "r",
  id: "me",
  party: "p",
  query: { a: "1" },
  startClosed: true,
  path: "deep",
});
console.log(
  socket.id,
  socket.room,
  socket.host,
  socket.name,
  socket.readyState,
  socket.roomUrl,
  Reconnecting.name,
  Object.getOwnPropertyNames(PartySocket).sort().join(),
);
await PartySocket.fetch({
  host: "a.test",
  room: "r",
  fetch: async (url: any) => {
    console.log(String(url));
    return new Response("");
  },
} as never);
export { socket, PartySocket };
