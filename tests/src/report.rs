//! What the runner prints: failures in full, what differs between the two runtimes, and a last line with the totals.

use crate::case::Variant;
use crate::runtime::Runtime;
use crate::schedule::{Outcome, Run};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

/// What a program ends with: 0 when all was well, 1 when it was not, or when it could not be found out.
pub fn exit_code(well: anyhow::Result<bool>) -> ExitCode {
    match well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A failed run: where, what was expected, what came, and what the server printed.
pub fn failure(outcome: &Outcome) -> String {
    let Some(failure) = &outcome.failure else { return String::new() };
    let mut out = format!("FAILED {}\n  at {}\n", title(&outcome.run), failure.place);
    for line in failure.message.lines() {
        let _ = writeln!(out, "  {line}");
    }
    if !outcome.output_tail.is_empty() {
        let _ = writeln!(out, "  the server's last lines:");
        for line in &outcome.output_tail {
            let _ = writeln!(out, "    | {line}");
        }
    }
    out
}

/// Fixture, case, variant and runtime of a run.
pub fn title(run: &Run) -> String {
    let variant = match run.variant {
        Variant::Fresh => String::new(),
        other => format!(" [{}]", other.name()),
    };
    format!("{}: {}{variant} (on {})", run.fixture.name, run.case().name, run.runtime.name())
}

/// Where the two runtimes do not agree, from the outcomes on both.
pub fn differences(outcomes: &[Outcome]) -> Vec<String> {
    let mut pairs: BTreeMap<(String, usize, &str), [Option<&Outcome>; 2]> = BTreeMap::new();
    for outcome in outcomes {
        let key = (outcome.run.fixture.name.clone(), outcome.run.case, outcome.run.variant.name());
        let side = usize::from(outcome.run.runtime == Runtime::Original);
        pairs.entry(key).or_default()[side] = Some(outcome);
    }
    let mut out = Vec::new();
    for [ours, original] in pairs.into_values() {
        match (ours, original) {
            (Some(ours), Some(theirs)) if ours.failure.is_some() && theirs.failure.is_some() => {
                out.push(format!("FAILS ON BOTH\n{}{}", failure(ours), failure(theirs)));
            }
            _ => out
                .extend([ours, original].into_iter().flatten().filter(|o| o.failure.is_some()).map(failure)),
        }
    }
    out
}

/// The last two lines: what was checked, and the sums.
pub fn summary(outcomes: &[Outcome], mistakes: usize, seconds: f64) -> String {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count() + mistakes;
    let passed = outcomes.len() + mistakes - failed;
    let held: u64 = outcomes.iter().map(|outcome| outcome.held).sum();
    format!(
        "{held} expectations held in {} runs, {seconds:.1} s\n{passed} passed, {failed} failed",
        outcomes.len()
    )
}
