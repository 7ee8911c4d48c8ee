//! `partyrun build`: writes a project into one self-contained file for `partyrun start`.

use std::sync::Arc;
use std::time::Instant;

use partyrun_limits::Limits;

use crate::args::BuildArgs;
use crate::build::{Builder, Mode};
use crate::client;
use crate::command;
use crate::error::{RunError, machine};
use crate::output::Output;
use crate::release;

/// Runs the command.
pub(crate) fn run(args: &BuildArgs, begun: Instant) -> Result<(), RunError> {
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let output = Output::new(false, &Limits::default()).map_err(machine("A thread cannot be started"))?;
    let mut request = args.source.request(&cwd);
    // The values of environment files are read where the project runs; only `--with-env` asks for them here.
    request.without_env_files = !args.source.project.with_env;
    let config = Arc::new(partyrun_config::load(&request)?);
    output.warnings(&config.warnings);
    let limits = Limits::default();
    let _interruptible = command::run_first(&config, limits.build_command_time_max, None)?;
    client::build(&config, Mode::Release, &output)?;
    let mut builder = Builder::new(config.clone(), Mode::Release, limits.clone(), None)?;
    let parts = output.while_waiting("Bundling", || builder.parts())?;
    output.warnings(&parts.warnings);
    let name = config
        .name
        .clone()
        .or_else(|| config.root.file_name().map(|name| name.to_string_lossy().into_owned()));
    let path = match &args.out {
        Some(out) => cwd.join(out),
        None => cwd.join(format!("{}.partyrun", name.as_deref().unwrap_or("project"))),
    };
    let bytes = release::write(&path, &config, &parts.parts, &limits)?;
    let shown = path.strip_prefix(&cwd).unwrap_or(&path).display().to_string();
    output.note(&format!(
        "Wrote {shown} ({} KiB) in {} ms",
        bytes.div_ceil(1024),
        begun.elapsed().as_millis()
    ));
    let npx = if crate::init::through_npm() { "npx " } else { "" };
    output.note(&format!("Serve it with: {npx}partyrun start {shown}"));
    output.flush();
    Ok(())
}
