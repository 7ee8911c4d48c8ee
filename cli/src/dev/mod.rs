//! `partyrun dev`: build, start, serve, reload on changes, stop when asked.
//!
//! A mistake before the start ends the command with a message. After the start, a message is printed and the last good
//! version keeps running. The configuration is read again when its files change: rooms get a new program where that is
//! enough, otherwise the server restarts on the same port.

mod commands;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use partyrun_config::{Config, Request};
use partyrun_engine::{Engine, RestartCode, Warm};
use partyrun_limits::Limits;
use partyrun_net::Tls;
use partyrun_server::{Reload, Reporter};
use partyrun_store::Store;
use tokio::task::JoinHandle;

use self::commands::Desk;
use crate::admin::{self, Administration};
use crate::args::DevArgs;
use crate::banner::{self, Banner};
use crate::build::{Builder, Built, Mode};
use crate::client::{self, Client};
use crate::command;
use crate::debugger::Debugger;
use crate::error::{BuildError, RunError, labelled, machine};
use crate::https;
use crate::keys::Keys;
use crate::metrics;
use crate::output::Output;
use crate::pages;
use crate::room_cost;
use crate::serve::{self, Plan, Running};
use crate::stop::{Link, StopRequests};
use crate::watch::{Change, Watch};

/// How long requests and rooms may take to end.
const GRACE: Duration = Duration::from_secs(3);
/// A program is evaluated, and its code cache made, well within this time of its start.
const CODE_CACHE_AFTER: Duration = Duration::from_secs(2);

/// Runs the command until it is asked to stop.
pub(crate) fn run(args: &DevArgs, begun: Instant, link: Link) -> Result<(), RunError> {
    if let Some(flag) = args.stray_address() {
        return Err(RunError::StrayAddress { flag });
    }
    if args.listen.test_clock {
        crate::tested::begin();
    }
    let limits = args.listen.limits(Limits::default())?;
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let mut request = args.project.request(&cwd, &cwd, args.script.clone(), &args.listen);
    request.env_local = true;
    request.overrides.live = args.live;
    let config = Arc::new(partyrun_config::load(&request)?);
    let output =
        Arc::new(Output::new(args.listen.json, &limits).map_err(machine("A thread cannot be started"))?);
    announce(&config, &output);
    let tls = https::identity(args, config.host, &output)?;
    let interruptible = command::run_first(&config, limits.build_command_time_max, Some(&link))?;
    let (listeners, port) = serve::listen(config.host, config.port.or(link.port))?;
    let outdir = args.unstable_outdir.as_ref().map(|path| cwd.join(path));
    let debugger = Debugger::start(args, &output)?;
    let _metrics = metrics::serve(&args.listen, &limits, &output)?;
    let administration = Administration::of_dev(&args.admin, config.persist.path(), &limits)?.map(Arc::new);
    let mode = Mode::Development { port };
    let client = client::build(&config, mode, &output)?;
    let builder = Builder::new(config.clone(), mode, limits.clone(), outdir.clone())?;
    let mut builder = builder.for_debuggers(debugger.as_ref());
    // Before the build: the name of the code cache on disk holds V8's flags, which are not final until then.
    Engine::init_platform(&limits);
    partyrun_engine::restrict(args.listen.outbound.clone().unwrap_or_default());
    let warm = Engine::warm_up(&limits, debugger.as_ref().map(|debugger| &debugger.inspector));
    // Looking begins before the files are read: a change during the start must not be lost.
    let mut watch = begin_watch(&config, &output);
    // The disk is waited for meanwhile.
    let (built, store) = std::thread::scope(|scope| {
        let opening = scope.spawn(|| serve::open_store(&config, &limits));
        let built = output.while_waiting("Bundling", || builder.build());
        (built, opening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (built, store) = (built?, store?);
    if let Some(watch) = &mut watch {
        watch.built(built.inputs.clone()).iter().for_each(|problem| output.problem(problem));
    }
    let runtime = serve::runtime()?;
    drop(interruptible);
    let result = runtime.block_on(async {
        let mut requests = link.requests().map_err(machine("Signals cannot be received"))?;
        let trusted_proxies = args.listen.trusted_proxy.clone();
        let mut setup = Setup {
            output: output.clone(),
            listeners,
            port,
            tls,
            workers: args.listen.workers,
            trusted_proxies,
            limits,
            debugger,
            administration,
            health: args.admin.health,
            reload: Reload::default(),
        };
        // A top-level await may take its time, and a debugger may hold the start.
        let running = tokio::select! {
            running = setup.start(&config, &built, store, warm) => running?,
            () = requests.next() => return Ok(()),
        };
        let client = follow_pages(client, &config, &output, &setup.reload);
        let https = setup.tls.is_some();
        let admin = setup.administration.as_ref().map(|administration| administration.url());
        let (host, url) = (config.host, &banner::url(https, config.host, port));
        banner::print(
            &Banner { config: &config, host, port, url, https, begun, admin, release: None },
            &output,
        );
        link.ready(port);
        if setup.debugger.is_none() {
            room_cost::tell_later(&running.engine, &built.program, &setup.limits, &output, false);
        }
        let keys = if args.no_hotkeys || output.is_json() { None } else { Keys::of_terminal() };
        if keys.is_some() {
            commands::hint(&output);
        }
        let mut session = Session {
            running,
            client,
            builder,
            config,
            built,
            request,
            outdir,
            setup: &mut setup,
            watch,
            keys,
            down: false,
            told: None,
            warnings: Vec::new(),
        };
        session.serve(&mut requests).await;
        session.stop(&mut requests).await;
        Ok(())
    });
    partyrun_telemetry::stop();
    output.flush();
    result
}

// Tells pages of what is new: of client builds, or with `--live` of files that nothing builds.
fn follow_pages(
    client: Option<Client>,
    config: &Config,
    output: &Arc<Output>,
    reload: &Reload,
) -> Option<JoinHandle<()>> {
    match (client, config.serve.as_ref().filter(|serve| serve.live)) {
        (Some(client), _) => Some(tokio::spawn(client.follow(output.clone(), reload.clone()))),
        (None, Some(serve)) => {
            Some(tokio::spawn(pages::follow(serve.path.clone(), output.clone(), reload.clone())))
        }
        (None, None) => None,
    }
}

// What stays when the server starts again.
struct Setup {
    output: Arc<Output>,
    listeners: Vec<TcpListener>,
    port: u16,
    tls: Option<Tls>,
    workers: Option<partyrun_engine::Workers>,
    trusted_proxies: Vec<partyrun_server::Network>,
    limits: Limits,
    debugger: Option<Debugger>,
    administration: Option<Arc<Administration>>,
    health: bool,
    reload: Reload,
}

impl Setup {
    async fn start(
        &mut self,
        config: &Arc<Config>,
        built: &Built,
        store: Arc<dyn Store>,
        warm: Option<Warm>,
    ) -> Result<Running, RunError> {
        let listeners: Result<Vec<_>, _> = self.listeners.iter().map(TcpListener::try_clone).collect();
        let listeners = listeners.map_err(machine("The port cannot be kept"))?;
        let url = banner::url(self.tls.is_some(), config.host, self.port);
        let told =
            |administration: Arc<Administration>| (administration, admin::release(config, "dev", url, None));
        Running::start(Plan {
            config: config.clone(),
            output: self.output.clone(),
            program: built.program.clone(),
            bundle_hash: Some(built.hash.clone()),
            administration: self.administration.clone().map(told),
            health: self.health,
            store,
            listeners: listeners.into_iter().map(Into::into).collect(),
            tls: self.tls.clone(),
            proxies: None,
            workers: self.workers.unwrap_or_default(),
            limits: self.limits.clone(),
            development: true,
            trusted_proxies: self.trusted_proxies.clone(),
            reload: Some(self.reload.clone()),
            inspector: self.debugger.as_ref().map(|debugger| debugger.inspector.clone()),
            warm,
            bindings: crate::bindings::open(config, &self.limits)?,
            estate: None,
            restart_code: RestartCode::default(),
            control: None,
        })
        .await
    }
}

struct Session<'setup> {
    running: Running,
    // Builds the client after each change.
    client: Option<JoinHandle<()>>,
    builder: Builder,
    config: Arc<Config>,
    built: Built,
    request: Request,
    outdir: Option<PathBuf>,
    setup: &'setup mut Setup,
    watch: Option<Watch>,
    keys: Option<Keys>,
    // A restart failed, and the way back too: the next change tries again.
    down: bool,
    // What is wrong since the last version that worked.
    told: Option<String>,
    // The warnings of the last build, which are not said again.
    warnings: Vec<String>,
}

impl Session<'_> {
    // Reloads on changes until it is asked to stop.
    async fn serve(&mut self, requests: &mut StopRequests) {
        self.warn(self.built.warnings.clone());
        let mut cache_due = Some(tokio::time::Instant::now() + CODE_CACHE_AFTER);
        loop {
            let change = async {
                match &mut self.watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            let key = async {
                match &mut self.keys {
                    Some(keys) => keys.next().await,
                    None => std::future::pending().await,
                }
            };
            let due = cache_due.unwrap_or_else(|| tokio::time::Instant::now() + CODE_CACHE_AFTER);
            tokio::select! {
                () = requests.next() => return,
                key = key => {
                    if !self.desk().obey(key).await {
                        return;
                    }
                }
                () = tokio::time::sleep_until(due), if cache_due.is_some() => {
                    cache_due = None;
                    self.builder.code_cache(&self.built.hash).keep(&self.built.program);
                }
                change = change => {
                    let reloaded = tokio::select! {
                        reloaded = self.reload(change) => reloaded,
                        // What is half done ends with the server.
                        () = requests.next() => return,
                    };
                    match reloaded {
                        Ok(()) => self.told = None,
                        Err(error) => self.tell(&error),
                    }
                    cache_due = Some(tokio::time::Instant::now() + CODE_CACHE_AFTER);
                }
            }
        }
    }

    fn desk(&self) -> Desk<'_> {
        let debugger = self.setup.debugger.as_ref();
        Desk {
            engine: &self.running.engine,
            output: &self.setup.output,
            administration: self.setup.administration.as_deref(),
            url: banner::url(self.setup.tls.is_some(), self.config.host, self.setup.port),
            debugger: debugger.map(|debugger| (&debugger.inspector, debugger.address.to_string())),
        }
    }

    async fn reload(&mut self, change: Change) -> Result<(), RunError> {
        let begun = Instant::now();
        if change.settings || self.down {
            return self.reload_settings(begun).await;
        }
        if change.sources_of_command {
            command::run(&self.config, self.setup.limits.build_command_time_max).await?;
        }
        let built = self.build_again()?;
        if built.hash != self.built.hash {
            self.swap(&built).await?;
            self.say_ready(begun);
        } else if self.told.is_some() {
            self.setup.output.note("Builds again; nothing else changed.");
        }
        let files = built.inputs.clone();
        self.built = built;
        self.look_at(files);
        Ok(())
    }

    // Reads the configuration again, and starts what it concerns again.
    async fn reload_settings(&mut self, begun: Instant) -> Result<(), RunError> {
        let config = Arc::new(partyrun_config::load(&self.request)?);
        let watch = begin_watch(&config, &self.setup.output);
        announce(&config, &self.setup.output);
        command::run(&config, self.setup.limits.build_command_time_max).await?;
        let mode = Mode::Development { port: self.setup.port };
        let output = self.setup.output.clone();
        let client = config.clone();
        let building = tokio::task::spawn_blocking(move || client::build(&client, mode, &output));
        let client =
            building.await.map_err(|error| machine("The client cannot be built")(error.into()))??;
        let builder = Builder::new(config.clone(), mode, self.setup.limits.clone(), self.outdir.clone())?;
        let mut builder = builder.for_debuggers(self.setup.debugger.as_ref());
        let built = self.setup.output.while_waiting("Bundling", || builder.build())?;
        if config.host != self.config.host || config.port != self.config.port {
            self.setup.output.problem(
                "The port or the address changed in the configuration: restart partyrun to listen there.",
            );
        }
        if self.down || serves_otherwise(&self.config, &config) {
            self.restart(&config, &built).await?;
        } else {
            self.swap(&built).await?;
        }
        if let Some(old) = self.client.take() {
            old.abort();
        }
        let (output, reload) = (self.setup.output.clone(), self.setup.reload.clone());
        self.client = follow_pages(client, &config, &output, &reload);
        self.setup.reload.tell();
        // What was changed since the configuration was read is seen by the new watch: it began before.
        let files = built.inputs.clone();
        (self.builder, self.config, self.built, self.watch) = (builder, config, built, watch);
        self.look_at(files);
        self.say_ready(begun);
        Ok(())
    }

    // Another server in place of this one. Where it cannot start, the old configuration's server starts again.
    async fn restart(&mut self, config: &Arc<Config>, built: &Built) -> Result<(), RunError> {
        self.setup.output.note("The configuration changed: restarting.");
        self.running.halt(GRACE).await;
        match self.start(config, built).await {
            Ok(running) => {
                (self.running, self.down) = (running, false);
                Ok(())
            }
            Err(error) => {
                self.down = true;
                let (config, built) = (self.config.clone(), self.built.clone());
                self.running = self.start(&config, &built).await?;
                self.down = false;
                Err(error)
            }
        }
    }

    async fn start(&mut self, config: &Arc<Config>, built: &Built) -> Result<Running, RunError> {
        let store = serve::open_store(config, &self.setup.limits)?;
        self.setup.start(config, built, store, None).await
    }

    fn build_again(&mut self) -> Result<Built, RunError> {
        let builder = &mut self.builder;
        let built = self.setup.output.while_waiting("Bundling", || builder.build())?;
        self.warn(built.warnings.clone());
        Ok(built)
    }

    fn warn(&mut self, warnings: Vec<String>) {
        let new = warnings.iter().filter(|warning| !self.warnings.contains(warning));
        new.for_each(|warning| Reporter::warn(&*self.setup.output, warning));
        self.warnings = warnings;
    }

    async fn swap(&self, built: &Built) -> Result<(), RunError> {
        let swapped = self.running.engine.swap(built.program.clone()).await;
        swapped.map_err(|error| RunError::starting(error, &self.config))?;
        let administration = self.setup.administration.iter();
        administration.for_each(|administration| administration.admin.released(Some(built.hash.clone())));
        Ok(())
    }

    // The same error is said once: whoever keeps what is printed in a watched file must not get it for ever.
    fn tell(&mut self, error: &RunError) {
        let text = error.to_string();
        let output = self.setup.output.clone();
        if self.told.as_ref() == Some(&text) {
            output.note("Still the same error.");
        } else {
            output.problem(&if output.is_json() { text.clone() } else { labelled(&text) });
            output.note("The last working version keeps running.");
        }
        self.told = Some(text);
        if let Some(watch) = &mut self.watch {
            let problems = match error {
                RunError::Build(BuildError::Bundle(errors)) => watch.failed(&errors.inputs),
                _ => watch.failed(&[]),
            };
            problems.iter().for_each(|problem| output.problem(problem));
        }
    }

    fn say_ready(&self, begun: Instant) {
        let took_ms = begun.elapsed().as_millis();
        self.setup.output.note(&format!("Updated and ready on the same port in {took_ms} ms"));
    }

    fn look_at(&mut self, files: Vec<PathBuf>) {
        if let Some(watch) = &mut self.watch {
            watch.built(files).iter().for_each(|problem| self.setup.output.problem(problem));
        }
    }

    async fn stop(self, requests: &mut StopRequests) {
        self.setup.output.note("Stopping.");
        if let Some(client) = &self.client {
            client.abort();
        }
        self.running.stop(GRACE.min(self.setup.limits.wait_until_max), requests).await;
        self.builder.code_cache(&self.built.hash).keep(&self.built.program);
    }
}

fn begin_watch(config: &Config, output: &Output) -> Option<Watch> {
    let sources = config.build.command.as_ref().map(|_| config.build.watch.clone());
    match Watch::new(sources.unwrap_or_default(), settings_files(config)) {
        Ok(watch) => Some(watch),
        Err(error) => {
            output.problem(&format!("Files cannot be watched ({error}): restart partyrun to load changes."));
            None
        }
    }
}

// The files that say something about the configuration, those that could appear included.
fn settings_files(config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = config.source.path().map(Path::to_owned).into_iter().collect();
    files.extend(config.env_files.iter().cloned());
    for name in ["partykit.json", "partykit.json5", "partykit.jsonc", ".env", ".env.local"] {
        files.push(config.cwd.join(name));
    }
    files
}

// Whether more than a new program is needed.
fn serves_otherwise(old: &Config, new: &Config) -> bool {
    old.serve != new.serve
        || old.persist != new.persist
        || old.crons != new.crons
        || old.bindings != new.bindings
        || old.vectorize != new.vectorize
        || old.allowed_origins != new.allowed_origins
        || old.cors != new.cors
}

fn announce(config: &Config, output: &Output) {
    config.notes.iter().for_each(|note| output.note(note));
    output.warnings(&config.warnings);
    crate::bindings::ai_missing(config).into_iter().for_each(|line| output.problem(line));
}
