//! Rules of the boundary between JavaScript and Rust: an op lives in three files of one name, and what both languages know
//! is written once.

use crate::{File, files, holds};

/// The nouns of the ops that need a host, and the scripts that may call them. The first is the noun's own; the others go on
/// from it.
const NOUNS: [(&str, &[&str]); 11] = [
    ("assets", &["61_assets.js"]),
    ("bindings", &["54_bindings.js"]),
    ("bundle", &["88_bundle.js"]),
    ("connections", &["40_connections.js"]),
    ("console", &["10_console.js"]),
    ("edge", &["80_edge.js"]),
    ("parties", &["60_parties.js"]),
    ("responses", &["31_responses.js"]),
    ("room", &["70_room.js", "45_input_gate.js"]),
    ("sockets", &["34_sockets.js"]),
    ("storage", &["50_storage.js", "52_transaction.js", "29_output_gate.js"]),
];

const TRAITS: &str = "runtime/extensions/src/";
const HOST: &str = "runtime/engine/src/room/host/";

fn find<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    files.iter().find(|file| file.path == path)
}

fn ops_of(file: &File) -> Vec<&str> {
    let declared = file.text.lines().filter(|line| line.contains("fn op_"));
    declared.filter_map(|line| line.split("fn ").nth(1)?.split(['(', '<']).next()).collect()
}

#[test]
fn an_op_lives_in_three_files_of_one_name() {
    let files = files();
    let mut violations = Vec::new();
    for (noun, scripts) in NOUNS {
        if find(&files, &format!("{HOST}{noun}.rs")).is_none() {
            violations.push(format!("{HOST}{noun}.rs: is missing, the host half of {TRAITS}{noun}.rs"));
        }
        let Some(declared) = find(&files, &format!("{TRAITS}{noun}.rs")) else {
            violations.push(format!("{TRAITS}{noun}.rs: is missing"));
            continue;
        };
        let ops = ops_of(declared);
        assert!(!ops.is_empty(), "{}: no op was found", declared.path);
        for op in ops {
            let mut called = false;
            for script in files.iter().filter(|file| file.path.starts_with("js/")) {
                let name = script.path.trim_start_matches("js/");
                // It lists the ops that are called often.
                if name == "25_hot.js"
                    || !script.text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == op)
                {
                    continue;
                }
                called = true;
                if !scripts.contains(&name) {
                    violations.push(format!("{}: calls {op}, which is {}'s", script.path, scripts[0]));
                }
            }
            if !called {
                violations.push(format!("{}: no script calls {op}", declared.path));
            }
        }
    }
    holds(&violations);
}

#[test]
fn what_both_languages_know_is_written_once() {
    let files = files();
    let wire = find(&files, &format!("{TRAITS}wire.rs")).unwrap();
    let constant = |line: &str| {
        let name = line.trim().split(':').next()?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        (is_name && line.contains(" = ")).then(|| name.to_string())
    };
    let names: Vec<String> = wire.text.lines().filter_map(constant).collect();
    assert!(names.contains(&"PACKED".to_string()), "the table was not read: {names:?}");
    let mut violations = Vec::new();
    for name in &names {
        for file in &files {
            let again = match () {
                () if file.path.starts_with("js/") => format!("const {name} ="),
                () if file.path.starts_with("runtime/e") && file.path != wire.path => {
                    format!("const {name}:")
                }
                () => continue,
            };
            if file.text.contains(&again) {
                violations.push(format!("{}: `{again}` stands in {} already", file.path, wire.path));
            }
        }
    }
    holds(&violations);
}
