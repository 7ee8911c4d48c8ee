//! Bundles small projects and runs the result with Node.js: language features, module interoperation, errors, and
//! random module graphs whose bundle must print what Node prints for the same files. `PARTYRUN_SEEDS` sets how many
//! graphs are tried. Without `node` on the path nothing can be compared, and the tests fail.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use partyrun_bundle::{Bundle, BundleErrors, BundleOptions, Bundler};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Project(PathBuf);

impl Project {
    fn new(name: &str, files: &[(&str, &str)]) -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("partyrun-bundle-{}-{name}", std::process::id()));
        for (file, text) in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            std::fs::write(path, text)?;
        }
        Ok(Self(folder))
    }

    fn options(&self, main: &str) -> BundleOptions {
        BundleOptions { root: self.0.clone(), main: main.into(), ..BundleOptions::default() }
    }

    fn build(&self, main: &str) -> Result<Bundle, BundleErrors> {
        Bundler::new(self.options(main)).build()
    }

    fn run(&self, main: &str) -> Outcome<String> {
        let bundle = self.build(main)?;
        assert!(bundle.code.is_ascii());
        let out = self.0.join("bundle.out.js");
        std::fs::write(&out, &bundle.code)?;
        node("bundle", &out)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn node(kind: &str, file: &Path) -> Outcome<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run.mjs");
    let mut command = Command::new("node");
    let output =
        command.arg("--disallow-code-generation-from-strings").arg(script).arg(kind).arg(file).output()?;
    Ok(String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?)
}

fn expect(name: &str, files: &[(&str, &str)], expected: &str) -> Outcome<()> {
    let project = Project::new(name, files)?;
    let main = files.first().map(|file| file.0).unwrap_or_default();
    assert_eq!(project.run(main)?.trim(), expected.trim(), "{name}");
    Ok(())
}

#[test]
fn typescript() -> Outcome<()> {
    let source = r#"
        import type { X } from "./nowhere"; import type * as Party from "partykit/server";
        enum Color { Red = 1, Blue } namespace N { export const b = Color.Blue }
        class A { late = this.x; constructor(readonly x: number = 3) {} }
        export const a = new A().late, c = N.b, d = <T,>(t: T) => t, e = "h\u00e9 ☃";
        export { Party }; type Party2 = Party.Server;
        const Other = { satisfies: 1 } satisfies object; export default Other!.satisfies as number;
    "#;
    expect(
        "typescript",
        &[("main.ts", &source.replace("export { Party };", ""))],
        "a,c,d,default,e\na undefined\nc 2\nd 'function'\ndefault 1\ne 'hé ☃'",
    )
}

#[test]
fn interoperation() -> Outcome<()> {
    let main = r#"
        import def, { named, later } from "./common.cjs"; import * as ns from "./common.cjs";
        import es, { value } from "./compiled.js"; import data, { key } from "./data.json"; import text from "./a.txt";
        import wasm from "./m.wasm"; import bytes from "./b.bin"; import nothing from "partykit/server";
        export const a = [def.named, named, later, ns.named, es, value, data.key, key, text, wasm, bytes, typeof nothing];
        export const b = [require("./esm.mjs").live, require("./data.json").key];
        export const c = (await import("./esm.mjs")).bump();
        export const d = await import("./" + "common" + ".cjs").then((m) => m.default.named);
        export let e; try { e = require("not-there") } catch (error) { e = error.code }
        export const f = import.meta.url.endsWith("file:///main.js"), g = typeof this;
        export * from "./common.cjs"; export * as star from "./esm.mjs";
    "#;
    let files = [
        ("main.js", main),
        ("common.cjs", "exports.named = 1; exports.later = this === exports; exports.star2 = 5"),
        (
            "compiled.js",
            "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = 2; exports.value = 3",
        ),
        ("data.json", r#"{ "key": "k", "__proto__": 1 }"#),
        ("a.txt", "t\u{e9}\n"),
        ("m.wasm", "x"),
        ("b.bin", "x"),
        ("esm.mjs", "export let live = 1; export function bump() { live++; return live }"),
    ];
    let expected = "a,b,c,d,e,f,g,later,named,star,star2\na [\n  1,\n  1,\n  true,\n  1,\n  2,\n  3,\n  'k',\n  'k',\n  \
        'té\\n',\n  'wasm 0',\n  'binary 0',\n  'object'\n]\nb [ 1, 'k' ]\nc 2\nd 1\ne 'MODULE_NOT_FOUND'\nf true\n\
        g 'undefined'\nlater true\nnamed 1\nstar [Object: null prototype] [Module] {\n  bump: [Getter],\n  live: [Getter]\n}\nstar2 5";
    let project = Project::new("interoperation", &files)?;
    let got = project.run("main.js")?;
    assert_eq!(got.lines().next(), expected.lines().next(), "{got}");
    for line in expected.lines().filter(|line| !line.contains("Getter") && !line.starts_with(['}', 's'])) {
        assert!(got.contains(line), "{line}\n--\n{got}");
    }
    Ok(())
}

#[test]
fn errors() -> Outcome<()> {
    let table: [(&str, &str, &[&str]); 6] = [
        (
            "missing",
            "import { z } from 'zod'",
            &["Could not resolve \"zod\"", "main.ts:1:", "^", "npm install zod"],
        ),
        ("relative", "import './gone'", &["Could not resolve \"./gone\"", "main.ts:1:8"]),
        ("syntax", "let a = ;", &["main.ts:1:9", "^"]),
        ("export", "import { no } from './other'; no()", &["No matching export", "\"no\""]),
        ("loader", "import './x.css'", &["No loader is configured for \".css\""]),
        ("assign", "import { yes } from './other'; yes = 1", &["Cannot assign to `yes`"]),
    ];
    for (name, source, expected) in table {
        let files = [("main.ts", source), ("other.ts", "export const yes = 1"), ("x.css", "")];
        let project = Project::new(&format!("error-{name}"), &files)?;
        let Err(errors) = project.build("main.ts") else { return Err(format!("{name} was built").into()) };
        let text = errors.to_string();
        for part in expected {
            assert!(text.contains(part), "{name}: {part}\n{text}");
        }
    }
    Ok(())
}

#[test]
fn second_build_sees_the_change_and_a_cache_gives_the_same_bundle() -> Outcome<()> {
    let project =
        Project::new("cache", &[("main.ts", "export { a } from './a'"), ("a.ts", "export const a = 1")])?;
    let options = BundleOptions { cache_dir: Some(project.0.join("cache")), ..project.options("main.ts") };
    let mut bundler = Bundler::new(options.clone());
    let first = bundler.build()?;
    assert_eq!(Bundler::new(options).build()?.code, first.code);
    std::fs::write(project.0.join("a.ts"), "export const a = 2")?;
    assert_ne!(bundler.build()?.hash, first.hash);
    Ok(())
}

#[test]
fn hostile_sources_do_not_panic() -> Outcome<()> {
    let deep = format!("export const a = {}1{}", "(".repeat(3000), ")".repeat(3000));
    for (number, source) in
        ["\u{1}", "#!", "export default", "`${", "class { #", "@", "/*", "\u{feff}a", &deep]
            .iter()
            .enumerate()
    {
        // Either outcome is right; that there is one is the point.
        let _ = Project::new(&format!("hostile-{number}"), &[("main.ts", source)])?.build("main.ts");
    }
    Ok(())
}

/// A small generator: the same seed gives the same graph everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }
}

/// Modules that import each other, in cycles too, log their evaluation, and change what they export.
fn graph(seed: u64) -> Vec<(String, String)> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let count = 2 + random.below(7);
    (0..count)
        .map(|number| {
            let mut text = String::new();
            let mut calls = String::new();
            for edge in 0..random.below(4) {
                let other = random.below(count);
                let _ = match random.below(4) {
                    0 => writeln!(text, "import * as ns{edge} from './m{other}.mjs';"),
                    1 => writeln!(text, "import {{ f{other} as g{edge} }} from './m{other}.mjs';"),
                    2 if other != number => writeln!(text, "export * from './m{other}.mjs';"),
                    _ => writeln!(text, "import './m{other}.mjs';"),
                };
                if text.ends_with(&format!("ns{edge} from './m{other}.mjs';\n")) {
                    let _ = writeln!(calls, "log('ns', Object.keys(ns{edge}).join(), ns{edge}.f{other}());");
                } else if text.contains(&format!("as g{edge} }}")) {
                    let _ = writeln!(calls, "log('g', g{edge}(), typeof g{edge});");
                }
            }
            let _ = writeln!(text, "const log = (...list) => (globalThis.lines ??= []).push(list.join(' '));");
            let _ = writeln!(text, "export var v{number};\nexport function f{number}() {{ v{number} = (v{number} ?? 0) + 1; return 'm{number}:' + v{number}; }}");
            let _ = writeln!(text, "log('start m{number}', v{number});\n{calls}v{number} = 10;\nexport default class K{number} {{ static n = {number} }}");
            if number == 0 {
                text.push_str("export const run = async () => { const m = await import('./m1.mjs'); log(m.f1(), m.v1); return globalThis.lines; };\n");
            }
            (format!("m{number}.mjs"), text)
        })
        .collect()
}

#[test]
fn random_graphs_print_what_node_prints() -> Outcome<()> {
    let seeds = std::env::var("PARTYRUN_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    for seed in 0..seeds {
        let files = graph(seed);
        let named: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let project = Project::new(&format!("seed-{seed}"), &named)?;
        let (ours, native) = (project.run("m0.mjs")?, node("native", &project.0.join("m0.mjs"))?);
        assert_eq!(
            ours,
            native,
            "seed {seed}\n{}",
            files.iter().map(|f| f.1.as_str()).collect::<Vec<_>>().join("\n--\n")
        );
    }
    Ok(())
}
