//! The expected results of each subset, as data: the tests that are left out, each with the reason, and the subtests
//! that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::Ran;

/// What is expected of a subset.
#[derive(Debug, Default, Clone)]
pub struct Expected {
    /// Tests that are not run, each with the reason. A name that ends with `/` is a folder, one with `?` all variants of a file.
    pub left_out: BTreeMap<String, String>,
    /// Subtests that fail, by test.
    pub failing: BTreeMap<String, BTreeSet<String>>,
}

impl Expected {
    /// Whether a test is not to be run.
    pub fn leaves_out(&self, name: &str) -> bool {
        let is_meant = |left_out: &String| {
            name == left_out || left_out.ends_with(['/', '?']) && name.starts_with(left_out)
        };
        self.left_out.keys().any(is_meant)
    }

    /// Prints every difference; true if there is none.
    pub fn compare(&self, ran: &BTreeMap<String, Ran>) -> bool {
        let none = BTreeSet::new();
        let mut same = true;
        for (file, ran) in ran {
            let expected = self.failing.get(file).unwrap_or(&none);
            for name in ran.failed.difference(expected) {
                println!("  {file}: fails, unexpected: {name}");
                same = false;
            }
            for name in expected.difference(&ran.failed) {
                println!("  {file}: passes or is gone, was expected to fail: {name}");
                same = false;
            }
        }
        same
    }
}

/// Reads the expectations of every subset.
pub fn read(path: &Path) -> Result<BTreeMap<String, Expected>> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(path)?;
    let value = crate::data::parse(path, &text).map_err(|error| anyhow!("{error}"))?.json();
    let subsets = value.as_object().context("the expectations are not an object")?;
    let mut read = BTreeMap::new();
    for (subset, value) in subsets {
        let mut expected = Expected::default();
        for (file, reason) in value["left_out"].as_object().into_iter().flatten() {
            expected.left_out.insert(file.clone(), reason.as_str().unwrap_or_default().to_string());
        }
        for (file, names) in value["failing"].as_object().into_iter().flatten() {
            let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
            expected.failing.insert(file.clone(), names.map(str::to_string).collect());
        }
        read.insert(subset.clone(), expected);
    }
    Ok(read)
}

/// Writes them back.
pub fn write(path: &Path, expectations: &BTreeMap<String, Expected>) -> Result<()> {
    let mut all = serde_json::Map::new();
    for (subset, expected) in expectations {
        all.insert(subset.clone(), json!({ "left_out": expected.left_out, "failing": expected.failing }));
    }
    let text = serde_json::to_string_pretty(&Value::Object(all))?;
    let head =
        "// What fails of the web-platform-tests; `wpt --update` writes `failing`, people write `left_out`.";
    std::fs::write(path, format!("{head}\n{text}\n"))?;
    Ok(())
}
