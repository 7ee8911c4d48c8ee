//! What `start` serves: a project that is built here, or a release, read at the start and again while a server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use partyrun_config::Config;
use partyrun_engine::Program;
use partyrun_limits::Limits;

use crate::args::StartArgs;
use crate::build::{Builder, Built, CodeCache, Mode};
use crate::client;
use crate::command;
use crate::doors::Doors;
use crate::error::{RunError, machine};
use crate::hosted::Hosted;
use crate::output::Output;
use crate::release::{Release, Unpacked};
use crate::serve;
use crate::stop::Link;

/// Where the server listens.
#[derive(Clone, Copy)]
pub(super) enum Port<'a> {
    /// Nowhere yet.
    Open(&'a Link),
    /// At this port, which it keeps.
    Kept(u16),
}

/// Something that can be served.
pub(super) struct Servable {
    pub(super) config: Arc<Config>,
    pub(super) doors: Doors,
    pub(super) program: Arc<Program>,
    pub(super) hash: String,
    pub(super) cache: CodeCache,
    pub(super) release: Option<String>,
    /// The unpacked files; dropping it removes those that nobody needs later.
    pub(super) folder: Option<Unpacked>,
}

/// Reads what the command line names, and makes it ready to be served. `beside` says that a server serves it meanwhile.
pub(super) fn load(
    args: &StartArgs,
    hosted: Option<&Hosted>,
    limits: &Limits,
    port: Port<'_>,
    output: &Output,
    beside: bool,
) -> Result<Servable, RunError> {
    let loading = Loading { args, hosted, limits, port, output, beside };
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let what = args.what.as_deref().map(|what| cwd.join(what));
    match what {
        None => loading.of_project(&cwd, &cwd, None),
        Some(path) if path.is_dir() => loading.of_project(&cwd, &path, None),
        Some(path) if Release::is_one(&path) => loading.of_release(&cwd, &path),
        Some(path) if path.extension().is_some_and(|extension| extension == "partyrun") && path.is_file() => {
            Err(RunError::NoRelease { path: path.display().to_string() })
        }
        Some(path) if path.is_file() => loading.of_project(&cwd, &cwd, Some(path)),
        Some(path) => Err(RunError::Nothing { path: path.display().to_string() }),
    }
}

// What was read, and where data is kept: the operator's first questions.
fn announce(config: &Config, output: &Output) {
    config.notes.iter().for_each(|note| output.note(note));
    output.warnings(&config.warnings);
    match config.persist.path() {
        Some(folder) => output.note(&format!("Storage is kept in {}", folder.display())),
        None => output.note("Storage is kept in memory only"),
    }
}

struct Loading<'a> {
    args: &'a StartArgs,
    hosted: Option<&'a Hosted>,
    limits: &'a Limits,
    port: Port<'a>,
    output: &'a Output,
    beside: bool,
}

impl Loading<'_> {
    fn listen(&self, config: &Config) -> Result<Doors, RunError> {
        match self.port {
            Port::Open(link) => Doors::open(&self.args.doors, config, link),
            Port::Kept(port) => Ok(Doors::kept(port)),
        }
    }

    fn of_project(&self, cwd: &Path, folder: &Path, script: Option<PathBuf>) -> Result<Servable, RunError> {
        let Self { args, limits, output, .. } = *self;
        let script = script.map(|path| path.to_string_lossy().into_owned());
        let request = args.project.request(cwd, folder, script, &args.listen);
        let config = Arc::new(partyrun_config::load(&request)?);
        announce(&config, output);
        let _interruptible = match self.port {
            Port::Open(link) => Some(command::run_first(&config, limits.build_command_time_max, Some(link))?),
            Port::Kept(_) => {
                serve::runtime()?.block_on(command::run(&config, limits.build_command_time_max))?;
                None
            }
        };
        let doors = self.listen(&config)?;
        let mode = Mode::Production { port: doors.port };
        client::build(&config, mode, output)?;
        let mut builder = Builder::new(config.clone(), mode, limits.clone(), None)?;
        let built = output.while_waiting("Bundling", || builder.build())?;
        output.warnings(&built.warnings);
        let cache = builder.code_cache(&built.hash);
        let Built { program, hash, .. } = built;
        Ok(Servable { config, doors, program, hash, cache, release: None, folder: None })
    }

    fn of_release(&self, cwd: &Path, path: &Path) -> Result<Servable, RunError> {
        let Self { args, limits, output, .. } = *self;
        let release = Release::read(path, limits)?;
        let mut request = args.project.request(cwd, cwd, None, &args.listen);
        request.env_beside = path.parent().map(Path::to_owned);
        // The data lies beside the caller, not beside the unpacked files.
        let data = match args.listen.persist.as_deref() {
            Some("false") => None,
            None if release.manifest.forgets() => None,
            None | Some("true") => Some(cwd.join(".partyrun")),
            Some(path) => Some(cwd.join(path)),
        };
        if let Some(data) = &data {
            request.overrides.persist = Some(data.to_string_lossy().into_owned());
        }
        let folder = release.unpack(data.as_deref(), self.beside)?;
        request.config = Some(folder.path().join("partykit.json"));
        if let Some(hosted) = self.hosted {
            // All of a hosted project's variables come from its host.
            request.without_env_files = true;
            request.environment.extend(hosted.environment.iter().cloned());
        }
        let mut config = partyrun_config::load(&request)?;
        if self.hosted.is_some_and(|hosted| hosted.probe) {
            config.crons.clear();
        }
        let config = Arc::new(config);
        announce(&config, output);
        let doors = self.listen(&config)?;
        let program = Arc::new(release.program(&config, doors.port)?);
        let cache = CodeCache::new(folder.path(), &release.manifest.hash);
        cache.load(&program);
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let hash = release.manifest.hash.clone();
        Ok(Servable { config, doors, program, hash, cache, release: name, folder: Some(folder) })
    }
}
