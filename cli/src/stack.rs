//! Errors as the terminal shows them: with the code where it happened, and without frames of the runtime.
//!
//! The input is an inspected error whose stack is already mapped to the project's files. The code is shown once, below
//! the stack of the first error in the text; causes have their own stacks.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

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

/// Where frames lie, and from where they are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The project's folder.
    root: PathBuf,
    /// What stands in front of the project's paths, so that a terminal or an editor opens them.
    prefix: String,
    /// The folder as a URL, which stands before names where a debugger may attach.
    url: Option<String>,
}

impl Files {
    /// The files of the project in `root`, as somebody in the folder `shell` names them.
    pub(crate) fn new(root: &Path, shell: &Path) -> Self {
        let prefix = root.strip_prefix(shell).unwrap_or(root).join("").to_string_lossy().into_owned();
        Self { root: root.to_owned(), prefix, url: crate::debugger::folder_url(root) }
    }

    // A file that is not here, as those of a release, keeps its name in the project.
    fn shown(&self, file: &str) -> String {
        let is_here = self.root.join(file).is_file();
        if is_here { format!("{}{file}", self.prefix) } else { file.to_string() }
    }

    /// Folds the runtime's frames, and adds the code of the first frame that lies in the project.
    pub(crate) fn explain(&self, text: &str) -> String {
        let (mut lines, code) = self.fold_lines(text);
        lines.extend(code.into_iter().flatten());
        lines.join("\n")
    }

    /// Folds the runtime's frames only: for programs that read the text.
    pub(crate) fn fold(&self, text: &str) -> String {
        self.fold_lines(text).0.join("\n")
    }

    /// The same as [`Files::explain`] for what a module threw while it was loaded, with a line before it that says so.
    pub(crate) fn explain_load(&self, text: &str) -> String {
        let text = &*self.in_project(text);
        let mut places = text.lines().filter_map(frame).filter_map(|frame| place(frame.location));
        let own = places.find(|place| !place.is_foreign());
        match own {
            Some(place) => {
                format!("{} failed while it was loaded.\n{}", self.shown(&place.file), self.explain(text))
            }
            None => self.explain(text),
        }
    }

    // The text with names of files as they are in the project, whoever else shall be able to open them.
    fn in_project<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.url {
            Some(url) if text.contains(url.as_str()) => Cow::Owned(text.replace(url.as_str(), "file:///")),
            _ => Cow::Borrowed(text),
        }
    }

    fn fold_lines(&self, text: &str) -> (Vec<String>, Option<Vec<String>>) {
        let text = &*self.in_project(text);
        let mut lines: Vec<String> = Vec::new();
        // The code of a package is shown only when no frame lies in the project's own files.
        let (mut own, mut foreign) = (None, None);
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            let Some(frame) = frame(line) else {
                lines.push(line.to_string());
                continue;
            };
            if is_own(frame.location) {
                // What stands behind the last frame belongs to the object that holds the error.
                if let Some(last) = lines.last_mut() {
                    last.push_str(frame.behind);
                }
                continue;
            }
            let Some(place) = place(frame.location) else {
                lines.push(line.to_string());
                continue;
            };
            let code = if place.is_foreign() { &mut foreign } else { &mut own };
            if code.is_none() {
                *code = excerpt(&self.root, &place);
            }
            let named = format!("file:///{}", place.file);
            lines.push(line.replacen(&named, &self.shown(&place.file), 1));
        }
        (lines, own.or(foreign))
    }
}

/// A line of a stack.
struct Frame<'a> {
    location: &'a str,
    /// What follows it: braces and commas of the object that holds the error.
    behind: &'a str,
}

// A line `at function (location)` or `at location`. A location ends with line and column, but for a few of V8's.
fn frame(line: &str) -> Option<Frame<'_>> {
    let rest = line.trim_start().strip_prefix("at ")?;
    let bare = rest.trim_end_matches([' ', '{', '}', ',', ']']);
    let behind = rest.get(bare.len()..).unwrap_or_default();
    if let Some((_, location)) = bare.strip_suffix(')').and_then(|bare| bare.rsplit_once('(')) {
        let is_location = is_own(location) || ends_with_place(location);
        return is_location.then_some(Frame { location, behind });
    }
    let location = bare.strip_prefix("async ").unwrap_or(bare);
    (is_own(location) || ends_with_place(location)).then_some(Frame { location, behind })
}

fn ends_with_place(location: &str) -> bool {
    let mut parts = location.rsplitn(3, ':');
    let mut is_number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok());
    is_number() && is_number()
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
        let shown = Files::new(folder.path(), folder.path()).explain(text);
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
        let shown = Files::new(folder.path(), folder.path()).explain(text);
        assert!(shown.ends_with("i.ts:1:1)\n\n  1 | throw 1;\n    | ^"), "{shown}");
        std::fs::write(folder.path().join("server.ts"), "f();\n").unwrap();
        let shown = Files::new(folder.path(), folder.path())
            .explain(&format!("{text}\n    at file:///server.ts:1:1"));
        assert!(shown.ends_with("  1 | f();\n    | ^"), "{shown}");
    }

    #[test]
    fn files_that_debuggers_can_open_are_named_as_always() {
        let files = Files::new(Path::new("/a b/p"), Path::new("/"));
        assert_eq!(files.fold("Error\n    at f (file:///a%20b/p/s.ts:1:1)"), "Error\n    at f (s.ts:1:1)");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["hello", "at home", "look at this: a (b)", "at 5:30 (sharp)"] {
            assert_eq!(Files::new(Path::new("/nowhere"), Path::new("/")).explain(text), text);
        }
    }

    #[test]
    fn frames_within_objects_and_of_loading_are_folded_too() {
        let files = Files::new(Path::new("/nowhere"), Path::new("/"));
        let text = "{\n  e: Error: x\n      at f (file:///s.ts:1:2)\n      at request (ext:partyrun/70_room.js:1:2),\n  a: 1\n}";
        assert_eq!(files.fold(text), "{\n  e: Error: x\n      at f (s.ts:1:2),\n  a: 1\n}");
        let text = "[\n  Error: x\n      at async load (ext:a/b.js:1:2) ]";
        assert_eq!(files.fold(text), "[\n  Error: x ]");
        let text =
            "Error: top\n    at file:///src/s.ts:25:7\n    at evaluate (ext:partyrun/90_dispatch.js:33:18)";
        assert_eq!(
            files.explain_load(text),
            "src/s.ts failed while it was loaded.\nError: top\n    at src/s.ts:25:7"
        );
    }

    #[test]
    fn paths_are_those_that_the_shell_opens() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.ts"), "x\n").unwrap();
        let text = "Error\n    at f (file:///s.ts:1:1)";
        let fold = |shell: &Path| Files::new(folder.path(), shell).fold(text);
        let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(fold(folder.path()), "Error\n    at f (s.ts:1:1)");
        assert_eq!(fold(folder.path().parent().unwrap()), format!("Error\n    at f ({name}/s.ts:1:1)"));
        assert_eq!(fold(Path::new("/no")), format!("Error\n    at f ({}/s.ts:1:1)", folder.path().display()));
    }
}
