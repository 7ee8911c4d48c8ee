//! Runs web-platform-tests inside rooms of partyrun: `wpt --tests FOLDER [SUBSET ...] [--update]`.
//!
//! FOLDER is a checkout of the tests, or of those parts of it that are run, with `common`, `docs/commands.json`, `interfaces`,
//! `resources`, `tools` and `wpt`; it is brought for a run and no part of the repository. Its own server is started (Python 3).
//! Each `*.any.js` file of a subset (a folder such as `fetch/api/headers`, or one file) runs in a room of its own, once for
//! each of its variants. What fails is data: `tests/wpt/expectations.json5` names the subtests that do, and a difference in
//! either direction fails the run. `--deno` compares with the results that Deno publishes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use futures_util::StreamExt;
use partyrun_tests::report;
use partyrun_tests::request::{Ask, exchange};
use partyrun_tests::runtime::{Programs, READY_PATTERN, Runtime};
use partyrun_tests::server::{Process, free_port, kill_all, wait_for_line};
use partyrun_tests::wpt::deno::Deno;
use partyrun_tests::wpt::expectations::{self, Expected};
use partyrun_tests::wpt::origin::Origin;
use partyrun_tests::wpt::suite::{Test, collect};
use partyrun_tests::wpt::{Ran, project, rate};
use serde_json::Value;

/// So many tests run side by side: most of the time they wait.
const AT_ONCE: usize = 4;

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
    let mut as_expected = true;
    let mut all = Figures::default();
    println!("{}", Figures::HEAD);
    for subset in &subsets {
        let expected = expectations.entry(subset.clone()).or_default();
        let tests = collect(&arguments.tests, subset)?;
        let tests: Vec<Test> = tests.into_iter().filter(|test| !expected.leaves_out(&test.name)).collect();
        let ran = run_subset(&arguments, subset, &tests, &origin).await?;
        let figures = Figures::of(&tests, &ran, deno.as_ref())?;
        println!("{}", figures.row(subset));
        all.add(&figures);
        as_expected &= expected.compare(&ran);
        if arguments.verbose {
            explain(&tests, &ran, deno.as_ref())?;
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

fn explain(tests: &[Test], ran: &BTreeMap<String, Ran>, deno: Option<&Deno>) -> Result<()> {
    for test in tests {
        let Some(ran) = ran.get(&test.name) else { continue };
        let published = deno.map(|deno| deno.outcome(test)).transpose()?.flatten();
        for (name, message) in &ran.messages {
            let in_deno = match published.as_ref().map(|published| published.passes(name)) {
                Some(true) => " (passes in Deno)",
                Some(false) => " (fails in Deno)",
                None => "",
            };
            println!("    {}: {name}: {message}{in_deno}", test.name);
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
}

impl Figures {
    const HEAD: &str = "| subset | tests | passed | failed | rate | of what Deno runs: here | Deno |\n\
                        |---|---|---|---|---|---|---|";

    fn of(tests: &[Test], ran: &BTreeMap<String, Ran>, deno: Option<&Deno>) -> Result<Self> {
        let mut figures = Self { tests: ran.len(), ..Self::default() };
        for test in tests {
            let Some(ran) = ran.get(&test.name) else { continue };
            figures.passed += ran.passed.len();
            figures.failed += ran.failed.len();
            let Some(published) = deno.map(|deno| deno.outcome(test)).transpose()?.flatten() else {
                continue;
            };
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
    }

    fn row(&self, name: &str) -> String {
        let (here, deno, all) = self.shared;
        let both = match all {
            0 => "- | -".to_string(),
            _ => format!("{} | {}", rate(here, all - here), rate(deno, all - deno)),
        };
        let Self { tests, passed, failed, .. } = self;
        format!("| {name} | {tests} | {passed} | {failed} | {} | {both} |", rate(*passed, *failed))
    }
}

async fn run_subset(
    arguments: &Arguments,
    subset: &str,
    tests: &[Test],
    origin: &Origin,
) -> Result<BTreeMap<String, Ran>> {
    let root = &arguments.tests;
    if tests.is_empty() {
        bail!("there is no *.any.js in {}", root.join(subset).display());
    }
    let folder = tempfile::tempdir()?;
    project::write(root, folder.path(), tests, origin).await?;
    let port = free_port().map_err(|error| anyhow!(error))?;
    let process = serve(&std::path::absolute(&arguments.partyrun)?, folder.path(), port).await?;
    let asking = tests.iter().enumerate().map(|(number, test)| async move {
        let ran = ask(port, number, origin).await;
        (test.name.clone(), ran)
    });
    let ran = futures_util::stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
    process.stop(Duration::from_secs(5)).await;
    Ok(ran)
}

async fn serve(partyrun: &Path, folder: &Path, port: u16) -> Result<Process> {
    let programs = Programs { partyrun: partyrun.to_path_buf(), packages: PathBuf::from("tests") };
    let args = programs.dev_args(Runtime::Partyrun, None, port, &[]);
    let process = Process::start(programs.command(Runtime::Partyrun, folder, &args));
    let process = process.map_err(|error| anyhow!(error))?;
    let pattern = regex::Regex::new(READY_PATTERN)?;
    let ready = wait_for_line(&process.output, &pattern, 0, Duration::from_secs(60)).await;
    if let Err(error) = ready {
        bail!("{error}\n{}", process.output.tail(20).join("\n"));
    }
    Ok(process)
}

async fn ask(port: u16, number: usize, origin: &Origin) -> Ran {
    let target = format!("/party/{number}");
    let ask = Ask { method: "GET".into(), target, headers: Vec::new(), body: bytes::Bytes::new() };
    let answer = match tokio::time::timeout(Duration::from_secs(60), exchange(port, &ask)).await {
        Ok(Ok(answer)) => answer.text(),
        Ok(Err(error)) => return Ran::broken(format!("(harness) {error}")),
        Err(_) => return Ran::broken("(harness) no answer in time".into()),
    };
    let Ok(Value::Array(results)) = serde_json::from_str(&answer) else {
        return Ran::broken("(harness)".into());
    };
    let mut ran = Ran::default();
    for result in results {
        let name = origin.without_ports(result["name"].as_str().unwrap_or_default());
        if result["status"].as_u64() == Some(0) {
            ran.passed.insert(name);
        } else {
            let message = result["message"].as_str().unwrap_or_default();
            ran.messages.push((name.clone(), message.to_string()));
            ran.failed.insert(name);
        }
    }
    // Of several subtests with one name, one that fails counts for all.
    let Ran { passed, failed, .. } = &mut ran;
    passed.retain(|name| !failed.contains(name));
    ran
}
