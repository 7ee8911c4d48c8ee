//! Who names whom: within a crate arrows point down, and files stand in no circle.
//!
//! How: the `crate::` and `super::` paths of each file lead to other files; comments and unit tests do not count. A file that
//! is named in a table of floors may name files of its own floor and of those below it.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, files, holds};

/// The floors of the engine, the highest first. A path means a file or a folder.
const ENGINE: &[&[&str]] = &[&["engine"], &["worker"], &["room"], &["isolate"], &["ground"], &["api"]];
/// Floors within the engine's floor of rooms: what a room is made of knows no room, and a room knows no home.
const ROOM: &[&[&str]] = &[
    &["room::home"],
    &["room::host"],
    &["room::outgoing", "room::edge"],
    &[
        "room::administer",
        "room::alarms",
        "room::leave",
        "room::placing",
        "room::report",
        "room::rest",
        "room::start",
        "room::turn",
    ],
    &["room::actor"],
    &["room::shared", "room::state"],
    &["room::sockets"],
    &["room::inbox", "room::lodging", "room::output_gate", "room::records", "room::requests", "room::traces"],
    &["room::event", "room::http", "room::line", "room::proxy"],
];
/// What a room is made of, and can be tested without V8: neither knows the other, nor a room, nor an isolate.
const APART: &[(&str, &[&str])] = &[
    ("room::output_gate", &["room::sockets", "room::inbox", "room::requests", "isolate"]),
    ("room::inbox", &["room::sockets", "room::output_gate", "isolate"]),
    ("room::line", &["room", "isolate"]),
];
/// Circles that are right as they are, by the file that all the others of the circle lead to: an op finds its method through
/// the host, which is the sum of what the ops need. Each noun names only `host`, and `host` names them in one place.
const CIRCLES: &[(&str, &str)] = &[("runtime/extensions", "host")];

/// What reaches beyond a room.
const REACHES_OUT: &[&str] =
    &["TcpStream::connect(", "UdpSocket::", "lookup_host(", "client::connect(", ".ask(", ".binding("];
/// The files that do, and what makes them wait for the room's writes: [`WAITS`] in the file itself, or in its only callers.
const REACHING: &[(&str, &[&str])] = &[
    ("runtime/engine/src/room/outgoing.rs", &[]),
    ("runtime/engine/src/room/host/bindings.rs", &[]),
    ("runtime/engine/src/room/host/parties.rs", &[]),
    ("runtime/engine/src/room/proxy.rs", &["runtime/engine/src/room/outgoing.rs"]),
    // Scripts call them after the op that waits.
    ("runtime/extensions/src/node/net.rs", &["runtime/engine/src/room/host/storage.rs"]),
    ("runtime/extensions/src/outbound/mod.rs", &["runtime/engine/src/room/host/storage.rs"]),
];
const WAITS: &str = ".written()";

type Arrows = BTreeMap<String, BTreeSet<String>>;

struct Crate<'a> {
    modules: BTreeMap<String, &'a File>,
    // What the crate's root names anew, and where that is.
    exported: BTreeMap<String, String>,
}

impl<'a> Crate<'a> {
    fn new(folder: &str, files: &'a [File]) -> Self {
        let source = format!("{folder}/src/");
        let mut modules = BTreeMap::new();
        let mut exported = BTreeMap::new();
        for file in files.iter().filter(|file| file.is("rs")) {
            let Some(path) = file.path.strip_prefix(&source).and_then(|path| path.strip_suffix(".rs")) else {
                continue;
            };
            if path.contains("tests") || path.starts_with("bin/") {
                continue;
            }
            if path == "lib" || path == "main" {
                let code = code(&file.text);
                let named = ["pub use ", "pub(crate) use "].iter().flat_map(|word| paths_after(&code, word));
                exported.extend(named.map(|path| {
                    let name = path.rsplit("::").next().unwrap_or_default().to_owned();
                    (name, path.trim_start_matches("crate::").to_owned())
                }));
                continue;
            }
            modules.insert(path.trim_end_matches("/mod").replace('/', "::"), file);
        }
        Self { modules, exported }
    }

    // The module that a path from the crate's root leads to.
    fn find(&self, path: &str) -> Option<&str> {
        let path = match self.exported.get(path) {
            Some(path) if !self.modules.contains_key(path) => path,
            _ => path,
        };
        let ends = path.match_indices("::").map(|(at, _)| at).chain([path.len()]);
        let candidates = ends.filter_map(|end| self.modules.get_key_value(&path[..end]));
        candidates.last().map(|(name, _)| name.as_str())
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, file) in &self.modules {
            let code = code(&file.text);
            let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
            let mut named: BTreeSet<String> = BTreeSet::new();
            for path in paths_after(&code, "crate::") {
                named.extend(self.find(&path).map(str::to_owned));
            }
            for path in paths_after(&code, "super::").iter().filter(|path| !path.starts_with("super")) {
                let path = if parent.is_empty() { path.clone() } else { format!("{parent}::{path}") };
                named.extend(self.find(&path).map(str::to_owned));
            }
            // A file beside the folder of its modules is one with them; a `mod.rs` names them like others.
            let children =
                if file.path.ends_with("/mod.rs") { ["\nuse ", "\npub(crate) use "] } else { [""; 2] };
            for path in
                children.iter().filter(|word| !word.is_empty()).flat_map(|word| paths_after(&code, word))
            {
                let child = self.find(&format!("{module}::{path}"));
                named.extend(child.filter(|found| is_in(found, module)).map(str::to_owned));
            }
            named.remove(module);
            arrows.insert(module.clone(), named);
        }
        arrows
    }
}

// A file without its comments and its unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

// The paths that follow a word, with the groups in braces spread out.
fn paths_after(code: &str, word: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(word) {
        let inside_a_name = code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        if !(inside_a_name && word.ends_with("::")) {
            spread(&code[at + word.len()..], "", &mut paths);
        }
    }
    paths
}

// Reads one tree of a `use`, and answers what follows it.
fn spread<'a>(code: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    let mut code = code.trim_start();
    if let Some(group) = code.strip_prefix('{') {
        code = group;
        loop {
            code = code.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            match code.strip_prefix('}') {
                Some(rest) => return rest,
                None if code.is_empty() => return code,
                None => {
                    let rest = spread(code, prefix, paths);
                    // What is no path, such as a comment, is passed over.
                    code = if rest.len() == code.len() {
                        &code[code.chars().next().map_or(0, char::len_utf8)..]
                    } else {
                        rest
                    };
                }
            }
        }
    }
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    if name.is_empty() {
        return code;
    }
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(inner) = rest.strip_prefix("::")
        && inner.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{')
    {
        return spread(inner, &path, paths);
    }
    paths.push(path);
    match rest.strip_prefix(" as ") {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

// Whether a module is a path of a table, or in the folder that it means.
fn is_in(module: &str, path: &str) -> bool {
    module.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

// The sets of files that reach each other.
fn circles(arrows: &Arrows) -> Vec<BTreeSet<&str>> {
    let reached = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = vec![from];
        while let Some(module) = next.pop() {
            for to in arrows.get(module).into_iter().flatten() {
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|module| (module.as_str(), reached(module))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (module, others) in &all {
        let circle: BTreeSet<&str> = others
            .iter()
            .filter(|other| all.get(**other).is_some_and(|back| back.contains(module)))
            .copied()
            .collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

// Whether all arrows of a circle come from its center or lead there.
fn is_a_star(arrows: &Arrows, circle: &BTreeSet<&str>, center: &str) -> bool {
    let mut others = circle.iter().filter(|module| **module != center);
    circle.contains(center)
        && others.all(|module| arrows[*module].iter().all(|to| to == center || !circle.contains(to.as_str())))
}

#[test]
fn no_file_of_the_engine_names_a_floor_above_its_own() {
    let files = files();
    let engine = Crate::new("runtime/engine", &files);
    let arrows = engine.arrows();
    let floor = |floors: &[&[&str]], module: &str| {
        floors.iter().position(|paths| paths.iter().any(|path| is_in(module, path)))
    };
    let mut violations = Vec::new();
    for (module, named) in &arrows {
        if floor(ENGINE, module).is_none() {
            violations.push(format!("runtime/engine: no floor has `{module}`"));
        }
        if is_in(module, "room") && module != "room" && floor(ROOM, module).is_none() {
            violations.push(format!("runtime/engine: no floor of rooms has `{module}`"));
        }
        for to in named {
            for floors in [ENGINE, ROOM] {
                if let (Some(own), Some(other)) = (floor(floors, module), floor(floors, to))
                    && other < own
                {
                    violations.push(format!("runtime/engine: `{module}` names `{to}`, which is above it"));
                }
            }
        }
    }
    for (module, others) in APART {
        assert!(arrows.contains_key(*module), "there is no `{module}`");
        let named = arrows.get(*module).into_iter().flatten();
        let named = named.filter(|to| others.iter().any(|other| is_in(to, other)));
        violations.extend(named.map(|to| format!("runtime/engine: `{module}` must not know `{to}`")));
    }
    holds(&violations);
}

// `cargo test --test tidy -- --nocapture circles` prints them.
#[test]
fn files_stand_in_no_circle() {
    let files = files();
    let folders: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| {
            file.path.strip_suffix("/src/lib.rs").or_else(|| file.path.strip_suffix("/src/main.rs"))
        })
        .collect();
    assert!(folders.contains("runtime/engine") && folders.len() > 10, "{folders:?}");
    let mut violations = Vec::new();
    for folder in folders {
        let arrows = Crate::new(folder, &files).arrows();
        let count: usize = arrows.values().map(BTreeSet::len).sum();
        println!("{folder}: {} files, {count} arrows", arrows.len());
        for circle in circles(&arrows) {
            println!("    circle: {circle:?}");
            let center = CIRCLES.iter().find(|(crate_folder, _)| *crate_folder == folder);
            if !center.is_some_and(|(_, center)| is_a_star(&arrows, &circle, center)) {
                violations.push(format!("{folder}: a circle of {circle:?}"));
            }
        }
    }
    holds(&violations);
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let code = "use crate::{a::{B, c::D as E}, f};\nlet x = crate::g::h(my_crate::i);\nuse crate::j::*;\n";
    assert_eq!(paths_after(code, "crate::"), ["a::B", "a::c::D", "f", "g::h", "j"]);
    let arrows = |pairs: &[(&str, &[&str])]| -> Arrows {
        pairs
            .iter()
            .map(|(from, to)| ((*from).to_owned(), to.iter().map(|to| (*to).to_owned()).collect()))
            .collect()
    };
    assert!(circles(&arrows(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])).is_empty());
    let found = arrows(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
    assert_eq!(circles(&found), [BTreeSet::from(["b", "c"])]);
    assert!(is_a_star(&found, &circles(&found)[0], "b"));
    let found = arrows(&[("a", &["b", "c"]), ("b", &["a", "c"]), ("c", &["a"])]);
    assert!(!is_a_star(&found, &circles(&found)[0], "a"));
}

#[test]
fn what_reaches_out_of_a_room_waits_for_its_writes() {
    let files = files();
    let mut violations = Vec::new();
    let code_of = |path: &str| files.iter().find(|file| file.path == path).map(|file| code(&file.text));
    for file in files.iter().filter(|file| file.is("rs") && !file.path.contains("tests")) {
        let in_a_room = ["runtime/engine/src/room/", "runtime/extensions/src/"];
        if !in_a_room.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        let code = code(&file.text);
        let Some(word) = REACHES_OUT.iter().find(|word| code.contains(**word)) else { continue };
        match REACHING.iter().find(|(path, _)| *path == file.path) {
            None => violations.push(format!("{}: `{word}` reaches out of a room; see `REACHING`", file.path)),
            Some((_, [])) if !code.contains(WAITS) => {
                violations.push(format!("{}: reaches out without `{WAITS}`", file.path));
            }
            Some((_, callers)) => {
                let hasty =
                    callers.iter().filter(|caller| !code_of(caller).is_some_and(|code| code.contains(WAITS)));
                violations.extend(hasty.map(|caller| format!("{caller}: must wait with `{WAITS}`")));
            }
        }
    }
    for (path, _) in REACHING {
        let reaches = |code: &String| REACHES_OUT.iter().any(|word| code.contains(word));
        if !code_of(path).is_some_and(|code| reaches(&code)) {
            violations.push(format!("{path}: reaches out no more; see `REACHING`"));
        }
    }
    holds(&violations);
}
