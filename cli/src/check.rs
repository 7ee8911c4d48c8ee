//! `partyrun check`: reads the configuration and bundles the project without serving it; `partyrun schema`.
//!
//! The project's own build command is not run, and the client bundle is not kept.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use partyrun_limits::Limits;

use crate::args::SourceArgs;
use crate::build::{Builder, Mode};
use crate::client;
use crate::output::{Output, counted};
use crate::serve::{RunError, machine};

/// Runs the command.
pub(crate) fn run(args: &SourceArgs, begun: Instant) -> Result<(), RunError> {
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let output = Output::new(false, &Limits::default()).map_err(machine("A thread cannot be started"))?;
    let mut request = args.request(&cwd);
    request.env_local = true;
    let config = Arc::new(partyrun_config::load(&request)?);
    config.notes.iter().for_each(|note| output.note(note));
    config.warnings.iter().for_each(|warning| output.problem(warning));
    let mut builder = Builder::new(config.clone(), Mode::Release, Limits::default(), None)?;
    let bundled = output.while_waiting("Bundling", || builder.parts())?;
    bundled.warnings.iter().for_each(|warning| output.problem(warning));
    let files = client::check(&config, &output)?;
    let parties = bundled.parts.parties.join(", ");
    let kib = bundled.parts.code.len().div_ceil(1024);
    let client = files.map_or_else(String::new, |count| format!("; client of {}", counted(count, "file")));
    output.note(&format!(
        "The project builds: {parties}; bundle of {kib} KiB from {}{client}; {} ms",
        counted(bundled.inputs.len(), "file"),
        begun.elapsed().as_millis()
    ));
    output.flush();
    Ok(())
}

/// Prints the JSON schema of the configuration.
pub(crate) fn print_schema() -> Result<(), RunError> {
    let text = serde_json::to_string_pretty(&partyrun_config::schema()).unwrap_or_default();
    // A closed pipe (`partyrun schema | head`) is nobody's mistake.
    let _closed = writeln!(std::io::stdout(), "{text}");
    Ok(())
}
