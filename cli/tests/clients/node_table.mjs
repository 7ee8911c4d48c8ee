// Compares the built-in modules of a room with those of the Node that runs this, name by name, and prints a table: how many of
// Node's names there are, which are real in a room, and which only say that they are missing.
import { createRequire } from "node:module";

// `sys` and `wasi` warn when they are loaded.
process.removeAllListeners("warning");
const [address] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const room = await (await fetch(`http://${address}/party/lobby`)).json();

console.log("| Module | Names in Node | Real here | Missing here |");
console.log("|---|---|---|---|");
let [all, allReal] = [0, 0];
for (const [module, real] of Object.entries(room)) {
  // Names with an underscore are private or deprecated.
  const names = Object.keys(require(`node:${module}`)).filter((name) => !name.startsWith("_"));
  const missing = names.filter((name) => !real.includes(name));
  const shown = missing.length === names.length ? "all" : missing.map((name) => `\`${name}\``).join(", ");
  console.log(`| \`${module}\` | ${names.length} | ${names.length - missing.length} | ${shown || "-"} |`);
  all += names.length;
  allReal += names.length - missing.length;
}
console.log(`| all | ${all} | ${allReal} | |`);
