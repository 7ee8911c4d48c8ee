//! Elements (`<a/>`): what becomes of them in one file, by its `tsconfig.json` and by pragmas in its comments, as with
//! esbuild. The compiler would take a pragma only where it stands before the code, and an `@jsxImportSource` for more than
//! it says; so it is told the outcome, and the pragmas themselves are made unreadable.

use swc_common::BytePos;
use swc_common::comments::SingleThreadedComments;

use crate::settings::Settings;

/// What every pragma begins with.
const PRAGMA: &str = "@jsx";
/// The same, as nobody reads it.
const UNREADABLE: &str = "#jsx";

/// The settings of a file with what its pragmas say. The last of each kind counts, wherever it stands.
pub(crate) fn settings(given: &Settings, comments: &SingleThreadedComments) -> Settings {
    let mut settings = given.clone();
    for text in pragmas(comments) {
        read(&text, &mut settings);
    }
    if settings.jsx_automatic {
        (settings.jsx_factory, settings.jsx_fragment) = (None, None);
    } else {
        (settings.jsx_source, settings.jsx_development) = (None, false);
    }
    settings.jsx_factory = settings.jsx_factory.filter(|name| is_dotted(name));
    settings.jsx_fragment = settings.jsx_fragment.filter(|name| is_dotted(name));
    settings
}

// The texts of the comments with pragmas, in their order, which nobody finds any more.
fn pragmas(comments: &SingleThreadedComments) -> Vec<String> {
    let (mut leading, mut trailing) = comments.borrow_all_mut();
    let mut found: Vec<(BytePos, String)> = Vec::new();
    for comment in leading.values_mut().chain(trailing.values_mut()).flatten() {
        if comment.text.contains(PRAGMA) {
            found.push((comment.span.lo, comment.text.to_string()));
            comment.text = comment.text.replace(PRAGMA, UNREADABLE).into();
        }
    }
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}

fn read(comment: &str, settings: &mut Settings) {
    for (at, _) in comment.match_indices(PRAGMA) {
        let rest = comment.get(at + PRAGMA.len()..).unwrap_or_default();
        let name = rest.split(char::is_whitespace).next().unwrap_or_default();
        let value = rest.get(name.len()..).and_then(|rest| rest.split_whitespace().next());
        let Some(value) = value.map(str::to_string) else { continue };
        match (name, &*value) {
            ("", name) if is_dotted(name) => settings.jsx_factory = Some(value),
            ("Frag", name) if is_dotted(name) => settings.jsx_fragment = Some(value),
            ("Runtime", "automatic") => settings.jsx_automatic = true,
            ("Runtime", "classic") => settings.jsx_automatic = false,
            ("ImportSource", _) => settings.jsx_source = Some(value),
            _ => {}
        }
    }
}

fn is_dotted(text: &str) -> bool {
    text.split('.').all(|name| {
        let valid = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        name.starts_with(|first: char| valid(first) && !first.is_ascii_digit()) && name.chars().all(valid)
    })
}
