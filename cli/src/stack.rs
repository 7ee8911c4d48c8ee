//! Errors as the terminal shows them: with the code where it happened, and without frames of the runtime.
//!
//! The input is an inspected error whose stack is already mapped to the project's files. The code is shown once, below
//! the stack of the first error in the text; causes have their own stacks.

use std::path::Path;

/// Lines of code above the one that is marked.
const LINES_ABOVE: usize = 2;
/// Longer lines are cut: a minified file is one line.
const LINE_CHARS_MAX: usize = 120;

/// A place in a file of the project, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    file: String,
    line: usize,
    column: usize,
}

impl Place {
    /// Code of packages is not what the user would look at first.
    fn is_foreign(&self) -> bool {
        self.file.split('/').any(|part| part == "node_modules")
    }
}

/// Folds the runtime's frames, and adds the code of the first frame that lies in the project.
pub(crate) fn explain(text: &str, root: &Path) -> String {
    if !text.lines().any(|line| frame(line).is_some()) {
        return text.to_string();
    }
    let mut lines: Vec<String> = Vec::new();
    // The code of a package is shown only when no frame lies in the project's own files.
    let (mut own, mut foreign) = (None, None);
    for line in text.lines() {
        match frame(line) {
            Some(location) if is_own(location) => {
                // An inspected error with properties opens its braces behind the last frame.
                if let Some(last) = lines.last_mut().filter(|_| line.ends_with(" {")) {
                    last.push_str(" {");
                }
            }
            Some(location) => {
                if let Some(place) = place(location) {
                    let code = if place.is_foreign() { &mut foreign } else { &mut own };
                    if code.is_none() {
                        *code = excerpt(root, &place);
                    }
                }
                lines.push(line.replace("file:///", ""));
            }
            None => lines.push(line.to_string()),
        }
    }
    lines.extend(own.or(foreign).into_iter().flatten());
    lines.join("\n")
}

// The location of a line `at function (location)` or `at location`.
fn frame(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("at ")?;
    let rest = rest.strip_suffix(" {").unwrap_or(rest);
    match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
        Some((_, location)) => Some(location),
        None if rest.contains(':') => Some(rest.strip_prefix("async ").unwrap_or(rest)),
        None => None,
    }
}

fn is_own(location: &str) -> bool {
    location.starts_with("ext:") || location.starts_with("<anonymous>") || location == "native"
}

fn place(location: &str) -> Option<Place> {
    let path = location.strip_prefix("file:///")?;
    let (path, column) = path.rsplit_once(':')?;
    let (file, line) = path.rsplit_once(':')?;
    let place = Place { file: file.to_string(), line: line.parse().ok()?, column: column.parse().ok()? };
    (place.line > 0 && place.column > 0).then_some(place)
}

fn excerpt(root: &Path, place: &Place) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(root.join(&place.file)).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    let at = place.line - 1;
    let marked = lines.get(at)?;
    if marked.chars().count() > LINE_CHARS_MAX * 2 {
        return None;
    }
    let first = at.saturating_sub(LINES_ABOVE);
    let width = place.line.to_string().len();
    let mut shown = vec![String::new()];
    for (offset, line) in lines.get(first..=at)?.iter().enumerate() {
        let line: String = line.chars().take(LINE_CHARS_MAX).collect();
        shown.push(format!("  {:>width$} | {line}", first + offset + 1));
    }
    // Tabs stay tabs, so that the mark stands below its character whatever their width.
    let indent: String =
        marked.chars().take(place.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    shown.push(format!("  {:>width$} | {indent}^", ""));
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_shown_and_own_frames_are_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("server.ts"),
            "class A {\n  b() {\n\tthrow new Error(\"x\");\n  }\n}\n",
        )
        .unwrap();
        let text = "Error: x\n    at A.b (file:///server.ts:3:8)\n    at onRequest (ext:partyrun/70_room.js:1:2) {\n\
                    Caused by: TypeError: y\n    at file:///node_modules/p/i.js:1:1";
        let shown = explain(text, folder.path());
        assert_eq!(
            shown,
            "Error: x\n    at A.b (server.ts:3:8) {\nCaused by: TypeError: y\n    at node_modules/p/i.js:1:1\n\
             \n  1 | class A {\n  2 |   b() {\n  3 | \tthrow new Error(\"x\");\n    | \t      ^"
        );
    }

    #[test]
    fn the_code_of_a_package_is_shown_when_there_is_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("node_modules/p/src");
        std::fs::create_dir_all(&package).unwrap();
        std::fs::write(package.join("i.ts"), "throw 1;\n").unwrap();
        let text = "Error: x\n    at f (file:///node_modules/p/src/gone.ts:1:1)\n    at g (file:///node_modules/p/src/i.ts:1:1)";
        let shown = explain(text, folder.path());
        assert!(shown.ends_with("i.ts:1:1)\n\n  1 | throw 1;\n    | ^"), "{shown}");
        std::fs::write(folder.path().join("server.ts"), "f();\n").unwrap();
        let shown = explain(&format!("{text}\n    at file:///server.ts:1:1"), folder.path());
        assert!(shown.ends_with("  1 | f();\n    | ^"), "{shown}");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["hello", "at home", "look at this: a (b)", "at 5:30 (sharp)"] {
            assert_eq!(explain(text, Path::new("/nowhere")), text);
        }
    }
}
