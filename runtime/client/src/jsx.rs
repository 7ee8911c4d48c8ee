//! Elements in code (`<a/>`): what becomes of them is said by the nearest `tsconfig.json` of each file and by pragmas in its
//! comments, and without either they are calls of `React.createElement`, all as with esbuild. rolldown has one
//! configuration for all files, another default, and refuses or takes pragmas that esbuild ignores. So each file that may
//! have elements begins, for rolldown, with pragmas that say everything, and its own are made unreadable.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oxc_allocator::Allocator;
use oxc_parser::Parser;
use oxc_span::SourceType;
use partyrun_tsconfig as tsconfig;
use serde_json::Value;

/// So many configurations are read for one.
const EXTENDS_MAX: usize = 32;
/// What every pragma begins with.
const PRAGMA: &str = "@jsx";
/// The same, with as many characters, as nobody reads it.
const UNREADABLE: &str = "#jsx";

/// What becomes of the elements of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elements {
    automatic: bool,
    /// Elements know their place in the source: `jsxDEV`.
    pub(crate) development: bool,
    factory: Option<String>,
    fragment: Option<String>,
    source: Option<String>,
}

/// What the configurations of a build say, each read once.
#[derive(Debug, Default)]
pub(crate) struct Configurations(HashMap<PathBuf, Elements>);

impl Configurations {
    /// What counts for a file before its pragmas, and the configurations that were read for it.
    pub(crate) fn of(&mut self, file: &Path) -> (Elements, Vec<PathBuf>) {
        // Packages are published compiled: neither their own configuration nor the project's is meant for them.
        if file.components().any(|component| component.as_os_str() == "node_modules") {
            return (Elements::default(), Vec::new());
        }
        let Some(config) = file.parent().and_then(tsconfig::nearest) else {
            return (Elements::default(), Vec::new());
        };
        if let Some(known) = self.0.get(&config) {
            return (known.clone(), Vec::new());
        }
        let mut read = Vec::new();
        let mut elements = Elements::default();
        extend(&mut elements, &config, &mut read);
        self.0.insert(config, elements.clone());
        (elements, read)
    }
}

// What a configuration says, after what it extends.
fn extend(elements: &mut Elements, config: &Path, read: &mut Vec<PathBuf>) {
    // A circle ends here as well.
    if read.len() == EXTENDS_MAX {
        return;
    }
    read.push(config.to_owned());
    let Some(value) = tsconfig::parse(config) else { return };
    for extended in tsconfig::extended(&value) {
        if let Some(base) = tsconfig::base(config, &extended) {
            extend(elements, &base, read);
        }
    }
    let option = |name: &str| value.pointer(&format!("/compilerOptions/{name}")).and_then(Value::as_str);
    match option("jsx") {
        Some("react") => (elements.automatic, elements.development) = (false, false),
        Some("react-jsx") => (elements.automatic, elements.development) = (true, false),
        Some("react-jsxdev") => (elements.automatic, elements.development) = (true, true),
        // Nothing is preserved in a bundle.
        _ => {}
    }
    let set = |slot: &mut Option<String>, name: &str| {
        if let Some(text) = option(name).filter(|text| is_dotted(text)) {
            *slot = Some(text.to_owned());
        }
    };
    set(&mut elements.factory, "jsxFactory");
    set(&mut elements.fragment, "jsxFragmentFactory");
    if let Some(source) = option("jsxImportSource").filter(|source| is_word(source)) {
        elements.source = Some(source.to_owned());
    }
}

// Whether a text can stand in a pragma.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace) && !text.contains("*/")
}

fn is_dotted(text: &str) -> bool {
    text.split('.').all(|name| {
        let valid = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        name.starts_with(|first: char| valid(first) && !first.is_ascii_digit()) && name.chars().all(valid)
    })
}

impl Elements {
    /// Takes what the pragmas of a file say, and answers what is wrong with them.
    pub(crate) fn read_all(&mut self, code: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for (start, end) in pragma_comments(code) {
            self.read(code.get(start..end).unwrap_or_default(), &mut problems);
        }
        problems
    }

    /// The code of a file that may have elements, as rolldown shall read it, and what is wrong with its pragmas.
    pub(crate) fn apply(mut self, code: &str) -> (String, Vec<String>) {
        let (mut text, mut problems) = (String::with_capacity(code.len() + 64), Vec::new());
        let mut at = 0;
        for (start, end) in pragma_comments(code) {
            let comment = code.get(start..end).unwrap_or_default();
            self.read(comment, &mut problems);
            text.push_str(code.get(at..start).unwrap_or_default());
            text.push_str(&comment.replace(PRAGMA, UNREADABLE));
            at = end;
        }
        text.push_str(code.get(at..).unwrap_or_default());
        // A line that names an interpreter stays the first one.
        let line = if text.starts_with("#!") { text.find('\n').map_or(text.len(), |end| end + 1) } else { 0 };
        text.insert_str(line, &self.pragmas());
        (text, problems)
    }

    // Takes what the pragmas of a comment say. The last one counts, wherever it stands.
    fn read(&mut self, comment: &str, problems: &mut Vec<String>) {
        for (at, _) in comment.match_indices(PRAGMA) {
            let rest = comment.get(at + PRAGMA.len()..).unwrap_or_default();
            let name = rest.split(char::is_whitespace).next().unwrap_or_default();
            let Some(value) = rest.get(name.len()..).and_then(|rest| rest.split_whitespace().next()) else {
                continue;
            };
            match name {
                "" if is_dotted(value) => self.factory = Some(value.to_owned()),
                "Frag" if is_dotted(value) => self.fragment = Some(value.to_owned()),
                "Runtime" if value == "automatic" => self.automatic = true,
                "Runtime" if value == "classic" => self.automatic = false,
                "ImportSource" if is_word(value) => self.source = Some(value.to_owned()),
                "" | "Frag" | "Runtime" | "ImportSource" => {
                    problems.push(format!("`@jsx{name} {value}` is not understood, and is ignored"));
                }
                _ => {}
            }
        }
    }

    fn pragmas(&self) -> String {
        if self.automatic {
            let source = self.source.as_deref().unwrap_or("react");
            format!("/** @jsxRuntime automatic @jsxImportSource {source} */ ")
        } else {
            let factory = self.factory.as_deref().unwrap_or("React.createElement");
            let fragment = self.fragment.as_deref().unwrap_or("React.Fragment");
            format!("/** @jsxRuntime classic @jsx {factory} @jsxFrag {fragment} */ ")
        }
    }
}

// Where the comments with pragmas are.
fn pragma_comments(code: &str) -> Vec<(usize, usize)> {
    if !code.contains(PRAGMA) {
        return Vec::new();
    }
    let allocator = Allocator::default();
    // What is wrong with the code, rolldown says.
    let parsed = Parser::new(&allocator, code, SourceType::tsx()).parse();
    let comments = parsed.program.comments.iter().map(|comment| comment.content_span());
    let places = comments.map(|span| (span.start as usize, span.end as usize));
    places.filter(|(start, end)| code.get(*start..*end).is_some_and(|text| text.contains(PRAGMA))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(code: &str, elements: Elements) -> String {
        elements.apply(code).0
    }

    #[test]
    fn without_a_word_elements_are_calls_of_react() {
        let react = "/** @jsxRuntime classic @jsx React.createElement @jsxFrag React.Fragment */ <a/>";
        assert_eq!(applied("<a/>", Elements::default()), react);
        let (code, problems) = Elements::default().apply("/* @jsx 1+1 */<a/>");
        assert!(code.contains("@jsx React.createElement") && code.ends_with("/* #jsx 1+1 */<a/>"), "{code}");
        assert_eq!(problems, ["`@jsx 1+1` is not understood, and is ignored"]);
    }

    #[test]
    fn pragmas_count_anywhere_in_comments_only() {
        let h =
            applied("f('@jsx no');\n// @jsx h\n<a>// @jsx text</a>; /* @jsxFrag p.F */", Elements::default());
        assert!(
            h.starts_with("/** @jsxRuntime classic @jsx h @jsxFrag p.F */ f('@jsx no');\n// #jsx h\n"),
            "{h}"
        );
        assert!(h.ends_with("<a>// @jsx text</a>; /* #jsxFrag p.F */"), "{h}");
        // As with esbuild, a source of elements alone changes nothing, and a factory is not asked when there is a source.
        let source = applied("/** @jsxImportSource preact */<a/>", Elements::default());
        assert!(source.starts_with("/** @jsxRuntime classic @jsx React.createElement"), "{source}");
        let automatic = Elements { automatic: true, ..Elements::default() };
        let source = applied("/** @jsxImportSource preact @jsx h */<a/>", automatic);
        assert!(source.starts_with("/** @jsxRuntime automatic @jsxImportSource preact */ "), "{source}");
        assert!(
            applied("#!/usr/bin/env node\n<a/>", Elements::default())
                .starts_with("#!/usr/bin/env node\n/** @jsx")
        );
    }
}
