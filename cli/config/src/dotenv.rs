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
    let name = format!(r"(?m)^{space}*(?:export{space}+)?([0-9A-Za-z_.-]+)");
    let equals = format!(r"(?:{space}*={space}*?|:{space}+?)");
    let quoted =
        ["'", "\"", "`"].map(|quote| format!(r"{space}*{quote}(?:\\{quote}|[^{quote}])*{quote}")).join("|");
    let pattern = format!(r"{name}{equals}({quoted}|[^#\r\n]+)?{space}*(?:#.*)?$");
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

#[cfg(test)]
mod tests {
    use super::parse;

    /// A text, and what dotenv 16.6 makes of it.
    #[rustfmt::skip]
    const CASES: &[(&str, &[(&str, &str)])] = &[
        ("A=1", &[("A", "1")]),
        ("A = 1 ", &[("A", "1")]),
        ("export A=1", &[("A", "1")]),
        (" export  A=1", &[("A", "1")]),
        ("A: 1", &[("A", "1")]),
        ("A:1", &[]),
        ("A=", &[("A", "")]),
        ("A=\nB=2", &[("A", ""), ("B", "2")]),
        ("A='x # y' # z", &[("A", "x # y")]),
        ("A=x # y", &[("A", "x")]),
        ("A=x#y", &[("A", "x")]),
        ("A=\"a\\nb\\r\\tc\"", &[("A", "a\nb\r\\tc")]),
        ("A='a\\nb'", &[("A", "a\\nb")]),
        ("A=`a\nb`", &[("A", "a\nb")]),
        ("A=\"a\nb\"\nB=1", &[("A", "a\nb"), ("B", "1")]),
        ("A='it\\'s'", &[("A", "it\\'s")]),
        ("A=\"x\" y", &[("A", "\"x\" y")]),
        ("A='x\ny' z\nB=2", &[("A", "'x"), ("B", "2")]),
        ("A=\"unclosed\nB=2", &[("A", "\"unclosed"), ("B", "2")]),
        ("A=b=c=d", &[("A", "b=c=d")]),
        ("1A=x", &[("1A", "x")]),
        ("A.B-C=x", &[("A.B-C", "x")]),
        ("A B=x", &[]),
        ("# c\n\n  #d\nA=1", &[("A", "1")]),
        ("A=1\r\nB=2\rC=3", &[("A", "1"), ("B", "2"), ("C", "3")]),
        ("A=$B ${C}", &[("A", "$B ${C}")]),
        ("A='\"x\"'", &[("A", "\"x\"")]),
        ("A=  spaced out  ", &[("A", "spaced out")]),
        ("\u{feff}A=1", &[("A", "1")]),
        ("A=\u{e9}\u{4e2d}", &[("A", "\u{e9}\u{4e2d}")]),
        ("A", &[]),
        ("=x", &[]),
        ("A==x", &[("A", "=x")]),
        ("A=\"\"", &[("A", "")]),
        ("A=''", &[("A", "")]),
        ("A=\"a\" # \"b\"", &[("A", "a")]),
        ("A='a'b'", &[("A", "a'b")]),
        ("A=1\nA=2", &[("A", "2")]),
        ("export =x", &[("export", "x")]),
        ("A=\"\\\"q\\\"\"", &[("A", "\\\"q\\\"")]),
        ("A='\nB=2\n'", &[("A", "\nB=2\n")]),
        ("A= #x", &[("A", "")]),
        ("A=\\n", &[("A", "\\n")]),
        ("A=\n'multi\nline'\nB=1", &[("A", "multi\nline"), ("B", "1")]),
        ("A=\"x\\\"\nB=2", &[("A", "x\\"), ("B", "2")]),
        ("A=x\u{a0}", &[("A", "x")]),
        ("A:\tx", &[("A", "x")]),
        ("A=`x`", &[("A", "x")]),
        ("_=1", &[("_", "1")]),
        ("A=\"a\\\\nb\"", &[("A", "a\\\nb")]),
        ("A='#'", &[("A", "#")]),
        ("A=\"#a\"#b", &[("A", "#a")]),
        ("A=a'b'c", &[("A", "a'b'c")]),
        ("A=\t'x'", &[("A", "x")]),
    ];

    #[test]
    fn dotenv_agrees() {
        for (text, expected) in CASES {
            let parsed = parse(text);
            let parsed: Vec<(&str, &str)> =
                parsed.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(&parsed, expected, "{text:?}");
        }
    }

    #[test]
    fn time_is_linear() {
        for hostile in ["A='", "A=\"\\\"", "  \n", "export ", "A:", "#"] {
            parse(&hostile.repeat(200_000));
        }
    }
}
