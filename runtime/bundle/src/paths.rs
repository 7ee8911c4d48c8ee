//! Small things about files that several steps need: how a path is written, where lines begin.

use std::path::Path;

/// How traces and source maps name a file.
pub(crate) fn file_url(root: &Path, path: &Path) -> String {
    format!("file:///{}", relative(root, path))
}

/// A path as messages show it.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    let mut base = root;
    let mut up = String::new();
    loop {
        if let Ok(rest) = path.strip_prefix(base) {
            return format!("{up}{}", rest.to_string_lossy().replace('\\', "/"));
        }
        let Some(parent) = base.parent() else { return path.to_string_lossy().into_owned() };
        base = parent;
        up.push_str("../");
    }
}

/// Where the lines begin.
pub(crate) fn line_starts(text: &str) -> Vec<u32> {
    let ends = memchr::memchr_iter(b'\n', text.as_bytes());
    std::iter::once(0).chain(ends.map(|at| at as u32 + 1)).collect()
}
