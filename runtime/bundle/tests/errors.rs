//! What goes wrong: messages with place, frame, chain and next step; several at once; the state of a broken project.

mod common;

use common::{Outcome, Project};
use partyrun_bundle::{BundleOptions, Bundler};

#[test]
fn a_message_says_what_where_and_what_next() -> Outcome<()> {
    let project = Project::new(&[
        ("src/main.ts", "import './lib'"),
        (
            "src/lib.ts",
            "const before = 1;\nimport { z } from \"zod/v4\";\nimport x from '@scope/pkg/deep';\nz(x, before)",
        ),
    ])?;
    let errors = project.errors("src/main.ts")?;
    let expected = "error: Could not resolve \"zod/v4\"\n  --> src/lib.ts:2:19\n   |\n 2 | import { z } from \"zod/v4\";\n\
        \x20  |                   ^\n  imported by: src/main.ts -> src/lib.ts\n  help: npm install zod\n\n\
        error: Could not resolve \"@scope/pkg/deep\"\n  --> src/lib.ts:3:15\n   |\n 3 | import x from '@scope/pkg/deep';\n\
        \x20  |               ^\n  imported by: src/main.ts -> src/lib.ts\n  help: npm install @scope/pkg";
    assert_eq!(errors.to_string(), expected);
    assert!(errors.inputs.iter().any(|input| input.ends_with("src/lib.ts")));
    Ok(())
}

#[test]
fn a_package_that_is_there_but_not_built() -> Outcome<()> {
    let project = Project::new(&[
        ("src/main.ts", "import 'built'; import 'exported'; import 'gone'"),
        ("node_modules/built/package.json", r#"{ "name": "built", "main": "dist/index.js" }"#),
        ("node_modules/exported/package.json", r#"{ "name": "exported", "exports": "./dist/index.js" }"#),
    ])?;
    let text = project.errors("src/main.ts")?.to_string();
    for package in ["built", "exported"] {
        let help =
            format!("help: the package is installed in node_modules/{package}, but the file that it names");
        assert!(text.contains(&help) && !text.contains(&format!("npm install {package}")), "{text}");
    }
    assert!(text.contains("help: npm install gone"), "{text}");
    Ok(())
}

#[test]
fn every_kind_of_mistake() -> Outcome<()> {
    let table: [(&str, &[&str]); 11] = [
        ("import './gone'", &["Could not resolve \"./gone\"", "main.ts:1:8"]),
        ("let a = ;", &["main.ts:1:9", "^"]),
        (
            "import { no } from './other'; no()",
            &["No matching export in \"other.ts\" for import \"no\"", "main.ts:1:20"],
        ),
        (
            "import './x.css'",
            &["No loader is configured for \".css\" files\n  --> x.css\n  imported by: main.ts -> x.css"],
        ),
        (
            "import 'broken'",
            &["Could not resolve \"broken\": node_modules/broken/package.json: key must be a string"],
        ),
        ("import './assign.js'", &["Cannot assign to `yes`: it is an import", "assign.js:1:32"]),
        ("import './bad.json'", &["Invalid JSON", "bad.json:1:", "imported by: main.ts -> bad.json"]),
        ("import { v } from './clash'; v", &["Several `export *` in \"clash.ts\" export \"v\""]),
        ("import './undeclared.js'", &["\"nothing\" is exported, but not declared"]),
        ("import './folder.ts'", &["folder.ts"]),
        ("const a = 1; const a = 2", &["main.ts:1:"]),
    ];
    for (source, expected) in table {
        let project = Project::new(&[
            ("main.ts", source),
            ("other.ts", "export const yes = 1"),
            ("x.css", ""),
            ("node_modules/broken/package.json", "{ main }"),
            ("bad.json", "{ \"a\": }"),
            ("clash.ts", "export * from './v1'; export * from './v2'"),
            ("v1.ts", "export const v = 1"),
            ("v2.ts", "export const v = 2"),
            ("undeclared.js", "export { nothing }"),
            ("assign.js", "import { yes } from './other'; yes = 1"),
            ("folder.ts/file.txt", ""),
        ])?;
        let text = project.errors("main.ts").map_err(|error| format!("{source}: {error}"))?.to_string();
        for part in expected {
            assert!(text.contains(part), "{source}: {part}\n{text}");
        }
    }
    Ok(())
}

#[test]
fn several_files_report_at_once() -> Outcome<()> {
    let project = Project::new(&[
        ("main.ts", "import './a'; import './b'; import './c'; import 'missing'"),
        ("a.ts", "let a = ;"),
        ("b.jsx", "<div>"),
        ("c.json", "[1,"),
    ])?;
    let errors = project.errors("main.ts")?;
    let files: Vec<_> = errors
        .errors
        .iter()
        .filter_map(|error| error.file.as_ref())
        .map(|file| file.display().to_string())
        .collect();
    for file in ["a.ts", "b.jsx", "c.json", "main.ts"] {
        assert!(files.iter().any(|found| found == file), "{file} {files:?}\n{errors}");
    }
    Ok(())
}

#[test]
fn entries_and_parties() -> Outcome<()> {
    let project = Project::new(&[
        ("main.ts", "export default 1"),
        ("p.ts", "import './main'; export default 2; print('party')"),
    ])?;
    let text = project.errors("nope.ts")?.to_string();
    assert!(text.contains("Could not find the entry \"nope.ts\""), "{text}");
    let options = BundleOptions {
        parties: vec![("other".into(), "p.ts".into()), ("gone".into(), "q.ts".into())],
        ..project.options("main.ts")
    };
    let text =
        Bundler::new(options.clone()).build().err().map(|errors| errors.to_string()).unwrap_or_default();
    assert!(text.contains("q.ts"), "{text}");
    let options = BundleOptions { parties: options.parties[..1].to_vec(), ..options };
    assert_eq!(project.log_of(&Bundler::new(options).build()?)?, "party");
    Ok(())
}

#[test]
fn a_rebuild_sees_what_changed() -> Outcome<()> {
    let project =
        Project::new(&[("main.ts", "import { a } from './a'; print(a)"), ("a.ts", "export const a = 1")])?;
    let options = BundleOptions { cache_dir: Some(project.0.join("cache")), ..project.options("main.ts") };
    let mut bundler = Bundler::new(options.clone());
    let first = bundler.build()?;
    assert_eq!(Bundler::new(options.clone()).build()?.code, first.code, "the cache on disk gives the same");
    project.write("a.ts", b"export const a = ")?;
    assert!(bundler.build().is_err());
    project.write("a.ts", b"import './b'; export const a = 2")?;
    assert!(bundler.build().is_err_and(|errors| errors.to_string().contains("./b")));
    project.write("b.ts", b"print('b')")?;
    let last = bundler.build()?;
    assert_ne!(last.hash, first.hash);
    assert_eq!(project.log_of(&last)?, "b\n2");
    for entry in std::fs::read_dir(project.0.join("cache"))? {
        std::fs::write(entry?.path(), b"broken")?;
    }
    assert_eq!(Bundler::new(options).build()?.code, last.code, "a broken cache is no cache");
    Ok(())
}

#[test]
fn the_main_module_can_begin_with_a_pause() -> Outcome<()> {
    let project = Project::new(&[
        (
            "main.ts",
            "import './a';\nimport type { T } from './a';\nexport const unused: number = 1;\nprint('main');",
        ),
        ("a.ts", "export type T = 1;\nprint('a');"),
    ])?;
    let options = project.options("main.ts");
    assert!(!Bundler::new(options.clone()).build()?.code.contains("debugger"));
    let bundle = Bundler::new(BundleOptions { pause_first: true, ..options }).build()?;
    let (before, after) = bundle.code.split_once("debugger").ok_or("no pause")?;
    assert!(before.contains("print(") && after.matches("print(").count() == 1, "{}", bundle.code);
    assert!(!after.contains("debugger"));
    assert_eq!(project.log_of(&bundle)?, "a\nmain");
    Ok(())
}

#[test]
fn a_stack_trace_names_the_source() -> Outcome<()> {
    let project = Project::new(&[
        (
            "src/main.ts",
            "import { outer } from './lib';\n\nconst \u{e9} = '\u{1f600}'; outer<string>(\u{e9});\n",
        ),
        (
            "src/lib.ts",
            "interface A { a: 1 }\nenum E { A }\nexport function outer<T>(t: T) {\n  common();\n  return E.A;\n}\nimport common from 'old';",
        ),
        (
            "node_modules/old/index.js",
            "// A comment that is not printed.\nmodule.exports = function () {\n\n    throw new Error('deep');\n};",
        ),
    ])?;
    let expected = "threw Error: deep\n  at file:///node_modules/old/index.js:4:11\n  at file:///src/lib.ts:4:3\n  at file:///src/main.ts:3:17";
    assert_eq!(project.log("src/main.ts")?, expected);
    project.write("src/main.ts", b"print(1);\n\nimport value from './boom.cjs';\nprint(value);")?;
    project.write("src/boom.cjs", b"\nthrow new Error('boom')")?;
    let expected = "threw Error: boom\n  at file:///src/boom.cjs:2:7\n  at file:///src/main.ts:3:19";
    assert_eq!(project.log("src/main.ts")?, expected);
    Ok(())
}

#[test]
fn assignments_to_constants_and_imports() -> Outcome<()> {
    let refused = [
        "const a = 1; a = 2; export { a }",
        "const a = 1; export const f = () => { a++ }",
        "const a = 1; export const f = () => { [a] = [1] }",
        "let a: any; class C { m() { C = a } }",
        "export function f() { const a = 1; ({ x: a = 1 } = {} as any) }",
        "for (const a of [1]) { a += 1 }",
        "const a = 1; for ((a as any) of []) {}",
        "import { a } from './other'; (a)++",
        "import { a } from './other'; (a as any)++",
        "import { a } from './other'; [a] = [5]",
        "import { a } from './other'; ({ a } = { a: 1 })",
        "import { a } from './other'; for (a of []) {}",
        "import * as a from './other'; a! = 1",
        "import 'constant'",
    ];
    for source in refused {
        let project = Project::new(&[
            ("main.ts", source),
            ("other.ts", "export let a = 1"),
            ("node_modules/constant/package.json", "{}"),
            ("node_modules/constant/index.js", "const a = 1; try { a = 2 } catch {} module.exports = a"),
        ])?;
        let errors = project.errors("main.ts").map_err(|error| format!("{source}: {error}"))?.to_string();
        assert!(errors.contains("Cannot assign to `"), "{source}: {errors}");
    }
    let allowed = [
        "const a = 1; { let a; a = 2 } function f(a) { a = 1 }",
        "let C = class C {}; C = null; class D {} D = null",
        "for (let i = 0; i < 1; i++) {} const o = {}; o.a = 1; [o.b] = [1]",
    ];
    for source in allowed {
        Project::new(&[("main.js", source)])?.build("main.js")?;
    }
    Ok(())
}
