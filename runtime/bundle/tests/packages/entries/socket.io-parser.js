import { Encoder, Decoder, PacketType, protocol } from "socket.io-parser";
const decoder = new Decoder();
decoder.on("decoded", (packet) => console.log("decoded", JSON.stringify(packet)));
for (const part of new Encoder().encode({ type: PacketType.EVENT, data: ["x", { b: new Uint8Array([1, 2]).buffer }], id: 3, nsp: "/n" })) {
  console.log(typeof part === "string" ? part : part.byteLength);
  decoder.add(part);
}
try {
  decoder.add("9bad");
} catch (error) {
  console.log(error.message);
}
export { protocol, PacketType };
