//! `partyrun start`: serves a project, or a file that `partyrun build` wrote, in production.
//!
//! It has no file watching, no debugger and no development URLs. It prints JSON lines if
//! its output is not a terminal. A request to stop lets events finish, makes writes durable and closes sockets with
//! 1012, so that clients reconnect to the successor. A hangup has it read its certificates again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use partyrun_config::Config;
use partyrun_engine::{Engine, Program};
use partyrun_limits::Limits;
use partyrun_net::Proxies;
use partyrun_server::Network;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::admin::{self, Administration};
use crate::args::StartArgs;
use crate::backup;
use crate::banner::{self, Banner};
use crate::build::{Builder, Built, CodeCache, Mode};
use crate::client;
use crate::command;
use crate::doors::Doors;
use crate::error::{RunError, machine};
use crate::metrics;
use crate::output::{self, Output};
use crate::release::{Release, Unpacked};
use crate::room_cost;
use crate::secure::{Beside, Secured};
use crate::serve::{self, Plan, Running};
use crate::stop::{ALIVE, Link, RELOADED, Voice};

/// By then the program has been evaluated and has seen some events.
const CODE_CACHE_AFTER: Duration = Duration::from_secs(5);

// Something that can be served.
struct Servable {
    config: Arc<Config>,
    doors: Doors,
    program: Arc<Program>,
    hash: String,
    cache: CodeCache,
    release: Option<String>,
    // The unpacked files; dropping it removes those that nobody needs later.
    folder: Option<Unpacked>,
}

/// Runs the command until it is asked to stop.
pub(crate) fn run(args: &StartArgs, begun: Instant, link: Link) -> Result<(), RunError> {
    if args.listen.test_clock {
        crate::tested::begin();
    }
    let json = output::json_wanted(&args.listen);
    let limits = args.listen.limits(Limits::default())?;
    let output = Arc::new(Output::new(json, &limits).map_err(machine("A thread cannot be started"))?);
    let _metrics = metrics::serve(&args.listen, &limits, &output)?;
    // Before the build: the name of the code cache on disk holds V8's flags, which are not final until then.
    Engine::init_platform(&limits);
    partyrun_engine::restrict(args.listen.outbound.clone().unwrap_or_default());
    let warm = Engine::warm_up(&limits, None);
    // What events in progress get at the end.
    let grace = limits.wait_until_max;
    let room_limits = limits.clone();
    let secured = Secured::of(&args.doors)?;
    let Servable { config, mut doors, program, hash, cache, release, folder } =
        servable(args, &limits, &link, &output)?;
    let administration =
        Administration::of_start(&args.admin, config.persist.path(), &limits, &output)?.map(Arc::new);
    let (port, paths, https) = (doors.port, doors.take_paths(), secured.is_some());
    let url = banner::url(https, config.host, port);
    let told = |administration| (administration, admin::release(&config, "start", url, release.clone()));
    let administration = administration.map(told);
    let result = serve::runtime()?.block_on(async {
        let mut requests = link.requests().map_err(machine("Signals cannot be received"))?;
        let starting = Running::start(Plan {
            config: config.clone(),
            output: output.clone(),
            program: program.clone(),
            store: serve::open_store(&config, &limits)?,
            listeners: doors.listeners,
            tls: secured.as_ref().map(|secured| secured.tls.clone()),
            proxies: args.doors.proxy_protocol.then(|| proxies(&args.listen.trusted_proxy)),
            workers: args.listen.workers.unwrap_or_default(),
            limits: limits.clone(),
            development: false,
            trusted_proxies: args.listen.trusted_proxy.clone(),
            reload: None,
            inspector: None,
            administration,
            bundle_hash: Some(hash),
            health: args.admin.health,
            warm,
        });
        let running = tokio::select! {
            running = starting => running?,
            () = requests.next() => return Ok(()),
        };
        banner::print(
            &Banner { config: &config, port, https, begun, admin: None, release: release.as_deref() },
            &output,
        );
        doors.shown.iter().for_each(|at| output.note(&format!("  also at  {at}")));
        let mut reloads = requests.reloads();
        requests.heed_hangups();
        let voice = link.voice();
        let _securing = match secured {
            Some(secured) => {
                let beside =
                    Beside { args: &args.doors, config: &config, port, limits: &limits, output: &output };
                Some(secured.begin(&beside, reloads, move || voice.say(RELOADED))?)
            }
            None => {
                // There is nothing to read again.
                tokio::spawn(async move {
                    while reloads.recv().await.is_some() {
                        voice.say(RELOADED);
                    }
                });
                None
            }
        };
        link.ready(port);
        say_that_it_works(
            running.engine.clone(),
            requests.looks(),
            link.voice(),
            limits.admin_answer_time_max,
        );
        room_cost::tell_later(&running.engine, &program, &room_limits, &output, true);
        let backups = backup::start(&args.backups, config.persist.path(), &output)?;
        tokio::select! {
            () = requests.next() => (),
            () = tokio::time::sleep(CODE_CACHE_AFTER) => {
                cache.keep(&program);
                requests.next().await;
            }
        }
        output.note("Stopping.");
        // One in progress ends early: it would hold the log of the database.
        drop(backups);
        running.stop(grace, &mut requests).await;
        drop(paths);
        cache.keep(&program);
        Ok(())
    });
    drop(folder);
    partyrun_telemetry::stop();
    output.flush();
    result
}

fn servable(args: &StartArgs, limits: &Limits, link: &Link, output: &Output) -> Result<Servable, RunError> {
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let what = args.what.as_deref().map(|what| cwd.join(what));
    match what {
        None => of_project(args, &cwd, &cwd, None, limits, link, output),
        Some(path) if path.is_dir() => of_project(args, &cwd, &path, None, limits, link, output),
        Some(path) if Release::is_one(&path) => of_release(args, &cwd, &path, limits, link, output),
        Some(path) if path.extension().is_some_and(|extension| extension == "partyrun") && path.is_file() => {
            Err(RunError::NoRelease { path: path.display().to_string() })
        }
        Some(path) if path.is_file() => of_project(args, &cwd, &cwd, Some(path), limits, link, output),
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

// Answers the supervisor, which asks for systemd, as long as requests would be answered.
fn say_that_it_works(engine: Engine, mut looks: UnboundedReceiver<()>, voice: Voice, patience: Duration) {
    tokio::spawn(async move {
        while looks.recv().await.is_some() {
            if engine.edge_answers(patience).await {
                voice.say(ALIVE);
            }
        }
    });
}

fn proxies(trusted: &[Network]) -> Proxies {
    let trusted = trusted.to_vec();
    Proxies::new(move |peer| trusted.iter().any(|network| network.contains(peer)))
}

fn of_project(
    args: &StartArgs,
    cwd: &Path,
    folder: &Path,
    script: Option<PathBuf>,
    limits: &Limits,
    link: &Link,
    output: &Output,
) -> Result<Servable, RunError> {
    let script = script.map(|path| path.to_string_lossy().into_owned());
    let config = Arc::new(partyrun_config::load(&args.project.request(cwd, folder, script, &args.listen))?);
    announce(&config, output);
    let _interruptible = command::run_first(&config, limits.build_command_time_max, Some(link))?;
    let doors = Doors::open(&args.doors, &config, link)?;
    let mode = Mode::Production { port: doors.port };
    client::build(&config, mode, output)?;
    let mut builder = Builder::new(config.clone(), mode, limits.clone(), None)?;
    let built = output.while_waiting("Bundling", || builder.build())?;
    output.warnings(&built.warnings);
    let cache = builder.code_cache(&built.hash);
    let Built { program, hash, .. } = built;
    Ok(Servable { config, doors, program, hash, cache, release: None, folder: None })
}

fn of_release(
    args: &StartArgs,
    cwd: &Path,
    path: &Path,
    limits: &Limits,
    link: &Link,
    output: &Output,
) -> Result<Servable, RunError> {
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
    let folder = release.unpack(data.as_deref())?;
    request.config = Some(folder.path().join("partykit.json"));
    let config = Arc::new(partyrun_config::load(&request)?);
    announce(&config, output);
    let doors = Doors::open(&args.doors, &config, link)?;
    let program = release.program(&config, doors.port)?;
    let cache = CodeCache::new(folder.path(), &release.manifest.hash);
    cache.load(&program);
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
    Ok(Servable {
        config,
        doors,
        program: Arc::new(program),
        hash: release.manifest.hash.clone(),
        cache,
        release: name,
        folder: Some(folder),
    })
}
