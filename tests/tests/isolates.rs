//! State of a thread or of the process in the crates whose ops run in rooms: each piece has been looked at, and
//! `docs/isolates.md` says why it is right with many isolates on a thread.
//!
//! How: cargo names the folders of the crates, their sources are searched for statics (those of a `thread_local!` too), and what is
//! found is compared with the rows of the page. Modules of unit tests and files for tests are left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests that panics has failed its test"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

// Folders and files that are compiled for tests and tools only.
const NOT_FOR_ROOMS: &[&str] = &["tests", "benches", "examples", "testdata", "build.rs", "tests.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn is_looked_at(name: &str) -> bool {
    name.starts_with("deno_") || name == "serde_v8" || name == "v8"
}

// Name and folder of each crate. Only those of this platform have been fetched.
fn crates() -> Vec<(String, PathBuf)> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let place = |package: &serde_json::Value| {
        let name = package["name"].as_str().unwrap().to_string();
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        is_looked_at(&name).then(|| (name, manifest.parent().unwrap().to_path_buf()))
    };
    let found: Vec<_> = packages.iter().filter_map(place).collect();
    assert!(found.len() > 10, "only {} crates were found", found.len());
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if NOT_FOR_ROOMS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

// (crate, file, name). The sources of V8 itself are not Rust, and lie beside the crate's own.
fn statics() -> BTreeSet<(String, String, String)> {
    let declared =
        Regex::new(r"(?m)^\s*(?:pub(?:\([a-z]+\))?\s+)?static\s+(?:mut\s+)?([A-Z_][A-Z_0-9]*)\s*:").unwrap();
    let of_tests = Regex::new(r"(?m)^#\[cfg\(test\)\]\s*\n(?:#\[[^\n]*\n)*\s*mod ").unwrap();
    let mut found = BTreeSet::new();
    for (name, folder) in crates() {
        let source = folder.join("src");
        let folder = if source.is_dir() { source } else { folder };
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files {
            let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
            let end = of_tests.find(&text).map_or(text.len(), |module| module.start());
            let path = file.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
            for place in declared.captures_iter(&text[..end]) {
                found.insert((name.clone(), path.clone(), place[1].to_string()));
            }
        }
    }
    found
}

#[test]
fn all_state_of_threads_and_process_has_been_looked_at() {
    let page = std::fs::read_to_string(root().join("docs/isolates.md")).unwrap();
    let row = Regex::new(r"(?m)^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \| \S").unwrap();
    let told: BTreeSet<_> = row
        .captures_iter(&page)
        .map(|row| (row[1].to_string(), row[2].to_string(), row[3].to_string()))
        .collect();
    let found = statics();
    let unknown: Vec<_> = found.difference(&told).collect();
    assert!(unknown.is_empty(), "docs/isolates.md does not say why these are right: {unknown:#?}");
    let gone: Vec<_> = told.difference(&found).collect();
    assert!(gone.is_empty(), "docs/isolates.md has rows for what is no longer there: {gone:#?}");
}
