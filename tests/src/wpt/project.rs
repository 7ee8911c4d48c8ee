//! The project that runs tests: each room runs the test of its number, after the harness and the scripts that the test's
//! META lines name.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::origin::Origin;
use super::suite::{Test, meta};

const SERVER: &str = include_str!("server.js");

/// Writes the project into a folder.
pub async fn write(root: &Path, project: &Path, tests: &[Test], origin: &Origin) -> Result<()> {
    let harness = std::fs::read_to_string(root.join("resources/testharness.js"))?;
    // The harness is a sloppy script that puts its functions on `self`; bundled code is strict and `this` undefined.
    std::fs::write(
        project.join("harness.js"),
        format!("export default (function () {{\n{harness}\n}}).call(globalThis);\n"),
    )?;
    let mut server = String::from("const tests = [\n");
    for (number, test) in tests.iter().enumerate() {
        let mut whole = String::from("export default undefined;\n");
        let folder = Path::new(&test.file).parent().unwrap_or(Path::new(""));
        for script in meta(&test.text, "script") {
            let path = match script.strip_prefix('/') {
                Some(absolute) => absolute.to_string(),
                None => normalize(&folder.join(script)),
            };
            // A script that is not there makes its tests fail, which the expectations then say.
            push_script(&mut whole, &origin.get(&format!("/{path}")).await.unwrap_or_default());
        }
        if test.file.contains(".sub.") {
            push_script(&mut whole, &origin.get(&format!("/{}", test.file)).await.unwrap_or_default());
        } else {
            push_script(&mut whole, &test.text);
        }
        whole.push_str(&makers(&test.text));
        std::fs::write(project.join(format!("test{number}.js")), whole)?;
        server.push_str(&format!("  () => import(\"./test{number}.js\"),\n"));
    }
    let pages: Vec<String> = tests.iter().map(|test| format!("{}{}", test.file, test.variant)).collect();
    let titles: Vec<Option<&str>> = tests.iter().map(|test| meta(&test.text, "title").next()).collect();
    server.push_str(&format!("];\nconst pages = {};\nconst titles = {};\n", json!(pages), json!(titles)));
    server.push_str(&format!("const origin = {};\n", json!(origin.url())));
    server.push_str(SERVER);
    std::fs::write(project.join("server.js"), server)?;
    std::fs::write(project.join("partykit.json"), r#"{ "main": "server.js" }"#)?;
    Ok(())
}

// Scripts are sloppy, and what they declare is global; a test is a module, which may assign only to what there is.
fn push_script(whole: &mut String, script: &str) {
    for name in assigned(script) {
        whole.push_str(&format!("globalThis.{name} ??= undefined;\n"));
    }
    whole.push_str(&script.replace(EVALUATION.0, EVALUATION.1));
    whole.push('\n');
    for name in declared(script) {
        // What only looks as if it stood at the top is not there.
        whole.push_str(&format!("try {{ globalThis.{name} = {name}; }} catch {{}}\n"));
    }
}

// Rooms evaluate no strings: where tests of interfaces tell as a string how an object is made, a function makes it.
const EVALUATION: (&str, &str) = ("obj = eval(desc);", "obj = makers[desc]();");

fn makers(script: &str) -> String {
    let Some((_, objects)) = script.split_once("add_objects({") else { return String::new() };
    let objects = objects.split_once("});").map_or(objects, |(objects, _)| objects);
    let mut rest = objects;
    let mut makers = String::from("globalThis.makers = {\n");
    while let Some(start) = rest.find(['"', '\'']) {
        let (quote, after) = rest[start..].split_at(1);
        let Some((expression, next)) = after.split_once(quote) else { break };
        makers.push_str(&format!("  [{}]: () => ({expression}),\n", json!(expression)));
        rest = next;
    }
    makers + "};\n"
}

// The functions and variables that stand at the top.
fn declared(script: &str) -> BTreeSet<&str> {
    let lines = script.lines().map(|line| line.strip_prefix("async ").unwrap_or(line));
    let names = lines.filter_map(|line| {
        ["function* ", "function ", "var "].into_iter().find_map(|word| line.strip_prefix(word)).map(name_at)
    });
    names.filter(|name| !name.is_empty()).collect()
}

// The names that are assigned to and may be declared nowhere.
fn assigned(script: &str) -> BTreeSet<&str> {
    let names = script.lines().map(str::trim_start).filter_map(|line| {
        let line = line.strip_prefix("for (").unwrap_or(line);
        let name = name_at(line);
        let rest = &line[name.len()..];
        [" = ", " in ", " of "].iter().any(|word| rest.starts_with(word)).then_some(name)
    });
    names.filter(|name| !["", "const", "let", "this", "var"].contains(name)).collect()
}

// The identifier at the beginning of a text; empty if there is none.
fn name_at(text: &str) -> &str {
    let end =
        text.find(|next: char| !next.is_alphanumeric() && next != '_' && next != '$').unwrap_or(text.len());
    if text.starts_with(|first: char| first.is_ascii_digit()) { "" } else { &text[..end] }
}

fn normalize(path: &Path) -> String {
    let mut parts: Vec<&std::ffi::OsStr> = Vec::new();
    for part in path {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
