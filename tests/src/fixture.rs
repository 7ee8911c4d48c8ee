//! A fixture on disk: its folder, its cases, and how its server starts.

use crate::case::{Case, ServerSpec, read_cases, read_server};
use crate::data;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// One fixture.
#[derive(Debug)]
pub struct Fixture {
    /// The name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// From `fixture.json5`, and the entry that the folder shows.
    pub server: ServerSpec,
    /// Its cases in the order of the files.
    pub cases: Vec<Case>,
}

/// Reads every fixture of a folder. A mistake in one is returned beside the others, so that the rest can run.
pub fn read_all(folder: &Path) -> Result<(Vec<Fixture>, Vec<String>)> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("could not read the fixtures: `{}`", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir() && !case_files(path).is_empty())
        .collect();
    names.sort();
    let (mut fixtures, mut mistakes) = (Vec::new(), Vec::new());
    for path in names {
        match read(&path) {
            Ok(fixture) => fixtures.push(fixture),
            Err(error) => mistakes.push(format!("{error:#}")),
        }
    }
    Ok((fixtures, mistakes))
}

/// Reads one fixture.
pub fn read(folder: &Path) -> Result<Fixture> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut cases: Vec<Case> = Vec::new();
    for file in case_files(folder) {
        cases.extend(read_cases(&parse_file(&file, folder)?)?);
    }
    for (at, case) in cases.iter().enumerate() {
        if cases[..at].iter().any(|earlier| earlier.name == case.name) {
            bail!("{}: a case of this name exists already: `{}`", case.place, case.name);
        }
    }
    let settings = folder.join("fixture.json5");
    let mut server = match settings.exists() {
        true => read_server(&parse_file(&settings, folder)?)?,
        false => ServerSpec::default(),
    };
    if server.entry.is_none() && !folder.join("partykit.json").exists() {
        server.entry = Some("server.ts".into());
    }
    Ok(Fixture { name, folder: folder.to_owned(), server, cases })
}

fn parse_file(file: &Path, fixture: &Path) -> Result<data::Node> {
    let text = fs::read_to_string(file).with_context(|| format!("could not read `{}`", file.display()))?;
    let above = fixture.parent().and_then(Path::parent).unwrap_or(fixture);
    Ok(data::parse(file.strip_prefix(above).unwrap_or(file), &text)?)
}

/// `cases.json5` and `cases/*.json5`, sorted.
fn case_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("cases"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "json5"))
        .collect();
    let single = folder.join("cases.json5");
    if single.exists() {
        files.push(single);
    }
    files.sort();
    files
}
