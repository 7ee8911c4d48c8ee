//! JSON5 with line numbers: the tree that cases are read from.
//!
//! `Node` is a value that knows the line it began on; `Fields` takes an object apart and refuses what is left over,
//! so a misspelt key is an error with file and line and never an expectation that silently checks nothing.

use jsonc_parser::ast::{ObjectPropName, Value as Ast};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A mistake in a data file.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {message}")]
pub struct DataError {
    /// Where the mistake is.
    pub place: Place,
    /// What is wrong, for the author of the file.
    pub message: String,
}

/// A line of a data file.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file as it should be shown.
    pub file: Arc<str>,
    /// One-based.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Place {
    /// An error at this place.
    pub fn error(&self, message: impl Into<String>) -> DataError {
        DataError { place: self.clone(), message: message.into() }
    }
}

/// A value and the place where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Shape,
}

/// The kinds of value. Objects keep the order of their keys.
#[derive(Debug, Clone)]
pub enum Shape {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as JSON knows it.
    Number(serde_json::Number),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object.
    Object(Vec<(String, Node)>),
}

/// Parses a whole file; `shown_as` is the name used in messages.
pub fn parse(shown_as: &Path, text: &str) -> Result<Node, DataError> {
    let file: Arc<str> = shown_as.to_string_lossy().into();
    let options = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options).map_err(|error| {
        let place = Place { file: file.clone(), line: error.line_display() };
        place.error(format!("not JSON5: {} (column {})", error.kind(), error.column_display()))
    })?;
    let line_starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let reader = Reader { file: file.clone(), line_starts };
    match parsed.value {
        Some(value) => reader.node(&value),
        None => Err(Place { file, line: 1 }.error("the file is empty")),
    }
}

struct Reader {
    file: Arc<str>,
    line_starts: Vec<usize>,
}

impl Reader {
    fn place(&self, offset: usize) -> Place {
        Place { file: self.file.clone(), line: self.line_starts.partition_point(|start| *start <= offset) }
    }

    fn node(&self, ast: &Ast<'_>) -> Result<Node, DataError> {
        let place = self.place(ast.start());
        let value = match ast {
            Ast::NullKeyword(_) => Shape::Null,
            Ast::BooleanLit(lit) => Shape::Bool(lit.value),
            Ast::StringLit(lit) => Shape::Text(lit.value.to_string()),
            Ast::NumberLit(lit) => Shape::Number(number(lit.value, &place)?),
            Ast::Array(array) => {
                Shape::List(array.elements.iter().map(|e| self.node(e)).collect::<Result<_, _>>()?)
            }
            Ast::Object(object) => {
                let mut entries: Vec<(String, Node)> = Vec::new();
                for property in &object.properties {
                    let name = match &property.name {
                        ObjectPropName::String(lit) => lit.value.to_string(),
                        ObjectPropName::Word(word) => word.value.to_string(),
                    };
                    if entries.iter().any(|(known, _)| *known == name) {
                        return Err(self.place(property.start()).error(format!("key given twice: `{name}`")));
                    }
                    entries.push((name, self.node(&property.value)?));
                }
                Shape::Object(entries)
            }
        };
        Ok(Node { place, value })
    }
}

fn number(text: &str, place: &Place) -> Result<serde_json::Number, DataError> {
    let plain = text.trim_start_matches('+');
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X"))
        && let Ok(value) = u64::from_str_radix(hex, 16)
    {
        return Ok(value.into());
    }
    plain.parse().map_err(|_| place.error(format!("not a number that JSON can hold: `{text}`")))
}

impl Node {
    /// An error at this value.
    pub fn error(&self, message: impl Into<String>) -> DataError {
        self.place.error(message)
    }

    /// What kind of value this is, in the words of the messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Shape::Null => "null",
            Shape::Bool(_) => "a boolean",
            Shape::Number(_) => "a number",
            Shape::Text(_) => "a string",
            Shape::List(_) => "a list",
            Shape::Object(_) => "an object",
        }
    }

    /// The string, or an error that says what stood there instead.
    pub fn text(&self) -> Result<&str, DataError> {
        match &self.value {
            Shape::Text(text) => Ok(text),
            _ => Err(self.error(format!("expected a string, found {}", self.kind()))),
        }
    }

    /// The boolean.
    pub fn bool(&self) -> Result<bool, DataError> {
        match self.value {
            Shape::Bool(value) => Ok(value),
            _ => Err(self.error(format!("expected true or false, found {}", self.kind()))),
        }
    }

    /// A whole number from zero up.
    pub fn count(&self) -> Result<u64, DataError> {
        match &self.value {
            Shape::Number(number) if number.as_u64().is_some() => Ok(number.as_u64().unwrap_or_default()),
            _ => Err(self.error(format!("expected a whole number, found {}", self.kind()))),
        }
    }

    /// The elements of a list.
    pub fn list(&self) -> Result<&[Node], DataError> {
        match &self.value {
            Shape::List(items) => Ok(items),
            _ => Err(self.error(format!("expected a list, found {}", self.kind()))),
        }
    }

    /// A list of strings; one bare string counts as a list of one.
    pub fn texts(&self) -> Result<Vec<String>, DataError> {
        if let Shape::Text(text) = &self.value {
            return Ok(vec![text.clone()]);
        }
        self.list()?.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// The entries of an object.
    pub fn entries(&self) -> Result<&[(String, Node)], DataError> {
        match &self.value {
            Shape::Object(entries) => Ok(entries),
            _ => Err(self.error(format!("expected an object, found {}", self.kind()))),
        }
    }

    /// An object whose values are strings, in order.
    pub fn text_map(&self) -> Result<Vec<(String, String)>, DataError> {
        self.entries()?.iter().map(|(key, value)| Ok((key.clone(), value.text()?.to_owned()))).collect()
    }

    /// The same value as plain JSON.
    pub fn json(&self) -> Value {
        match &self.value {
            Shape::Null => Value::Null,
            Shape::Bool(value) => Value::Bool(*value),
            Shape::Number(number) => Value::Number(number.clone()),
            Shape::Text(text) => Value::String(text.clone()),
            Shape::List(items) => Value::Array(items.iter().map(Node::json).collect()),
            Shape::Object(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.json())).collect())
            }
        }
    }

    /// Takes an object apart.
    pub fn fields(&self) -> Result<Fields<'_>, DataError> {
        Ok(Fields {
            node: self,
            entries: self.entries()?.iter().map(|(key, value)| (&**key, value)).collect(),
        })
    }
}

/// An object being taken apart: each key once, nothing left over at `finish`.
pub struct Fields<'a> {
    node: &'a Node,
    entries: Vec<(&'a str, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// The value of an optional key.
    pub fn take(&mut self, key: &str) -> Option<&'a Node> {
        let at = self.entries.iter().position(|(name, _)| *name == key)?;
        Some(self.entries.remove(at).1)
    }

    /// The value of a key that must be there.
    pub fn need(&mut self, key: &str) -> Result<&'a Node, DataError> {
        self.take(key).ok_or_else(|| self.node.error(format!("`{key}` is missing")))
    }

    /// True while the key is still there.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| *name == key)
    }

    /// Where the object stands.
    pub fn place(&self) -> &Place {
        &self.node.place
    }

    /// Refuses keys that nobody took.
    pub fn finish(self) -> Result<(), DataError> {
        match self.entries.first() {
            Some((key, value)) => Err(value.error(format!("unknown key: `{key}`"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Node, DataError> {
        parse(Path::new("cases.json5"), text)
    }

    #[test]
    fn lines_are_remembered() {
        let node = parsed("// head\n[\n  {a: 1},\n  {a: 'x', },\n]").unwrap();
        let lines: Vec<usize> = node.list().unwrap().iter().map(|item| item.place.line).collect();
        assert_eq!(lines, [3, 4]);
    }

    #[test]
    fn a_syntax_error_names_file_and_line() {
        let message = parsed("[\n {a 1}\n]").unwrap_err().to_string();
        assert!(message.starts_with("cases.json5:2: not JSON5:"), "{message}");
        assert!(parsed("").unwrap_err().to_string().contains("empty"));
        assert!(parsed("[1 2]").is_err());
        assert!(parsed("[NaN]").is_err());
    }

    #[test]
    fn unknown_and_repeated_keys_are_refused() {
        let node = parsed("{\n a: 1,\n stauts: 2 }").unwrap();
        let mut fields = node.fields().unwrap();
        fields.need("a").unwrap();
        assert_eq!(fields.finish().unwrap_err().to_string(), "cases.json5:3: unknown key: `stauts`");
        assert!(parsed("{a: 1,\n a: 2}").unwrap_err().to_string().contains("given twice"));
    }
}
