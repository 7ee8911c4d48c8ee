//! Runs web-platform-tests inside rooms of partyrun: `wpt --tests FOLDER [SUBSET ...] [--update]`.
//!
//! FOLDER is a checkout of the tests, or of those parts of it that are run, with `common`, `docs/commands.json`, `interfaces`,
//! `resources`, `tools` and `wpt`; it is brought for a run and no part of the repository. Its own server is started (Python 3).
//! Each `*.any.js` file of a subset (a folder such as `fetch/api/headers`, or one file) runs in a room of its own, once for
//! each of its variants. What fails is data: `tests/wpt/expectations.json5` names the subtests that do, and a difference in
//! either direction fails the run. `--deno` compares with the results that Deno publishes, `--original` with the original.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use partyrun_tests::report;
use partyrun_tests::runtime::{Programs, Runtime};
use partyrun_tests::server::kill_all;
use partyrun_tests::wpt::deno::{Deno, Published};
use partyrun_tests::wpt::expectations::{self, Expected};
use partyrun_tests::wpt::origin::Origin;
use partyrun_tests::wpt::rooms::Rooms;
use partyrun_tests::wpt::suite::{Test, collect};
use partyrun_tests::wpt::{Ran, rate};

/// Web-platform-tests inside rooms.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder of the tests.
    #[arg(long)]
    tests: PathBuf,
    /// partyrun's binary.
    #[arg(long, default_value = "target/release/partyrun")]
    partyrun: PathBuf,
    /// What is expected to fail.
    #[arg(long, default_value = "tests/wpt/expectations.json5")]
    expectations: PathBuf,
    /// Writes what fails now into the expectations.
    #[arg(long)]
    update: bool,
    /// The folder of Deno's published results (`tests/wpt/runner/expectations` of its repository).
    #[arg(long)]
    deno: Option<PathBuf>,
    /// Runs the tests on the original too, each in a server of its own (a quarter of an hour for all).
    #[arg(long)]
    original: bool,
    /// The folder whose `node_modules` have the original.
    #[arg(long, default_value = "tests")]
    packages: PathBuf,
    /// Prints why subtests fail.
    #[arg(long)]
    verbose: bool,
    /// Folders or files of the tests; all that the expectations name by default.
    subsets: Vec<String>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let local = tokio::task::LocalSet::new();
    let work = run(Arguments::parse());
    let outcome = runtime.map_err(Into::into).and_then(|runtime| local.block_on(&runtime, work));
    kill_all();
    report::exit_code(outcome)
}

async fn run(arguments: Arguments) -> Result<bool> {
    let mut expectations = expectations::read(&arguments.expectations)?;
    let subsets: Vec<String> = if arguments.subsets.is_empty() {
        expectations.keys().cloned().collect()
    } else {
        arguments.subsets.clone()
    };
    let origin = Origin::start(&arguments.tests).await?;
    let deno = arguments.deno.as_deref().map(Deno::new);
    let programs = Programs {
        partyrun: std::path::absolute(&arguments.partyrun)?,
        packages: std::path::absolute(&arguments.packages)?,
        isolation: None,
    };
    let rooms = Rooms { programs: &programs, root: &arguments.tests, origin: &origin };
    let mut as_expected = true;
    let mut all = Figures::default();
    println!("{}", Figures::HEAD);
    for subset in &subsets {
        let expected = expectations.entry(subset.clone()).or_default();
        let tests = collect(&arguments.tests, subset)?;
        let tests: Vec<Test> = tests.into_iter().filter(|test| !expected.leaves_out(&test.name)).collect();
        if tests.is_empty() {
            bail!("there is no *.any.js in {}", arguments.tests.join(subset).display());
        }
        let ran = rooms.run(Runtime::Partyrun, &tests).await?;
        let mut others = Others { deno: deno.as_ref(), original: None };
        if arguments.original {
            others.original = Some(rooms.run(Runtime::Original, &tests).await?);
        }
        let figures = Figures::of(&tests, &ran, &others)?;
        println!("{}", figures.row(subset));
        all.add(&figures);
        as_expected &= expected.compare(&ran);
        if arguments.verbose {
            explain(&tests, &ran, &others)?;
        }
        if arguments.update {
            update(expected, ran);
        }
    }
    println!("{}", all.row("all"));
    origin.stop().await;
    if arguments.update {
        expectations::write(&arguments.expectations, &expectations)?;
        return Ok(true);
    }
    Ok(as_expected)
}

/// What came out elsewhere.
struct Others<'a> {
    deno: Option<&'a Deno>,
    original: Option<BTreeMap<String, Ran>>,
}

impl Others<'_> {
    fn in_deno(&self, test: &Test) -> Result<Option<Published>> {
        Ok(self.deno.map(|deno| deno.outcome(test)).transpose()?.flatten())
    }

    fn on_original(&self, test: &Test) -> Option<&Ran> {
        self.original.as_ref()?.get(&test.name)
    }
}

fn explain(tests: &[Test], ran: &BTreeMap<String, Ran>, others: &Others<'_>) -> Result<()> {
    for test in tests {
        let Some(ran) = ran.get(&test.name) else { continue };
        let published = others.in_deno(test)?;
        let original = others.on_original(test);
        for (name, message) in &ran.messages {
            let in_deno = match published.as_ref().map(|published| published.passes(name)) {
                Some(true) => " (passes in Deno)",
                Some(false) => " (fails in Deno)",
                None => "",
            };
            let on_original = match original {
                Some(original) if original.passed.contains(name) => " (passes on the original)",
                Some(_) => " (fails on the original)",
                None => "",
            };
            println!("    {}: {name}: {message}{in_deno}{on_original}", test.name);
        }
    }
    Ok(())
}

fn update(expected: &mut Expected, ran: BTreeMap<String, Ran>) {
    let failing = ran.into_iter().filter(|(_, ran)| !ran.failed.is_empty());
    expected.failing = failing.map(|(file, ran)| (file, ran.failed)).collect();
}

/// A row of the table that is printed.
#[derive(Default)]
struct Figures {
    tests: usize,
    passed: usize,
    failed: usize,
    // Of the tests that both run: those that pass here, those that pass in Deno, and all.
    shared: (usize, usize, usize),
    // Of the same subtests, those that pass on the original, and those that pass only there.
    original: Option<(usize, usize)>,
}

impl Figures {
    const HEAD: &str = "| subset | tests | passed | failed | rate | of what Deno runs: here | Deno | original | only there |\n\
                        |---|---|---|---|---|---|---|---|---|";

    fn of(tests: &[Test], ran: &BTreeMap<String, Ran>, others: &Others<'_>) -> Result<Self> {
        let mut figures = Self { tests: ran.len(), ..Self::default() };
        for test in tests {
            let Some(ran) = ran.get(&test.name) else { continue };
            figures.passed += ran.passed.len();
            figures.failed += ran.failed.len();
            if let Some(original) = others.on_original(test) {
                let (passed, only) = figures.original.unwrap_or_default();
                let passing = |names: &BTreeSet<String>| names.intersection(&original.passed).count();
                let there = passing(&ran.failed);
                figures.original = Some((passed + passing(&ran.passed) + there, only + there));
            }
            let Some(published) = others.in_deno(test)? else { continue };
            let all = ran.passed.len() + ran.failed.len();
            let passed = ran.passed.iter().chain(&ran.failed).filter(|name| published.passes(name)).count();
            let shared = &mut figures.shared;
            *shared = (shared.0 + ran.passed.len(), shared.1 + passed, shared.2 + all);
        }
        Ok(figures)
    }

    fn add(&mut self, other: &Self) {
        self.tests += other.tests;
        self.passed += other.passed;
        self.failed += other.failed;
        let (here, deno, all) = other.shared;
        self.shared = (self.shared.0 + here, self.shared.1 + deno, self.shared.2 + all);
        if let Some((passed, only)) = other.original {
            let (all_passed, all_only) = self.original.unwrap_or_default();
            self.original = Some((all_passed + passed, all_only + only));
        }
    }

    fn row(&self, name: &str) -> String {
        let (here, deno, all) = self.shared;
        let both = match all {
            0 => "- | -".to_string(),
            _ => format!("{} | {}", rate(here, all - here), rate(deno, all - deno)),
        };
        let Self { tests, passed, failed, .. } = self;
        let original = match self.original {
            Some((there, only)) => format!("{} | {only}", rate(there, passed + failed - there)),
            None => "- | -".to_string(),
        };
        format!(
            "| {name} | {tests} | {passed} | {failed} | {} | {both} | {original} |",
            rate(*passed, *failed)
        )
    }
}
