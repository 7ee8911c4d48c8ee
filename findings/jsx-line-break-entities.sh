#!/usr/bin/env bash
# JSX text with a line break written as an entity, `<p>a&#10; b</p>`. The compilers agree on line breaks in the source (they are
# joined to one space), but not on this one: esbuild 0.25.12 and TypeScript 5.9.3 join lines first and decode entities then, so that
# the text keeps its line break; Babel 7.28.5 and swc 1.15.3 decode first, so that it becomes one space, and text that is nothing
# but `&#10;` is lost. Whoever puts a <pre> or a pattern of white space into JSX sees it when the compiler is changed.
# Needs: node and npm. Installs into a temporary folder. Fails if one of the four changes its answer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts \
  esbuild@0.25.12 typescript@5.9.3 @babel/core@7.28.5 @babel/preset-react@7.28.5 @swc/core@1.15.3 >/dev/null
cat > compare.mjs <<'JS'
import babel from "@babel/core";
import swc from "@swc/core";
import * as esbuild from "esbuild";
import ts from "typescript";

const compilers = {
  esbuild: async (source) => (await esbuild.transform(source, { loader: "jsx" })).code,
  typescript: (source) => ts.transpile(source, { jsx: ts.JsxEmit.React }),
  babel: (source) => babel.transformSync(source, { presets: ["@babel/preset-react"], configFile: false }).code,
  swc: async (source) => (await swc.transform(source, { jsc: { parser: { syntax: "ecmascript", jsx: true } } })).code,
};
const React = { createElement: (_name, _properties, ...children) => children.join("") };
const textOf = (code) => new Function("React", `return (${code.trim().replace(/;$/, "")})`)(React);

const expected = {
  "<p>a\n  b</p>": { esbuild: "a b", typescript: "a b", babel: "a b", swc: "a b" },
  "<p>a&#10;  b</p>": { esbuild: "a\n  b", typescript: "a\n  b", babel: "a b", swc: "a b" },
  "<p>&#10;</p>": { esbuild: "\n", typescript: "\n", babel: "", swc: "" },
};
let failed = false;
for (const [source, texts] of Object.entries(expected)) {
  for (const [name, compile] of Object.entries(compilers)) {
    const text = textOf(await compile(source));
    console.log(JSON.stringify(source), name, JSON.stringify(text));
    failed ||= text !== texts[name];
  }
}
process.exit(failed ? 1 : 0);
JS
node compare.mjs
echo "as described: esbuild and TypeScript keep the line break, Babel and swc do not"
