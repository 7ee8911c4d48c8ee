//! Builds small clients and looks at what is written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests that panics has failed its test"
)]

use std::path::{Path, PathBuf};

use partyrun_client::{ClientBuild, ClientBundler, ClientError, ClientOptions, Format, Loader};

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(name, text)| project.write(name, text));
        project
    }

    // The real path: bundlers resolve links.
    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root().join("out").join(name)).unwrap_or_else(|_| format!("no {name}"))
    }

    fn options(&self, entries: &[&str]) -> ClientOptions {
        let root = self.root();
        ClientOptions {
            entries: entries.iter().map(|entry| root.join(entry)).collect(),
            outdir: root.join("out"),
            cwd: root,
            bundle: true,
            splitting: true,
            minify: false,
            sourcemap: false,
            format: Format::Esm,
            external: Vec::new(),
            alias: Vec::new(),
            define: Vec::new(),
            loader: Vec::new(),
            reload: None,
        }
    }
}

fn build(bundler: &mut ClientBundler) -> Result<ClientBuild, ClientError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(bundler.build())
}

fn built(options: ClientOptions) -> ClientBuild {
    build(&mut ClientBundler::new(options)).unwrap()
}

fn names(built: &ClientBuild) -> Vec<String> {
    built.files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// What a built module prints when Node.js runs it: JSON.
fn printed(project: &Project, name: &str) -> serde_json::Value {
    project.write("out/package.json", "{ \"type\": \"module\" }");
    let path = project.root().join("out").join(name);
    let output = std::process::Command::new("node").arg(path).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn shared_code_and_dynamic_imports_become_chunks() {
    let project = Project::new(&[
        ("a.ts", "import { s } from './s'; console.log('a', s); import('./later');"),
        ("deep/b.ts", "import { s } from '../s'; console.log('b', s);"),
        ("s.ts", "export const s: string = 'shared once';"),
        ("later.ts", "console.log('later');"),
    ]);
    let built = built(project.options(&["a.ts", "deep/b.ts"]));
    assert_eq!(built.files.len(), 4, "{:?}", built.files);
    let shared =
        built.files.iter().filter(|file| std::fs::read_to_string(file).unwrap().contains("shared once"));
    assert_eq!(shared.count(), 1);
    assert!(project.read("deep/b.js").contains("../chunk-"), "{}", project.read("deep/b.js"));
    assert_eq!(built.inputs.len(), 4);
}

#[test]
fn without_splitting_each_entry_has_everything() {
    let project = Project::new(&[
        ("a.js", "import { s } from './s.js'; console.log(s); import('./later.js').then(console.log);"),
        ("b.js", "import { s } from './s.js'; console.log(s);"),
        ("s.js", "export const s = 'shared';"),
        ("later.js", "export default 'later';"),
    ]);
    for format in [Format::Esm, Format::Iife, Format::Cjs] {
        let options =
            ClientOptions { splitting: format != Format::Esm, format, ..project.options(&["a.js", "b.js"]) };
        let built = built(options);
        assert_eq!(names(&built), ["a.js", "b.js"], "{format:?}");
        assert!(project.read("a.js").contains("later") && project.read("b.js").contains("shared"));
        assert_eq!(project.read("b.js").starts_with("(function"), format == Format::Iife);
    }
}

#[test]
fn loaders_make_modules_of_files() {
    let project = Project::new(&[
        (
            "a.js",
            "import t from './x.t'; import d from './x.d'; import b from './x.b'; import y from './x.y'; \
             import f from './x.f'; import c from './x.mjs'; import j from './x.json'; import e from './x.e'; \
             import n from './x.txt'; import { none } from './x.e'; \
             console.log(JSON.stringify([t, d, b, y.constructor.name, [...y], f, c, j, e, n, typeof none]));",
        ),
        ("x.t", "as text"),
        ("x.d", "as url"),
        ("x.b", "as base64"),
        ("x.y", "AB"),
        ("x.f", "as file"),
        ("x.mjs", "export default 'as ' + 'twin'"),
        ("x.json", "{ \"k\": 12345 }"),
        ("x.e", "gone"),
        ("x.txt", "plain"),
    ]);
    let loader = [
        (".t", Loader::Text),
        (".d", Loader::DataUrl),
        (".b", Loader::Base64),
        (".y", Loader::Binary),
        (".f", Loader::File),
        (".mjs", Loader::Copy),
        (".e", Loader::Empty),
    ];
    let loader = loader.into_iter().map(|(extension, loader)| (extension.to_owned(), loader)).collect();
    let built = built(ClientOptions { loader, ..project.options(&["a.js"]) });
    let code = project.read("a.js");
    assert!(!code.contains("gone"), "{code}");
    let value = printed(&project, "a.js");
    let file = value[5].as_str().unwrap().to_owned();
    let expected = serde_json::json!([
        "as text",
        "data:text/plain;charset=utf-8,as url",
        "YXMgYmFzZTY0",
        "Uint8Array",
        [65, 66],
        file,
        "as twin",
        { "k": 12345 },
        {},
        "plain",
        "undefined"
    ]);
    assert_eq!(value, expected, "{code}");
    // The name leads to the file from where the module is.
    assert!(file.ends_with(".f") && project.read(&file) == "as file", "{file}");
    assert!(names(&built).iter().any(|name| file.ends_with(name.as_str())), "{:?}", built.files);
    // A copy stays a module of its own, which is imported as it is.
    assert!(names(&built).iter().any(|name| name.ends_with(".mjs")) && !code.contains("twin"), "{code}");
}

#[test]
fn style_sheets_of_all_modules_become_one() {
    let project = Project::new(&[
        (
            "a.js",
            "import './b.js'; import './a.css'; import s, { one } from './m.module.css'; console.log(s, one);",
        ),
        ("b.js", "import './b.css'; import('./later.js');"),
        ("later.js", "import './later.css';"),
        (
            "a.css",
            "@import './base.css'; @import url(https://x.example/f.css); .a { background: url('./p.png?v=1') }",
        ),
        ("b.css", "@import './base.css' print; .b { color: red }"),
        ("base.css", ".base { color: blue }"),
        ("later.css", ".later { color: green }"),
        ("m.module.css", ".one { composes: two; color: pink } .two { margin: 0 }"),
        ("p.png", "not really"),
    ]);
    let loader = vec![(".png".to_owned(), Loader::File)];
    let built = built(ClientOptions { loader, ..project.options(&["a.js"]) });
    let css = project.read("a.css");
    let at = |part: &str| css.find(part).unwrap_or_else(|| panic!("{part} is not in\n{css}"));
    assert_eq!(at("@import url(\"https://x.example/f.css\")"), 0);
    assert!(at("@media print") < at(".b {") && at(".b {") < at(".a {"), "{css}");
    assert!(at(".a {") < at(".later {"), "{css}");
    assert!(css.contains("?v=1"), "{css}");
    assert!(names(&built).iter().any(|name| name.ends_with(".png")));
    let code = project.read("a.js");
    assert!(code.contains("m-module_one_") || code.contains("_one_"), "{code}");
    assert!(!css.contains(".one {"), "{css}");
}

#[test]
fn style_sheets_have_a_source_map() {
    let project = Project::new(&[
        ("a.js", "import './a.css';"),
        (
            "a.css",
            "@import './base.css' print;\n\n.all {\n  color: red;\n}\n\n@media (width > 1px) {\n  .big { margin: 0 }\n}\n\
             @keyframes k { from { top: 0 } to { top: 1px } }\n.card { color: green }\n\
             .deep,\n.deeper {\n  COLOR: blue;\n  background: url(\"data:x;'{\");\n\n  &:hover { left: 3px }\n  --own: { a: b };\n  \
             border: 0\n}\n",
        ),
        ("base.css", "/* base */\n.base { color: blue }\n"),
    ]);
    for minify in [false, true] {
        built(ClientOptions { sourcemap: true, minify, ..project.options(&["a.js"]) });
        let css = project.read("a.css");
        assert!(css.ends_with("/*# sourceMappingURL=a.css.map */\n"), "{css}");
        let text: &str = project.read("a.css.map").leak();
        let map = rolldown_sourcemap::SourceMap::from_json_string(text).unwrap();
        let table = map.generate_lookup_table();
        for (part, source, line, from) in [
            (".base", "../base.css", 1, 0),
            (".all", "../a.css", 2, 0),
            (".big", "../a.css", 7, 2),
            ("@keyframes", "../a.css", 9, 0),
            // The step, and its declaration with the value.
            ("top:", "../a.css", 9, 22),
            ("1px}", "../a.css", 9, 41),
            (".card", "../a.css", 10, 0),
            (".deeper", "../a.css", 12, 0),
            ("background:", "../a.css", 14, 2),
            ("left:", "../a.css", 16, 12),
            ("3px", "../a.css", 16, 18),
            ("--own:", "../a.css", 17, 2),
            ("border:", "../a.css", 18, 2),
        ] {
            // Only the minified sheet has it on one line.
            if part == "1px}" && !minify {
                continue;
            }
            let before = css.split(part).next().unwrap();
            let printed = before.matches('\n').count();
            let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
            let token = map.lookup_token(&table, printed as u32, column as u32).unwrap();
            assert_eq!(
                token.get_source_id().and_then(|id| map.get_source(id)),
                Some(source),
                "{part}: {text}"
            );
            let place = (token.get_src_line(), token.get_src_col());
            assert_eq!(place, (line, from), "{part}: {text}\n{css}");
        }
    }
}

#[test]
fn elements_follow_the_nearest_configuration_and_pragmas() {
    let project = Project::new(&[
        (
            "default.jsx",
            "const React = { createElement: (...all) => all }; console.log(<><b>default</b></>);",
        ),
        ("pragma.tsx", "console.log(<b>pragma</b>);\nconst h = (...all: any[]) => all; // @jsx h"),
        ("automatic.jsx", "/** @jsxRuntime automatic */ console.log(<b>automatic</b>);"),
        ("preserved/tsconfig.json", r#"{ "compilerOptions": { "jsx": "preserve", "jsxFactory": "make" } }"#),
        ("preserved/in.tsx", "declare const make: any; console.log(<b>preserved</b>);"),
        (
            "main.tsx",
            "import './preserved/in'; import './extended/deep/in'; import 'published'; console.log(<b>main</b>);",
        ),
        ("tsconfig.json", r#"{ "compilerOptions": { "jsx": "react-jsx", "jsxImportSource": "elements" } }"#),
        (
            "extended/tsconfig.json",
            r#"{ "extends": ["./base", "settings"], "compilerOptions": { "jsx": "react" } }"#,
        ),
        (
            "extended/base.json",
            r#"{ "compilerOptions": { "jsxFactory": "base", "jsxFragmentFactory": "Fragments.base" } }"#,
        ),
        ("extended/deep/in.jsx", "console.log(<>extended</>);"),
        ("node_modules/settings/package.json", r#"{ "name": "settings", "tsconfig": "./of-package.json" }"#),
        ("node_modules/settings/of-package.json", r#"{ "compilerOptions": { "jsxFactory": "ofPackage", } }"#),
        ("node_modules/published/package.json", r#"{ "name": "published", "main": "main.jsx" }"#),
        ("node_modules/published/tsconfig.json", r#"{ "compilerOptions": { "jsxFactory": "unasked" } }"#),
        ("node_modules/published/main.jsx", "console.log(<b>published</b>);"),
        (
            "node_modules/elements/jsx-runtime.js",
            "export const jsx = (...all) => ['of elements', ...all]; export const Fragment = 0;",
        ),
        ("node_modules/react/jsx-runtime.js", "export const jsx = (...all) => ['of react', ...all];"),
    ]);
    let files = ["main.tsx", "default.jsx", "pragma.tsx", "automatic.jsx"];
    built(ClientOptions { splitting: false, ..project.options(&files) });
    let has = |file: &str, parts: &[&str]| {
        let text = project.read(file);
        parts.iter().for_each(|part| assert!(text.contains(part), "{file} lacks {part}:\n{text}"));
    };
    let main =
        ["of elements", "make(\"b\", null, \"preserved\")", "ofPackage(Fragments.base, null, \"extended\")"];
    has("main.js", &main);
    has("main.js", &["React.createElement(\"b\", null, \"published\")"]);
    has("pragma.js", &["of elements"]);
    has("automatic.js", &["of elements"]);
    std::fs::remove_file(project.root().join("tsconfig.json")).unwrap();
    built(ClientOptions { splitting: false, ..project.options(&files) });
    has(
        "default.js",
        &["React.createElement(React.Fragment, null, ", "React.createElement(\"b\", null, \"default\")"],
    );
    has("pragma.js", &["h(\"b\", null, \"pragma\")"]);
    has("automatic.js", &["of react"]);
    assert!(!project.read("main.js").contains("of elements"));
}

#[test]
fn defines_aliases_and_externals() {
    let project = Project::new(&[
        (
            "a.js",
            "import { v } from 'old'; import r from 'react'; console.log(v, r, HOST, process.env.NODE_ENV);",
        ),
        ("own.js", "export const v = 'from the alias';"),
    ]);
    let options = ClientOptions {
        alias: vec![("old".to_owned(), "./own.js".to_owned())],
        external: vec!["react".to_owned()],
        define: vec![("HOST".to_owned(), "\"h:1\"".to_owned())],
        ..project.options(&["a.js"])
    };
    built(options.clone());
    let code = project.read("a.js");
    for part in ["from the alias", "from \"react\"", "\"h:1\"", "\"development\""] {
        assert!(code.contains(part), "{part} is not in\n{code}");
    }
    built(ClientOptions { minify: true, ..options });
    let small = project.read("a.js");
    assert!(small.len() < code.len() && small.contains("production"), "{small}");
}

#[test]
fn mistakes_are_named_and_their_files_watched() {
    let cases = [
        ("import x from './nothing'; console.log(x);", "Could not resolve './nothing'"),
        ("import x from 'no-such-package'; console.log(x);", "no-such-package"),
        ("const a: = 1;", "a.ts:1:"),
        ("import x from './x.gif'; console.log(x);", "No loader is configured for \".gif\" files"),
        ("import './bad.css';", "Could not resolve \"./none.png\" in bad.css"),
    ];
    for (code, message) in cases {
        let project = Project::new(&[
            ("a.ts", code),
            ("x.gif", "gif"),
            ("bad.css", ".x { background: url(./none.png) }"),
        ]);
        let mut bundler = ClientBundler::new(project.options(&["a.ts"]));
        let error = build(&mut bundler).unwrap_err().to_string();
        assert!(error.contains(message), "{code}\n{error}");
        assert!(error.starts_with("Client build failed with 1 error"), "{error}");
        assert!(bundler.inputs().contains(&project.root().join("a.ts")));
        // What was wrong is mended, and the next build works.
        project.write("a.ts", "console.log('mended');");
        assert!(build(&mut bundler).unwrap().changed);
        assert!(project.read("a.js").contains("mended"));
    }
}

#[test]
fn unchanged_output_is_left_alone_and_old_chunks_go() {
    let project = Project::new(&[("a.js", "import('./one.js');"), ("one.js", "console.log('one');")]);
    project.write("out/other.txt", "of another tool");
    let mut bundler = ClientBundler::new(project.options(&["a.js"]));
    let first = build(&mut bundler).unwrap();
    assert!(first.changed && first.files.len() == 2);
    assert!(!build(&mut bundler).unwrap().changed);
    project.write("a.js", "console.log('alone');");
    let second = build(&mut bundler).unwrap();
    assert_eq!((second.changed, names(&second)), (true, vec!["a.js".to_owned()]));
    let left: Vec<_> = std::fs::read_dir(project.root().join("out")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_input_is_never_overwritten() {
    let project = Project::new(&[("a.js", "console.log(1);")]);
    let options = ClientOptions { outdir: project.root(), ..project.options(&["a.js"]) };
    let error = build(&mut ClientBundler::new(options)).unwrap_err();
    assert!(
        matches!(&error, ClientError::OverwritesInput(path) if path.ends_with(Path::new("a.js"))),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(project.root().join("a.js")).unwrap(), "console.log(1);");
}

#[test]
fn pages_listen_for_reloads_from_the_entry_only() {
    let project = Project::new(&[("a.js", "import('./one.js');"), ("one.js", "console.log('one');")]);
    let reload = Some("/__reload".to_owned());
    let built = built(ClientOptions { reload, ..project.options(&["a.js"]) });
    let listening =
        built.files.iter().filter(|file| std::fs::read_to_string(file).unwrap().contains("EventSource"));
    assert_eq!(listening.count(), 1);
    assert!(project.read("a.js").contains("/__reload"));
}
