//! The file `THIRD-PARTY`: what the program contains of other people's work, and the licences of it.
//!
//! `text` makes it from Cargo's metadata and the licence files in the sources of the crates, so it names what `Cargo.lock`
//! links and nothing else. What no crate brings with it is listed here: V8 (`runtime/v8/LICENSES`), the scripts of Node
//! (`js/node/LICENSE`), what the dashboard's page is made of
//! (`runtime/admin/dashboard/LICENSES`), SQLite and Rust's own library. A test compares the result with the file in the repository.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The platform that is linked; crates for others are left out.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// The package whose program is shipped.
const PROGRAM: &str = "partyrun";

/// Licence files below a crate's own folder, for the C libraries that it carries.
const CARRIED: &[(&str, &[&str])] = &[("aws-lc-sys", &["aws-lc/LICENSE", "aws-lc/third_party/fiat/LICENSE"])];

/// Crates that are published without their licence take the text from another one: licence, crate, file.
const LENT: &[(&str, &str, &str)] = &[
    ("Apache-2.0", "anyhow", "LICENSE-APACHE"),
    ("BSD-3-Clause", "alloc-no-stdlib", "LICENSE"),
    ("MPL-2.0", "cssparser", "LICENSE"),
];

const MIT: &str = "\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software
is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.";

const HEAD: &str = "\
partyrun contains other people's work. This file names it and holds its licences. partyrun itself is under the MIT licence (the
file LICENSE).

First the crates that the program links, with the licence that each declares and where its source is (each is also on crates.io
under this name and version, unchanged), then what comes with them, then the texts. Where a crate may be used under the MIT
licence or another one, the MIT licence is taken.
";

const BESIDES: &str = "\
Besides these crates the program contains:

- V8, with ICU, libc++ and the other libraries that V8 carries. Their licences are in the last part of this file.
- Scripts of Node and Deno: `js/node/polyfills.generated.js` in partyrun's repository, from the crate deno_node.
- Preact and uPlot, in the page of the dashboard.
- SQLite, which its authors have put into the public domain.
- AWS-LC, in the crates aws-lc-sys.
- Rust's standard library: Copyright (c) The Rust Project Contributors, under the MIT licence or Apache License 2.0.
";

/// A crate that is linked.
struct Linked<'a> {
    name: &'a str,
    version: &'a str,
    licence: &'a str,
    source: &'a str,
    authors: Vec<&'a str>,
    folder: PathBuf,
}

impl Linked<'_> {
    fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    // Whether the MIT licence alone is enough.
    fn may_be_mit(&self) -> bool {
        !self.licence.contains("AND")
            && self.licence.split(" OR ").flat_map(|part| part.split('/')).any(|name| name.trim() == "MIT")
    }
}

/// The whole text of `THIRD-PARTY`, for the workspace at `root`. It asks the `cargo` that runs the tests and uses no network:
/// the sources are there because they have been compiled.
pub fn text(root: &Path) -> Result<String> {
    let metadata = metadata(root)?;
    let linked = linked(&metadata, &compiled(root)?)?;
    let mut out = String::from(HEAD);
    out.push('\n');
    for one in &linked {
        let licence = one.licence.replace('/', " OR ").replace("  ", " ");
        out.push_str(format!("{}  {licence}  {}", one.title(), one.source).trim_end());
        out.push('\n');
    }
    out.push('\n');
    out.push_str(BESIDES);
    for (users, text) in texts(&linked)? {
        section(&mut out, &users, &text);
    }
    let read = |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| path.to_string());
    section(&mut out, "scripts of Node and Deno", &tidied(&read("js/node/LICENSE")?));
    section(&mut out, "the page of the dashboard", &tidied(&read("runtime/admin/dashboard/LICENSES")?));
    section(&mut out, "V8 and what it carries", &tidied(&read("runtime/v8/LICENSES")?));
    Ok(out)
}

fn section(out: &mut String, users: &str, text: &str) {
    out.push_str("\n----------------------------------------------------------------------\n");
    out.push_str(users);
    out.push_str(":\n\n");
    out.push_str(text);
    out.push('\n');
}

fn metadata(root: &Path) -> Result<Value> {
    let made = cargo(root, &["metadata", "--format-version", "1", "--filter-platform", PLATFORM])?;
    Ok(serde_json::from_slice(&made)?)
}

// What the features that are on really compile, as `name version`. The metadata alone also names optional crates that a
// feature mentions without turning them on.
fn compiled(root: &Path) -> Result<BTreeSet<String>> {
    let tree = [
        "tree",
        "--workspace",
        "--target",
        PLATFORM,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let lines = cargo(root, &tree)?;
    let lines = String::from_utf8_lossy(&lines).into_owned();
    let title = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some(format!("{name} {}", rest.split(' ').next()?))
    };
    Ok(lines.lines().filter_map(title).collect())
}

fn cargo(root: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(args)
        .args(["--offline", "--locked"])
        .current_dir(root)
        .output()
        .context("cargo")?;
    if !output.status.success() {
        bail!("cargo {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

// The crates that the program links: its normal dependencies and theirs, without procedural macros and without our own.
fn linked<'a>(metadata: &'a Value, compiled: &BTreeSet<String>) -> Result<Vec<Linked<'a>>> {
    let packages: HashMap<&str, &Value> =
        list(metadata, "packages").iter().map(|package| (field(package, "id"), package)).collect();
    let nodes: HashMap<&str, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|node| (field(node, "id"), node)).collect();
    let root = packages.values().find(|package| field(package, "name") == PROGRAM);
    let mut left = vec![field(root.context("the workspace has no program")?, "id")];
    let mut seen = BTreeSet::new();
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).map_or(&[][..], |node| list(node, "deps")) {
            let normal = list(dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
            let id = field(dependency, "pkg");
            if normal && packages.get(id).is_some_and(|package| !is_macro(package)) {
                left.push(id);
            }
        }
    }
    let mut linked = Vec::new();
    for package in
        seen.iter().filter_map(|id| packages.get(id)).filter(|package| !package["source"].is_null())
    {
        let manifest = Path::new(field(package, "manifest_path"));
        linked.push(Linked {
            name: field(package, "name"),
            version: field(package, "version"),
            licence: field(package, "license"),
            source: field(package, "repository"),
            authors: list(package, "authors").iter().filter_map(Value::as_str).collect(),
            folder: manifest.parent().context("a manifest without a folder")?.to_path_buf(),
        });
    }
    linked.retain(|one| compiled.contains(&one.title()));
    linked.sort_by_key(|one| (one.name, one.version));
    Ok(linked)
}

fn is_macro(package: &Value) -> bool {
    list(package, "targets")
        .iter()
        .any(|target| list(target, "kind").iter().any(|kind| kind.as_str() == Some("proc-macro")))
}

// Each text once, with the crates that it belongs to before it, in the order of their names.
fn texts(linked: &[Linked<'_>]) -> Result<Vec<(String, String)>> {
    let mut order: Vec<(Vec<String>, String)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for one in linked {
        for text in texts_of(one, linked)? {
            // The same words with other line ends are the same licence.
            let key = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let at = *places.entry(key).or_insert_with(|| {
                order.push((Vec::new(), text));
                order.len() - 1
            });
            if order[at].0.last() != Some(&one.title()) {
                order[at].0.push(one.title());
            }
        }
    }
    Ok(order.into_iter().map(|(users, text)| (wrapped(&users), text)).collect())
}

fn texts_of(one: &Linked<'_>, all: &[Linked<'_>]) -> Result<Vec<String>> {
    let mut files = licence_files(&one.folder)?;
    if one.may_be_mit() {
        let mit: Vec<PathBuf> = files.iter().filter(|path| name_of(path).contains("MIT")).cloned().collect();
        if !mit.is_empty() {
            files = mit;
        }
    }
    for (_, paths) in CARRIED.iter().filter(|(name, _)| *name == one.name) {
        files.extend(paths.iter().map(|path| one.folder.join(path)));
    }
    if files.is_empty() {
        return Ok(vec![lent(one, all)?]);
    }
    files.iter().map(|path| read_tidied(path)).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_uppercase()
}

// The files of a crate that are named as licences are.
fn licence_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = name_of(&path);
        let starts = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE"];
        if starts.iter().any(|start| name.starts_with(start)) && path.is_file() {
            found.insert(name, path);
        }
    }
    Ok(found.into_values().collect())
}

// The text for a crate that is published without one.
fn lent(one: &Linked<'_>, all: &[Linked<'_>]) -> Result<String> {
    let authors: Vec<&str> =
        one.authors.iter().map(|author| author.split(" <").next().unwrap_or(author)).collect();
    let holder = match authors.as_slice() {
        [] => format!("the authors of {}", if one.source.is_empty() { one.name } else { one.source }),
        authors => authors.join(", "),
    };
    if one.may_be_mit() {
        return Ok(format!("Copyright (c) {holder}\n\n{MIT}"));
    }
    let lender = LENT.iter().find(|(licence, ..)| *licence == one.licence);
    let Some((_, from, file)) = lender else {
        bail!("{} has no licence file, and no other crate lends one for `{}`", one.title(), one.licence);
    };
    let from = all.iter().find(|other| other.name == *from);
    let from = from.with_context(|| format!("the crate that lends `{}` is not linked", one.licence))?;
    let text = read_tidied(&from.folder.join(file))?;
    if one.licence.starts_with("BSD") { Ok(text) } else { Ok(format!("Copyright (c) {holder}\n\n{text}")) }
}

fn read_tidied(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(tidied(&String::from_utf8_lossy(&bytes)))
}

// Without blanks at ends of lines, byte order marks and empty lines around the text.
fn tidied(text: &str) -> String {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_string()
}

fn wrapped(names: &[String]) -> String {
    const WIDTH: usize = 120;
    let mut lines = vec![String::new()];
    for (index, name) in names.iter().enumerate() {
        let piece = if index + 1 < names.len() { format!("{name}, ") } else { name.clone() };
        let line = lines.last_mut().filter(|line| line.len() + piece.len() <= WIDTH || line.is_empty());
        match line {
            Some(line) => line.push_str(&piece),
            None => lines.push(piece),
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}
