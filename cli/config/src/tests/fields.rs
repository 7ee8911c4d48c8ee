//! Every field with right values and with wrong ones: the wrong value is refused, its field and its line named.

use serde_json::Value;

use super::{load_text, message};
use crate::field::{FIELDS, Field, Kind, Object};

/// One value of every JSON type.
const VALUES: [&str; 6] = ["null", "true", "1", "\"text\"", "[{}]", "{ \"x\": { \"y\": [[]] } }"];

/// Whether a kind takes a value of this JSON type at all.
fn takes(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Null => value.is_null(),
        Kind::Bool => value.is_boolean(),
        Kind::Number | Kind::Port | Kind::Seconds | Kind::Whole(..) => value.is_number(),
        Kind::Text | Kind::Slug | Kind::Cron | Kind::Origin | Kind::OneOf(_) => value.is_string(),
        Kind::List(_) => value.is_array(),
        Kind::Map(_) | Kind::Parties | Kind::Object(_) => value.is_object(),
        Kind::Either(kinds) => kinds.iter().any(|kind| takes(*kind, value)),
    }
}

fn objects(kind: Kind) -> Vec<&'static Object> {
    match kind {
        Kind::Object(object) => vec![object],
        Kind::Either(kinds) => kinds.iter().flat_map(|kind| objects(*kind)).collect(),
        _ => Vec::new(),
    }
}

/// Calls back for every field of the table, with its path and the text around its value.
fn walk(
    fields: &'static [Field],
    path: &str,
    before: &str,
    after: &str,
    visit: &mut dyn FnMut(&Field, &str, &str, &str),
) {
    for field in fields {
        let inner = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let before = format!("{before}{{\n\"{}\": ", field.name);
        let after = format!("}}{after}");
        visit(field, &inner, &before, &after);
        for object in objects(field.kind) {
            walk(object.fields, &inner, &before, &after, visit);
        }
    }
}

#[test]
fn right_values_are_taken() {
    let mut count = 0;
    walk(FIELDS, "", "", "", &mut |field, path, before, after| {
        // The files of parties must exist; see `messages`. Where cookies are sent, origins must be named beside.
        if matches!(path, "parties" | "cors.credentials") {
            return;
        }
        let text = format!("{before}{}{after}", field.example);
        let config = load_text(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(config.warnings.iter().all(|warning| !warning.contains("no such field")), "{path}");
        count += 1;
    });
    assert!(count > 45, "{count}");
}

#[test]
fn wrong_types_are_refused_and_named() {
    let mut count = 0;
    walk(FIELDS, "", "", "", &mut |field, path, before, after| {
        for text in VALUES {
            let value: Value = serde_json::from_str(text).expect(text);
            if takes(field.kind, &value) {
                continue;
            }
            let text = format!("{before}{text}{after}");
            let message = message(&text);
            let line = before.matches('\n').count() + 1;
            assert!(message.starts_with("Validation error: Expected "), "{text}: {message}");
            assert!(message.contains(&format!("at \"{path}\"")), "{text}: {message}");
            assert!(message.contains(&format!("partykit.json:{line}:")), "{text}: {message}");
            assert!(message.contains("write "), "{text}: {message}");
            count += 1;
        }
    });
    assert!(count > 150, "{count}");
}

#[test]
fn wrong_elements_are_refused() {
    let cases = [
        (
            r#"{"compatibilityFlags": ["a", 1]}"#,
            r#"Expected string, received number at "compatibilityFlags[1]""#,
        ),
        (r#"{"define": {"A": 1}}"#, r#"Expected string, received number at "define.A""#),
        (r#"{"build": {"watch": [null]}}"#, r#"Expected string, received null at "build.watch[0]""#),
        (r#"{"build": {"alias": {"a-b": {}}}}"#, r#"Expected string, received object at "build.alias.a-b""#),
        (r#"{"parties": {"a": false}}"#, r#"Expected string, received boolean at "parties.a""#),
        (r#"{"bindings": {"kv": {"1": 2}}}"#, r#"Expected string, received number at "bindings.kv["1"]""#),
        (r#"{"serve": {"include": "x"}}"#, r#"Expected array, received string at "serve.include""#),
        (r#"{"vectorize": {"a": {}}}"#, r#"Required at "vectorize.a.index_name""#),
        (r#"{"placement": {}}"#, r#"Required at "placement.mode""#),
        (r#"{"port": NaN}"#, r#"Expected number, received nan at "port""#),
        (r#"{"port": 65536}"#, r#"Invalid number 65536 at "port""#),
        (r#"{"port": 80.5}"#, r#"Invalid number 80.5 at "port""#),
        (r#"{"port": -1}"#, r#"Invalid number -1 at "port""#),
        (r#"{"serve": {"browserTTL": -1}}"#, r#"Invalid number -1 at "serve.browserTTL""#),
        (r#"{"crons": {"a": "x"}}"#, r#"Invalid cron expression 'x' at "crons.a""#),
        (
            r#"{"serve": {"build": {"format": "umd"}}}"#,
            r#"Invalid enum value. Expected 'esm' | 'cjs' | 'iife', received 'umd' at "serve.build.format""#,
        ),
        ("[]", "Expected object, received array"),
        ("1", "Expected object, received number"),
    ];
    for (text, expected) in cases {
        let message = message(text);
        let headline = message.lines().next().unwrap_or_default();
        assert_eq!(headline, format!("Validation error: {expected}"), "{text}");
    }
}

#[test]
fn null_stands_for_no_time_to_live() {
    let config = load_text(r#"{"serve": {"path": "x", "browserTTL": null}}"#).expect("config");
    assert_eq!(config.serve.and_then(|serve| serve.browser_ttl_seconds), None);
}
