//! Matching of what came against what a case expects.
//!
//! In text: a string is the exact value, `{pattern}` a regular expression, `{contains}` a part, `{capture}` keeps the
//! value for later steps. In JSON the same stand as `{$pattern}`, `{$contains}`, `{$capture}`, `{$any: "number"}`,
//! so that they cannot be mistaken for data. Named groups of a pattern become variables too.

use crate::data::{DataError, Node, Shape};
use crate::variables::Variables;
use regex::Regex;
use serde_json::Value;

/// What a text must be.
#[derive(Debug, Clone)]
pub enum TextMatcher {
    /// Exactly this, after filling in variables.
    Exact(String),
    /// Matched by this regular expression somewhere.
    Pattern {
        /// The expression.
        pattern: String,
        /// The variable that takes the whole text.
        capture: Option<String>,
    },
    /// This stands somewhere in it.
    Contains(String),
    /// Anything; kept in this variable.
    Capture(String),
}

impl TextMatcher {
    /// Reads a matcher; a bare string, number or boolean is its exact text.
    pub fn read(node: &Node) -> Result<Self, DataError> {
        match &node.value {
            Shape::Text(text) => return Ok(Self::Exact(text.clone())),
            Shape::Number(number) => return Ok(Self::Exact(number.to_string())),
            Shape::Object(_) => {}
            _ => return Err(node.error(format!("expected a string or a matcher, found {}", node.kind()))),
        }
        let mut fields = node.fields()?;
        let capture = fields.take("capture").map(|name| name.text().map(str::to_owned)).transpose()?;
        let matcher = if let Some(pattern) = fields.take("pattern") {
            let text = pattern.text()?;
            check_pattern(pattern, text)?;
            Self::Pattern { pattern: text.to_owned(), capture }
        } else if let Some(part) = fields.take("contains") {
            Self::Contains(part.text()?.to_owned())
        } else if let Some(name) = capture {
            Self::Capture(name)
        } else {
            return Err(node.error("a matcher needs `pattern`, `contains` or `capture`"));
        };
        fields.finish()?;
        Ok(matcher)
    }

    /// Compares; the error says what was expected and what came.
    pub fn check(&self, variables: &Variables, found: &str) -> Result<(), String> {
        match self {
            Self::Exact(template) => {
                let wanted = variables.text(template)?;
                if wanted == found { Ok(()) } else { Err(differs(&quoted(&wanted), &quoted(found))) }
            }
            Self::Contains(template) => {
                let wanted = variables.text(template)?;
                if found.contains(&wanted) {
                    return Ok(());
                }
                Err(differs(&format!("text containing {}", quoted(&wanted)), &quoted(found)))
            }
            Self::Pattern { pattern, capture } => {
                let regex = variables.pattern(pattern)?;
                if !keep_groups(&regex, found, variables) {
                    return Err(differs(&format!("text matching /{pattern}/"), &quoted(found)));
                }
                if let Some(name) = capture {
                    variables.set(name, found);
                }
                Ok(())
            }
            Self::Capture(name) => {
                variables.set(name, found);
                Ok(())
            }
        }
    }
}

/// Refuses a pattern that cannot compile whatever its variables hold.
fn check_pattern(node: &Node, pattern: &str) -> Result<(), DataError> {
    let without_variables = Regex::new(r"\$\{\w+\}").map(|r| r.replace_all(pattern, "x").into_owned());
    let checked = without_variables.and_then(|plain| Regex::new(&plain));
    checked.map(|_| ()).map_err(|error| node.error(format!("not a pattern: {error}")))
}

fn keep_groups(regex: &Regex, found: &str, variables: &Variables) -> bool {
    let Some(captures) = regex.captures(found) else { return false };
    for name in regex.capture_names().flatten() {
        if let Some(group) = captures.name(name) {
            variables.set(name, group.as_str());
        }
    }
    true
}

/// What a JSON value must be.
#[derive(Debug, Clone)]
pub struct JsonMatcher {
    wanted: Value,
    subset: bool,
}

impl JsonMatcher {
    /// Reads the wanted value; with `subset` objects may have more keys than named (lists stay exact).
    pub fn read(node: &Node, subset: bool) -> Result<Self, DataError> {
        check_special_keys(node)?;
        Ok(Self { wanted: node.json(), subset })
    }

    /// Parses and compares.
    pub fn check_text(&self, variables: &Variables, found: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(found)
            .map_err(|error| differs("JSON", &format!("{} ({error})", quoted(found))))?;
        self.check(variables, &value)
    }

    /// Compares a value.
    pub fn check(&self, variables: &Variables, found: &Value) -> Result<(), String> {
        self.compare(variables, &self.wanted, found, "$")
            .map_err(|message| format!("{message}\n  whole value: {}", shortened(&found.to_string())))
    }

    fn compare(
        &self,
        variables: &Variables,
        wanted: &Value,
        found: &Value,
        path: &str,
    ) -> Result<(), String> {
        let wrong = |wanted: &str| Err(format!("at {path}: {}", differs(wanted, &found.to_string())));
        match (wanted, found) {
            (Value::Object(entries), _) if entries.keys().any(|key| key.starts_with('$')) => {
                special(variables, entries, found).map_err(|message| format!("at {path}: {message}"))
            }
            (Value::Object(entries), Value::Object(has)) => {
                for (key, inner) in entries {
                    let Some(value) = has.get(key) else {
                        return Err(format!("at {path}: key `{key}` is missing"));
                    };
                    self.compare(variables, inner, value, &format!("{path}.{key}"))?;
                }
                match has.keys().find(|key| !self.subset && !entries.contains_key(*key)) {
                    Some(key) => Err(format!("at {path}: key `{key}` was not expected")),
                    None => Ok(()),
                }
            }
            (Value::Array(items), Value::Array(has)) if items.len() == has.len() => {
                let pairs = items.iter().zip(has).enumerate();
                pairs.into_iter().try_for_each(|(at, (inner, value))| {
                    self.compare(variables, inner, value, &format!("{path}[{at}]"))
                })
            }
            (Value::Array(items), Value::Array(_)) => wrong(&format!("a list of {}", items.len())),
            (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => Ok(()),
            _ => {
                let exact = variables.json(wanted)?;
                if exact == *found { Ok(()) } else { wrong(&exact.to_string()) }
            }
        }
    }
}

fn check_special_keys(node: &Node) -> Result<(), DataError> {
    match &node.value {
        Shape::List(items) => items.iter().try_for_each(check_special_keys),
        Shape::Object(entries) => entries.iter().try_for_each(|(key, value)| match key.as_str() {
            "$pattern" => check_pattern(value, value.text()?),
            "$contains" | "$capture" => value.text().map(|_| ()),
            "$any" => match value.text()? {
                "string" | "number" | "boolean" | "object" | "list" | "null" | "value" => Ok(()),
                other => Err(value.error(format!("unknown kind: `{other}`"))),
            },
            "$at_least" | "$at_most" => match value.value {
                Shape::Number(_) => Ok(()),
                _ => Err(value.error("expected a number")),
            },
            key if key.starts_with('$') => Err(value.error(format!("unknown matcher: `{key}`"))),
            _ => check_special_keys(value),
        }),
        _ => Ok(()),
    }
}

fn special(
    variables: &Variables,
    entries: &serde_json::Map<String, Value>,
    found: &Value,
) -> Result<(), String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
    for (key, wanted) in entries {
        match key.as_str() {
            "$capture" => variables.set(&text(wanted), found.clone()),
            "$pattern" | "$contains" => {
                let Value::String(has) = found else { return Err(differs("a string", &found.to_string())) };
                let matcher = if key == "$pattern" {
                    TextMatcher::Pattern { pattern: text(wanted), capture: None }
                } else {
                    TextMatcher::Contains(text(wanted))
                };
                matcher.check(variables, has)?;
            }
            "$at_least" | "$at_most" => {
                let (limit, has) = (wanted.as_f64().unwrap_or_default(), found.as_f64());
                let holds =
                    has.is_some_and(|has| if key == "$at_least" { has >= limit } else { has <= limit });
                if !holds {
                    return Err(differs(&format!("a number {} {limit}", &key[1..]), &found.to_string()));
                }
            }
            _ => {
                let kind = kind_of(found);
                let wanted = text(wanted);
                if wanted != "value" && wanted != kind {
                    return Err(differs(&wanted, &found.to_string()));
                }
            }
        }
    }
    Ok(())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// The two lines of every failed comparison.
pub fn differs(wanted: &str, found: &str) -> String {
    format!("expected {}\n       came {}", shortened(wanted), shortened(found))
}

/// A string as the messages show it.
pub fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// At most a screenful of a long value.
pub fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 1_200;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::parse;
    use std::path::Path;

    fn node(text: &str) -> Node {
        parse(Path::new("t.json5"), text).unwrap()
    }

    fn json(wanted: &str, found: &str, subset: bool) -> Result<(), String> {
        JsonMatcher::read(&node(wanted), subset).unwrap().check_text(&Variables::default(), found)
    }

    #[test]
    fn text_matchers() {
        let variables = Variables::default();
        let check =
            |wanted: &str, found: &str| TextMatcher::read(&node(wanted)).unwrap().check(&variables, found);
        assert!(check("'a'", "a").is_ok());
        assert!(check("'a'", "ab").is_err());
        assert!(check("{pattern: '^a(?<rest>.+)$'}", "abc").is_ok());
        assert!(check("'$rest'", "bc").is_ok());
        assert!(check("{contains: 'b'}", "abc").is_ok());
        assert!(check("{contains: 'x'}", "abc").unwrap_err().contains("came \"abc\""));
        assert!(check("{capture: 'id'}", "7").is_ok());
        assert!(check("'id $id'", "id 7").is_ok());
    }

    #[test]
    fn mistakes_in_matchers_are_found_when_read() {
        let text =
            |matcher: &str| TextMatcher::read(&node(matcher)).map(drop).map_err(|error| error.to_string());
        let json = |matcher: &str| {
            JsonMatcher::read(&node(matcher), false).map(drop).map_err(|error| error.to_string())
        };
        assert!(text("{pattern: '('}").unwrap_err().contains("unclosed group"));
        assert_eq!(
            text("{patern: 'x'}").unwrap_err(),
            "t.json5:1: a matcher needs `pattern`, `contains` or `capture`"
        );
        assert_eq!(text("{contains: 'x', patern: 'x'}").unwrap_err(), "t.json5:1: unknown key: `patern`");
        assert_eq!(text("[1]").unwrap_err(), "t.json5:1: expected a string or a matcher, found a list");
        assert_eq!(json("{a: {$patern: 'x'}}").unwrap_err(), "t.json5:1: unknown matcher: `$patern`");
        assert_eq!(json("{a: {$any: 'thing'}}").unwrap_err(), "t.json5:1: unknown kind: `thing`");
        // What is right beside each of them.
        for right in ["{pattern: '(x)'}", "{contains: 'x'}", "1"] {
            assert_eq!(text(right), Ok(()), "{right}");
        }
        for right in ["{a: {$pattern: 'x'}}", "{a: {$any: 'number'}}", "[1]"] {
            assert_eq!(json(right), Ok(()), "{right}");
        }
    }

    #[test]
    fn json_exact_and_subset() {
        assert!(json("{a: 1}", "{\"a\":1.0}", false).is_ok());
        assert!(json("{a: 1}", "{\"a\":1,\"b\":2}", false).unwrap_err().contains("`b` was not expected"));
        assert!(json("{a: 1}", "{\"a\":1,\"b\":2}", true).is_ok());
        assert!(json("{a: 1, c: 1}", "{\"a\":1}", true).unwrap_err().contains("`c` is missing"));
        assert!(json("[1, 2]", "[1]", true).unwrap_err().contains("a list of 2"));
        assert!(json("[1, {$any: 'number'}]", "[1, 2]", false).is_ok());
        assert!(json("{$pattern: '^x'}", "\"yx\"", false).is_err());
        assert!(json("{$at_least: 3}", "2", false).is_err());
        assert!(json("1", "no", false).unwrap_err().contains("expected JSON"));
    }
}
