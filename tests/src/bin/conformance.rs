//! `conformance`: runs the fixtures against partyrun, against the original, or against both.
//!
//! Exit code 0 when everything passed, 1 when something failed, 130 after ctrl-c. No server outlives the command.

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use partyrun_tests::case::Case;
use partyrun_tests::fixture::{self, Fixture};
use partyrun_tests::runtime::{Programs, Runtime};
use partyrun_tests::schedule::{Outcome, Settings, run_all, runs_of};
use partyrun_tests::{coverage, differences, documents, report, server};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Runs the conformance fixtures.
#[derive(Debug, Parser)]
struct Args {
    /// Only cases whose `fixture: name` or covered row contains one of these.
    filters: Vec<String>,
    /// Where the cases run.
    #[arg(long, value_enum, default_value = "partyrun")]
    on: On,
    /// What partyrun's isolates are for, `room` or `worker`.
    #[arg(long)]
    isolation: Option<String>,
    /// How many cases at once.
    #[arg(long, default_value_t = 6)]
    jobs: usize,
    /// Print the deliberate differences as Markdown, by topic, and nothing else.
    #[arg(long)]
    list_better: bool,
    /// Print the rows that no case covers, and nothing else.
    #[arg(long)]
    coverage: bool,
    /// Bring the generated tables of the documents up to date, and nothing else.
    #[arg(long)]
    write_tables: bool,
    /// Print each case as it passes, with its time.
    #[arg(long)]
    verbose: bool,
    /// The folder of the fixtures.
    #[arg(long)]
    fixtures: Option<PathBuf>,
    /// The limit of a step that names none.
    #[arg(long, default_value_t = 10_000)]
    step_ms: u64,
    /// The limit for a server to start.
    #[arg(long, default_value_t = 60_000)]
    start_ms: u64,
    /// The limit of a case that names none.
    #[arg(long, default_value_t = 120_000)]
    case_ms: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum On {
    Partyrun,
    Original,
    Both,
}

impl On {
    fn runtimes(self) -> &'static [Runtime] {
        match self {
            Self::Partyrun => &[Runtime::Partyrun],
            Self::Original => &[Runtime::Original],
            Self::Both => &[Runtime::Partyrun, Runtime::Original],
        }
    }
}

fn main() -> ExitCode {
    report::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<bool> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = args.fixtures.clone().unwrap_or_else(|| tests.join("../fixtures"));
    let (fixtures, mut mistakes) = fixture::read_all(&folder)?;
    let fixtures: Vec<Rc<Fixture>> = fixtures.into_iter().map(Rc::new).collect();
    let rows = coverage::read_rows(&tests.join("coverage"))?;
    mistakes.extend(coverage::unknown_ids(&rows, &fixtures).iter().map(ToString::to_string));
    if args.list_better {
        print!("{}", differences::markdown(&fixtures)?);
        return Ok(true);
    }
    if args.write_tables {
        documents::write(&tests.join(".."), &rows, &fixtures)?;
        return Ok(true);
    }
    if args.coverage {
        return Ok(print_coverage(&rows, &fixtures));
    }
    for mistake in &mistakes {
        println!("MISTAKE {mistake}");
    }
    let isolation = args.isolation.clone();
    let programs = Programs { partyrun: partyrun_binary()?, packages: tests.to_owned(), isolation };
    if matches!(args.on, On::Partyrun | On::Both) && !programs.partyrun.is_file() {
        anyhow::bail!("no such program: `{}`; build it or set PARTYRUN_BIN", programs.partyrun.display());
    }
    let settings = Settings {
        programs,
        jobs: args.jobs,
        step_limit: Duration::from_millis(args.step_ms),
        start_limit: Duration::from_millis(args.start_ms),
        case_limit: Duration::from_millis(args.case_ms),
    };
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcomes = tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            outcomes = run_cases(args, &settings, &fixtures) => outcomes,
            _ = interrupted() => {
                server::kill_all();
                std::process::exit(130);
            }
        }
    });
    println!("{}", report::summary(&outcomes, mistakes.len(), began.elapsed().as_secs_f64()));
    Ok(mistakes.is_empty() && outcomes.iter().all(|outcome| outcome.failure.is_none()))
}

async fn run_cases(args: &Args, settings: &Settings, fixtures: &[Rc<Fixture>]) -> Vec<Outcome> {
    let wanted = |fixture: &Fixture, case: &Case| {
        let title = format!("{}: {}", fixture.name, case.name);
        args.filters.is_empty()
            || args.filters.iter().any(|filter| {
                title.contains(filter) || case.covers.iter().any(|(_, id)| id.contains(filter.as_str()))
            })
    };
    let both = matches!(args.on, On::Both);
    let outcomes = RefCell::new(Vec::new());
    run_all(runs_of(fixtures, args.on.runtimes(), wanted), settings, |outcome| {
        if args.verbose && outcome.failure.is_none() {
            println!("ok {} {} ms", report::title(&outcome.run), outcome.took.as_millis());
        }
        if outcome.failure.is_some() && !both {
            println!("{}", report::failure(&outcome));
        }
        outcomes.borrow_mut().push(outcome);
    })
    .await;
    let outcomes = outcomes.into_inner();
    if both {
        report::differences(&outcomes).iter().for_each(|text| println!("{text}"));
    }
    outcomes
}

fn print_coverage(rows: &[coverage::Row], fixtures: &[Rc<Fixture>]) -> bool {
    let open = coverage::uncovered(rows, fixtures);
    for row in rows.iter().filter(|row| row.without_case.is_some()) {
        println!(
            "no case possible: {}: {}: {}",
            row.id,
            row.title,
            row.without_case.as_deref().unwrap_or("")
        );
    }
    for row in &open {
        println!("no case: {}: {}", row.id, row.title);
    }
    println!("{} rows, {} without a case", rows.len(), open.len());
    open.is_empty()
}

/// `PARTYRUN_BIN`, or `partyrun` beside this program.
fn partyrun_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PARTYRUN_BIN") {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe().context("could not find this program's own path")?;
    Ok(own.with_file_name("partyrun"))
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let ended = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = ended => {}
    }
}
