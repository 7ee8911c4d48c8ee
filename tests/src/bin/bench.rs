//! `bench`: partyrun and the original with the same project and the same load, in turn; a table, or JSON.
//!
//! Exit code 0 when everything was measured, 1 when a server failed. Each server is stopped before the next one starts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use partyrun_tests::bench::contender::{Contender, Places};
use partyrun_tests::bench::figures::{Bench, GROUPS, Group};
use partyrun_tests::bench::load::Times;
use partyrun_tests::bench::{files, table};
use partyrun_tests::{report, running};

/// Measures partyrun and the original with the same project and load.
#[derive(Debug, Parser)]
struct Args {
    /// Only groups whose name contains one of these (`--list` prints the names).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measure these too; their packages: `npm ci --prefix tests/bench`.
    #[arg(long, value_delimiter = ',', value_enum)]
    with: Vec<Contender>,
    /// Measure these instead of partyrun and the original.
    #[arg(long, value_delimiter = ',', value_enum)]
    on: Vec<Contender>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the names of the groups, and nothing else.
    #[arg(long)]
    list: bool,
    /// Seconds that each throughput figure is counted.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rooms that `churn` makes.
    #[arg(long, default_value_t = 10_000)]
    churn_rooms: usize,
    /// How often `swap` saves a file on partyrun.
    #[arg(long, default_value_t = 30)]
    swaps: usize,
    /// Rooms whose memory `memory` looks at.
    #[arg(long, default_value_t = 1000)]
    memory_rooms: usize,
    /// Rooms that each `program-...` makes, and whose memory it looks at.
    #[arg(long, default_value_t = 40)]
    program_rooms: usize,
    /// What partyrun's isolates are for: `room` or `worker`.
    #[arg(long)]
    isolation: Option<String>,
    /// partyrun's binary [default: beside this one].
    #[arg(long)]
    partyrun: Option<PathBuf>,
    /// Be the contender `hyper`: serve the files in `public` on this port, and do nothing else.
    #[arg(long, value_name = "PORT", hide = true)]
    serve_files: Option<u16>,
}

fn main() -> ExitCode {
    report::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<bool> {
    if let Some(port) = args.serve_files {
        files::serve(port)?;
        return Ok(true);
    }
    if args.list {
        GROUPS.iter().for_each(|group| println!("{}", group.name));
        return Ok(true);
    }
    let chosen = |group: &&Group| {
        args.only.is_empty() || args.only.iter().any(|only| group.name.contains(only.as_str()))
    };
    let groups: Vec<&Group> = GROUPS.iter().filter(chosen).collect();
    if groups.is_empty() {
        bail!("`--only` matches no group; `--list` prints their names");
    }
    let mut contenders =
        if args.on.is_empty() { vec![Contender::Partyrun, Contender::Original] } else { args.on.clone() };
    contenders.extend(&args.with);
    let bench = Bench {
        places: places(args)?,
        times: Times {
            warm_up: Duration::from_secs_f64((args.seconds / 3.0).max(0.3)),
            measure: Duration::from_secs_f64(args.seconds.max(0.2)),
        },
        churn_rooms: args.churn_rooms.max(501),
        swaps: args.swaps.max(2),
        memory_rooms: args.memory_rooms.max(1),
        program_rooms: args.program_rooms.max(1),
    };
    // Twenty thousand sockets are as many files.
    running::raise_descriptors();
    let (measured, failed) = measure(&bench, &groups, &contenders);
    let rows = table::rows(&measured);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&table::to_json(&rows, &contenders))?);
    } else {
        println!("{}", table::markdown(&rows, &contenders));
    }
    Ok(!failed)
}

type Measured = Vec<(Contender, Vec<partyrun_tests::bench::figures::Figure>)>;

fn measure(bench: &Bench, groups: &[&Group], contenders: &[Contender]) -> (Measured, bool) {
    let mut measured = Vec::new();
    let mut failed = false;
    for group in groups {
        for who in contenders.iter().copied().filter(|who| group.is_for(*who)) {
            eprintln!("{}: {}", group.name, who.name());
            match group.measure(bench, who) {
                Ok(figures) => measured.push((who, figures)),
                Err(error) => {
                    failed = true;
                    eprintln!("{}: {} could not be measured: {error}", group.name, who.name());
                }
            }
        }
    }
    (measured, failed)
}

fn places(args: &Args) -> Result<Places> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
    let fixtures = tests.join("../fixtures").canonicalize().context("the folder `fixtures`")?;
    let partyrun = match &args.partyrun {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("partyrun"),
    };
    if !partyrun.is_file() {
        bail!("{} is missing: `cargo build --release` makes it", partyrun.display());
    }
    let partyrun = partyrun.canonicalize()?;
    let isolation = args.isolation.clone();
    Ok(Places { partyrun, bench: std::env::current_exe()?, tests, fixtures, isolation })
}
