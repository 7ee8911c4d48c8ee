// Opens a socket and prints the code with which the server closes it.
import { createRequire } from "node:module";

const WebSocket = createRequire(`${process.env.PACKAGES}/`)("ws");
if (process.argv[2] !== "--probe") {
  const socket = new WebSocket(`ws://${process.argv[2]}/party/socket`);
  socket.on("close", (code) => console.log(`closed ${code}`));
  socket.on("error", (error) => console.log(error.message));
}
