//! Resolution: every way in which a specifier can name a file.

mod common;

use common::{Outcome, Project, prints};
use partyrun_bundle::{BundleOptions, Bundler};

/// A package whose files print their own name.
fn say(name: &str) -> String {
    format!("print('{name}'); export const x = 1")
}

#[test]
fn exports_with_conditions() -> Outcome<()> {
    let package = r#"{ "name": "p", "exports": {
        ".": { "node": "./node.js", "workerd": "./workerd.js", "default": "./default.js" },
        "./first": { "partykit": "./partykit.js", "workerd": "./workerd.js" },
        "./both": { "import": "./import.mjs", "require": "./require.cjs" },
        "./browser": { "browser": "./browser.js", "default": "./default.js" },
        "./deep/*": "./files/*.js", "./deep/secret": null, "./array": [{ "unknown": "./no.js" }, "./default.js"],
        "./module": { "module": "./no.js", "default": "./default.js" } } }"#;
    let names = ["workerd.js", "partykit.js", "import.mjs", "browser.js", "default.js", "files/a.js"];
    let texts: Vec<_> = names.iter().map(|name| (format!("node_modules/p/{name}"), say(name))).collect();
    let main = "import 'p'; import 'p/first'; import 'p/both'; import 'p/browser'; import 'p/deep/a'; import 'p/array'; import 'p/module'; require('p/both')";
    let mut files = vec![("main.js", main), ("node_modules/p/package.json", package)];
    files.extend(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    files.push(("node_modules/p/require.cjs", "print('require.cjs')"));
    prints(&files, "workerd.js\npartykit.js\nimport.mjs\nbrowser.js\nfiles/a.js\ndefault.js\nrequire.cjs")?;
    files.push(("bad.js", "import 'p/deep/secret'; import 'p/other'"));
    let errors = Project::new(&files)?.errors("bad.js")?.to_string();
    assert!(errors.contains("p/deep/secret") && errors.contains("p/other"), "{errors}");
    Ok(())
}

#[test]
fn imports_field_and_self_reference() -> Outcome<()> {
    let package = r##"{ "name": "self", "exports": { "./inner": "./inner.js" }, "imports": { "#a": "./a.js", "#b/*": { "worker": "./lib/*.js" }, "#dep": "dep" } }"##;
    prints(
        &[
            ("main.js", "import '#a'; import '#b/c'; import '#dep'; import 'self/inner'"),
            ("package.json", package),
            ("a.js", "print('a')"),
            ("lib/c.js", "print('c')"),
            ("inner.js", "print('inner')"),
            ("node_modules/dep/index.js", "print('dep')"),
        ],
        "a\nc\ndep\ninner",
    )
}

#[test]
fn main_fields_and_browser_maps() -> Outcome<()> {
    let package = r#"{ "main": "./main.js", "module": "./module.js" }"#;
    let browser = r#"{ "main": "./main.js", "browser": { "./main.js": "./web.js", "outer": false, "./gone": false, "inner": "./mine.js" } }"#;
    let text = r#"{ "main": "./main.js", "module": "./module.js", "browser": "./web.js" }"#;
    prints(
        &[
            ("main.js", "import 'a'; import 'b'; import c from 'c'; import 'd'; print(JSON.stringify(c))"),
            ("node_modules/a/package.json", package),
            ("node_modules/a/main.js", "print('a main')"),
            ("node_modules/a/module.js", "print('a module')"),
            ("node_modules/b/package.json", text),
            ("node_modules/b/web.js", "print('b web')"),
            ("node_modules/c/package.json", browser),
            (
                "node_modules/c/web.js",
                "exports.list = [require('outer'), require('./gone'), require('inner').x, typeof require('fs').statSync]",
            ),
            ("node_modules/c/mine.js", "exports.x = 'mine'"),
            ("node_modules/d/lib.js", "print('d lib')"),
            ("node_modules/d/package.json", r#"{ "main": "lib" }"#),
        ],
        "a module\nb web\nd lib\n{\"list\":[{},{},\"mine\",\"function\"]}",
    )
}

/// A package `p` with two ways in, and a CommonJS package `o` that requires it.
fn dual(fields: &'static str, main: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("main.js", main),
        ("node_modules/p/package.json", fields),
        ("node_modules/p/main.js", "print('main'); module.exports = () => 'main'"),
        ("node_modules/p/module.js", "print('module'); export default () => 'module'"),
        ("node_modules/o/index.js", "module.exports = require('p')()"),
    ]
}

#[test]
fn a_package_that_is_required_and_imported_is_loaded_once() -> Outcome<()> {
    let fields = r#"{ "main": "main.js", "module": "module.js" }"#;
    let both = "import p from 'p'; import o from 'o'; print(p(), o)";
    prints(&dual(fields, "import p from 'p'; print(p())"), "module\nmodule")?;
    prints(&dual(fields, "import o from 'o'; print(o)"), "main\nmain")?;
    prints(&dual(fields, both), "main\nmain main")?;
    prints(
        &dual(fields, "import('p').then(p => print(p.default())); print(require('o'))"),
        "main\nmain\nmain",
    )?;
    // Whatever reaches the main file; a file that is named itself stays what it is.
    prints(&dual(fields, "import p from 'p'; import q from 'p/main.js'; print(p === q)"), "main\ntrue")?;
    let named = "import q from 'p/module'; import p from 'p'; import o from 'o'; print(q(), p(), o)";
    prints(&dual(fields, named), "module\nmain\nmodule main main")?;
    let resolved = "import p from 'p'; try { require.resolve('p') } catch {} print(p())";
    prints(&dual(fields, resolved), "module\nmodule")?;
    // The only one who requires it is its own module file, which is not loaded in the end.
    let mut files = dual(fields, "import p from 'p'; print(p())");
    files.push(("node_modules/p/module.js", "import o from 'o'; print(o); export default () => 'module'"));
    prints(&files, "main\nmain")?;
    // A `browser` field that names a file counts for both, one that maps files maps each of the two.
    let fields = r#"{ "main": "main.js", "module": "module.js", "browser": "web.js" }"#;
    let mut files = dual(fields, both);
    files.push(("node_modules/p/web.js", "module.exports = () => 'web'"));
    prints(&files, "web web")?;
    let fields = r#"{ "main": "main.js", "module": "module.js", "browser": { "./main.js": "./web.js" } }"#;
    let mut files = dual(fields, both);
    files.push(("node_modules/p/web.js", "module.exports = () => 'web'"));
    prints(&files, "web web")?;
    // With `exports` there are two copies, as everywhere.
    let fields = r#"{ "exports": { "import": "./module.js", "require": "./main.js" } }"#;
    prints(&dual(fields, both), "module\nmain\nmodule main")
}

#[test]
fn an_index_file_is_the_main_file_of_a_package_without() -> Outcome<()> {
    let both = "import p from 'p'; import o from 'o'; print(p(), o)";
    let index = ("node_modules/p/index.js", "module.exports = () => 'index'");
    let mut files = dual(r#"{ "module": "module.js" }"#, both);
    files.push(index);
    prints(&files, "index index")?;
    // A main file that is missing leaves the module file.
    let mut files = dual(r#"{ "module": "module.js", "main": "gone.js" }"#, "print(require('p').default())");
    files.push(index);
    prints(&files, "module\nmodule")?;
    prints(&dual(r#"{ "module": "module.js" }"#, "print(require('p').default())"), "module\nmodule")
}

#[test]
fn files_without_an_extension_are_javascript() -> Outcome<()> {
    let files = [
        ("main.js", "import a from './bin/tool'; import b from 'p'; import c from 'q/a'; print(a, b, c)"),
        ("bin/tool", "#!/usr/bin/env node\nexport default 'tool'"),
        ("node_modules/p/package.json", r#"{ "main": "./cli" }"#),
        ("node_modules/p/cli", "module.exports = 'cli'"),
        ("node_modules/q/package.json", r#"{ "exports": { "./": "./lib/" } }"#),
        ("node_modules/q/lib/a", "export default 'listed'"),
        ("odd.js", "import './.env'; import './a.'; import './b.odd'"),
        (".env", "A=1"),
        ("a.", ""),
        ("b.odd", ""),
    ];
    prints(&files, "tool cli listed")?;
    let errors = Project::new(&files)?.errors("odd.js")?.to_string();
    for name in ["\".env\"", "\".\"", "\".odd\""] {
        assert!(errors.contains(&format!("No loader is configured for {name} files")), "{errors}");
    }
    Ok(())
}

#[test]
fn extensions_folders_and_suffixes() -> Outcome<()> {
    prints(
        &[
            (
                "src/main.ts",
                "import './a'; import './b.js'; import './folder'; import './folder/'; import '..'; import './c.mjs'; import './data'; import './q?raw'",
            ),
            ("src/a.tsx", "print('a.tsx')"),
            ("src/a.js", "print('a.js')"),
            ("src/b.ts", "print('b.ts')"),
            ("src/c.mts", "print('c.mts')"),
            ("src/folder/index.js", "print('folder')"),
            ("src/data.json", "{}"),
            ("src/q.js", "print('q')"),
            ("index.js", "print('above')"),
        ],
        "a.tsx\nb.ts\nfolder\nabove\nc.mts\nq",
    )
}

#[test]
fn tsconfig_paths_base_url_and_extends() -> Outcome<()> {
    prints(
        &[
            (
                "src/main.ts",
                "import { a } from '@/a'; import { b } from 'lib/b'; import { c } from '~c'; print(a, b, c, (class { x }).length === 0)",
            ),
            (
                "tsconfig.json",
                "{ // comments and commas\n \"extends\": \"./base.json\", \"compilerOptions\": { \"baseUrl\": \".\", }, }",
            ),
            (
                "base.json",
                r#"{ "extends": ["cfg/strict.json"], "compilerOptions": { "paths": { "@/*": ["./src/*"], "~c": ["./nowhere", "./other/c"] } } }"#,
            ),
            (
                "node_modules/cfg/strict.json",
                r#"{ "compilerOptions": { "useDefineForClassFields": false } }"#,
            ),
            ("src/a.ts", "export const a = 'a'"),
            ("lib/b.ts", "export const b = 'b'"),
            ("other/c.ts", "export const c = 'c'"),
        ],
        "a b c true",
    )
}

#[test]
fn broken_tsconfigs_warn_and_count_for_what_they_say() -> Outcome<()> {
    let main = "class A { set x(v) { print('set') } } class B extends A { x = 1 } new B(); import './other'";
    for (extends, expected) in [
        (r#""extends": "./gone.json","#, "Cannot find"),
        (r#""extends": "nowhere/tsconfig.json","#, ""),
        (r#""extends": "./tsconfig.json","#, ""),
    ] {
        let config = format!("{{ {extends} \"compilerOptions\": {{ \"useDefineForClassFields\": false }} }}");
        let project =
            Project::new(&[("main.ts", main), ("other.ts", "print('other')"), ("tsconfig.json", &config)])?;
        let bundle = project.build("main.ts")?;
        let warnings: Vec<_> = bundle.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{extends} {warnings:?}");
        assert!(warnings[0].contains(expected) && warnings[0].contains("tsconfig.json"), "{warnings:?}");
        assert_eq!(project.log_of(&bundle)?, "other\nset", "{extends}");
    }
    let project = Project::new(&[("main.ts", "print('runs')"), ("tsconfig.json", "{ broken")])?;
    let bundle = project.build("main.ts")?;
    assert_eq!((bundle.warnings.len(), project.log_of(&bundle)?.as_str()), (1, "runs"));
    Ok(())
}

#[test]
fn symlinks_of_npm_pnpm_and_workspaces() -> Outcome<()> {
    let project = Project::new(&[
        (
            "app/main.ts",
            "import { a } from 'a'; import { w, z as z2 } from 'work'; import { z } from 'z'; print(a, w, z === z2)",
        ),
        (".store/a@1/node_modules/a/index.js", "import { b } from 'b'; export const a = 'a' + b"),
        (".store/a@1/node_modules/b/index.js", "export const b = 'b'"),
        (
            "packages/work/src/index.ts",
            "export { z } from 'z'; export const w: string = 'w'; import './more'",
        ),
        ("packages/work/src/more.ts", "enum E { A } print('more', E.A)"),
        ("packages/work/package.json", r#"{ "name": "work", "exports": "./src/index.ts" }"#),
        ("node_modules/z/index.js", "print('once'); export const z = {}"),
    ])?;
    project.link(".store/a@1/node_modules/a", "app/node_modules/a")?;
    project.link("packages/work", "node_modules/work")?;
    let options =
        BundleOptions { root: project.0.join("app"), main: "main.ts".into(), ..BundleOptions::default() };
    let bundle = Bundler::new(options).build()?;
    assert_eq!(project.log_of(&bundle)?, "once\nmore 0\nab w true");
    Ok(())
}

#[test]
fn alias_and_define() -> Outcome<()> {
    let main = "declare const HOST: string; declare let NUM: number, deep: any; import { x } from 'swapped'; import y from 'lib/sub'; import fs from 'fs';
             print(x, y, fs, HOST, typeof HOST, process.env.MODE, NUM + 1, process.env.NODE_ENV, deep.er.name, ((HOST) => HOST)(5), typeof { HOST: 1 }.HOST)";
    let project = Project::new(&[
        ("main.ts", main),
        ("mine.ts", "export const x = 'mine'"),
        ("other/sub.js", "export default 'sub'"),
        ("fake-fs.js", "export default 'fake'"),
    ])?;
    let pair = |(a, b): (&str, &str)| (a.to_string(), b.to_string());
    let options = BundleOptions {
        alias: [("swapped", "./mine.ts"), ("lib", "./other"), ("fs", "./fake-fs.js")].map(pair).to_vec(),
        define: [
            ("HOST", "\"h:1\""),
            ("process.env.MODE", "'m'"),
            ("NUM", "41"),
            ("deep.er", "{ \"name\": \"n\" }"),
        ]
        .map(pair)
        .to_vec(),
        ..project.options("main.ts")
    };
    let bundle = Bundler::new(options).build()?;
    assert_eq!(project.log_of(&bundle)?, "mine sub fake h:1 string m 42 development n 5 number");
    Ok(())
}

#[test]
fn a_broken_define_is_an_error() -> Outcome<()> {
    let project = Project::new(&[("main.ts", "print(1)")])?;
    let options = BundleOptions {
        define: vec![("A".into(), "not an expression".into())],
        ..project.options("main.ts")
    };
    let text = Bundler::new(options).build().err().map(|errors| errors.to_string()).unwrap_or_default();
    assert!(text.contains("`define` of `A`"), "{text}");
    Ok(())
}

#[test]
fn what_need_not_be_installed() -> Outcome<()> {
    prints(
        &[(
            "main.ts",
            "import * as Party from 'partykit/server'; import type P from 'partykit/server'; import fetch, { Headers } from 'node-fetch';
             import 'fsevents'; print(typeof Party, typeof fetch, Headers === globalThis.Headers)",
        )],
        "object function true",
    )
}

#[test]
fn files_of_all_kinds() -> Outcome<()> {
    let project = Project::new(&[
        (
            "main.ts",
            r#"import text from "./a.txt"; import html from "./b.html"; import wasm from "./m.wasm"; import again from "./m.wasm?module"; import bin from "./b.bin";
            import data, { key } from "./d.json" with { type: "json" }; import * as all from "./d.json";
            print(text, html, wasm, again, bin.byteLength, key, data.list.length, Object.keys(data).join(), Object.keys(all).sort().join());
            print((await import("./d.json")).default.key, require("./a.txt"), require("./d.json").key)"#,
        ),
        ("a.txt", "t\u{e9}"),
        ("b.html", "<b>"),
        ("d.json", r#"{ "key": "k", "list": [1], "__proto__": 1, "not-a-name": 2 }"#),
    ])?;
    project.write("m.wasm", b"\0asm\x01\0\0\0")?;
    project.write("b.bin", &[1, 2, 255])?;
    let bundle = project.build("main.ts")?;
    assert_eq!(
        project.log_of(&bundle)?,
        "t\u{e9} <b> wasm 0 wasm 0 3 k 1 key,list,__proto__,not-a-name __proto__,default,key,list,not-a-name\nk t\u{e9} k"
    );
    assert_eq!(bundle.wasm.len(), 1);
    assert_eq!((bundle.wasm[0].0.as_str(), bundle.wasm[0].1.len()), ("m.wasm", 8));
    assert_eq!(bundle.binaries[0].1.as_ref(), [1, 2, 255]);
    Ok(())
}

// Expected: what esbuild's bundle prints.
#[test]
fn a_suffix_makes_a_module_of_its_own() -> Outcome<()> {
    let main = r##"import { n as plain } from "./b"; import { n as x } from "./b?x"; import { n as again } from "./b.ts?x";
        import { n as hash } from "./b#y"; import { n as both } from "./b?x#y"; import one from "./d.json?1"; import two from "./d.json";
        const later = (await import("./b?later")).n; const required = require("./c?x") === require("./c");
        print(new Set([plain, x, again, hash, both, later]).size, x === again, one === two, one.k, required)"##;
    let b = "print('b'); export const n = {}";
    let files =
        [("main.ts", main), ("b.ts", b), ("c.js", "module.exports = {}"), ("d.json", r#"{ "k": 1 }"#)];
    prints(&files, "b\nb\nb\nb\nb\n5 true false 1 false")
}
