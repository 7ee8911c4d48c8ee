//! Checks a document against the table of fields.
//!
//! A pure function: a tree and a table go in, issues and warnings with byte offsets come out, and `merge` turns offsets
//! into lines. The messages are those of the original's validator (spec 4.4), with three differences: a union reports
//! only the branch that the value's type selects; numbers that make no sense for their field are refused; and so are
//! invalid cron expressions. An unknown key is an error where the original says so, and a warning elsewhere.

use std::fmt::Write as _;

use crate::cron;
use crate::document::{Data, Entry, Node};
use crate::field::{self, Field, Kind, Object, Reader};
use crate::origin;
use crate::problem::brief;

/// Unknown keys that one message lists.
const KEYS_LISTED_MAX: usize = 20;

/// A wrong value: what the headline says, and where.
#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) message: String,
    pub(crate) marks: Vec<Mark>,
}

/// An offset with its field and remedy.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) offset: usize,
    pub(crate) field: String,
    pub(crate) fix: String,
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) issues: Vec<Issue>,
    pub(crate) warnings: Vec<Mark>,
    /// Fields that only the hosted platform reads, in order.
    pub(crate) hosting: Vec<String>,
}

/// Checks a whole configuration against the table of fields, and collects every mistake instead of stopping at the
/// first.
pub(crate) fn validate(root: &Node) -> Findings {
    let mut findings = Findings::default();
    match &root.data {
        Data::Object(entries) => object(&mut findings, "", &field::ROOT, root, entries),
        _ => findings.wrong_type("", "object", root, "{ \"main\": \"src/server.ts\" }"),
    }
    let first = |issue: &Issue| issue.marks.first().map_or(0, |mark| mark.offset);
    findings.issues.sort_by_key(first);
    findings.warnings.sort_by_key(|mark| mark.offset);
    findings
}

impl Findings {
    fn issue(&mut self, path: &str, offset: usize, message: String, fix: String) {
        let message = at(message, path);
        self.issues.push(Issue { message, marks: vec![Mark { offset, field: path.to_owned(), fix }] });
    }

    fn wrong_type(&mut self, path: &str, expected: &str, node: &Node, example: &str) {
        let message = format!("Expected {expected}, received {}", node.type_name());
        let fix = match (expected, &node.data) {
            ("number", Data::Text(text)) if is_short_number(text) => {
                format!("write the number without quotes: `{}`", text.trim())
            }
            ("boolean", Data::Text(text)) if text == "true" || text == "false" => {
                format!("write it without quotes: `{text}`")
            }
            ("string", Data::Number(_) | Data::Bool(_)) => {
                format!("write it in quotes: `\"{}\"`", node.to_json())
            }
            _ => format!("write {} {expected}, for example `{example}`", article(expected)),
        };
        self.issue(path, node.offset, message, fix);
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Appends ` at "path"` as the original's validator does.
fn at(message: String, path: &str) -> String {
    if path.is_empty() { message } else { format!("{message} at \"{}\"", brief(path)) }
}

/// The path of a key within `path`, in the notation of the original's validator.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else if key.contains('"') {
        format!("{path}[\"{}\"]", key.replace('"', "\\\""))
    } else if key.contains(|c: char| c == '$' || c == '_' || c.is_alphabetic()) {
        format!("{path}.{key}")
    } else {
        format!("{path}[\"{key}\"]")
    }
}

fn object(findings: &mut Findings, path: &str, table: &Object, node: &Node, entries: &[Entry]) {
    let mut unknown: Vec<&Entry> = Vec::new();
    for entry in entries {
        let Some(field) = table.fields.iter().find(|field| field.name == entry.key) else {
            unknown.push(entry);
            continue;
        };
        let inner = join(path, field.name);
        if field.reader == Reader::Hosting {
            findings.hosting.push(inner.clone());
        }
        value(findings, &inner, field.kind, &entry.value, field.example);
    }
    if !unknown.is_empty() {
        unknown_keys(findings, path, table, &unknown);
    }
    for field in table.fields.iter().filter(|field| field.required && node.get(field.name).is_none()) {
        let inner = join(path, field.name);
        let fix = format!("add it, for example `\"{}\": {}`", field.name, field.example);
        findings.issue(&inner, node.offset, "Required".to_owned(), fix);
    }
}

fn unknown_keys(findings: &mut Findings, path: &str, table: &Object, unknown: &[&Entry]) {
    let listed = unknown.iter().take(KEYS_LISTED_MAX);
    let marks = listed.clone().map(|entry| Mark {
        offset: entry.key_offset,
        field: join(path, &entry.key),
        fix: unknown_fix(path, &entry.key, table.fields),
    });
    if !table.strict {
        findings.warnings.extend(marks);
        return;
    }
    let keys: Vec<String> = listed.map(|entry| format!("'{}'", brief(&entry.key))).collect();
    let rest = unknown.len() - keys.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let message = at(format!("Unrecognized key(s) in object: {}{more}", keys.join(", ")), path);
    let marks = marks.collect();
    findings.issues.push(Issue { message, marks });
}

/// What to do with an unknown key: the name that was meant, the place it belongs to, or its removal.
fn unknown_fix(path: &str, key: &str, fields: &[Field]) -> String {
    if let Some(fix) = field::former(path, key) {
        return fix.to_owned();
    }
    if key.len() > 64 {
        return "there is no such field; remove it".to_owned();
    }
    let folded = key.replace(['-', '_'], "").to_lowercase();
    let close = fields
        .iter()
        .map(|field| (strsim::damerau_levenshtein(&folded, &field.name.to_lowercase()), field.name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.len().min(key.len()) / 4);
    if let Some((_, name)) = close {
        return format!("there is no such field; did you mean `{name}`?");
    }
    match place_of(key) {
        Some(place) => format!("there is no such field here; `{key}` belongs in {place}"),
        None => "there is no such field; remove it, or correct its name".to_owned(),
    }
}

/// The object that has a field of this name, in words.
fn place_of(key: &str) -> Option<String> {
    fn search(key: &str, path: &str, fields: &[Field]) -> Option<String> {
        let found = fields.iter().any(|field| field.name == key);
        if found {
            return Some(if path.is_empty() { "the top level".to_owned() } else { format!("`{path}`") });
        }
        fields
            .iter()
            .find_map(|field| nested(field.kind).and_then(|o| search(key, &join(path, field.name), o.fields)))
    }
    fn nested(kind: Kind) -> Option<&'static Object> {
        match kind {
            Kind::Object(object) => Some(object),
            Kind::Either(kinds) => kinds.iter().find_map(|kind| nested(*kind)),
            _ => None,
        }
    }
    search(key, "", field::FIELDS)
}

fn value(findings: &mut Findings, path: &str, kind: Kind, node: &Node, example: &str) {
    match (kind, &node.data) {
        (Kind::Any, _)
        | (Kind::Null, Data::Null)
        | (Kind::Bool, Data::Bool(_))
        | (Kind::Text, Data::Text(_)) => {}
        (Kind::Number | Kind::Port | Kind::Seconds | Kind::Whole(..), Data::Number(number))
            if !number.is_nan() =>
        {
            number_in_range(findings, path, kind, *number, node);
        }
        (Kind::Slug | Kind::Cron | Kind::Origin | Kind::OneOf(_), Data::Text(text)) => {
            text_of_kind(findings, path, kind, text, node);
        }
        (Kind::List(element), Data::List(nodes)) => {
            for (index, node) in nodes.iter().enumerate() {
                value(findings, &format!("{path}[{index}]"), *element, node, kind_example(*element));
            }
        }
        (Kind::Map(element), Data::Object(entries)) => {
            for entry in entries {
                value(findings, &join(path, &entry.key), *element, &entry.value, kind_example(*element));
            }
        }
        (Kind::Parties, Data::Object(entries)) => parties(findings, path, entries),
        (Kind::Object(table), Data::Object(entries)) => object(findings, path, table, node, entries),
        (Kind::Either(kinds), _) => match kinds.iter().find(|kind| same_type(**kind, node)) {
            Some(kind) => value(findings, path, *kind, node, example),
            None => {
                let parts: Vec<String> = kinds
                    .iter()
                    .map(|kind| {
                        at(format!("Expected {}, received {}", expected(*kind), node.type_name()), path)
                    })
                    .collect();
                let names: Vec<String> =
                    kinds.iter().map(|k| format!("{} {}", article(&expected(*k)), expected(*k))).collect();
                let fix = format!("write {}, for example `{example}`", names.join(" or "));
                let mark = Mark { offset: node.offset, field: path.to_owned(), fix };
                findings.issues.push(Issue { message: parts.join(", or "), marks: vec![mark] });
            }
        },
        _ => findings.wrong_type(path, &expected(kind), node, example),
    }
}

fn number_in_range(findings: &mut Findings, path: &str, kind: Kind, number: f64, node: &Node) {
    let range;
    let fix = match kind {
        Kind::Whole(least, most)
            if number.fract() != 0.0 || !(f64::from(least)..=f64::from(most)).contains(&number) =>
        {
            range = match most {
                u32::MAX => format!("write a whole number, {least} or more"),
                most => format!("write a whole number from {least} to {most}"),
            };
            &range
        }
        Kind::Port if number.fract() != 0.0 || !(0.0..=65535.0).contains(&number) => {
            "write a whole number from 0 to 65535"
        }
        Kind::Seconds if !(0.0..=1e9).contains(&number) => "write a number of seconds, 0 or more",
        _ => return,
    };
    findings.issue(path, node.offset, format!("Invalid number {}", node.to_json()), fix.to_owned());
}

fn text_of_kind(findings: &mut Findings, path: &str, kind: Kind, text: &str, node: &Node) {
    match kind {
        Kind::Slug if !is_slug(text) => {
            let fix = format!("`{}` may hold lower-case letters, digits, `-` and `_` only", brief(text));
            findings.issue(path, node.offset, "must satisfy /^[a-z0-9_-]+$/".to_owned(), fix);
        }
        Kind::Cron => {
            if let Err(reason) = cron::check(text) {
                findings.issue(
                    path,
                    node.offset,
                    format!("Invalid cron expression '{}'", brief(text)),
                    reason,
                );
            }
        }
        Kind::Origin => {
            if let Err(fix) = origin::check(text) {
                findings.issue(path, node.offset, format!("Invalid origin '{}'", brief(text)), fix);
            }
        }
        Kind::OneOf(words) if !words.contains(&text) => {
            let near = words.iter().filter(|word| text.len() <= word.len() + 2);
            let close = near
                .map(|word| (strsim::damerau_levenshtein(word, &text.to_lowercase()), word))
                .min_by_key(|(distance, _)| *distance)
                .filter(|(distance, _)| *distance <= 2);
            let fix = close
                .map_or_else(|| "write one of these".to_owned(), |(_, w)| format!("did you mean `\"{w}\"`?"));
            let message =
                format!("Invalid enum value. Expected {}, received '{}'", expected(kind), brief(text));
            findings.issue(path, node.offset, message, fix);
        }
        _ => {}
    }
}

fn parties(findings: &mut Findings, path: &str, entries: &[Entry]) {
    for entry in entries {
        value(findings, &join(path, &entry.key), Kind::Text, &entry.value, r#""src/party.ts""#);
    }
    let marks: Vec<Mark> = entries
        .iter()
        .filter(|entry| !is_slug(&entry.key))
        .map(|entry| Mark {
            offset: entry.key_offset,
            field: join(path, &entry.key),
            fix: match entry.key.to_lowercase() {
                lower if is_slug(&lower) => format!("Party names must be lowercase: `{lower}`"),
                _ => "a party's name may hold lower-case letters, digits, `-` and `_` only".to_owned(),
            },
        })
        .collect();
    if !marks.is_empty() {
        findings.issues.push(Issue { message: at("must satisfy /^[a-z0-9_-]+$/".to_owned(), path), marks });
    }
}

fn is_short_number(text: &str) -> bool {
    text.len() < 32 && text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

/// Whether a name satisfies `/^[a-z0-9_-]+$/`.
pub(crate) fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

fn same_type(kind: Kind, node: &Node) -> bool {
    let name = expected(kind);
    name == node.type_name() || matches!((kind, &node.data), (Kind::OneOf(_), Data::Text(_)))
}

/// The type that a kind wants, as the original's validator calls it.
fn expected(kind: Kind) -> String {
    let name = match kind {
        Kind::Any => "any",
        Kind::Null => "null",
        Kind::Bool => "boolean",
        Kind::Number | Kind::Port | Kind::Seconds | Kind::Whole(..) => "number",
        Kind::Text | Kind::Slug | Kind::Cron | Kind::Origin => "string",
        Kind::List(_) => "array",
        Kind::Map(_) | Kind::Parties | Kind::Object(_) => "object",
        Kind::OneOf(words) => {
            let mut list = String::new();
            for word in words {
                let separator = if list.is_empty() { "" } else { " | " };
                // Writing to a string cannot fail.
                let _ = write!(list, "{separator}'{word}'");
            }
            return list;
        }
        Kind::Either(kinds) => {
            return kinds.iter().map(|kind| expected(*kind)).collect::<Vec<_>>().join(" or ");
        }
    };
    name.to_owned()
}

fn kind_example(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true",
        Kind::Number | Kind::Port | Kind::Seconds | Kind::Whole(..) => "1",
        Kind::Cron => r#""0 * * * *""#,
        Kind::Origin => r#""https://example.com""#,
        _ => r#""text""#,
    }
}
