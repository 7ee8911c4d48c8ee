//! The rules of the house, checked over every file that the repository tracks (see ARCHITECTURE.md).
//!
//! How: `git ls-files` names the files, each rule looks at a path and its text, and all violations are printed at once.
//! What needs a compiler (unused code, `unwrap`, missing documentation) is left to clippy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests that panics has failed its test"
)]

mod boundary;

mod floors;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No file that people read may be longer, in lines.
const FILE_LINES_MAX: usize = 800;
/// Lines of Rust may have so many characters; rustfmt does not break comments and texts.
const RUST_LINE_CHARS_MAX: usize = 132;
/// Lines of other sources.
const LINE_CHARS_MAX: usize = 180;
/// Files made by a program, which nobody reads or edits.
const GENERATED: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    ".gz",
    "LICENSE",
    "LICENSES",
    "THIRD-PARTY",
    ".min.js",
    ".generated.js",
];

struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    fn is_source(&self) -> bool {
        ["rs", "js", "mjs", "ts", "tsx", "css", "html", "sh"].iter().any(|extension| self.is(extension))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn files() -> Vec<File> {
    let root = root();
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output().unwrap();
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout)
        .unwrap()
        .split_terminator('\0')
        .filter(|path| !GENERATED.iter().any(|end| path.ends_with(end)))
        // Deleted in the working copy, or a picture: nothing to read.
        .filter_map(|path| {
            Some(File { path: path.to_owned(), text: std::fs::read_to_string(root.join(path)).ok()? })
        })
        .collect()
}

fn holds(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn files_and_lines_are_short() {
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| file.is_source() && !file.path.contains("/public/")) {
        let count = file.text.lines().count();
        if count > FILE_LINES_MAX {
            violations.push(format!("{}: {count} lines, more than {FILE_LINES_MAX}", file.path));
        }
        // Sources of test programs stand in Rust's tests as they are.
        let is_test = file.path.contains("/tests");
        let max = if file.is("rs") && !is_test { RUST_LINE_CHARS_MAX } else { LINE_CHARS_MAX };
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| line.chars().count() > max) {
            let length = line.chars().count();
            violations.push(format!("{}:{}: {length} characters, more than {max}", file.path, number + 1));
        }
    }
    holds(&violations);
}

#[test]
fn sources_open_with_what_they_promise() {
    // Short ones say what the file's name says already.
    const HEAD_CHARS_MIN: usize = 40;
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| file.is("rs") || file.path.starts_with("js/")) {
        let mark = if file.is("rs") { "//!" } else { "//" };
        let head: String = file.text.lines().map_while(|line| line.strip_prefix(mark)).collect();
        let head = head.trim();
        if head.chars().count() < HEAD_CHARS_MIN || !head.contains(['.', ':']) {
            violations.push(format!("{}: opens without a sentence after `{mark}` (`{head}`)", file.path));
        }
    }
    holds(&violations);
}

// A test that sleeps either proves nothing on a slow machine or wastes time on a fast one.
#[test]
fn tests_wait_for_conditions() {
    // Put together, so that this file does not break its own rule.
    let calls = ["sleep", "park_timeout"].map(|call| format!("{call}("));
    let mut violations = Vec::new();
    let mut polls = 0;
    for file in files().iter().filter(|file| file.is("rs") && !file.path.starts_with("tests/src/")) {
        let is_test = file.path.contains("tests/") || file.path.ends_with("tests.rs");
        let from = if is_test { Some(0) } else { file.text.find("#[cfg(test)]\nmod tests {") };
        let Some(from) = from else { continue };
        let skipped = file.text[..from].lines().count();
        for (number, line) in file.text[from..].lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            let sleeps = calls.iter().any(|call| {
                code.split(call.as_str()).next().is_some_and(|before| {
                    before.len() < code.len()
                        && ["thread::", "time::"].iter().any(|end| before.ends_with(end))
                })
            });
            polls += usize::from(sleeps);
            let reason = line.split_once("// ").map_or("", |(_, comment)| comment);
            if sleeps && reason != "Polls." && !reason.starts_with("Sleeps: ") {
                violations.push(format!(
                    "{}:{}: wait for a condition. A loop that asks again says `// Polls.`, a pause that has to be one \
                     `// Sleeps: REASON`.",
                    file.path,
                    skipped + number + 1
                ));
            }
        }
    }
    assert!(polls > 10, "only {polls} calls were found");
    holds(&violations);
}

#[test]
fn nothing_is_left_for_later_or_names_one_machine() {
    // Put together from pieces, so that this file does not break its own rule.
    let words = [["TO", "DO"], ["FIX", "ME"], ["registry.npm", "js"], ["/home", "/"], ["/ro", "ot/"]]
        .map(|parts| parts.concat());
    let mut violations = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                violations.push(format!("{}:{}: `{word}`", file.path, number + 1));
            }
        }
    }
    holds(&violations);
}

// The names in the table of limits.
fn limits(files: &[File]) -> Vec<&str> {
    let limits = files.iter().find(|file| file.path == "runtime/limits/src/lib.rs").unwrap();
    let names: Vec<&str> = limits
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
        .filter(|(name, rest)| rest.ends_with("\";") && !name.contains(' ') && rest.contains(" = "))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() > 50, "the table of limits is not written as this test reads it: {names:?}");
    names
}

// Whether a text has the word, not as a part of another one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

// A limit without a test is held until somebody changes the code: the test that goes beyond it sets it or names it.
#[test]
fn every_limit_is_named_by_a_test() {
    let files = files();
    let tests: Vec<&str> = files
        .iter()
        .filter(|file| !file.path.starts_with("runtime/limits/") && !file.path.starts_with("tests/"))
        .filter_map(|file| {
            let is_test = file.path.contains("tests/") || file.path.ends_with("tests.rs");
            if file.path.starts_with("fixtures/") || is_test {
                return Some(file.text.as_str());
            }
            let at = file.text.find("#[cfg(test)]\nmod tests {")?;
            Some(&file.text[at..])
        })
        .collect();
    let violations: Vec<String> = limits(&files)
        .iter()
        .filter(|name| !tests.iter().any(|text| has_word(text, name)))
        .map(|name| {
            format!("the limit `{name}` is named by no test or fixture: write one that goes beyond it")
        })
        .collect();
    holds(&violations);
}

/// Limits beyond which no message of ours is read, and why.
const UNNAMED: &[(&str, &[&str])] = &[
    (
        "the message is the original's, or Cloudflare's, and programs may compare it",
        &[
            "message_in_bytes_max",
            "key_bytes_max",
            "value_bytes_max",
            "keys_per_call_max",
            "attachment_bytes_max",
            "tags_max",
            "tag_chars_max",
            "kv_key_bytes_max",
            "kv_value_bytes_max",
            "kv_metadata_bytes_max",
            "r2_key_bytes_max",
            "r2_value_bytes_max",
            "vectors_per_call_max",
        ],
    ),
    ("the answer has no body", &["header_bytes_max"]),
    ("HTTP/2 has a code for it, and no words", &["http2_streams_max"]),
    (
        "the message names the limit of memory or rooms that was reached",
        &["unfinished_time_max", "waking_reserve_share", "room_place_wait_max"],
    ),
];

// Whoever meets a limit must learn which one to change.
#[test]
fn messages_name_the_limit_that_causes_them() {
    const TURNED_AWAY: &[&str] = &[
        "throws",
        "rejects",
        "fails",
        "closed with",
        "reset",
        "refuse",
        "408",
        "413",
        "414",
        "431",
        "503",
        "504",
    ];
    const LISTS: &[&str] =
        &["runtime/limits/", "runtime/engine/src/ground/program.rs", "runtime/admin/src/process.rs"];
    let files = files();
    let names = limits(&files);
    let table = files.iter().find(|file| file.path == "runtime/limits/src/lib.rs").unwrap();
    let turns_away = |name: &str| {
        let row = table.text.lines().find(|line| line.starts_with(&format!("    {name}: ")));
        let beyond = row.and_then(|row| row.rsplit('"').nth(1)).unwrap();
        !name.ends_with("_ceiling") && TURNED_AWAY.iter().any(|word| beyond.contains(word))
    };
    let code: String = files
        .iter()
        .filter(|file| (file.is("rs") || file.path.starts_with("js/")) && !file.path.contains("tests"))
        .filter(|file| ["cli/", "runtime/", "js/"].iter().any(|folder| file.path.starts_with(folder)))
        // The table itself, and the lists that scripts and administrators are given.
        .filter(|file| !LISTS.iter().any(|list| file.path.starts_with(list)))
        .flat_map(|file| file.text.split("#[cfg(test)]\nmod tests {").next())
        .flat_map(str::lines)
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let is_named = |name: &str| {
        ["`NAME`", "`NAME\\`", "\"NAME\"", " (NAME)"]
            .iter()
            .any(|form| code.contains(&form.replace("NAME", name)))
    };
    let excused: Vec<&str> = UNNAMED.iter().flat_map(|(_, names)| *names).copied().collect();
    let mut violations: Vec<String> = names
        .iter()
        .filter(|name| turns_away(name) && !is_named(name) && !excused.contains(*name))
        .map(|name| format!("no message names the limit `{name}`: see `Limits::cite`"))
        .collect();
    let useless = excused.iter().filter(|name| !names.contains(*name) || !turns_away(name) || is_named(name));
    violations.extend(useless.map(|name| format!("`{name}` needs no exception any more: see `UNNAMED`")));
    holds(&violations);
}

// A limit that nothing reads holds nothing.
#[test]
fn every_limit_is_read_outside_of_its_crate() {
    let files = files();
    let names = limits(&files);
    let readers: Vec<&File> = files
        .iter()
        .filter(|file| (file.is("rs") || file.path.starts_with("js/")) && !file.path.contains("tests"))
        .filter(|file| ["cli/", "runtime/", "js/"].iter().any(|folder| file.path.starts_with(folder)))
        .filter(|file| !file.path.starts_with("runtime/limits/"))
        .collect();
    let code: Vec<&str> = readers
        .iter()
        // What stands below is a test of the file.
        .flat_map(|file| file.text.split("#[cfg(test)]\nmod tests {").next())
        .flat_map(str::lines)
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let violations: Vec<String> = names
        .iter()
        .filter(|name| {
            let read = format!(".{name}");
            let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
            !code.iter().any(|line| line.match_indices(&read).any(|(at, _)| ends(&line[at + read.len()..])))
        })
        .map(|name| format!("the limit `{name}` is read by no code"))
        .collect();
    holds(&violations);
}

#[test]
fn lock_files_name_no_registry() {
    let root = root();
    for folder in ["tests", "tests/bench", "runtime/bundle/tests/packages"] {
        let text = std::fs::read_to_string(root.join(folder).join("package-lock.json")).unwrap();
        assert!(
            !text.contains("\"resolved\""),
            "{folder}/package-lock.json: install with the folder's .npmrc"
        );
    }
}

#[test]
fn every_rust_file_is_part_of_a_crate() {
    let files = files();
    let declared: BTreeSet<String> =
        files.iter().filter(|file| file.is("rs")).flat_map(declared_modules).collect();
    let violations: Vec<String> = files
        .iter()
        .filter(|file| file.is("rs") && !is_target(&file.path))
        .filter(|file| !declared.contains(&file.path))
        .map(|file| format!("{}: no `mod` names it", file.path))
        .collect();
    holds(&violations);
}

// What Cargo compiles by itself.
fn is_target(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = path.rsplit('/').nth(1).unwrap_or("");
    ["main.rs", "lib.rs", "build.rs"].contains(&name)
        || ["bin", "examples", "tests", "benches", "fuzz_targets"].contains(&folder)
}

// The files that the `mod` lines of a file may mean.
fn declared_modules(file: &File) -> Vec<String> {
    let path = Path::new(&file.path);
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let owns_folder = ["mod", "lib", "main"].contains(&&*stem) || is_target(&file.path);
    let inner = if owns_folder { folder.to_path_buf() } else { folder.join(&*stem) };
    let names = file.text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line
            .split_once(") ")
            .filter(|(before, _)| *before == "pub(crate" || *before == "pub(super")
            .map_or(line, |(_, rest)| rest);
        line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')
    });
    let named_paths =
        file.text.lines().filter_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    names
        .flat_map(|name| [inner.join(format!("{name}.rs")), inner.join(name).join("mod.rs")])
        .chain(named_paths.map(|path| folder.join(path)))
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn only_one_folder_enters_isolates() {
    let allowed = "runtime/engine/src/isolate/";
    let calls = ["v8_isolate().enter", "v8_isolate().exit", ".enter_isolate("];
    let violations: Vec<String> = files()
        .iter()
        .filter(|file| file.path.starts_with("runtime/") && file.is("rs") && !file.path.starts_with(allowed))
        .filter(|file| calls.iter().any(|call| file.text.contains(call)))
        .map(|file| format!("{}: only {allowed} enters and leaves isolates", file.path))
        .collect();
    holds(&violations);
}

#[test]
fn layers_know_only_what_is_below_them() {
    // A crate, and the crates that it must not name.
    let rules: &[(&str, &[&str])] = &[
        ("runtime/limits", &["partyrun_"]),
        ("runtime/tsconfig", &["partyrun_"]),
        ("runtime/clock", &["partyrun_"]),
        ("runtime/backup", &["deno_core", "partyrun_net", "partyrun_engine", "partyrun_config"]),
        (
            "runtime/telemetry",
            &["deno_core", "partyrun_net", "partyrun_store", "partyrun_engine", "partyrun_server"],
        ),
        ("runtime/store", &["deno_core", "partyrun_net", "partyrun_engine", "partyrun_bundle"]),
        ("runtime/net", &["deno_core", "partyrun_store", "partyrun_engine", "partyrun_bundle"]),
        (
            "runtime/bundle",
            &["deno_core", "partyrun_engine", "partyrun_store", "partyrun_net", "partyrun_config"],
        ),
        ("runtime/engine", &["partyrun_config", "partyrun_bundle", "partyrun_server", "clap"]),
        (
            "runtime/host",
            &["deno_core", "partyrun_engine", "partyrun_server", "partyrun_bundle", "partyrun_config"],
        ),
        ("cli/config", &["deno_core", "partyrun_engine", "partyrun_store", "partyrun_net"]),
    ];
    let mut violations = Vec::new();
    for (folder, forbidden) in rules {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split_once("[dependencies]").map_or("", |(_, rest)| rest);
        let dependencies = dependencies.split("\n[").next().unwrap_or("");
        for name in forbidden.iter().filter(|name| dependencies.lines().any(|line| line.starts_with(**name)))
        {
            violations.push(format!("{folder}/Cargo.toml: must not depend on `{name}`"));
        }
    }
    holds(&violations);
}

#[test]
fn scripts_load_only_scripts_with_a_lower_number() {
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| file.path.starts_with("js/")) {
        let own = file.path.trim_start_matches("js/");
        for loaded in file.text.split("\"ext:partyrun/").skip(1).filter_map(|rest| rest.split('"').next()) {
            // What has no number is loaded when user code first needs it, and then the numbered ones are there.
            if ![own, loaded].iter().all(|name| name.starts_with(|first: char| first.is_ascii_digit())) {
                continue;
            }
            // The fast functions are captured when an isolate starts, after the snapshot.
            if loaded >= own && (own, loaded) != ("90_dispatch.js", "99_fast.js") {
                violations.push(format!("{}: loads {loaded}, which comes later", file.path));
            }
        }
    }
    holds(&violations);
}

#[test]
fn the_architecture_names_every_crate() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let violations: Vec<String> = files()
        .iter()
        .filter_map(|file| file.path.strip_suffix("/Cargo.toml").map(str::to_owned))
        .filter(|folder| !text.contains(&format!("`{folder}")))
        .map(|folder| format!("ARCHITECTURE.md does not say what `{folder}` is"))
        .collect();
    holds(&violations);
}

#[test]
fn the_generated_scripts_are_as_they_were_made() {
    use sha1::{Digest, Sha1};
    let hash = Sha1::digest(std::fs::read(root().join("js/node/polyfills.generated.js")).unwrap());
    let found: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let wanted = std::fs::read_to_string(root().join("runtime/snapshot/polyfills.sha1")).unwrap();
    assert_eq!(found, wanted.trim(), "js/node/polyfills.generated.js: change generate.mjs and run it");
}

/// What comments and coverage rows cite: a word that names a book, then a number.
struct Book {
    /// How a citation begins, in lower case; the number follows.
    cited_as: &'static [&'static str],
    document: &'static str,
    /// How the line of a section begins in the document; the number follows.
    sections: &'static [&'static str],
}

const BOOKS: &[Book] = &[
    Book {
        cited_as: &[
            "spec ",
            "specification ",
            "spec, section ",
            "specification, section ",
            "spec section ",
            "spec sections ",
        ],
        document: "docs/spec.md",
        sections: &["## ", "### "],
    },
    Book {
        cited_as: &["design, section ", "design, sections "],
        document: "docs/design.md",
        sections: &["## "],
    },
    Book { cited_as: &["threat ", "threats "], document: "docs/threats.md", sections: &["| "] },
];

// The number at the beginning of a text: digits, with points between them.
fn number(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].trim_end_matches('.');
    number.starts_with(|c: char| c.is_ascii_digit()).then_some(number)
}

#[test]
fn cited_sections_exist() {
    let root = root();
    let files = files();
    let mut violations = Vec::new();
    let mut cited = 0;
    for book in BOOKS {
        let text = std::fs::read_to_string(root.join(book.document)).unwrap();
        let sections: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| number(book.sections.iter().rev().find_map(|mark| line.strip_prefix(mark))?))
            .collect();
        assert!(sections.len() > 5, "{} has no numbered sections", book.document);
        for file in files.iter().filter(|file| file.is_source() || file.is("json5") || file.is("toml")) {
            for (place, line) in file.text.lines().enumerate() {
                let line = line.to_lowercase();
                for word in book.cited_as {
                    for found in line.split(word).skip(1).filter_map(number) {
                        cited += 1;
                        if !sections.contains(found) {
                            violations.push(format!(
                                "{}:{}: {} has no section {found}",
                                file.path,
                                place + 1,
                                book.document
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(cited > 100, "only {cited} citations were found");
    holds(&violations);
}

// What stands between backquotes in a line, in order.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn files_that_comments_and_pages_name_exist() {
    let files = files();
    // A path, or the end of one, or one without the folder `src` of a crate.
    let exists = |named: &str| {
        let inside = named.split_once('/').map(|(folder, rest)| format!("/{folder}/src/{rest}"));
        files.iter().any(|file| {
            let path = format!("/{}", file.path);
            path.ends_with(&format!("/{named}")) || inside.as_ref().is_some_and(|end| path.ends_with(end))
        })
    };
    // These pages name files of other programs.
    let foreign = ["docs/isolates.md", "docs/spec.md", "CHANGELOG.md"];
    let readable = |file: &&File| {
        let is_page = file.is("md") && !file.path.starts_with("findings/");
        (is_page || file.is("rs") || file.path.starts_with("js/")) && !foreign.contains(&file.path.as_str())
    };
    let mut violations = Vec::new();
    let mut named = 0;
    for file in files.iter().filter(readable) {
        for (number, line) in file.text.lines().enumerate() {
            let text =
                if file.is("md") { Some(line) } else { line.split_once("//").map(|(_, comment)| comment) };
            let is_path = |text: &&str| {
                let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
                let is_ours = Path::new(text).extension().is_some_and(|end| end == "rs" || end == "js");
                // `NOUN` stands for any name.
                is_plain
                    && is_ours
                    && text.contains('/')
                    && !["..", "NOUN", ".generated."].iter().any(|part| text.contains(part))
            };
            for path in text.into_iter().flat_map(quoted).filter(is_path) {
                named += 1;
                if !exists(path.trim_start_matches('/')) {
                    violations.push(format!("{}:{}: there is no file `{path}`", file.path, number + 1));
                }
            }
        }
    }
    assert!(named > 50, "only {named} paths were found");
    holds(&violations);
}

#[test]
fn tests_that_the_threats_name_exist() {
    let files = files();
    let threats = files.iter().find(|file| file.path == "docs/threats.md").unwrap();
    let rows: Vec<&str> =
        threats.text.lines().filter(|line| number(line.trim_start_matches("| ")).is_some()).collect();
    assert!(rows.len() > 20, "docs/threats.md is not written as this test reads it");
    let mut violations = Vec::new();
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or("");
        for name in quoted(cell).map(|name| name.rsplit(": ").next().unwrap_or(name)) {
            let test = format!("fn {name}(");
            let is_fixture = files.iter().any(|file| file.path.starts_with(&format!("fixtures/{name}/")));
            if !is_fixture && !files.iter().any(|file| file.is("rs") && file.text.contains(&test)) {
                violations.push(format!("docs/threats.md: there is no test `{name}`"));
            }
        }
    }
    holds(&violations);
}
