//! `partyrun check`: reads the configuration, bundles the project and loads its modules without serving it;
//! `partyrun schema`.
//!
//! The project's own build command is not run, the client bundle is not kept, and no room starts. What modules print while
//! they are loaded is printed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use partyrun_config::Config;
use partyrun_engine::{Engine, EngineOptions, Isolation, Level, Observer, Program, Source, Workers};
use partyrun_limits::Limits;
use partyrun_net::Response;
use partyrun_store::Memory;

use crate::args::SourceArgs;
use crate::build::{self, Builder, Mode};
use crate::client;
use crate::error::{PORT, RunError, machine};
use crate::output::{Output, counted};
use crate::room_cost;
use crate::serve;

/// No room runs, so nothing has to end.
const GRACE: Duration = Duration::from_millis(100);

/// Runs the command.
pub(crate) fn run(args: &SourceArgs, begun: Instant) -> Result<(), RunError> {
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let output = Output::new(false, &Limits::default()).map_err(machine("A thread cannot be started"))?;
    let output = Arc::new(output);
    let mut request = args.request(&cwd);
    request.env_local = true;
    let config = Arc::new(partyrun_config::load(&request)?);
    config.notes.iter().for_each(|note| output.note(note));
    output.warnings(&config.warnings);
    let limits = Limits { spares_per_worker: 0, ..Limits::default() };
    Engine::init_platform(&limits);
    let mut builder = Builder::new(config.clone(), Mode::Release, limits.clone(), None)?;
    let bundled = output.while_waiting("Bundling", || builder.parts())?;
    output.warnings(&bundled.warnings);
    let files = client::check(&config, &output)?;
    let program = build::program(&bundled.parts, &config, config.port.unwrap_or(PORT))?;
    let program = Arc::new(program);
    serve::runtime()?.block_on(load(&config, &program, limits, &output))?;
    let parties = bundled.parts.parties.join(", ");
    let kib = bundled.parts.code.len().div_ceil(1024);
    let client = files.map_or_else(String::new, |count| format!("; client of {}", counted(count, "file")));
    output.note(&format!(
        "The project builds and loads: {parties}; bundle of {kib} KiB from {}{client}; {} ms",
        counted(bundled.inputs.len(), "file"),
        begun.elapsed().as_millis()
    ));
    output.flush();
    Ok(())
}

// Starts an engine, which evaluates the modules of all parties and looks at what they export, and measures a room.
async fn load(
    config: &Config,
    program: &Arc<Program>,
    limits: Limits,
    output: &Arc<Output>,
) -> Result<(), RunError> {
    let isolation = if config.shares_isolates { Isolation::Worker } else { Isolation::Room };
    let workers = Workers::Count(1);
    let options = EngineOptions { limits: limits.clone(), workers, isolation, ..EngineOptions::default() };
    let observer = Arc::new(serve::Console::new(config, output.clone()));
    let engine = Engine::start(options, program.clone(), Arc::new(Memory::new()), observer)
        .await
        .map_err(|error| RunError::starting(error, config))?;
    room_cost::tell(&engine, program, &limits, output, true).await;
    engine.stop(GRACE).await;
    Ok(())
}

/// Evaluates a program as a server does at its start, without a word: whether it can be served.
pub(crate) async fn evaluate(
    config: &Config,
    program: &Arc<Program>,
    limits: Limits,
) -> Result<(), RunError> {
    let limits = Limits { spares_per_worker: 0, ..limits };
    let isolation = if config.shares_isolates { Isolation::Worker } else { Isolation::Room };
    let workers = Workers::Count(1);
    let options = EngineOptions { limits, workers, isolation, ..EngineOptions::default() };
    let engine = Engine::start(options, program.clone(), Arc::new(Memory::new()), Arc::new(Silence))
        .await
        .map_err(|error| RunError::starting(error, config))?;
    engine.stop(GRACE).await;
    Ok(())
}

// Prints nothing: the modules are evaluated again by the server.
struct Silence;

impl Observer for Silence {
    fn console(&self, _source: &Source, _level: Level, _text: &str) {}

    fn assets(&self, _path: String) -> BoxFuture<'static, Option<Response>> {
        Box::pin(async { None })
    }
}

/// Prints the JSON schema of the configuration.
pub(crate) fn print_schema() -> Result<(), RunError> {
    let text = serde_json::to_string_pretty(&partyrun_config::schema()).unwrap_or_default();
    crate::stdout::print(format!("{text}\n").as_bytes()).map_err(machine("The output cannot be written"))
}
