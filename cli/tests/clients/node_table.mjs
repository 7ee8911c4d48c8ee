// Compares the built-in modules of a room with those of Node, name by name, and prints a table: how many names Node 20 to 24
// have between them, which are real in a room, and which only say that they are missing.
import { readFileSync } from "node:fs";

const generated = readFileSync(new URL("../../../js/node/names.generated.js", import.meta.url), "utf8");
const known = new Function(`return ${generated.slice(generated.indexOf("(function"))}`)();
const [address] = process.argv.slice(2);
const room = await (await fetch(`http://${address}/party/lobby`)).json();

console.log("| Module | Names in Node | Real here | Missing here |");
console.log("|---|---|---|---|");
let [all, allReal] = [0, 0];
for (const [module, real] of Object.entries(room)) {
  const names = known[module].names.split(" ");
  const missing = names.filter((name) => !real.includes(name));
  const shown = missing.length === names.length ? "all" : missing.map((name) => `\`${name}\``).join(", ");
  console.log(`| \`${module}\` | ${names.length} | ${names.length - missing.length} | ${shown || "-"} |`);
  all += names.length;
  allReal += names.length - missing.length;
}
console.log(`| all | ${all} | ${allReal} | |`);
