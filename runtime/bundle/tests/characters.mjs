// Every character in every place: files that hold each code point up to U+FFFF (and some beyond) in strings, templates,
// regular expressions, comments and names, in each language that is bundled. What they evaluate to must be the same in
// our bundle, printed both ways, and in esbuild's; for plain JavaScript also in Node.js without any bundler.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRequire } from "node:module";
import { esbuildOptions, jobs } from "./tools.mjs";

const LAST = 0xffff;
const BEYOND = [0x10000, 0x1d49c, 0x1f600, 0x20bb7, 0xe0001, 0x10ffff];
const points = [...Array(LAST + 1).keys(), ...BEYOND];
const isSurrogate = (point) => point >= 0xd800 && point <= 0xdfff;
/** For what differs by the sort of a character only. */
const isFew = (point) => point <= 0x3100 || point % 17 === 0 || point >= 0xfe00;
const written = points.filter((point) => !isSurrogate(point));
const char = String.fromCodePoint;
const hex = (point) => point.toString(16).padStart(4, "0");
const escape = (point) => (point > 0xffff ? `\\u{${hex(point)}}` : `\\u${hex(point)}`);
const without = (list, characters) => list.filter((point) => !characters.includes(char(point)));
const list = (items) => `export const values = [\n${items.join(",\n")}\n];\n`;
const { build, transformSync } = createRequire(path.join(import.meta.dirname, "../../../tests/package.json"))("esbuild");
const starts = known("", written.filter((point) => /^[\p{ID_Start}$_]$/u.test(char(point))));
const continues = known("a", written.filter((point) => /^[\p{ID_Continue}$\u200c\u200d]$/u.test(char(point))));

const strings = list([
  ...without(written, '"\\\r\n').map((point) => `"${char(point)}1"`),
  ...without(written, "0123456789ux\r").map((point) => `'\\${char(point)}1'`),
  ...points.map((point) => `"${escape(point)}a"`),
  ...points.filter((point) => point <= 0xff).map((point) => `"\\x${hex(point).slice(2)}1"`),
  '"\\0"', '"\\0a"', '"\\ud83d\\ude00"', '"\\ude00\\ud83d"', '"\\ud83d" + "\\ude00"',
]);
const templates = list([
  ...without(written, "`\\$").map((point) => `\`${char(point)}1\``),
  ...without(written, "0123456789ux").map((point) => `\`\\${char(point)}1\``),
  ...points.map((point) => `\`${escape(point)}1\${2}${escape(point)}\``),
  "`\r\n\r`", "`\\\r\nx`", "`\\0`", "`$`", "`\\${1}`", "`$\\{1}`", "`{$${1}$}`",
]);
// V8 takes long to make the strings of many tagged templates, so that each has many characters.
const groups = (list, before = "", after = "") => {
  const texts = list.map((point) => before + (before.endsWith("u") ? escape(point).slice(2) : char(point)) + after);
  return Array.from({ length: Math.ceil(texts.length / 32) }, (_, at) => texts.slice(32 * at, 32 * at + 32).join(""));
};
const tagged = `const tag = (strings, ...values) => [...strings, ...strings.raw, ...values];\n${list([
  ...groups(without(written, "`\\$")).flatMap((text) => [`tag\`${text}\${2}\``, `tag\`\r\n${text}\u00e9\``]),
  ...groups(without(written, "`$"), "\\").map((text) => `tag\`${text}\``),
  ...groups(points, "\\u", "1").flatMap((text) => [`tag\`${text}\u00e9\``, `tag\`${text}\``]),
])}`;
const patterns = (point) => [`/${char(point)}1/`, `/[${char(point)}]1/g`, `/\\${char(point)}1/`];
const expressions = `const seen = (made, text) => [made.source, made.flags, made.test(text), made.test("1")];\n${list([
  ...without(written, "()*+?[\\/{}|\r\n\u2028\u2029]^$").flatMap((point) =>
    patterns(point).slice(0, isFew(point) ? 3 : 1).map((pattern) => `seen(${pattern}, "${escape(point)}1")`),
  ),
  ...points.map((point) => `seen(/${point > 0xffff ? escape(point) + "/u" : escape(point) + "/"}, "${escape(point)}1")`),
  ...starts.filter((point) => point < 0xd800).map((point) => `seen(/(?<${char(point)}>1)\\k<${char(point)}>/, "11")`),
])}`;
const comments = list(
  written.flatMap((point) => [`/*${char(point)}*/${point}/* ${char(point)}n1${char(point)} */`, `//${char(point)}\n${-1 - point}`]),
);
const inFunctions = (statements) =>
  statements.map((text, at) => `${at % 500 ? "" : `${at ? "})();" : ""}(() => {`}\n${text}`).join("\n") + "\n})();\n";
// A variable, a property, a private name, and a static one that begin with the character.
const beginsWith = (point, at) => {
  const c = char(point);
  if (at % 13) return `{ let ${c}a = ${point}; values.push({ ${c}a, ${c}: 3 }) }`;
  const owner = `class C { #${c} = 1; static ${c} = 2; has(o) { return #${c} in o } }`;
  return `{ let ${c}a = ${point}; ${owner} const o = { ${c}a, ${c}: 3 };
    values.push(o, Object.keys(C), new C().has(new C()), C.${c}) }`;
};
// One that is escaped, one that is exported, and a function.
const outside = (point) => {
  const c = char(point);
  return `{ let ${escape(point)}z = ${point}; values.push({ ${c}z }) }
    export let ${c}_ = ${point}; values.push({ ${c}_ }); function f${c}() { return f${c}.name } values.push(f${c}());`;
};
const inBlock = (c, point) => `{ let ${c}a = ${point}; values.push({ ${c}a, ${c}: 3 }) }`;
const inClass = (c, point) =>
  `{ let ${c}a = ${point}; const o = { ${c}a, ${c}: 3 };
  class C { #${c} = 1; static ${c} = 2; has(o) { return #${c} in o } }
  values.push(o, Object.keys(C), new C().has(new C()), C.${c}) }`;
const ofModule = (c, point) =>
  `{ let ${escape(point)}z = ${point}; values.push({ ${c}z }) }
export let ${c}_ = ${point}; values.push({ ${c}_ });
function f${c}() { return f${c}.name } values.push(f${c}());`;
const names = (chosen) => `export const values = [];
${inFunctions([
  ...starts.filter(chosen).map((point, at) => (at % 13 ? inBlock : inClass)(char(point), point)),
  ...continues.filter(chosen).map((point) => `{ let a${char(point)}b = ${point}; values.push({ a${char(point)}b }) }`),
])}
${starts.filter((_, at) => at % 53 === 0).map((point) => ofModule(char(point), point)).join("\n")}
`;
const elements = `const React = { createElement: (...all) => all };\n${list([
  ...without(written, "{}<>&").filter(isFew).map((point) => `<a>x${char(point)}y{1}${char(point)}</a>`),
  ...without(written, '"&').filter(isFew).map((point) => `<a b="${char(point)}1" />`),
  ...written.filter(isFew).map((point) => `<a b="&#${point};">&#x${hex(point)};1</a>`),
  // White space as references, between lines and beside white space of the source.
  ...written.filter((point) => /\s/.test(char(point))).flatMap((point) => [
    `<a>&#${point};</a>`,
    `<a>  &#${point};  </a>`,
    `<a>\n  x &#${point};\n  &#${point}; y&#${point};\n{1}&#x${hex(point)};\n</a>`,
    `<a>${char(point)}\n${char(point)}&#${point};${char(point)}\n</a>`,
    `<a>${char(point)}\n${char(point)}x${char(point)}\n${char(point)}</a>`,
  ]),
  ...starts.filter((point) => point > 0x7f && isFew(point)).map((point) => `<a ${char(point)}={1} />`),
])}`;
const data = JSON.stringify([
  ...without(written, "").map((point) => ({ [char(point)]: char(point) + "1" })),
]).slice(0, -1) + points.map((point) => `,"\\u${hex(Math.min(point, 0xffff))}"`).join("") + "]";

const plain = {
  "strings.js": strings,
  "templates.js": templates,
  "tagged.js": tagged,
  "expressions.js": expressions,
  "comments.js": comments,
  "names.js": names(() => true),
};
const typed = { "strings-typed.ts": strings, "templates-typed.mts": templates, "tagged-typed.ts": tagged, "comments-typed.cts": comments, "names-typed.ts": names(isFew) };
const required = { "common.cjs": strings.replace("export const values", "exports.values") + "exports.raw = 1;" };
const others = { "elements.jsx": elements, "elements-typed.tsx": elements };

/** Without the characters that are newer than esbuild: it stops at the first of them. */
function known(before, list) {
  const left = [...list];
  for (;;) {
    try {
      transformSync(left.map((point) => `x.${before}${char(point)};`).join("\n"), { logLevel: "silent" });
      return left;
    } catch (error) {
      left.splice(error.errors[0].location.line - 1, 1);
    }
  }
}

const printing = (files) => {
  const list = Object.keys(files);
  const prints = (file, at) =>
    `for (let at = 0; at < v${at}.length; at += 16) print("${file}", at, JSON.stringify(v${at}.slice(at, at + 16)));`;
  return [...list.map((file, at) => `import { values as v${at} } from "./${file}";`), ...list.map(prints), ""].join("\n");
};

function run(kind, file) {
  const runner = path.join(import.meta.dirname, "run.mjs");
  const result = JSON.parse(execFileSync("node", [runner, kind, file], { maxBuffer: 1 << 30, encoding: "utf8" }));
  if (result.error) throw new Error(`${file}: ${result.error}\n${result.stack}`);
  return result.lines;
}

function differs(what, one, other) {
  let found = one.length === other.length ? 0 : 1;
  if (found) console.log(`${what}: ${one.length} lines, ${other.length} lines`);
  for (const [at, line] of one.entries()) {
    if (line === other[at]) continue;
    if (++found < 20) console.log(`${what}: ${line.slice(0, 200)}\n   and: ${other[at]?.slice(0, 200)}`);
  }
  return found;
}

const folder = mkdtempSync(path.join(tmpdir(), "partyrun-characters-"));
const bundler = jobs();
let found = 0;
try {
  const all = { ...plain, ...typed, ...required, ...others };
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(all)) writeFileSync(path.join(folder, file), text);
  writeFileSync(path.join(folder, "data.json"), data);
  writeFileSync(path.join(folder, "text.txt"), written.map((point) => char(point)).join(""));
  const values = `import data from "./data.json"; import text from "./text.txt";
for (const [at, value] of data.entries()) print("data.json", at, JSON.stringify(value));
for (let at = 0; at < text.length; at += 16) print("text.txt", at, JSON.stringify(text.slice(at, at + 16)));\n`;
  writeFileSync(path.join(folder, "main.js"), printing(all) + values);
  writeFileSync(path.join(folder, "plain.mjs"), printing(plain));
  writeFileSync(path.join(folder, "package.json"), '{ "type": "module" }');

  const main = path.join(folder, "main.js"), theirs = path.join(folder, "theirs.mjs");
  await build({ ...esbuildOptions, entryPoints: [main], outfile: theirs, keepNames: true });
  const expected = run("module", theirs);
  const native = run("module", path.join(folder, "plain.mjs"));
  found += differs("Node.js and esbuild", native, expected.filter((line) => line.split(" ")[0] in plain));
  for (const minify of [false, true]) {
    const ours = path.join(folder, `ours-${minify}.js`);
    const built = await bundler.run({ root: folder, main, out: ours, minify });
    if (!built.ok) throw new Error(built.errors.join("\n"));
    found += differs(minify ? "esbuild and ours, minified" : "esbuild and ours", expected, run("script", ours));
  }
  console.log(JSON.stringify({ values: expected.length, differences: found }));
} finally {
  bundler.end();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(found ? 1 : 0);
