// Makes `polyfills.generated.js`: the JavaScript half of Node's built-in modules, taken from the crate deno_node,
// whose sources are Node's own library on top of deno_core. The crate itself is not compiled into partyrun: its Rust half
// brings a file system, processes and a module loader that a room must not have.
//
//     cargo fetch of deno_node =VERSION, then: node js/node/generate.mjs PATH_OF_THE_CRATE
//
// Each script becomes one entry, with types, comments and blank space removed (esbuild of tests/node_modules). Modules in
// ES form become functions `(module, exports, require)`, so that cycles among them work; see loader.js. Scripts under
// REPLACED are our own, because what stands there needs what Deno has and a room has not.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const { transformSync } = createRequire(join(here, "../../tests/package.json"))("esbuild");
const crate = process.argv[2];
const version = /^version = "(.*)"$/m.exec(readFileSync(join(crate, "Cargo.toml"), "utf8"))[1];

const ENTRIES = [
  "_events.mjs", "assert.ts", "async_hooks.ts", "crypto.ts", "diagnostics_channel.js", "internal/buffer.mjs",
  "internal/event_target.mjs", "internal/webstreams/adapters.js", "internal/streams/lazy_transform.js", "path/mod.ts", "perf_hooks.js", "punycode.ts",
  "querystring.js", "stream.ts", "stream/consumers.js", "stream/promises.js", "stream/web.js", "string_decoder.ts",
  "url.ts", "util.ts", "zlib.js",
];

// Where a script of ours stands for one of the crate's.
const REPLACED = {
  "ext:deno_io/12_io.js": "ext:partyrun/node/platform.js",
  "ext:deno_node/_next_tick.ts": "ext:partyrun/node/platform.js",
  "ext:deno_node/_process/process.ts": "ext:partyrun/node/platform.js",
  "ext:deno_node/_zlib_binding.mjs": "ext:partyrun/node/zlib_binding.js",
  "ext:deno_node/internal/options.ts": "ext:partyrun/node/platform.js",
};

// What is changed in them, after conversion: (script, what is there once, what takes its place).
const AMENDMENTS = [
  // A Buffer has memory of its own, as on Workers: a part of a pool would be stored and sent with its neighbours' bytes.
  ["ext:deno_node/internal/buffer.mjs", "Buffer.poolSize=8*1024", "Buffer.poolSize=0"],
  ["ext:deno_node/internal/buffer.mjs", "buf=buf.slice(0,actual2)", "buf=new FastBuffer(buf.subarray(0,actual2))"],
];

function amend(specifier, code) {
  for (const [script, from, to] of AMENDMENTS) {
    if (script !== specifier) continue;
    if (code.split(from).length !== 2) throw new Error(`${specifier} has changed: it no longer holds \`${from}\` once`);
    code = code.replace(from, to);
  }
  return code;
}

// Modules that only ES modules import, by the name of the script behind them.
const ALIASES = {
  "node:_stream_duplex": "ext:deno_node/internal/streams/duplex.js",
  "node:_stream_passthrough": "ext:deno_node/internal/streams/passthrough.js",
  "node:_stream_readable": "ext:deno_node/internal/streams/readable.js",
  "node:_stream_transform": "ext:deno_node/internal/streams/transform.js",
  "node:_stream_writable": "ext:deno_node/internal/streams/writable.js",
  "node:stream": "ext:deno_node/stream.ts",
  "node:stream/promises": "ext:deno_node/stream/promises.js",
};

const SPECIFIER = /"((?:ext:|node:)[^"\n]+)"/g;

function rewrite(source) {
  return source
    .replace(SPECIFIER, (whole, name) => `"${REPLACED[ALIASES[name] ?? name] ?? ALIASES[name] ?? name}"`)
    .replace(/\bcore\.createLazyLoader\b(<[^>]*>)?/g, '__bootstrap.core.loadExtScript("ext:partyrun/node/loader.js").lazy')
    .replace(/(?<!["\w])Deno\./g, "__bootstrap.internals.nodeHost.");
}

function isModule(source) {
  return /^(import|export)\b/m.test(source);
}

function convert(file, source) {
  const loader = file.endsWith(".ts") ? "ts" : "js";
  const common = { loader, target: "esnext", charset: "ascii", legalComments: "none", minifyWhitespace: true };
  if (!isModule(source)) return transformSync(source, common).code.trim().replace(/;$/, "");
  const { code } = transformSync(source, { ...common, format: "cjs" });
  return `{__proto__:null,module(module,exports,require){${code.trim()}}}`;
}

const scripts = new Map();
const waiting = ENTRIES.map((entry) => `ext:deno_node/${entry}`);
while (waiting.length > 0) {
  const specifier = waiting.pop();
  if (scripts.has(specifier)) continue;
  const file = specifier.slice("ext:deno_node/".length);
  const path = join(crate, "polyfills", file);
  if (!existsSync(path)) throw new Error(`${specifier} is not in ${crate}`);
  const source = rewrite(readFileSync(path, "utf8"));
  const code = amend(specifier, convert(file, source));
  scripts.set(specifier, `"use strict"; return (${code});`);
  // Only what is loaded at once belongs to the closure: a lazy reference to a module that partyrun has not stays one.
  const eager = source.matchAll(/(?:loadExtScript\(\s*|\bfrom\s+|\bimport\s+|lazy\(\s*)"(ext:deno_node\/[^"]+)"/g);
  for (const [, name] of eager) {
    if (!name.includes("/_fs/")) waiting.push(name);
  }
}

let text = `// Generated by js/node/generate.mjs from deno_node ${version}. Licences: js/node/LICENSE. Not to be edited.\n`;
for (const specifier of [...scripts.keys()].sort()) text += `// ${specifier}\n${scripts.get(specifier)}\n`;
writeFileSync(join(here, "polyfills.generated.js"), text);
// tests/tests/tidy.rs compares: the file is what this script made.
writeFileSync(join(here, "../../runtime/snapshot/polyfills.sha1"), createHash("sha1").update(text).digest("hex") + "\n");
console.log(`deno_node ${version}: ${scripts.size} scripts, ${text.length} bytes`);
