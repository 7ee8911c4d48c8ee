//! Web-platform-tests inside rooms: which files there are, which results are expected, and the project that runs them.
//!
//! `suite` finds the tests, `project` makes a PartyKit project of them, `rooms` runs it, `origin` is the tests' own
//! server, `expectations` holds the expected results, and `deno` Deno's results.

pub mod deno;
pub mod expectations;
pub mod origin;
pub mod project;
pub mod rooms;
pub mod suite;

use std::collections::BTreeSet;

/// What came out of a test.
#[derive(Debug, Default)]
pub struct Ran {
    /// The subtests that passed.
    pub passed: BTreeSet<String>,
    /// The subtests that failed. A test that does not get to its end has one that starts with `(harness)`.
    pub failed: BTreeSet<String>,
    /// The name of each that failed, and why, as the harness says it.
    pub messages: Vec<(String, String)>,
}

impl Ran {
    /// A test that did not get to its end.
    pub fn broken(what: String) -> Self {
        Self { failed: BTreeSet::from([what]), ..Self::default() }
    }
}

/// How many passed, in per cent.
pub fn rate(passed: usize, failed: usize) -> String {
    format!("{:.1} %", 100.0 * passed as f64 / (passed + failed).max(1) as f64)
}
