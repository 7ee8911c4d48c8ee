//! CommonJS and ES modules together: default imports, live bindings, cycles, `require` of ES modules, dynamic import.

mod common;

use common::{Outcome, Project, prints};

#[test]
fn default_import_depends_on_the_importer() -> Outcome<()> {
    let compiled = "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = 'd'; exports.named = 'n'";
    let main = "import d, { named } from './c.cjs'; import * as ns from './c.cjs'; print(typeof d, d.default, named, Object.keys(ns).sort().join())";
    let (babel, node) = ("string  n default,named", "object d n default,named");
    prints(&[("main.js", main), ("c.cjs", compiled)], babel)?;
    prints(&[("main.ts", main), ("c.cjs", compiled)], babel)?;
    prints(&[("main.mjs", main), ("c.cjs", compiled)], node)?;
    prints(&[("main.mts", main), ("c.cjs", compiled)], node)?;
    prints(&[("main.js", main), ("c.cjs", compiled), ("package.json", r#"{ "type": "module" }"#)], node)?;
    // The nearest package.json counts, not the one of the package's root.
    prints(
        &[
            ("main.js", "import 'p'"),
            ("node_modules/p/package.json", r#"{ "main": "./esm/main.js" }"#),
            ("node_modules/p/esm/package.json", r#"{ "type": "module" }"#),
            ("node_modules/p/esm/main.js", &main.replace("./c.cjs", "../c.js")),
            ("node_modules/p/c.js", compiled),
        ],
        node,
    )
}

#[test]
fn common_js_shapes() -> Outcome<()> {
    let umd = "(function (root, factory) { if (typeof define === 'function' && define.amd) define([], factory);
             else if (typeof module === 'object' && module.exports) module.exports = factory(); else root.Umd = factory(); })(this, function () { return { umd: 1 } })";
    prints(
        &[
            ("main.js", "import fn, { prop } from './fn.js'; import umd from './umd.js'; import './this.js'; import t from './this.js';
             import cls from './cls.js'; import r from './return.js'; import mixed from './mixed.js';
                print(fn(), prop, umd.umd, t.late, new cls().x, r.early, mixed.sum, typeof require, typeof require.resolve)"),
            ("fn.js", "module.exports = function () { return 'fn' }; module.exports.prop = 'p'"),
            ("umd.js", umd),
            ("this.js", "this.late = 'this'"),
            ("cls.js", "module.exports = class { x = 7 }"),
            ("return.js", "exports.early = 1; if (exports.early) return; exports.early = 2"),
            ("mixed.js", "import { two } from './two.js'; import * as all from './two.js'; module.exports = { sum: two + all.two }"),
            ("two.js", "export const two = 2"),
        ],
        "fn p 1 this 7 1 4 function function",
    )
}

#[test]
fn live_bindings_and_cycles() -> Outcome<()> {
    prints(
        &[
            ("main.js", "import { n, bump, fromB } from './a.js'; import * as ns from './a.js'; import d, { c } from './cycle.cjs';
             print(n, bump(), n, ns.n, fromB(), c, d.seen); export let own = 1; own++; import { own as self } from './main.js'; print(self)"),
            ("a.js", "import { b } from './b.js'; export let n = 1; export function bump() { return ++n } export const fromB = () => b()"),
            ("b.js", "import { n } from './a.js'; export const b = () => 'b' + n; print('before', n)"),
            ("cycle.cjs", "exports.early = 1; exports.seen = require('./other.cjs').saw; exports.c = 'c'"),
            ("other.cjs", "const other = require('./cycle.cjs'); exports.saw = Object.keys(other).join()"),
        ],
        "before \n1 2 2 2 b2 c early\n2",
    )
}

#[test]
fn stars_conflict_and_nest() -> Outcome<()> {
    prints(
        &[
            ("main.js", "import * as ns from './all.js'; import { own, deep } from './all.js'; print(Object.keys(ns).join(), own, deep, ns.sub.x, 'clash' in ns, ns.fromCjs);
                import * as two from './again.js'; print(Object.keys(two).sort().join(), two.fromCjs, Object.keys(await import('./again.js')).length)"),
            ("again.js", "export * from './all.js'; export const again = 1"),
            ("all.js", "export * from './a.js'; export * from './b.js'; export * as sub from './a.js'; export const own = 'own';
             export * from './c.cjs'; export * from './all.js'"),
            ("a.js", "export const x = 'x', clash = 1, own = 'hidden'; export default 1; export * from './deep.js'"),
            ("b.js", "export const y = 'y', clash = 2"),
            ("c.cjs", "exports.fromCjs = 'cjs'; exports.x = 'late'"),
            ("deep.js", "export const deep = 'deep'; export * from './a.js'"),
        ],
        "deep,own,sub,x,y,fromCjs own deep x false cjs\nagain,deep,fromCjs,own,sub,x,y cjs 7",
    )
}

#[test]
fn evaluation_order_is_the_standards() -> Outcome<()> {
    prints(
        &[
            (
                "main.js",
                "import './a.cjs'; import './b.js'; import { c } from './c.cjs'; print('main', c); import './d.js'",
            ),
            ("a.cjs", "print('a')"),
            ("b.js", "print('b'); import './b2.cjs'; import './b3.js'"),
            ("b2.cjs", "print('b2')"),
            ("b3.js", "print('b3')"),
            ("c.cjs", "print('c'); exports.c = 1"),
            ("d.js", "print('d')"),
        ],
        "a\nb2\nb3\nb\nc\nd\nmain 1",
    )
}

#[test]
fn require_of_es_modules_and_dynamic_import() -> Outcome<()> {
    let main = r#"
        const esm = require("./esm.js"); print(esm.__esModule, esm.default, esm.live, esm.bump(), esm.live, require("./esm.js") === esm);
        print(typeof require("./value.js"), require("./value.js")());
        const name = "b"; print((await import("./pages/a.js")).page, (await import(`./pages/${name}.js`)).page, (await import("./pages/" + name + "/in.js")).page);
        await import(`./pages/${"gone"}.js`).catch((error) => print(error.code));
        print(await import("./c.cjs").then((m) => m.default.x + m.x), (await import("./esm.js")).live,
             await import("./fails.js").catch((e) => e.message), await import("./fails.js").catch((e) => e.message));
        const any = (x) => import(x); await any("./nowhere").catch((error) => print(error.code));
        try { require(["./a"].join()) } catch (error) { print(error.code) }
        print(import.meta.url, typeof import.meta, new URL("./x.txt", import.meta.url).href, (await import("./data.json")).default.a);
    "#;
    prints(
        &[
            ("main.mjs", main),
            ("esm.js", "export default 'd'; export let live = 1; export function bump() { return ++live }"),
            ("value.js", "const f = () => 'f'; export { f as 'module.exports' }"),
            ("pages/a.js", "export const page = 'a'"),
            ("pages/b.js", "export const page = 'b'"),
            ("pages/b/in.js", "export const page = 'in'"),
            ("c.cjs", "exports.x = 'x'"),
            ("fails.js", "export const a = 1; throw new Error('failed')"),
            ("data.json", r#"{ "a": 1 }"#),
        ],
        "true d 1 2 2 true\nfunction f\na b in\nMODULE_NOT_FOUND\nxx 2 failed failed\nMODULE_NOT_FOUND\nMODULE_NOT_FOUND\nfile:///main.mjs object file:///x.txt 1",
    )
}

#[test]
fn optional_packages_and_dead_branches() -> Outcome<()> {
    let main = r#"
        let a; try { a = require("not-there") } catch (error) { a = error.code } print(a);
        const b = await import("not-there").catch((error) => error.code); print(b);
        if (process.env.NODE_ENV === "production") { require("./prod-only") } else { print("development") }
        process.env.NODE_ENV !== "production" ? print("yes") : require("./prod-only");
        if (typeof require !== "undefined" && typeof window === "undefined") print("server");
        if (false) { var hoisted = 1; require("nope") } print(hoisted, "production" === process.env.NODE_ENV && require("nope"));
    "#;
    prints(&[("main.js", main)], "MODULE_NOT_FOUND\nMODULE_NOT_FOUND\ndevelopment\nyes\nserver\n false")
}

#[test]
fn top_level_await_orders_and_cannot_be_required() -> Outcome<()> {
    let project = Project::new(&[
        (
            "main.js",
            "import { a } from './a.js'; import './b.js'; import './c.cjs'; print('main', a); const lazy = await import('./lazy.js'); print(lazy.v)",
        ),
        ("a.js", "export const a = await new Promise((done) => setTimeout(done, 5, 'awaited')); print('a')"),
        ("b.js", "print('b'); export const b = 1; for await (const x of [1]) print('for', x)"),
        (
            "c.cjs",
            "try { require('./a.js') } catch (error) { print(error.code) } exports.later = () => require('./b.js')",
        ),
        ("lazy.js", "import './lazy2.js'; export const v = await 5"),
        ("lazy2.js", "await 0; print('lazy2')"),
    ])?;
    let bundle = project.build("main.js")?;
    assert_eq!(project.log_of(&bundle)?, "a\nb\nfor 1\nERR_REQUIRE_ASYNC_MODULE\nmain awaited\nlazy2\n5");
    let warnings: Vec<_> = bundle.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, ["`require` of \"./b.js\" throws: it uses top-level await"]);
    Ok(())
}

#[test]
fn built_in_modules_are_the_hosts() -> Outcome<()> {
    let main = "import fs, { existsSync } from 'fs'; import * as path from 'node:path'; import { Buffer } from 'buffer';
             import EventEmitter from 'node:events'; import { promises } from 'fs'; import 'node:sqlite';
        print(typeof fs.readFileSync, typeof existsSync, path.join('a', 'b'), Buffer.from('x').length, typeof EventEmitter,
             require('util').types === require('node:util').types, typeof promises.readFile, (await import('os')).default !== undefined)";
    let project = Project::new(&[("main.ts", main)])?;
    let bundle = project.build("main.ts")?;
    assert_eq!(project.log_of(&bundle)?, "function function a/b 1 function true function true");
    assert_eq!(
        bundle.builtins,
        ["node:buffer", "node:events", "node:fs", "node:os", "node:path", "node:util"]
    );
    let warnings: Vec<_> = bundle.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings[0].contains("\"fs\" can be imported, but a room has no files"), "{warnings:?}");
    Ok(())
}

#[test]
fn dead_code_is_left_out() -> Outcome<()> {
    let project = Project::new(&[
        (
            "main.js",
            "import { used } from 'lib'; import { Big } from './big'; import config from './data.json'; import effect from 'effect'; export const x = used()",
        ),
        (
            "big.ts",
            "export class Big { huge = 'BIG_TEXT' } export const call = /* @__PURE__ */ make('PURE_TEXT');
             function make(x) { return x } print('big runs'); enum Unused { A = 'ENUM_TEXT' }",
        ),
        ("data.json", r#"{ "a": "JSON_TEXT" }"#),
        (
            "node_modules/lib/package.json",
            r#"{ "sideEffects": ["*.css.js", "./polyfill.js"], "main": "index.js" }"#,
        ),
        (
            "node_modules/lib/index.js",
            "import './polyfill.js'; import './a.css.js'; import './other.js'; export * from './used.js'; export * from './unused.js'",
        ),
        ("node_modules/lib/used.js", "export const used = () => 'used'; const helper = () => 'HELPER_TEXT'"),
        ("node_modules/lib/unused.js", "print('UNUSED_EFFECT'); export const unused = 1"),
        ("node_modules/lib/other.js", "print('OTHER_EFFECT')"),
        ("node_modules/lib/polyfill.js", "print('polyfill')"),
        ("node_modules/lib/a.css.js", "print('css')"),
        ("node_modules/effect/index.js", "exports.x = 1; print('effect')"),
    ])?;
    let bundle = project.build("main.js")?;
    for gone in
        ["BIG_TEXT", "PURE_TEXT", "ENUM_TEXT", "JSON_TEXT", "HELPER_TEXT", "UNUSED_EFFECT", "OTHER_EFFECT"]
    {
        assert!(!bundle.code.contains(gone), "{gone}\n{}", bundle.code);
    }
    assert_eq!(project.log_of(&bundle)?, "big runs\neffect");
    Ok(())
}
