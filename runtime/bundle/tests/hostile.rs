//! Hostile input: whatever the files hold, a build ends with a bundle or with errors, never with a panic or a hang.

mod common;

use std::fmt::Write;
use std::time::{Duration, Instant};

use common::{Outcome, Project};

#[test]
fn strange_files() -> Outcome<()> {
    let project = Project::new(&[(
        "main.js",
        "import './binary.js'; import './folder'; import './locked.js'; import './utf16.js'; import './empty.json'; import 'cycle'",
    )])?;
    project.write("binary.js", &(0..=255u8).cycle().take(4096).collect::<Vec<_>>())?;
    project.write("utf16.js", b"\xff\xfel\0e\0t\0")?;
    project.write("empty.json", b"")?;
    std::fs::create_dir_all(project.0.join("folder"))?;
    project.link("locked.js", "locked.js")?;
    project.link("node_modules/other", "node_modules/cycle")?;
    project.link("node_modules/cycle", "node_modules/other")?;
    let text = project.errors("main.js")?.to_string();
    for file in ["binary.js", "folder", "locked.js", "utf16.js", "empty.json", "cycle"] {
        assert!(text.contains(file), "{file}\n{text}");
    }
    assert!(text.len() < 10_000, "{}", text.len());
    Ok(())
}

#[test]
fn broken_packages() -> Outcome<()> {
    for package in [
        "{",
        "[]",
        "null",
        "\"x\"",
        r#"{ "exports": 5 }"#,
        r#"{ "exports": { ".": { "import": ["../../out.js"] } } }"#,
        r#"{ "main": 7, "browser": "no", "sideEffects": 3, "type": [] }"#,
        r#"{ "exports": { ".": "./a.js", "import": "./b.js" } }"#,
        r#"{ "main": "../../../../../../etc/passwd" }"#,
        r#"{ "imports": { "x": 1 } }"#,
        "\u{0}",
    ] {
        let project = Project::new(&[("main.js", "import 'p'"), ("node_modules/p/package.json", package)])?;
        // Either outcome is right; that there is one is the point.
        let _ = project.build("main.js");
        project.write("node_modules/p/index.js", b"print(1)")?;
        let _ = project.build("main.js");
    }
    Ok(())
}

#[test]
fn large_and_deep_inputs() -> Outcome<()> {
    let deep = |open: &str, close: &str, n: usize| {
        format!("export const a = {}1{}", open.repeat(n), close.repeat(n))
    };
    let line = format!("export const list = [{}];", "1234567,".repeat(1_250_000));
    let chain = format!("export const a = {}0;", "1+".repeat(100_000));
    let nested = format!("{}1{}", "if (a) {".repeat(3000), "}".repeat(3000));
    let sources = [
        deep("(", ")", 3000),
        deep("[", "]", 100_000),
        deep("() => ", "", 20_000),
        deep("!", "", 50_000),
        line.clone(),
        chain,
        nested,
    ];
    assert_eq!(
        Project::new(&[("main.js", &format!("{line} print(list.length)"))])?.log("main.js")?,
        "1250000",
        "a line of 10 MB is a program"
    );
    for source in sources {
        let start = Instant::now();
        let _ = Project::new(&[("main.js", &source)])?.build("main.js");
        assert!(start.elapsed() < Duration::from_secs(60), "{}", &source[..40]);
    }
    Ok(())
}

#[test]
fn syntax_errors_of_every_loader() -> Outcome<()> {
    for (file, source) in [
        ("a.ts", "const a: = 1"),
        ("a.mts", "interface {"),
        ("a.cts", "enum"),
        ("a.tsx", "const a = <b>"),
        ("a.jsx", "const a = <b></c>"),
        ("a.js", "a b"),
        ("a.mjs", "export {"),
        ("a.cjs", "exports.a = ;"),
        ("a.json", "{ a: 1 }"),
    ] {
        let project = Project::new(&[("main.ts", &format!("\n  import './{file}'")), (file, source)])?;
        let errors = project.errors("main.ts").map_err(|error| format!("{file}: {error}"))?;
        let error = errors.errors.first().ok_or("no error")?;
        assert_eq!(error.file.as_deref(), Some(std::path::Path::new(file)), "{errors}");
        assert!(error.line == 1 && error.column > 0 && error.frame.contains(source), "{errors}");
        assert_eq!(error.chain.len(), 2, "{errors}");
    }
    // Everything is a text, and what is no WebAssembly is found when it is compiled.
    let project = Project::new(&[(
        "main.ts",
        "import './a.txt'; import './a.html'; import './a.bin'; import './a.wasm'",
    )])?;
    for file in ["a.txt", "a.html", "a.bin", "a.wasm"] {
        project.write(file, b"\xff\0<")?;
    }
    assert!(project.build("main.ts").is_ok());
    Ok(())
}

#[test]
fn configurations_that_extend_each_other() -> Outcome<()> {
    let project = Project::new(&[
        ("main.ts", "import { a } from '@/a'; print(a)"),
        ("src/a.ts", "export const a = 'found'"),
        (
            "tsconfig.json",
            r#"{ "extends": "./b.json", "compilerOptions": { "paths": { "@/*": ["./src/*"] } } }"#,
        ),
        ("b.json", r#"{ "extends": "./c.json" }"#),
        ("c.json", r#"{ "extends": "./b.json" }"#),
    ])?;
    let bundle = project.build("main.ts")?;
    assert_eq!(project.log_of(&bundle)?, "found");
    let warnings: Vec<_> = bundle.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("circle"), "{warnings:?}");
    Ok(())
}

#[test]
fn a_file_that_changes_while_it_is_read() -> Outcome<()> {
    let project = Project::new(&[("main.ts", "import { a } from './a'; print(a.length)"), ("a.ts", "")])?;
    let text = |length: usize| format!("export const a: string = '{}';", "x".repeat(length));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let mut bundler = partyrun_bundle::Bundler::new(project.options("main.ts"));
    std::thread::scope(|scope| -> Outcome<()> {
        let writer = scope.spawn(|| -> std::io::Result<()> {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                for length in [10, 100_000, 1000] {
                    std::fs::write(project.0.join("a.ts"), text(length))?;
                }
            }
            Ok(())
        });
        let built: Vec<_> = (0..200).map(|_| bundler.build()).collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().map_err(|_| "the writer panicked")??;
        // A part of the file is an error in that file, and nothing else.
        for errors in built.into_iter().filter_map(Result::err) {
            assert!(errors.to_string().contains("a.ts"), "{errors}");
        }
        Ok(())
    })?;
    assert_eq!(project.log_of(&bundler.build()?)?, "1000");
    Ok(())
}

#[test]
fn five_thousand_modules() -> Outcome<()> {
    let count = 5000;
    let project = Project::new(&[("main.js", "import { v } from './m0'; print(v())")])?;
    for number in 0..count {
        let next = number + 1;
        let (import, value) = if next < count {
            (format!("import {{ v as next }} from './m{next}';"), "next()")
        } else {
            (String::new(), "1")
        };
        project.write(
            &format!("m{number}.ts"),
            format!(
                "{import} export const x{number} = 1; export const v = (): number => x{number} && {value};"
            )
            .as_bytes(),
        )?;
    }
    assert_eq!(project.log("main.js")?, "1");
    // Through `export *`, and lazily.
    let mut stars = String::new();
    (0..count).try_for_each(|number| writeln!(stars, "export * from './m{number}';"))?;
    project.write("stars.js", stars.as_bytes())?;
    project.write("main.js", b"print(Object.keys(await import('./stars.js')).length)")?;
    assert_eq!(project.log("main.js")?, count.to_string());
    Ok(())
}

/// Sources of many kinds, to be cut and changed.
const SEEDS: [(&str, &str); 4] = [
    ("a.ts", "import x, { y as z } from './b'; import * as ns from './c.cjs'; export * from './b';
             export default class A<T> extends (ns.Base ?? Object) { #p = 1; @dec static s = z;
             get g(): number { return this.#p ?? x } constructor(readonly q = `t${z}`) { super() } } enum E { A = 1,
             B } namespace N { export const v = E.B } const dec: any = () => {};"),
    ("a.tsx", "const A = (p: { a?: string }) => <div {...p} k={`${p.a}`}>text &amp; <><b/></>{p.a!}</div>;
             export const [q, { r = 1, ...s }] = [1, {}] as any; for (const x of [A]) { label: while (x) { break label } } export { q as 'a b' };"),
    ("a.js", "var a = require('./b'); module.exports = function f(_,
             _) { try { return /[/]\\/(?<n>x)/u.test(arguments[0]) ? import('./b') : import.meta } catch { } finally { } };
             async function* g() { for await (const x of y) yield* x ?? (await z)?.[0] }"),
    ("a.json", r#"{ "a": [1, -2.5e3, "\u00e9\n", null, true, { "b": {} }] }"#),
];

#[test]
fn truncated_and_mutated_sources() -> Outcome<()> {
    let rounds: u64 = std::env::var("PARTYRUN_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let project = Project::new(&[
        ("b.ts", "export default 1; export const y = 2"),
        ("c.cjs", "exports.Base = class {}"),
    ])?;
    let mut state = 88_172_645_463_325_252u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    const PIECES: [&str; 24] = [
        "(", ")", "{", "}", "[", "]", "`", "'", "\"", "/*", "*/", "//", "=>", "import ", "export ", "await ",
        "\u{1}", "\u{2028}", "é", "<", ">", "@", "#", "\\u{1}",
    ];
    for round in 0..rounds {
        let (name, source) = SEEDS[below(SEEDS.len())];
        let mut bytes = source.as_bytes().to_vec();
        if round % 3 == 0 {
            bytes.truncate(below(bytes.len()));
        }
        for _ in 0..below(4) {
            let at = below(bytes.len());
            match below(3) {
                0 if !bytes.is_empty() => drop(bytes.remove(at)),
                1 => drop(bytes.splice(at..at, PIECES[below(PIECES.len())].bytes())),
                _ => drop(bytes.splice(
                    at..at,
                    source.bytes().skip(below(source.len())).take(below(30)).collect::<Vec<_>>(),
                )),
            }
        }
        project.write(name, &bytes)?;
        let start = Instant::now();
        let built = project.build(name);
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "round {round}: {}",
            String::from_utf8_lossy(&bytes)
        );
        if let Err(errors) = built {
            assert!(
                !errors.to_string().contains("compiler failed"),
                "round {round}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
    Ok(())
}
