//! Reads one configuration file and checks it: syntax, the table of fields, and the rules beyond types.
//!
//! `merge` calls it with the file that `discover` chose. Offsets become `file:line:column` here. The report is short
//! whatever the file's length: for a broken file of ten megabytes it names the first mistakes and counts the others.

use std::path::{Path, PathBuf};

use crate::discover::{self, absolute};
use crate::document::{self, Data, Document, Node};
use crate::file::{RawConfig, Short};
use crate::near;
use crate::problem::{ConfigError, Problem, Spot, brief};
use crate::validate::{self, Findings, Issue, Mark};

/// Mistakes, and places of one mistake, that a report names.
const REPORTED_MAX: usize = 20;

/// A file that has been read and checked.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) raw: RawConfig,
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Turns offsets into places.
struct Places<'a> {
    text: &'a str,
    shown: PathBuf,
}

impl Places<'_> {
    fn at(&self, offset: usize) -> String {
        let (line, column) = document::line_and_column(self.text, offset);
        format!("{}:{line}:{column}", self.shown.display())
    }
}

/// Reads and validates a configuration file; `path` may be relative to `cwd`. All mistakes of a file are in one
/// error.
pub(crate) fn file(cwd: &Path, path: &Path) -> Result<Checked, ConfigError> {
    let text = discover::read(path)?;
    let places = Places { text: &text, shown: discover::shown(cwd, path) };
    let Document { root, duplicates } = parse(&places)?;
    let mut checked = node(&places, path, &root)?;
    for (key, offset) in duplicates.iter().take(REPORTED_MAX) {
        let place = places.at(*offset);
        checked
            .warnings
            .push(format!("{place}: `{}`: it stands here twice; the last one counts", brief(key)));
    }
    Ok(checked)
}

/// Reads the key `partykit` of a `package.json`; `None` if it has none.
///
/// A package.json may be broken for reasons that are not ours, but the original stops there too.
pub(crate) fn package_json(cwd: &Path, path: &Path) -> Result<Option<Checked>, ConfigError> {
    let text = discover::read(path)?;
    let places = Places { text: &text, shown: discover::shown(cwd, path) };
    let Document { root, .. } = parse(&places)?;
    match root.get("partykit") {
        None => Ok(None),
        Some(entry) if matches!(entry.value.data, Data::Null | Data::Bool(false)) => Ok(None),
        Some(entry) => node(&places, path, &entry.value).map(Some),
    }
}

fn parse(places: &Places<'_>) -> Result<Document, ConfigError> {
    document::parse(places.text).map_err(|error| {
        let (line, column) = document::line_and_column(places.text, error.offset);
        let found = error.found.map_or_else(|| "end of input".to_owned(), |c| format!("character {c:?}"));
        ConfigError::Syntax { path: places.shown.clone(), line, column, found, reason: error.reason }
    })
}

/// Judges a configuration, wherever it stands.
fn node(places: &Places<'_>, path: &Path, root: &Node) -> Result<Checked, ConfigError> {
    let Findings { issues, warnings, hosting } = validate::validate(root);
    let mut checked = Checked::default();
    for mark in warnings.iter().take(REPORTED_MAX) {
        checked.warnings.push(format!("{}: `{}`: {}", places.at(mark.offset), brief(&mark.field), mark.fix));
    }
    if !hosting.is_empty() {
        let fields: Vec<String> = hosting.iter().map(|field| format!("`{field}`")).collect();
        let verbs = if fields.len() == 1 { ("concerns", "is") } else { ("concern", "are") };
        let fields = fields.join(", ");
        checked
            .notes
            .push(format!("{fields} {} the hosted platform only and {} not used here", verbs.0, verbs.1));
    }
    let sound = issues.is_empty();
    checked.problems = problems(places, issues, true);
    checked.problems.extend(problems(places, rules(root, path), false));
    if sound {
        checked.raw = serde_json::from_value(root.to_json()).map_err(|error| {
            // The table and its typed mirror disagree, which a test excludes.
            ConfigError::Unreadable { path: places.shown.clone(), reason: error.to_string() }
        })?;
        checked.warnings.extend(advice(&checked.raw));
    }
    Ok(checked)
}

fn problems(places: &Places<'_>, issues: Vec<Issue>, of_schema: bool) -> Vec<Problem> {
    let more = issues.len().saturating_sub(REPORTED_MAX);
    let mut problems: Vec<Problem> = issues
        .into_iter()
        .take(REPORTED_MAX)
        .map(|issue| {
            let marks = issue.marks.into_iter().take(REPORTED_MAX);
            let spots = marks.map(|mark| Spot {
                place: places.at(mark.offset),
                field: brief(&mark.field),
                fix: mark.fix,
            });
            Problem { message: issue.message, of_schema, spots: spots.collect() }
        })
        .collect();
    if more > 0 {
        problems.push(Problem { message: format!("and {more} more"), of_schema, spots: Vec::new() });
    }
    problems
}

/// What the original checks after the schema (spec 4.4).
fn rules(root: &Node, path: &Path) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut issue = |message: String, offset: usize, field: String, fix: String| {
        issues.push(Issue { message, marks: vec![Mark { offset, field, fix }] });
    };
    // The original judges the name of a package.json by the schema alone.
    let in_package_json = path.file_name().is_some_and(|file| file == "package.json");
    if let Some(entry) = root.get("name").filter(|_| !in_package_json)
        && let Data::Text(name) = &entry.value.data
        && validate::is_slug(name)
        && name.contains('_')
    {
        let fix =
            format!("write `\"{}\"`: the name becomes part of a host name", brief(&name.replace('_', "-")));
        issue("Project name must be a valid url path".to_owned(), entry.value.offset, "name".to_owned(), fix);
    }
    if let Some(cors) = root.get("cors")
        && let Some(credentials) = cors.value.get("credentials")
        && matches!(credentials.value.data, Data::Bool(true))
        && cors.value.get("origins").is_none()
        && root.get("allowedOrigins").is_none()
    {
        let fix = "name the origins, in `cors.origins` or `allowedOrigins`: browsers send no cookies where all may read".to_owned();
        let message = "`cors.credentials` needs origins".to_owned();
        issue(message, credentials.value.offset, "cors.credentials".to_owned(), fix);
    }
    let Some(Data::Object(parties)) = root.get("parties").map(|entry| &entry.value.data) else {
        return issues;
    };
    let folder = path.parent().unwrap_or(path);
    for entry in parties {
        let field = format!("parties.{}", entry.key);
        if entry.key == "main" {
            let fix = "the party `main` is the field `main`; move the file's name there".to_owned();
            issue("Cannot have a party named \"main\"".to_owned(), entry.key_offset, field, fix);
        } else if let Data::Text(file) = &entry.value.data {
            let full = absolute(folder, file);
            if !full.exists() {
                let near = near::hint(&full, folder, folder);
                let fix = format!("there is no file {}{near}", full.display());
                issue(format!("Could not find party: {}", brief(file)), entry.value.offset, field, fix);
            }
        }
    }
    issues
}

/// Settings that are right but may not do what is hoped for.
fn advice(raw: &RawConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if raw.ai.is_some() || !raw.vectorize.is_empty() {
        warnings.push("The AI feature is experimental and may change in the future.".to_owned());
    }
    if let Some(Short::Full(serve)) = &raw.serve {
        if serve.path.is_none() && (serve.build.is_some() || serve.single_page_app) {
            warnings.push("`serve` has no `path`: nothing is served nor built".to_owned());
        } else if let Some(Short::Full(build)) = &serve.build
            && build.entry.is_none()
        {
            warnings.push("`serve.build` has no `entry`: no client code is built".to_owned());
        }
    }
    warnings
}
