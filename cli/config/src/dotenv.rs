//! The syntax of environment files: that of dotenv 16, which the original uses (spec 4.2).
//!
//! dotenv is one regular expression applied to the whole text; the same expression runs here, in an engine that takes
//! linear time. What it does not match is skipped without an error, as there. Expectations of the tests were obtained
//! from the npm package.

use std::sync::LazyLock;

use indexmap::IndexMap;
use regex::Regex;

/// `None` cannot happen: the pattern is constant and a test compiles it.
static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // `\s` of JavaScript holds U+FEFF, that of the regex crate does not; `\w` is ASCII there.
    let space = r"[\s\x{FEFF}]";
    let pattern = format!(
        r#"(?m)^{space}*(?:export{space}+)?([0-9A-Za-z_.-]+)(?:{space}*={space}*?|:{space}+?)({space}*'(?:\\'|[^'])*'|{space}*"(?:\\"|[^"])*"|{space}*`(?:\\`|[^`])*`|[^#\r\n]+)?{space}*(?:#.*)?$"#
    );
    Regex::new(&pattern).ok()
});

/// Parses an environment file. A key that occurs twice has its last value.
pub fn parse(text: &str) -> IndexMap<String, String> {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let Some(line) = LINE.as_ref() else { return IndexMap::new() };
    line.captures_iter(&lines)
        .filter_map(|captures| {
            let key = captures.get(1)?.as_str().to_owned();
            Some((key, unquote(captures.get(2).map_or("", |value| value.as_str()))))
        })
        .collect()
}

fn unquote(raw: &str) -> String {
    let trimmed = raw.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let quote = trimmed.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
    let inner = quote.and_then(|q| trimmed.strip_prefix(q)?.strip_suffix(q)).unwrap_or(trimmed);
    if quote == Some('"') { inner.replace("\\n", "\n").replace("\\r", "\r") } else { inner.to_owned() }
}
