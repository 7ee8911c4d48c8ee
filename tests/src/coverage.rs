//! The rows that cases must cover, and which of them no case covers.
//!
//! `tests/coverage/*.json5`, a file for each section of the specification, list one row per observable fact of its
//! sections 1 to 4 and per entry of the reference, each with a stable id. A case names the ids in `covers`; an
//! unknown id is a mistake of the fixture.

use crate::data::{self, DataError};
use crate::fixture::Fixture;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

/// One row.
#[derive(Debug)]
pub struct Row {
    /// Its id, such as `1.2 main-room`.
    pub id: String,
    /// What it says, in a few words.
    pub title: String,
    /// Why no case can cover it, if so.
    pub without_case: Option<String>,
}

/// Reads the rows of all files in `folder`, in the order of their names.
pub fn read_rows(folder: &Path) -> Result<Vec<Row>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("could not read `{}`", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json5"));
    files.sort();
    let mut rows: Vec<Row> = Vec::new();
    for file in files {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("could not read `{}`", file.display()))?;
        let name = Path::new("tests/coverage").join(file.file_name().unwrap_or_default());
        read_file(&name, &text, &mut rows)?;
    }
    Ok(rows)
}

fn read_file(name: &Path, text: &str, rows: &mut Vec<Row>) -> Result<(), DataError> {
    for item in data::parse(name, text)?.list()? {
        let mut fields = item.fields()?;
        let id = fields.need("id")?.text()?.to_owned();
        let title = fields.need("title")?.text()?.to_owned();
        let reason = fields.take("without_case").map(|node| node.text().map(str::to_owned)).transpose()?;
        fields.finish()?;
        if rows.iter().any(|row| row.id == id) {
            return Err(item.error(format!("a row with this id exists already: `{id}`")));
        }
        rows.push(Row { id, title, without_case: reason });
    }
    Ok(())
}

/// Ids in `covers` that no row has.
pub fn unknown_ids(rows: &[Row], fixtures: &[Rc<Fixture>]) -> Vec<DataError> {
    let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let named = fixtures.iter().flat_map(|fixture| &fixture.cases).flat_map(|case| &case.covers);
    named
        .filter(|(_, id)| !known.contains(id.as_str()))
        .map(|(place, id)| place.error(format!("no such row in tests/coverage: `{id}`")))
        .collect()
}

/// Whether a case of the fixture covers the row.
pub fn covers(fixture: &Fixture, id: &str) -> bool {
    fixture.cases.iter().any(|case| case.covers.iter().any(|(_, covered)| covered == id))
}

/// The rows that no case covers and that give no reason.
pub fn uncovered<'a>(rows: &'a [Row], fixtures: &[Rc<Fixture>]) -> Vec<&'a Row> {
    let covered = |row: &Row| fixtures.iter().any(|fixture| covers(fixture, &row.id));
    rows.iter().filter(|row| row.without_case.is_none() && !covered(row)).collect()
}
