//! The documentation's table of fields, generated from the table that also validates.

use std::fmt::Write as _;

use crate::field::{self, Field, Kind, Object, Reader};

/// The fields as a Markdown table: name, type, default, meaning.
pub fn reference() -> String {
    let mut text = String::from("| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
    rows(&mut text, "", field::FIELDS);
    text
}

fn rows(text: &mut String, prefix: &str, fields: &[Field]) {
    for field in fields {
        let name = format!("{prefix}{}", field.name);
        let default = field.default.map_or_else(String::new, |json| format!("`{json}`"));
        let hosting = if field.reader == Reader::Hosting { " (hosted platform only)" } else { "" };
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "| `{name}` | {} | {default} | {}{hosting} |", type_name(field.kind), field.doc);
        for object in objects(field.kind) {
            rows(text, &format!("{name}."), object.fields);
        }
    }
}

fn objects(kind: Kind) -> Vec<&'static Object> {
    match kind {
        Kind::Object(object) => vec![object],
        Kind::Either(kinds) => kinds.iter().flat_map(|kind| objects(*kind)).collect(),
        _ => Vec::new(),
    }
}

fn type_name(kind: Kind) -> String {
    match kind {
        Kind::Any => "any value".to_owned(),
        Kind::Null => "null".to_owned(),
        Kind::Bool => "boolean".to_owned(),
        Kind::Number | Kind::Port | Kind::Whole(..) => "number".to_owned(),
        Kind::Seconds => "seconds".to_owned(),
        Kind::Text | Kind::Slug => "string".to_owned(),
        Kind::Cron => "cron expression".to_owned(),
        Kind::Origin => "origin".to_owned(),
        Kind::OneOf(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::List(element) => format!("list of {}", type_name(*element)),
        Kind::Map(element) => format!("object of {}", type_name(*element)),
        Kind::Parties => "object of string".to_owned(),
        Kind::Object(_) => "object".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(|kind| type_name(*kind)).collect::<Vec<_>>().join(" or "),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn nested_fields_have_rows_of_their_own() {
        let text = super::reference();
        for row in [
            "| `port` | number |  |",
            "| `serve` | string or object |  |",
            "| `serve.build.splitting` | boolean | `true` |",
            "| `serve.build.format` | `\"esm\"`, `\"cjs\"`, `\"iife\"` | `\"esm\"` |",
            "| `vectorize` | object of string or object |  |",
        ] {
            assert!(text.contains(row), "{row} is not in\n{text}");
        }
        assert!(text.contains("(hosted platform only)"));
        assert!(text.lines().all(|line| line.starts_with("| ") || line.starts_with("|---")));
    }
}
