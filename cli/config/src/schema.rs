//! The JSON schema of a configuration file, generated from the table of fields.
//!
//! `partyrun schema` prints it for editors. The table is the only source, so the schema cannot disagree with what
//! [`crate::load`] accepts.

use serde_json::{Map, Value, json};

use crate::field::{self, Field, Kind, Object, Reader};

/// The schema (draft 07) of a configuration file.
pub fn schema() -> Value {
    let mut schema = object(&field::ROOT);
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!("partyrun configuration (partykit.json)"));
    Value::Object(schema)
}

fn object(table: &Object) -> Map<String, Value> {
    let properties: Map<String, Value> =
        table.fields.iter().map(|field| (field.name.to_owned(), Value::Object(property(field)))).collect();
    let required: Vec<&str> =
        table.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

fn property(field: &Field) -> Map<String, Value> {
    let mut schema = kind(field.kind);
    let suffix =
        if field.reader == Reader::Hosting { " (only for the hosted platform; accepted)" } else { "" };
    schema.insert("description".to_owned(), json!(format!("{}{suffix}", field.doc)));
    if let Some(default) = field.default.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        schema.insert("default".to_owned(), default);
    }
    if let Ok(example) = serde_json::from_str::<Value>(field.example) {
        schema.insert("examples".to_owned(), json!([example]));
    }
    schema
}

fn kind(kind_of: Kind) -> Map<String, Value> {
    let schema = match kind_of {
        Kind::Any => json!({}),
        Kind::Null => json!({ "type": "null" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Port => json!({ "type": "integer", "minimum": 0, "maximum": 65535 }),
        Kind::Seconds => json!({ "type": "number", "minimum": 0 }),
        Kind::Whole(least, u32::MAX) => json!({ "type": "integer", "minimum": least }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Slug => json!({ "type": "string", "pattern": "^[a-z0-9_-]+$" }),
        Kind::Cron => json!({ "type": "string", "pattern": "^\\s*\\S+(\\s+\\S+){4}\\s*$" }),
        Kind::Origin => json!({ "type": "string", "pattern": "^(same-host|[a-z-]+://[^/?#]+)$" }),
        Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
        Kind::List(element) => json!({ "type": "array", "items": kind(*element) }),
        Kind::Map(element) => json!({ "type": "object", "additionalProperties": kind(*element) }),
        Kind::Parties => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9_-]+$" },
            "additionalProperties": { "type": "string" },
        }),
        Kind::Object(table) => return object(table),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(|k| kind(*k)).collect::<Vec<_>>() }),
    };
    match schema {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_table_is_in_the_schema() {
        let schema = schema();
        for field in field::FIELDS {
            let property = &schema["properties"][field.name];
            assert!(
                property["description"].as_str().is_some_and(|text| text.starts_with(field.doc)),
                "{}",
                field.name
            );
            assert!(!property["examples"][0].is_null(), "{}", field.name);
        }
        assert_eq!(schema["properties"]["port"]["type"], "integer");
        assert_eq!(
            schema["properties"]["serve"]["anyOf"][1]["properties"]["singlePageApp"]["type"],
            "boolean"
        );
        assert_eq!(schema["additionalProperties"], false);
    }
}
