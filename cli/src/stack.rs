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
/// Longer lines of a message are cut: nobody reads more, and a value may be all that a request has sent.
const MESSAGE_CHARS_MAX: usize = 4000;
/// What the linker adds to a bundle is in none of the project's files.
const LINKED: &str = "bundle.js";

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
        Self { root: root.to_owned(), prefix, url: folder_url(root) }
    }

    // A file that is not here, as those of a release, keeps its name in the project.
    fn shown(&self, file: &str) -> String {
        let is_here = self.root.join(file).is_file();
        if is_here { format!("{}{file}", self.prefix) } else { file.to_string() }
    }

    /// Folds the runtime's frames, and adds the code of the first frame that lies in the project.
    pub(crate) fn explain(&self, text: &str) -> String {
        let (mut lines, code) = self.fold_lines(text);
        lines.iter_mut().for_each(cut);
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

    // Whether a frame is the linker's: a file of the project may have the bundle's name.
    fn is_linked(&self, location: &str) -> bool {
        place(location).is_some_and(|place| place.file == LINKED && !self.root.join(LINKED).is_file())
    }

    fn fold_lines(&self, text: &str) -> (Vec<String>, Option<Vec<String>>) {
        let text = &*self.in_project(text);
        let mut lines: Vec<String> = Vec::new();
        // The code of a package is shown only when no frame lies in the project's own files.
        let (mut own, mut foreign) = (None, None);
        // How often the last frame came once more: recursion would fill the screen.
        let mut again = 0;
        let mut last_frame = "";
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            if line == last_frame {
                again += 1;
                continue;
            }
            close_repeats(&mut lines, &mut again, last_frame);
            last_frame = "";
            let Some(frame) = frame(line) else {
                lines.push(line.to_string());
                continue;
            };
            if is_own(frame.location) || self.is_linked(frame.location) {
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
            last_frame = line;
        }
        close_repeats(&mut lines, &mut again, last_frame);
        (lines, own.or(foreign))
    }
}

// Cuts a line that is too long to be read.
fn cut(line: &mut String) {
    // Most are short, whatever their letters.
    if line.len() <= MESSAGE_CHARS_MAX {
        return;
    }
    let count = line.chars().count();
    if let Some((at, _)) = line.char_indices().nth(MESSAGE_CHARS_MAX) {
        line.truncate(at);
        line.push_str(&format!("... ({} more characters)", count - MESSAGE_CHARS_MAX));
    }
}

// Says how often the last frame was there once more.
fn close_repeats(lines: &mut Vec<String>, again: &mut usize, frame: &str) {
    let indent = frame.len() - frame.trim_start().len();
    match std::mem::take(again) {
        0 => {}
        1 => lines.extend(lines.last().cloned()),
        times => lines.push(format!("{:indent$}... {times} more times", "")),
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
    let first = at.saturating_sub(LINES_ABOVE);
    let width = place.line.to_string().len();
    // A long line is shown around its mark, and the lines above it from the same column.
    let skip = if place.column > LINE_CHARS_MAX { place.column - 1 - LINE_CHARS_MAX / 2 } else { 0 };
    let left = if skip > 0 { "... " } else { "" };
    let mut shown = vec![String::new()];
    for (offset, line) in lines.get(first..=at)?.iter().enumerate() {
        let part: String = line.chars().skip(skip).take(LINE_CHARS_MAX).collect();
        let right = if line.chars().nth(skip + LINE_CHARS_MAX).is_some() { " ..." } else { "" };
        shown.push(format!("  {:>width$} | {left}{part}{right}", first + offset + 1));
    }
    // Tabs stay tabs, so that the mark stands below its character whatever their width.
    let before = marked.chars().skip(skip).take(place.column - 1 - skip);
    let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    shown.push(format!("  {:>width$} | {:2$}{indent}^", "", "", left.len()));
    Some(shown)
}

/// The URL of a folder, with a slash at its end.
pub(crate) fn folder_url(folder: &Path) -> Option<String> {
    url::Url::from_directory_path(folder).ok().map(String::from)
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
    fn long_lines_are_shown_around_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("s.ts"),
            format!("short\n{}X{}\n", "a".repeat(300), "b".repeat(300)),
        )
        .unwrap();
        let files = Files::new(folder.path(), folder.path());
        let shown = files.explain("Error: x\n    at f (file:///s.ts:2:301)");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[3], "  1 | ... ");
        assert_eq!(lines[4], format!("  2 | ... {}X{} ...", "a".repeat(60), "b".repeat(59)));
        assert_eq!(lines[5].find('^'), lines[4].find('X'));
    }

    #[test]
    fn what_nobody_reads_is_left_out() {
        let files = Files::new(Path::new("/nowhere"), Path::new("/"));
        let frame = "    at f (file:///s.ts:1:2)";
        let text = ["RangeError: deep", frame, frame, frame, "    at g (file:///s.ts:2:2)"].join("\n");
        assert_eq!(
            files.fold(&text),
            "RangeError: deep\n    at f (s.ts:1:2)\n    ... 2 more times\n    at g (s.ts:2:2)"
        );
        assert_eq!(
            files.fold(&format!("E\n{frame}\n{frame}")),
            "E\n    at f (s.ts:1:2)\n    at f (s.ts:1:2)"
        );
        // The linker's own functions.
        let text = format!("Error: no\n    at __pk_missing (file:///bundle.js:12:22)\n{frame}");
        assert_eq!(files.fold(&text), "Error: no\n    at f (s.ts:1:2)");
        let long = format!("Error: {}\n{frame}", "x".repeat(5000));
        let cut = format!("Error: {}... (1007 more characters)\n    at f (s.ts:1:2)", "x".repeat(3993));
        assert_eq!(files.explain(&long), cut);
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
