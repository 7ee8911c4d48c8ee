import { deflate, inflate, gzip, ungzip } from "pako";
import * as all from "pako";
const bytes = deflate(new TextEncoder().encode("party ".repeat(50)));
console.log(
  bytes.length,
  new TextDecoder().decode(inflate(bytes)).length,
  ungzip(gzip("abc"), { to: "string" }),
  Object.keys(all).sort().join(),
);
try {
  inflate(new Uint8Array([1, 2, 3]));
} catch (error) {
  console.log(String(error));
}
export { deflate };
