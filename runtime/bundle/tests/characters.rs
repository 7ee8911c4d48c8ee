//! Every character in every place: the files of `characters.mjs` evaluate to the same in our bundle, in esbuild's and in
//! Node.js.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_character_is_what_was_written() -> Result<(), Box<dyn std::error::Error>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/characters.mjs");
    let output = Command::new("node").arg(script).env("PARTYRUN_JOBS", jobs()?).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("\"differences\":0"), "{out}");
    Ok(())
}

/// The program of `examples/jobs.rs`, which cargo builds before it runs this: it is beside the folder of this one.
fn jobs() -> std::io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let profile = here.ancestors().nth(2).unwrap_or(&here);
    Ok(profile.join("examples/jobs"))
}
