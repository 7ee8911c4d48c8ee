//! The results of Deno's own run of the tests, as its repository publishes them: a folder of JSON files, one for each
//! folder of the tests. Its leaves say for each page that it passes (true), that it fails (false), or which of its
//! subtests fail.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::suite::Test;

/// The published results.
#[derive(Debug)]
pub struct Deno {
    folder: PathBuf,
}

/// What comes out of one test.
#[derive(Debug)]
pub enum Published {
    /// All of its subtests pass, or fail.
    All(bool),
    /// These fail.
    Failing(BTreeSet<String>),
}

impl Published {
    /// Whether a subtest passes.
    pub fn passes(&self, name: &str) -> bool {
        match self {
            Self::All(passes) => *passes,
            Self::Failing(names) => !names.contains(name),
        }
    }
}

impl Deno {
    /// Those of a folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// What comes out of a test. `None` where Deno does not run it.
    pub fn outcome(&self, test: &Test) -> Result<Option<Published>> {
        let Some(found) = self.find(test)? else { return Ok(None) };
        Ok(match found {
            Value::Bool(passes) => Some(Published::All(passes)),
            found if found["ignore"].as_bool() == Some(true) => None,
            found => {
                let names =
                    found["expectedFailures"].as_array().into_iter().flatten().filter_map(Value::as_str);
                Some(Published::Failing(names.map(str::to_string).collect()))
            }
        })
    }

    fn find(&self, test: &Test) -> Result<Option<Value>> {
        let page = format!("{}.html{}", test.file.trim_end_matches(".js"), test.variant);
        let Some((first, rest)) = page.split_once('/') else { return Ok(None) };
        let path = self.folder.join(format!("{first}.json"));
        if !path.exists() {
            return Ok(None);
        }
        let mut value: Value = serde_json::from_str(&well_formed(&std::fs::read_to_string(path)?))?;
        let (folders, name) = split_page(rest);
        for part in folders.chain([name]) {
            match value.get_mut(part) {
                Some(inner) => value = inner.take(),
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

// Halves of surrogate pairs, which names of subtests hold, become what `toWellFormed` makes of them.
fn well_formed(json: &str) -> String {
    const HALF: &str =
        r"(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})";
    let Ok(half) = regex::Regex::new(HALF) else { return json.to_string() };
    let replaced = half.replace_all(json, |found: &regex::Captures<'_>| match found.get(1) {
        Some(_) => "\\ufffd".to_string(),
        None => found[0].to_string(),
    });
    replaced.into_owned()
}

// The folders of a page and its name; a variant may hold slashes.
fn split_page(page: &str) -> (impl Iterator<Item = &str>, &str) {
    let path = page.split('?').next().unwrap_or(page);
    let at = path.rfind('/').map_or(0, |at| at + 1);
    (page[..at].split_terminator('/'), &page[at..])
}
