import * as acorn from "acorn";
const tree = acorn.parse("const a = async (b) => { await b?.c ?? 1n }", { ecmaVersion: "latest", sourceType: "module" });
console.log(
  JSON.stringify(tree, (_, v) => (typeof v === "bigint" ? String(v) : v)).length,
  acorn.version,
  [...acorn.tokenizer("a + 1", { ecmaVersion: 2020 })].map((t) => t.type.label).join(),
);
try {
  acorn.parse("a b", { ecmaVersion: 2020 });
} catch (error) {
  console.log(error.message, error.pos);
}
export const { Parser } = acorn;
