//! The random module graphs of `graphs.mjs`: our bundle and esbuild's must log the same. `PARTYRUN_SEEDS` says how many.

use std::path::Path;
use std::process::Command;

#[test]
fn random_graphs_run_as_esbuild_runs_them() -> Result<(), Box<dyn std::error::Error>> {
    let seeds: usize = std::env::var("PARTYRUN_SEEDS").unwrap_or_else(|_| "150".into()).parse()?;
    assert!(seeds > 0, "PARTYRUN_SEEDS=0 tests nothing");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs.mjs");
    let output =
        Command::new("node").arg(script).arg(seeds.to_string()).env("PARTYRUN_JOBS", jobs()?).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let counts = out.lines().last().unwrap_or("").strip_prefix(&format!("{seeds} seeds from 1: "));
    let counts =
        counts.and_then(|counts| counts.strip_suffix(" none failed")).ok_or(format!("{out}\n{err}"))?;
    let counts: std::collections::BTreeMap<String, usize> = serde_json::from_str(counts)?;
    // Every seed has its outcome, and where esbuild departs from the standard is the exception.
    assert_eq!(counts.values().sum::<usize>(), seeds, "{counts:?}");
    assert!(counts["same"] * 10 > seeds * 8, "{counts:?}");
    Ok(())
}

/// The program of `examples/jobs.rs`, which cargo builds before it runs this: it is beside the folder of this one.
fn jobs() -> std::io::Result<std::path::PathBuf> {
    let here = std::env::current_exe()?;
    let profile = here.ancestors().nth(2).unwrap_or(&here);
    Ok(profile.join("examples/jobs"))
}
