//! Variables of a running case: given by the runner (`$room`, `$host`), captured by expectations, used by later steps.
//!
//! `$name` and `${name}` stand for the value; `$$` is a dollar sign. In patterns only `${name}` is replaced
//! (and escaped), because `$` already means the end of the text there. An unknown name is an error of the case.

use regex::Regex;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;

/// The values by name. Captured values keep their JSON type.
#[derive(Debug, Default)]
pub struct Variables {
    values: RefCell<HashMap<String, Value>>,
}

impl Variables {
    /// Sets or replaces a variable.
    pub fn set(&self, name: &str, value: impl Into<Value>) {
        self.values.borrow_mut().insert(name.to_owned(), value.into());
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Result<Value, String> {
        self.values.borrow().get(name).cloned().ok_or_else(|| format!("unknown variable: `${name}`"))
    }

    /// A string with its variables replaced.
    pub fn text(&self, template: &str) -> Result<String, String> {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = variable_name(rest) {
                out.push_str(&as_text(&self.get(name)?));
                rest = after;
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// A JSON value with its variables replaced. A string that is one variable alone takes its value and its type.
    pub fn json(&self, template: &Value) -> Result<Value, String> {
        Ok(match template {
            Value::String(text) => match text.strip_prefix('$').and_then(variable_name) {
                Some((name, "")) => self.get(name)?,
                _ => Value::String(self.text(text)?),
            },
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.json(v)).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Ok((self.text(key)?, self.json(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }

    /// A compiled pattern with `${name}` replaced by the escaped value.
    pub fn pattern(&self, template: &str) -> Result<Regex, String> {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let (name, after) = variable_name(&rest[at + 1..]).ok_or("a `${` without its `}`")?;
            out.push_str(&regex::escape(&as_text(&self.get(name)?)));
            rest = after;
        }
        out.push_str(rest);
        Regex::new(&out).map_err(|error| format!("not a pattern: {error}"))
    }
}

/// `name...` or `{name}...` as a name and what follows it.
fn variable_name(text: &str) -> Option<(&str, &str)> {
    let word =
        |text: &str| text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if let Some(inner) = text.strip_prefix('{') {
        let end = word(inner);
        return inner[end..].strip_prefix('}').filter(|_| end > 0).map(|after| (&inner[..end], after));
    }
    let end = word(text);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well.then(|| text.split_at(end))
}

/// Strings bare, everything else as compact JSON.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_filled_in() {
        let variables = Variables::default();
        variables.set("room", "r1");
        variables.set("n", 5);
        assert_eq!(variables.text("/party/$room-x?${n}a$$ $ $1").unwrap(), "/party/r1-x?5a$ $ $1");
        assert_eq!(variables.text("$nope").unwrap_err(), "unknown variable: `$nope`");
    }

    #[test]
    fn json_keeps_the_type_of_a_lone_variable() {
        let variables = Variables::default();
        variables.set("n", 5);
        assert_eq!(
            variables.json(&json!({"a": "$n", "b": ["n=$n"]})).unwrap(),
            json!({"a": 5, "b": ["n=5"]})
        );
    }

    #[test]
    fn patterns_escape_what_they_take_in() {
        let variables = Variables::default();
        variables.set("room", "a.b");
        let pattern = variables.pattern("^${room}$").unwrap();
        assert!(pattern.is_match("a.b") && !pattern.is_match("axb"));
    }
}
