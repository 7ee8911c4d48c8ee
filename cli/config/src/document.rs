//! A JSON5 text as a tree whose keys and values know where they stand.
//!
//! The parser is `jsonc-parser` with all of JSON5 switched on; the original uses the JSON5 parser for `.json`, `.json5`
//! and `.jsonc` alike (spec 4.1). The tree is owned, so that it outlives the text, and its depth is bounded by the
//! parser (512), so that walking it recursively is safe. A key that occurs twice counts with its last value, as in
//! JavaScript; earlier ones are dropped here and reported in [`Document::duplicates`].

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use serde_json::Value;

/// A value and the byte offset at which it starts.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) offset: usize,
    pub(crate) data: Data,
}

/// A value without its place.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_offset: usize,
    pub(crate) value: Node,
}

/// A parsed text.
pub(crate) struct Document {
    pub(crate) root: Node,
    /// Keys that an equal key later in the same object overrides, with their offsets.
    pub(crate) duplicates: Vec<(String, usize)>,
}

/// What is wrong with a text.
pub(crate) struct SyntaxError {
    pub(crate) offset: usize,
    /// The character that is wrong; `None` at the end of the text.
    pub(crate) found: Option<char>,
    pub(crate) reason: String,
}

/// Parses a JSON5 text. The error has the line and column of the first mistake, both from 1.
pub(crate) fn parse(text: &str) -> Result<Document, SyntaxError> {
    let collect = jsonc_parser::CollectOptions::default();
    let options = jsonc_parser::ParseOptions { allow_missing_commas: false, ..Default::default() };
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let base = text.len() - body.len();
    let parsed =
        jsonc_parser::parse_to_ast(body, &collect, &options).map_err(|e| syntax_error(text, base, &e))?;
    let value = parsed.value.ok_or_else(|| SyntaxError {
        offset: text.len(),
        found: None,
        reason: "the file is empty; the least it may hold is `{}`".to_owned(),
    })?;
    let mut duplicates = Vec::new();
    let root = convert(value, base, &mut duplicates)?;
    Ok(Document { root, duplicates })
}

fn syntax_error(text: &str, base: usize, error: &ParseError) -> SyntaxError {
    // The parser gives the start of what is unfinished; people look for the place where something is missing.
    let unfinished = matches!(
        error.kind(),
        ParseErrorKind::UnterminatedArray
            | ParseErrorKind::UnterminatedObject
            | ParseErrorKind::UnterminatedCommentBlock
    );
    let start = if unfinished { text.len() } else { (base + error.range().start).min(text.len()) };
    let blank = text.get(start..).map_or(0, |rest| rest.len() - rest.trim_start().len());
    let offset = start + blank;
    let found = text.get(offset..).and_then(|rest| rest.chars().next());
    SyntaxError { offset, found, reason: error.kind().to_string() }
}

fn convert(
    value: ast::Value<'_>,
    base: usize,
    duplicates: &mut Vec<(String, usize)>,
) -> Result<Node, SyntaxError> {
    let offset = base + value.start();
    let data = match value {
        ast::Value::NullKeyword(_) => Data::Null,
        ast::Value::BooleanLit(literal) => Data::Bool(literal.value),
        ast::Value::StringLit(literal) => Data::Text(literal.value.into_owned()),
        ast::Value::NumberLit(literal) => {
            let number = number(literal.value).ok_or_else(|| SyntaxError {
                offset,
                found: literal.value.chars().next(),
                reason: format!("`{}` is not a number", literal.value),
            })?;
            Data::Number(number)
        }
        ast::Value::Array(array) => {
            let elements = array.elements.into_iter().map(|element| convert(element, base, duplicates));
            Data::List(elements.collect::<Result<_, _>>()?)
        }
        ast::Value::Object(object) => object_data(object, base, duplicates)?,
    };
    Ok(Node { offset, data })
}

fn object_data(
    object: ast::Object<'_>,
    base: usize,
    duplicates: &mut Vec<(String, usize)>,
) -> Result<Data, SyntaxError> {
    let mut entries: indexmap::IndexMap<String, Entry> = indexmap::IndexMap::new();
    for property in object.properties {
        let key_offset = base + property.name.start();
        let key = property.name.into_string();
        let value = convert(property.value, base, duplicates)?;
        if let Some(earlier) = entries.insert(key.clone(), Entry { key: key.clone(), key_offset, value }) {
            duplicates.push((key, earlier.key_offset));
        }
    }
    Ok(Data::Object(entries.into_values().collect()))
}

fn number(literal: &str) -> Option<f64> {
    let (sign, digits) = match literal.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, literal.strip_prefix('+').unwrap_or(literal)),
    };
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u128::from_str_radix(hex, 16).ok()? as f64,
        None if digits == "Infinity" => f64::INFINITY,
        None if digits == "NaN" => f64::NAN,
        None => digits.parse().ok()?,
    };
    Some(sign * magnitude)
}

impl Node {
    /// The JSON type as validation messages call it.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.data {
            Data::Null => "null",
            Data::Bool(_) => "boolean",
            Data::Number(number) if number.is_nan() => "nan",
            Data::Number(_) => "number",
            Data::Text(_) => "string",
            Data::List(_) => "array",
            Data::Object(_) => "object",
        }
    }

    /// The value of a key, if this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Object(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The plain JSON value; numbers that JSON cannot write become null, as in `JSON.stringify`.
    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(flag) => Value::Bool(*flag),
            Data::Number(number) => json_number(*number),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(nodes) => Value::Array(nodes.iter().map(Node::to_json).collect()),
            Data::Object(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }
}

/// Whole numbers stay whole, so that `1999` is not printed as `1999.0`.
fn json_number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        Value::from(number as i64)
    } else {
        serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
    }
}

/// The line and column (both from 1, columns in characters) of a byte offset.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        parse(text).map(|document| document.root.to_json()).map_err(|e| e.reason).expect(text)
    }

    #[test]
    fn all_of_json5_is_read() {
        let cases = [
            (r#"{a: 1, 'b': "2", "c": [1, 2,],}"#, r#"{"a":1,"b":"2","c":[1,2]}"#),
            ("/* x */ {// y\n a: +.5e1, b: 0xff, c: 5., d: -0x10}", r#"{"a":5,"b":255,"c":5.0,"d":-16}"#),
            ("{a: Infinity, b: -Infinity, c: NaN}", r#"{"a":null,"b":null,"c":null}"#),
            (r#"{$x: 1, _: 2, ünï: 3, null: 4}"#, r#"{"$x":1,"_":2,"ünï":3,"null":4}"#),
            ("{a: \"\\x41\\\nb\\v\"}", r#"{"a":"Ab\u000b"}"#),
            ("\u{feff}{a: 'x'}", r#"{"a":"x"}"#),
            ("{a: 1, a: 2}", r#"{"a":2}"#),
        ];
        for (text, expected) in cases {
            let expected: Value = serde_json::from_str(expected).expect(expected);
            assert_eq!(
                json(text).to_string().replace(".0", ""),
                expected.to_string().replace(".0", ""),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_point_at_the_character_that_the_original_names() {
        // Expected: what the npm package json5 says for the same text.
        let cases = [
            ("{\"a\":e}", "1:6", Some('e')),
            ("", "1:1", None),
            ("{a:1", "1:5", None),
            ("{a:1}}", "1:6", Some('}')),
            ("{a:1 b:2}", "1:6", Some('b')),
            ("[1,,2]", "1:4", Some(',')),
            ("/*", "1:3", None),
        ];
        for (text, place, found) in cases {
            let error = parse(text).err().expect(text);
            let (line, column) = line_and_column(text, error.offset);
            assert_eq!(
                (format!("{line}:{column}"), error.found),
                (place.to_owned(), found),
                "{text}: {}",
                error.reason
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        for open in ["[", "{a:"] {
            let error = parse(&open.repeat(1_000_000)).err().expect("too deep");
            assert!(error.reason.contains("depth"), "{}", error.reason);
        }
    }
}
