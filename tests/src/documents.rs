//! Generated tables in the documents: the deliberate differences, and what shows each entry of the reference.
//!
//! A table is between `<!-- begin NAME -->` and `<!-- end NAME -->`. `conformance --write-tables` updates them;
//! `tests/tests/documents.rs` fails while one is out of date.

use crate::coverage::{self, Row};
use crate::differences;
use crate::fixture::Fixture;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::rc::Rc;

/// One table: its document, its name there, its text.
struct Table {
    document: &'static str,
    name: &'static str,
    text: String,
}

fn tables(rows: &[Row], fixtures: &[Rc<Fixture>]) -> Result<Vec<Table>> {
    Ok(vec![
        Table {
            document: "docs/differences.md",
            name: "differences",
            text: differences::markdown(fixtures)?,
        },
        Table { document: "docs/reference.md", name: "reference", text: reference_table(rows, fixtures) },
    ])
}

/// Which fixtures show each entry of the reference page.
fn reference_table(rows: &[Row], fixtures: &[Rc<Fixture>]) -> String {
    let mut out = String::from("| Entry | What it is | Shown by the fixtures |\n|---|---|---|\n");
    for row in rows {
        let Some(entry) = row.id.strip_prefix("ref ") else { continue };
        let shown: Vec<String> = fixtures
            .iter()
            .filter(|fixture| coverage::covers(fixture, &row.id))
            .map(|fixture| format!("`{}`", fixture.name))
            .collect();
        let shown = match &row.without_case {
            Some(reason) if shown.is_empty() => reason.clone(),
            _ => shown.join(", "),
        };
        let _ = writeln!(out, "| `{entry}` | {} | {shown} |", row.title.replace('|', "\\|"));
    }
    out
}

/// The documents below `root` whose tables differ from what the fixtures say.
pub fn stale(root: &Path, rows: &[Row], fixtures: &[Rc<Fixture>]) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for table in tables(rows, fixtures)? {
        let text = read(root, &table)?;
        if replaced(&text, &table)? != text {
            stale.push(format!("{}: the table `{}`", table.document, table.name));
        }
    }
    Ok(stale)
}

/// Brings the tables up to date.
pub fn write(root: &Path, rows: &[Row], fixtures: &[Rc<Fixture>]) -> Result<()> {
    for table in tables(rows, fixtures)? {
        let text = replaced(&read(root, &table)?, &table)?;
        fs::write(root.join(table.document), text)
            .with_context(|| format!("could not write `{}`", table.document))?;
    }
    Ok(())
}

fn read(root: &Path, table: &Table) -> Result<String> {
    fs::read_to_string(root.join(table.document))
        .with_context(|| format!("could not read `{}`", table.document))
}

fn replaced(text: &str, table: &Table) -> Result<String> {
    let begin = format!("<!-- begin {} -->\n", table.name);
    let end = format!("<!-- end {} -->", table.name);
    let marks = || format!("`{}` has no marks of the table `{}`", table.document, table.name);
    let (before, rest) = text.split_once(&begin).with_context(marks)?;
    let (_, after) = rest.split_once(&end).with_context(marks)?;
    Ok(format!("{before}{begin}\n{}\n{end}{after}", table.text))
}
