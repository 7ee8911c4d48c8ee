//! Patterns: the files that an `import()` with an interpolated argument can reach.

use std::path::{Path, PathBuf};

/// The files that `import()` of a pattern can mean; a `*` matches anything, also across folders. Packages and hidden files,
/// such as the build's own cache, are none of the project's sources.
pub(super) fn glob(importer: &Path, pattern: &[String]) -> Vec<(String, PathBuf)> {
    let (Some(folder), Some(first)) = (importer.parent(), pattern.first()) else { return Vec::new() };
    let prefix = first.rfind('/').map_or("", |at| first.get(..=at).unwrap_or_default());
    let mut found = Vec::new();
    let mut folders = vec![(prefix.to_string(), folder.join(prefix))];
    while let Some((name, folder)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let own = entry.file_name().to_string_lossy().into_owned();
            let file = format!("{name}{own}");
            if own.starts_with('.') && !names_hidden(pattern) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && entry.file_name() != "node_modules" => {
                    folders.push((format!("{file}/"), entry.path()));
                }
                Ok(kind) if kind.is_file() && matches(&file, pattern) => found.push((file, entry.path())),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

// Whether the pattern itself asks for hidden files.
fn names_hidden(pattern: &[String]) -> bool {
    pattern.iter().enumerate().any(|(index, piece)| {
        // A later piece goes on where anything may stand: its first part is the end of a name.
        let mut names = piece.split('/').skip(usize::from(index > 0));
        names.any(|name| name.starts_with('.') && !name.trim_start_matches('.').is_empty())
    })
}

fn matches(name: &str, pattern: &[String]) -> bool {
    let (Some(first), Some(last)) = (pattern.first(), pattern.last()) else { return false };
    let Some(mut rest) = name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for piece in pattern.get(1..pattern.len() - 1).unwrap_or_default() {
        let Some(at) = rest.find(piece.as_str()) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    true
}
