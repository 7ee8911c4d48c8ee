//! The random module graphs of `graphs.mjs`: our bundle and esbuild's must log the same. `PARTYRUN_SEEDS` says how many.

use std::path::Path;
use std::process::Command;

#[test]
fn random_graphs_run_as_esbuild_runs_them() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = std::env::var("PARTYRUN_SEEDS").unwrap_or_else(|_| "150".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs.mjs");
    let output = Command::new("node").arg(script).arg(seeds).env("PARTYRUN_JOBS", jobs()?).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("\"same\":1"), "{out}");
    Ok(())
}

/// The program of `examples/jobs.rs`, which cargo builds before it runs this: it is beside the folder of this one.
fn jobs() -> std::io::Result<std::path::PathBuf> {
    let here = std::env::current_exe()?;
    let profile = here.ancestors().nth(2).unwrap_or(&here);
    Ok(profile.join("examples/jobs"))
}
