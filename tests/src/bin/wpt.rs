//! Runs web-platform-tests inside rooms of partyrun: `wpt --tests FOLDER [SUBSET ...] [--update]`.
//!
//! FOLDER is a checkout of the tests, or of a part of them that holds `resources/testharness.js`; it is brought for a run and
//! no part of the repository. Each `*.any.js` file of a subset (a folder such as `fetch/api/headers`) runs in a room of its own,
//! with the harness and the scripts that its META lines name in front. What fails is data: `tests/wpt/expectations.json5` names
//! the subtests that do, and a difference in either direction fails the run. Tests that need the tests' own server, files of it
//! or variants are left out by name there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use partyrun_tests::request::{Ask, exchange};
use partyrun_tests::runtime::{Programs, READY_PATTERN, Runtime};
use partyrun_tests::server::{Process, free_port, wait_for_line};
use serde_json::{Value, json};

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
    /// Folders of the tests; all that the expectations name by default.
    subsets: Vec<String>,
}

/// What is expected of a subset.
#[derive(Debug, Default, Clone)]
struct Expected {
    /// Files that are not run, each with the reason.
    left_out: BTreeMap<String, String>,
    /// Subtests that fail, by file. A file that does not get to its end has the one entry `(harness)`.
    failing: BTreeMap<String, BTreeSet<String>>,
}

/// What came out of a file.
#[derive(Debug)]
struct Ran {
    passed: usize,
    failed: BTreeSet<String>,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(tokio::task::LocalSet::new().run_until(run(Arguments::parse()))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool> {
    let mut expectations = read_expectations(&arguments.expectations)?;
    let subsets: Vec<String> = if arguments.subsets.is_empty() {
        expectations.keys().cloned().collect()
    } else {
        arguments.subsets.clone()
    };
    let mut as_expected = true;
    let (mut passed, mut failed) = (0, 0);
    for subset in &subsets {
        let expected = expectations.entry(subset.clone()).or_default();
        let ran = run_subset(&arguments, subset, expected).await?;
        let counts = ran.values().fold((0, 0), |sum, ran| (sum.0 + ran.passed, sum.1 + ran.failed.len()));
        println!("{subset}: {} files, {} passed, {} failed, {}", ran.len(), counts.0, counts.1, rate(counts));
        passed += counts.0;
        failed += counts.1;
        as_expected &= compare(expected, &ran);
        if arguments.update {
            expected.failing = ran
                .into_iter()
                .filter(|(_, ran)| !ran.failed.is_empty())
                .map(|(file, ran)| (file, ran.failed))
                .collect();
        }
    }
    println!("all: {passed} passed, {failed} failed, {}", rate((passed, failed)));
    if arguments.update {
        std::fs::write(&arguments.expectations, write_expectations(&expectations))?;
        return Ok(true);
    }
    Ok(as_expected)
}

fn rate((passed, failed): (usize, usize)) -> String {
    format!("{:.1} %", 100.0 * passed as f64 / (passed + failed).max(1) as f64)
}

// Prints every difference; true if there is none.
fn compare(expected: &Expected, ran: &BTreeMap<String, Ran>) -> bool {
    let none = BTreeSet::new();
    let mut same = true;
    for (file, ran) in ran {
        let expected = expected.failing.get(file).unwrap_or(&none);
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

// --- expectations -----------------------------------------------------------------------------------------------------

fn read_expectations(path: &Path) -> Result<BTreeMap<String, Expected>> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(path)?;
    let value = partyrun_tests::data::parse(path, &text).map_err(|error| anyhow!("{error}"))?.json();
    let subsets = value.as_object().context("the expectations are not an object")?;
    let mut read = BTreeMap::new();
    for (subset, value) in subsets {
        let mut expected = Expected::default();
        for (file, reason) in value["left_out"].as_object().into_iter().flatten() {
            expected.left_out.insert(file.clone(), reason.as_str().unwrap_or_default().to_string());
        }
        for (file, names) in value["failing"].as_object().into_iter().flatten() {
            let names = names
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_string)
                .collect();
            expected.failing.insert(file.clone(), names);
        }
        read.insert(subset.clone(), expected);
    }
    Ok(read)
}

fn write_expectations(expectations: &BTreeMap<String, Expected>) -> String {
    let mut all = serde_json::Map::new();
    for (subset, expected) in expectations {
        all.insert(subset.clone(), json!({ "left_out": expected.left_out, "failing": expected.failing }));
    }
    let text = serde_json::to_string_pretty(&Value::Object(all)).unwrap_or_default();
    format!(
        "// What fails of the web-platform-tests; `wpt --update` writes `failing`, people write `left_out`.\n{text}\n"
    )
}

// --- running ----------------------------------------------------------------------------------------------------------

async fn run_subset(
    arguments: &Arguments,
    subset: &str,
    expected: &Expected,
) -> Result<BTreeMap<String, Ran>> {
    let mut files: Vec<PathBuf> = Vec::new();
    collect(&arguments.tests.join(subset), &mut files)?;
    files.sort();
    let root = &arguments.tests;
    let named: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|path| (path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned(), path))
        .filter(|(name, _)| !expected.left_out.contains_key(name))
        .collect();
    if named.is_empty() {
        bail!("there is no *.any.js in {}", root.join(subset).display());
    }
    let project = tempfile::tempdir()?;
    write_project(root, project.path(), &named)?;
    copy_data(root, &root.join(subset), &project.path().join("public"))?;
    std::fs::write(project.path().join("partykit.json"), r#"{ "main": "server.js", "serve": "public" }"#)?;
    let port = free_port().map_err(|error| anyhow!(error))?;
    let partyrun = std::path::absolute(&arguments.partyrun)?;
    let programs = Programs { partyrun, packages: PathBuf::from("tests") };
    let args = programs.dev_args(Runtime::Partyrun, None, port, &[]);
    let process = Process::start(programs.command(Runtime::Partyrun, project.path(), &args))
        .map_err(|error| anyhow!(error))?;
    let pattern = regex::Regex::new(READY_PATTERN)?;
    let ready = wait_for_line(&process.output, &pattern, 0, Duration::from_secs(60)).await;
    if let Err(error) = ready {
        bail!("{error}\n{}", process.output.tail(20).join("\n"));
    }
    let mut ran = BTreeMap::new();
    for (number, (name, _)) in named.iter().enumerate() {
        ran.insert(name.clone(), ask(port, number).await);
    }
    process.stop(Duration::from_secs(5)).await;
    Ok(ran)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("there is no folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.to_string_lossy().ends_with(".any.js") {
            files.push(path);
        }
    }
    Ok(())
}

async fn ask(port: u16, number: usize) -> Ran {
    let target = format!("/party/{number}");
    let ask = Ask { method: "GET".into(), target, headers: Vec::new(), body: bytes::Bytes::new() };
    let failed = |what: String| Ran { passed: 0, failed: BTreeSet::from([what]) };
    let answer = match tokio::time::timeout(Duration::from_secs(60), exchange(port, &ask)).await {
        Ok(Ok(answer)) => answer.text(),
        Ok(Err(error)) => return failed(format!("(harness) {error}")),
        Err(_) => return failed("(harness) no answer in time".into()),
    };
    let Ok(Value::Array(results)) = serde_json::from_str(&answer) else { return failed("(harness)".into()) };
    let mut ran = Ran { passed: 0, failed: BTreeSet::new() };
    for result in results {
        let name = result["name"].as_str().unwrap_or_default().to_string();
        match result["status"].as_u64() {
            Some(0) => ran.passed += 1,
            _ => drop(ran.failed.insert(name)),
        }
    }
    ran
}

// --- the project ------------------------------------------------------------------------------------------------------

const SERVER: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    globalThis.GLOBAL = { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false };
    // The tests fetch their own data by relative URLs; the project serves it.
    const base = `http://${request.headers.get("host")}/${names[Number(this.room.id)]}`;
    globalThis.location = new URL(base);
    const webFetch = globalThis.fetch;
    globalThis.fetch = (input, init) => webFetch(typeof input === "string" ? new URL(input, base) : input, init);
    await import("./harness.js");
    setup({ explicit_done: true, explicit_timeout: true });
    const ended = new Promise((resolve) => add_completion_callback((tests) => resolve(tests)));
    let problem = null;
    try {
      await tests[Number(this.room.id)]();
    } catch (error) {
      problem = error;
    }
    done();
    const timer = new Promise((resolve) => setTimeout(resolve, 20000, []));
    const results = (await Promise.race([ended, timer])).map(({ name, status, message }) => ({ name, status, message }));
    if (problem !== null) results.push({ name: "(harness)", status: 1, message: String(problem) });
    if (results.length === 0) results.push({ name: "(harness)", status: 1, message: "no results" });
    return Response.json(results);
  }
}
"#;

fn write_project(root: &Path, project: &Path, named: &[(String, PathBuf)]) -> Result<()> {
    let harness = std::fs::read_to_string(root.join("resources/testharness.js"))?;
    // The harness is a sloppy script that puts its functions on `self`; bundled code is strict and `this` undefined.
    std::fs::write(
        project.join("harness.js"),
        format!("export default (function () {{\n{harness}\n}}).call(globalThis);\n"),
    )?;
    let mut server = String::from("const tests = [\n");
    for (number, (_, path)) in named.iter().enumerate() {
        let text = std::fs::read_to_string(path)?;
        let mut whole = String::from("export default undefined;\n");
        for script in scripts(&text) {
            let script = if let Some(absolute) = script.strip_prefix('/') {
                root.join(absolute)
            } else {
                path.parent().unwrap_or(root).join(script)
            };
            // A script that was not brought makes its tests fail, which the expectations then say.
            whole.push_str(&std::fs::read_to_string(script).unwrap_or_default());
            whole.push('\n');
        }
        whole.push_str(&text);
        std::fs::write(project.join(format!("test{number}.js")), whole)?;
        server.push_str(&format!("  () => import(\"./test{number}.js\"),\n"));
    }
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    server.push_str(&format!("];\nconst names = {};\n", json!(names)));
    server.push_str(SERVER);
    std::fs::write(project.join("server.js"), server)?;
    Ok(())
}

// The data files beside the tests, under the same paths.
fn copy_data(root: &Path, folder: &Path, public: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            copy_data(root, &path, public)?;
        } else if path.extension().is_some_and(|extension| extension == "json" || extension == "txt") {
            let target = public.join(path.strip_prefix(root)?);
            std::fs::create_dir_all(target.parent().unwrap_or(public))?;
            std::fs::copy(&path, target)?;
        }
    }
    std::fs::create_dir_all(public)?;
    Ok(())
}

fn scripts(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| line.starts_with("//") || line.is_empty())
        .filter_map(|line| line.strip_prefix("// META: script=").map(str::trim))
}
