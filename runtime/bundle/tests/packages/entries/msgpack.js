import { encode, decode, ExtensionCodec, decodeMultiStream } from "@msgpack/msgpack";
const codec = new ExtensionCodec();
codec.register({ type: 1, encode: (o) => (o instanceof Set ? encode([...o]) : null), decode: (d) => new Set(decode(d)) });
const bytes = encode(
  { a: [1, -5, 2 ** 40, 1.5], s: "h\u00e9", b: new Uint8Array([1, 2]), t: new Date(5), set: new Set([1]) },
  { extensionCodec: codec },
);
console.log(Array.from(bytes).join(), decode(bytes, { extensionCodec: codec }));
for await (const item of decodeMultiStream(
  (async function* () {
    yield encode(1);
    yield encode("two");
  })(),
))
  console.log(item);
export { codec };
