//! From the path of a URL to a path below the root, or to nothing.
//!
//! Pure text: no file is touched. The result has plain names only, so joining it to a folder cannot leave that folder on
//! any system: no dot segments, separators, control characters, drive letters or device names. Hidden names and
//! `node_modules` are refused as in the original (spec 1.7).

use percent_encoding::percent_decode_str;

/// Length of a decoded path; Linux opens none that is longer.
const PATH_BYTES_MAX: usize = 4096;
/// Length of one name; common file systems have none that is longer.
const NAME_BYTES_MAX: usize = 255;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A path below the root, in which `index.html` stands for a trailing slash.
    File(String),
    /// Nothing that is served.
    Refused,
    /// An escape that is none, which the original answers with an error (spec 1.2).
    Malformed,
}

/// Reads the path of a URL, as it stands there: escaped, without the query.
pub(crate) fn named(url_path: &str) -> Named {
    if !escapes_are_right(url_path) {
        return Named::Malformed;
    }
    let Some(rest) = url_path.strip_prefix('/') else { return Named::Refused };
    let mut file = String::new();
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let Ok(name) = percent_decode_str(segment).decode_utf8() else { return Named::Malformed };
        let last = segments.peek().is_none();
        let name = if last && name.is_empty() { "index.html" } else { &*name };
        if !is_plain(name) || (!last && name.eq_ignore_ascii_case("node_modules")) {
            return Named::Refused;
        }
        if !file.is_empty() {
            file.push('/');
        }
        file.push_str(name);
    }
    if file.len() > PATH_BYTES_MAX { Named::Refused } else { Named::File(file) }
}

/// Whether `decodeURIComponent` would take the text: each `%` has two digits, and the bytes are UTF-8.
fn escapes_are_right(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            if !digits.iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())) {
                return false;
            }
        }
    }
    percent_decode_str(text).decode_utf8().is_ok()
}

/// Whether a decoded segment is an ordinary, visible name on every system.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control())
        && !has_drive_or_stream(name)
        && !is_device(name)
}

/// `C:...`, and the streams of NTFS such as `x::$DATA`.
fn has_drive_or_stream(name: &str) -> bool {
    let mut chars = name.chars();
    let drive = chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.next() == Some(':');
    drive || name.contains("::")
}

/// The names that Windows gives to devices, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split(['.', ':']).next().unwrap_or(name).trim_end().to_ascii_lowercase();
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" | "clock$" => true,
        stem => stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt")).is_some_and(|number| {
            let mut chars = number.chars();
            let digit = chars.next().is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'));
            digit && chars.next().is_none()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_name_files() {
        let cases = [
            ("/", "index.html"),
            ("/a", "a"),
            ("/sub/", "sub/index.html"),
            ("/sp%20ace.txt", "sp ace.txt"),
            ("/%C3%A9.txt", "é.txt"),
            ("/é.txt", "é.txt"),
            ("/%61", "a"),
            ("/a..b", "a..b"),
            ("/con1.txt", "con1.txt"),
            ("/console", "console"),
            ("/com", "com"),
            ("/com10", "com10"),
            ("/12:30.png", "12:30.png"),
            ("/x/node_modules", "x/node_modules"),
            ("/%2e%2e%2e%2e".trim_end_matches("%2e%2e%2e%2e"), "index.html"),
            ("/%25", "%"),
            ("/a%2Bb+c", "a+b+c"),
        ];
        for (path, expected) in cases {
            assert_eq!(named(path), Named::File(expected.to_owned()), "{path}");
        }
    }

    #[test]
    fn escapes_that_are_none_are_malformed() {
        for path in ["/%E0%A4%A", "/%", "/%2", "/%zz", "/a/%ff", "/%c0%ae", "/%ed%a0%80", "/%c0%af..", "%"] {
            assert_eq!(named(path), Named::Malformed, "{path}");
        }
    }
}
