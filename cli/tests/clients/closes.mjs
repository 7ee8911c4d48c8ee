// Opens a socket and prints the code with which the server closes it. A second argument is the scheme.
import { createRequire } from "node:module";

const WebSocket = createRequire(`${process.env.PACKAGES}/`)("ws");
const [, , address, scheme = "ws"] = process.argv;
if (address !== "--probe") {
  const socket = new WebSocket(`${scheme}://${address}/party/socket`, { rejectUnauthorized: false });
  socket.on("close", (code) => console.log(`closed ${code}`));
  socket.on("error", (error) => console.log(error.message));
}
