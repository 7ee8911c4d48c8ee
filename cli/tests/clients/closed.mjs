// Opens a socket and prints the code and the reason with which it is closed.
import { createRequire } from "node:module";

const { WebSocket } = createRequire(`${process.env.PACKAGES}/`)("ws");
const [, , address, path] = process.argv;
const socket = new WebSocket(`ws://${address}${path}`);
socket.on("close", (code, reason) => console.log(code, reason.toString()));
