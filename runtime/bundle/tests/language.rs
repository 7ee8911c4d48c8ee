//! Languages: TypeScript, JSX, decorators, class fields and newer syntax, each as a small program whose output is known.

mod common;

use common::{Outcome, Project, prints};
use partyrun_bundle::{BundleOptions, Bundler};

const ESNEXT: &str = r#"{ "compilerOptions": { "target": "esnext" } }"#;

#[test]
fn typescript_forms() -> Outcome<()> {
    let main = r#"
        import type { Gone } from "./nowhere"; import { type Also, value } from "./other"; import { OnlyType } from "./other";
        import type * as Party from "partykit/server";
        export type { Gone }; export { type Also } from "./other";
        enum Color { Red = 1, Blue, Text = "t" } const enum Fast { A = 5, B = A << 1 } declare enum Never { X }
        namespace Space { export const inner = Color.Blue; export namespace Deep { export function f() { return inner } } }
        abstract class Base { abstract x(): void; protected constructor(readonly a: number, public b?: string) {} }
        class Sub extends Base { declare kept: number; late = (this as any).a; constructor() { super(3, "b") } x() {} }
        function over(a: string): void; function over(a: number): void; function over(a: unknown) { return a as never }
        const cast = <any>value, sat = { k: 1 } satisfies object, sure = cast!.length;
        let x: OnlyType | Party.Server = undefined as never; function guard(this: void, v: unknown): asserts v is string {}
        print(Color.Blue, Color[2], Color.Text, Fast.B, Space.inner, Space.Deep.f(), new Sub().late, new Sub().b, sat.k, sure, typeof over, typeof guard, x);
    "#;
    let other = r#"export const value = "four"; export interface OnlyType { a: 1 } export type Also = 1"#;
    prints(&[("main.ts", main), ("other.ts", other)], "2 Blue t 10 2 2 3 b 1 4 function function ")
}

#[test]
fn a_variable_may_be_called_of() -> Outcome<()> {
    let main = r#"const list = [1, 2]; let text = "_o"; var of3 = ["z"], _o = "p";
        for (const of of list) text += of; for (let of  of of2()) text += of; for (var of of [4]) { const now = of; for (const of of [now]) text += of }
        for (const x of list) { for (const of of of3) text += of + x } function of2() { return [3] }
        for (const of in { k: 1 }) text += of; for (const of = 5; ;) { text += of; break }
        text += (() => { for (const of of list) text += of }).toString().includes("const of of list");
        print(text + of + _o)"#;
    let expected = "_o1234z1z2k5true4p";
    prints(&[("main.ts", main)], expected)?;
    prints(&[("main.js", main)], expected)
}

#[test]
fn import_equals_and_export_equals() -> Outcome<()> {
    let main = r#"import lib = require("./lib"); import fn from "./fn"; import Alias = lib.inner; print(lib.inner.v, Alias.v, fn(2))"#;
    let lib = "export namespace inner { export const v = 1 }";
    prints(
        &[
            ("main.ts", main),
            ("lib.ts", lib),
            ("fn.ts", "function twice(n: number) { return n * 2 }\nexport = twice"),
        ],
        "1 1 4",
    )
}

#[test]
fn define_semantics_of_class_fields() -> Outcome<()> {
    let main = "class A { set x(v) { print('set', v) } } class B extends A { x = 1; y; constructor(readonly p = 2) { super() } } print(Object.keys(new B()).join())";
    prints(&[("main.ts", main)], "p,x,y")?;
    let assign = r#"{ "compilerOptions": { "useDefineForClassFields": false } }"#;
    prints(&[("main.ts", main), ("tsconfig.json", assign)], "set 1\np")?;
    prints(
        &[("main.ts", main), ("tsconfig.json", r#"{ "compilerOptions": { "target": "ES2020" } }"#)],
        "set 1\np",
    )
}

#[test]
fn assigned_fields_run_after_parameter_properties() -> Outcome<()> {
    let main = r#"const a = "outer"; class Base { constructor(...list) { print("base", list.join()) } }
        class A { x = a; ["k"] = this.p; #q = 5; static s = 2; static t = this.s + 1;
            constructor(public p: number, a?: string) { "use strict"; print(this.x, this.k, a) } get q() { return this.#q } }
        class B extends Base { y = 1 } class C extends Base { z = this.w; constructor(private w = 7) { print("before"); super(1, 2); print(this.z) } }
        print(new A(4, "inner").q, A.t, new (B as any)(8, 9).y, new C().z)"#;
    let config = r#"{ "compilerOptions": { "useDefineForClassFields": false } }"#;
    prints(
        &[("main.ts", main), ("tsconfig.json", config)],
        "outer 4 inner\nbase 8,9\nbefore\nbase 1,2\n7\n5 3 1 7",
    )
}

#[test]
fn a_field_does_not_see_parameter_properties_yet() -> Outcome<()> {
    let main = "class A { early = this.room; constructor(readonly room: string) {} } print(new A('r').early, new A('r').room)";
    prints(&[("main.ts", main), ("tsconfig.json", ESNEXT)], " r")
}

#[test]
fn legacy_decorators() -> Outcome<()> {
    let main = r#"
        const log = (name: string) => (...args: any[]) => { print(name, typeof args[0], String(args[1]), typeof args[2]) };
        function seal(target: any) { return class Sealed extends target { sealed = true } as any }
        @seal @log("class") class A { @log("field") x = 1; @log("method") m(@log("param") p: string) {} @log("static") static s = 2; }
        print((new A() as any).sealed, new A().x, A.s);
    "#;
    let config = r#"{ "compilerOptions": { "experimentalDecorators": true } }"#;
    prints(
        &[("main.ts", main), ("tsconfig.json", config)],
        "field object x undefined\nparam object m number\nmethod object m object\nstatic function s undefined\nclass function undefined undefined\ntrue 1 2",
    )
}

#[test]
fn decorator_metadata() -> Outcome<()> {
    let main = r#"
        (Reflect as any).metadata = (key: string, value: any) => () => print(key, Array.isArray(value) ? value.map((v) => v.name).join() : value?.name);
        class Dep {} const mark: any = () => {};
        class A { @mark x!: Dep; @mark m(a: string, b: Dep): number { return 1 } }
        print(new A().m("", new Dep()));
    "#;
    let config =
        r#"{ "compilerOptions": { "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#;
    prints(
        &[("main.ts", main), ("tsconfig.json", config)],
        "design:type Dep\ndesign:returntype Number\ndesign:paramtypes String,Dep\ndesign:type Function\n1",
    )
}

#[test]
fn standard_decorators_accessors_and_using() -> Outcome<()> {
    let main = r#"
        const log = (value, context) => { print(context.kind, String(context.name), context.static) };
        @log class A { @log m() {} @log accessor a = 4; @log static #p = 1; @log get g() { return 2 } }
        const a = new A(); a.a++; print(a.a, a.g);
        { using r = { [Symbol.dispose]() { print("disposed") } }; print("inside") }
        using top = { [Symbol.dispose]() { print("end") } };
        await (async () => { await using r = { async [Symbol.asyncDispose]() { print("later") } } })();
        export class K { static { print("static block") } }
    "#;
    for name in ["main.js", "main.ts"] {
        let project = Project::new(&[(name, main)])?;
        let log = project.log(name)?;
        let expected = "static block\nend";
        assert!(
            log.contains("method m false") && log.contains("accessor a false") && log.contains("class A"),
            "{log}"
        );
        assert!(log.contains("5 2\ninside\ndisposed\nlater") && log.ends_with(expected), "{name}\n{log}");
    }
    Ok(())
}

#[test]
fn elements_follow_pragmas_as_with_esbuild() -> Outcome<()> {
    let make = "const named = (name: string) => ({ createElement: (...all: any[]) => name + all.length });
        const React = named('react'), h = (...all: any[]) => 'h' + all.length;";
    let lib = (
        "node_modules/lib/jsx-runtime.js",
        "export const jsx = (tag) => 'lib ' + tag; export const Fragment = 0",
    );
    let with = |code: &str, config: &str, expected: &str| {
        prints(
            &[("main.tsx", &format!("{code} {make} print(<a/>)")), lib, ("tsconfig.json", config)],
            expected,
        )
    };
    let automatic =
        r#"{ "compilerOptions": { "jsx": "react-jsx", "jsxImportSource": "lib", "jsxFactory": "no" } }"#;
    with("", "{}", "react2")?;
    with("", r#"{ "compilerOptions": { "jsx": "preserve", "jsxImportSource": "lib" } }"#, "react2")?;
    with("/** @jsxImportSource lib */", "{}", "react2")?;
    with("/* @jsx 1+1 */", "{}", "react2")?;
    with("print('// @jsx no'); // @jsx h\n", "{}", "// @jsx no\nh2")?;
    with("", automatic, "lib a")?;
    with("/** @jsx h */", automatic, "lib a")?;
    with("/** @jsxRuntime classic @jsx h */", automatic, "h2")?;
    with("/** @jsxRuntime automatic\n * @jsxImportSource lib */", "{}", "lib a")
}

#[test]
fn jsx_of_all_kinds() -> Outcome<()> {
    let h = "export const h = (tag, props, ...c) => typeof tag === 'function' ? tag({ ...props,
             c }) : `<${tag} ${JSON.stringify(props)}>${c.flat().join('')}`; export const Frag = ({ c }) => `[${c.join('')}]`;
             export const React = { createElement: h, Fragment: Frag };";
    let body = "const A = (p) => 'A' + JSON.stringify(p); const x = 1, rest = { q: 2 };";
    let page = "print(<div a=\"b\" {...rest}>{x} t&amp;<A k={x} /></div>); print(<><b /></>)";
    let classic = format!("import {{ React }} from './h'; {body} {page}");
    let expected = r#"<div {"a":"b","q":2}>1 t&A{"k":1,"c":[]}
[<b null>]"#;
    prints(&[("main.tsx", &classic), ("h.js", h)], expected)?;
    prints(&[("main.jsx", &classic), ("h.js", h)], expected)?;
    let pragma = format!("/** @jsx h @jsxFrag Frag */ import {{ h, Frag }} from './h'; {body} {page}");
    prints(&[("main.tsx", &pragma), ("h.js", h)], expected)?;
    let config =
        r#"{ "compilerOptions": { "jsx": "react", "jsxFactory": "h", "jsxFragmentFactory": "Frag" } }"#;
    let factory = format!("import {{ h, Frag }} from './h'; {body} {page}");
    prints(&[("main.tsx", &factory), ("h.js", h), ("tsconfig.json", config)], expected)?;
    let runtime = "export const jsx = (tag, props, key) => typeof tag === 'function' ? tag(props) : `<${tag} ${JSON.stringify(props)} ${key ?? ''}>`;
             export const jsxs = jsx; export const Fragment = (p) => '[' + p.children + ']';";
    let source = "print(<p k={1} key=\"y\">{[1].map((n) => <i key={n} />)}</p>, <><b /></>)";
    let config = r#"{ "compilerOptions": { "jsx": "react-jsx", "jsxImportSource": "lib" } }"#;
    prints(
        &[("main.tsx", source), ("node_modules/lib/jsx-runtime.js", runtime), ("tsconfig.json", config)],
        r#"<p {"k":1,"children":["<i {} 1>"]} y> [<b {} >]"#,
    )?;
    let comment = format!("/** @jsxImportSource lib */ {source}");
    let config = r#"{ "compilerOptions": { "jsx": "react-jsx" } }"#;
    prints(
        &[("main.tsx", &comment), ("node_modules/lib/jsx-runtime.js", runtime), ("tsconfig.json", config)],
        r#"<p {"k":1,"children":["<i {} 1>"]} y> [<b {} >]"#,
    )
}

#[test]
fn verbatim_imports_keep_side_effects() -> Outcome<()> {
    let config = r#"{ "compilerOptions": { "verbatimModuleSyntax": true } }"#;
    let main = "import { Thing } from './other'; print('main')";
    let other = "print('other'); export const Thing = 1";
    prints(&[("main.ts", main), ("other.ts", other), ("tsconfig.json", config)], "other\nmain")?;
    prints(&[("main.ts", main), ("other.ts", other)], "main")
}

#[test]
fn sloppy_scripts_become_strict() -> Outcome<()> {
    let old = r#"
        var package = 1, static = { package }; function f(_, _, last) { return last } function interface() { return 010 + "\07".length }
        var { package: let, static: yield = 5 } = { package: 2 };
        exports.all = [package, static.package, f(1, 2, 3), interface(), let, yield];
    "#;
    prints(&[("main.js", "import { all } from './old'; print(all.join())"), ("old.js", old)], "1,1,3,9,2,5")?;
    let project = Project::new(&[
        ("main.js", "import './old'"),
        ("old.js", "with ({}) {}\nexports.x = 1; delete exports"),
    ])?;
    let errors = project.errors("main.js")?.to_string();
    assert!(errors.contains("A `with` statement") && errors.contains("old.js:1:1"), "{errors}");
    assert!(errors.contains("`delete` of a variable"), "{errors}");
    Ok(())
}

#[test]
fn names_survive_renaming() -> Outcome<()> {
    let main = r#"import { A as B, f as g } from "./a"; import h from "./h"; import K from "./k"; class A {} function f() {}
        print(A.name, B.name, f.name, g.name, h.name, K.name, new B().constructor.name)"#;
    let files = [
        ("main.js", main),
        ("a.js", "export class A {} export function f() {}"),
        ("h.js", "export default () => 1"),
        ("k.js", "export default class {}"),
    ];
    prints(&files, "A A f f default default A")
}

#[test]
fn text_survives_as_ascii() -> Outcome<()> {
    let main = "const é = `x${'☃'}\\n😀`, o = { ключ: 1, '\u{2028}': 2 }; class Ü {} 
        print(é, Object.keys(o).map(escape).join(), Ü.name, /[ä-ö]/u.test('ö'), String.raw`\\é`)";
    prints(&[("main.ts", main)], "x☃\n😀 %u043A%u043B%u044E%u0447,%u2028 Ü true \\é")
}

#[test]
fn assigned_fields_run_in_their_order() -> Outcome<()> {
    let main = r#"
        let log = ""; const k = (name: string) => { log += name; return name };
        class A { a = 1; #b = this.a + 1; ["c" + ""] = this.#b + 1; #id = this.room.id; d = this.#id; get b() { return this.#b } constructor(readonly room: any) {} }
        const a: any = new A({ id: "r" }); print(a.b, a.c, a.d, Object.keys(a).join());
        class M { [k("1")] = 1; [k("2")]() {} [k("3")] = 3; static [k("4")] = 4; [k("5")] = 5 } new M(); print(log, Object.keys(new M()).join());
        const make = (n: string) => class { [n + ""] = n; #m = n; get m() { return this.#m } }; const X = make("x"), Y = make("y");
        print(Object.keys(new X()).join(), new X().m, Object.keys(new Y()).join(), new Y().m);
        const made = []; for (const n of ["p", "q"]) { class L { [n + n] = n } made.push(L) } print(made.map((L) => Object.keys(new L()).join()).join());
        class P { set s(v) { print("set", v) } } class Q extends P { t = 1; ["s" + ""] = this.t; #u = this.t + 1; get u() { return this.#u } } print(new Q().u)"#;
    let config = r#"{ "compilerOptions": { "target": "es2017" } }"#;
    prints(
        &[("main.ts", main), ("tsconfig.json", config)],
        "2 3 r room,a,c,d\n12345 1,3,5\nx x y y\npp,qq\nset 1\n2",
    )
}

#[test]
fn namespaces_of_classes_functions_and_enums() -> Outcome<()> {
    let main = r#"
        export class K { static x = 1 } export namespace K { export const y = K.x + 1; export interface T {} }
        function f() { return f.z } namespace f { export const z = 3 } enum E { A = 1 } namespace E { export const b = E.A + 1 }
        class L {} namespace L { export const one = 1 } namespace L { export const two = L.one + 1 }
        export default L; print(K.y, f(), E.b, L.two)"#;
    prints(&[("main.ts", main)], "2 3 2 2")
}

#[test]
fn legacy_decorators_of_instance_members_come_first() -> Outcome<()> {
    let main = r#"const d = (name: string) => (...args: any[]): any => print(name);
        class A { @d("s") static s() {} @d("m") m() {} @d("f") static f = 1; @d("g") g = 1 } print(A.f, new A().g)"#;
    let config = r#"{ "compilerOptions": { "experimentalDecorators": true } }"#;
    prints(&[("main.ts", main), ("tsconfig.json", config)], "m\ng\ns\nf\n1 1")
}

#[test]
fn an_import_of_no_names_is_one_of_types() -> Outcome<()> {
    let files = |config| {
        [
            ("main.ts", "import {} from './x'; import './y'; import './z.js'; print('main')"),
            ("x.ts", "print('x')"),
            ("y.ts", "print('y')"),
            ("z.js", "import {} from './w'; print('z')"),
            ("w.ts", "print('w')"),
            ("tsconfig.json", config),
        ]
    };
    prints(&files("{}"), "y\nw\nz\nmain")?;
    prints(&files(r#"{ "compilerOptions": { "verbatimModuleSyntax": true } }"#), "x\ny\nw\nz\nmain")
}

#[test]
fn blocks_of_a_namespace_see_each_other() -> Outcome<()> {
    let main = r#"
        const c = 9, T = 5, E1 = 3;
        namespace N { export let a = 1; export function f() { return a } export namespace I { export const z = 1 } export const c = 2; export type T = 1 }
        namespace N { export const d = a + c + T; export const o = { a, c }; export namespace I { export const y = z + a }
            export const h = (a: number) => a; a = 7; [a] = [8]; export const g = () => f(); export const inner = () => { const c = 4; return c } }
        namespace A.B { export const x = 1 } namespace A { export const k = B.x + 1 } namespace A.B { export const w = x + k }
        namespace Q { export enum E { A = 4 } export const A = "wrong" } namespace Q { export enum F { A = 1, B = A + 1 } export const e = E.A }
        print(N.d, JSON.stringify(N.o), N.I.y, N.h(3), N.a, N.g(), N.inner(), A.B.w, Q.F.B, Q.e, c, T, E1)"#;
    prints(&[("main.ts", main)], "8 {\"a\":1,\"c\":2} 2 3 8 8 4 3 2 4 9 5 3")
}

/// Code that transforms move to a place where its names mean something else.
#[test]
fn names_that_were_moved_or_made_are_not_captured() -> Outcome<()> {
    let assigned = ("tsconfig.json", r#"{ "compilerOptions": { "useDefineForClassFields": false } }"#);
    let field = "function make(y: number) { return class { x = y; constructor(y: number) { print(y) } } } print(new (make(1))(2).x)";
    prints(&[("main.ts", field), assigned], "2\n1")?;
    let namespace =
        "namespace A { export let x = 1; export function f(A: number) { return x + A } } print(A.f(2))";
    prints(&[("main.ts", namespace)], "3")?;
    let made = "const decorate = (x: unknown) => x; function f() { let _dec = 1, _initProto = 2, _class = 3;
        class C { @decorate m() { return _dec + _initProto + _class } } return new C().m() } print(f())";
    prints(&[("main.ts", made)], "6")?;
    let defined = "globalThis.outer = 'global ';
        function plain(outer) { return HERE + outer }
        function hoisted() { { var outer = 'hoisted' } return HERE + outer }
        function blocks() { { let outer = 'block '; print(outer + HERE) } return HERE }
        function caught() { try { throw 'caught ' } catch (outer) { return outer + HERE } }
        function loops() { for (const outer of ['loop ']) return outer + HERE }
        const named = function outer() { return typeof outer + ' ' + HERE };
        const inner = class outer { static a = typeof outer + ' ' + HERE };
        function cases() { switch (1) { case 1: let outer = 'case '; return outer + HERE } }
        print(plain('plain')); print(hoisted()); print(blocks()); print(caught()); print(loops()); print(named());
        print(inner.a); print(cases())";
    let project = Project::new(&[("main.js", defined)])?;
    let define = vec![("HERE".to_owned(), "outer".to_owned())];
    let bundle = Bundler::new(BundleOptions { define, ..project.options("main.js") }).build()?;
    let expected = "global plain\nglobal hoisted\nblock global \nglobal \ncaught global \nloop global \nfunction global \nfunction global \ncase global ";
    assert_eq!(project.log_of(&bundle)?, expected);
    Ok(())
}
