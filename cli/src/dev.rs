//! `partyrun dev`: build, start, serve, reload on changes, stop on a signal.
//!
//! A mistake before the start ends the command with its message; after it, the last good version goes on and the
//! message is printed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use partyrun_config::{Config, ConfigError};
use partyrun_engine::{Engine, EngineOptions, Level, Observer, Program, Source, StartError};
use partyrun_limits::Limits;
use partyrun_net::{Front, FrontOptions, Response};
use partyrun_server::{AssetsError, Server, ServerOptions, StaticFiles, StaticOptions};
use partyrun_store::{Memory, Sqlite, Store, StoreError};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::DevArgs;
use crate::build::{self, BuildError, Builder};
use crate::output::Output;
use crate::watch::Watch;

/// The port of the original.
const PORT: u16 = 1999;
/// How long requests and rooms may take to end.
const GRACE: Duration = Duration::from_secs(3);
/// A program is evaluated, and its code cache made, well within this time of its start.
const CODE_CACHE_AFTER: Duration = Duration::from_secs(2);

/// Why the command ends with exit code 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Build(#[from] BuildError),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("The storage in {path} cannot be opened: {error}")]
    Store { path: String, error: StoreError },
    #[error("Port {port} is in use. Stop what listens there, or choose another with `--port`.")]
    PortInUse { port: u16 },
    #[error("Cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("partyrun does not speak TLS: leave `--https` out, and put a proxy such as Caddy in front.")]
    Tls,
    #[error("`serve` in the configuration: {0}")]
    Assets(#[from] AssetsError),
    #[error("{what}: {error}")]
    Machine { what: &'static str, error: std::io::Error },
}

fn machine(what: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |error| RunError::Machine { what, error }
}

/// Runs the command until a signal ends it.
pub(crate) fn run(args: DevArgs, begun: Instant) -> Result<(), RunError> {
    if args.wants_tls() {
        return Err(RunError::Tls);
    }
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let config = Arc::new(partyrun_config::load(&args.request(&cwd))?);
    let output = Arc::new(Output::new(args.json).map_err(machine("A thread cannot be started"))?);
    announce(&config, &output);
    build::run_command(&config)?;
    let listener = listen(config.host, config.port)?;
    let port = listener.local_addr().map_err(machine("The port cannot be found"))?.port();
    let outdir = args.unstable_outdir.as_ref().map(|path| cwd.join(path));
    let mut builder = Builder::new(config.clone(), port, outdir)?;
    let built = builder.build()?;
    let store = open_store(&config)?;
    Engine::init_platform();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(machine("The threads cannot be started"))?;
    let result = runtime.block_on(async {
        let assets = static_files(&config)?;
        let host = Arc::new(Host { output: output.clone(), assets: assets.clone() });
        let options = EngineOptions { limits: Limits::default(), workers: args.workers.unwrap_or_default() };
        let engine = Engine::start(options, built.program.clone(), store, host).await?;
        let crons = config.crons.clone();
        let options =
            ServerOptions { limits: Limits::default(), development: true, crons: crons.clone(), assets };
        let server = Arc::new(Server::new(engine.clone(), options, output.clone()));
        partyrun_net::front::raise_descriptor_limit();
        let front = Front::start(vec![listener], server, Limits::default(), FrontOptions::default())
            .map_err(machine("The HTTP threads cannot be started"))?;
        let clock = tokio::spawn(partyrun_server::run_crons(engine.clone(), crons, output.clone()));
        banner(&config, port, begun, &output);
        let mut session = Session {
            engine,
            builder,
            config,
            output: output.clone(),
            program: built.program,
            hash: built.hash,
        };
        let result = session.serve(built.inputs, &built.warnings).await;
        clock.abort();
        session.stop(front).await;
        result
    });
    output.flush();
    result
}

struct Session {
    engine: Engine,
    builder: Builder,
    config: Arc<Config>,
    output: Arc<Output>,
    program: Arc<Program>,
    hash: String,
}

impl Session {
    // Reloads on changes until a signal comes.
    async fn serve(&mut self, inputs: Vec<std::path::PathBuf>, warnings: &[String]) -> Result<(), RunError> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(machine("Signals cannot be received"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(machine("Signals cannot be received"))?;
        warnings.iter().for_each(|warning| self.output.problem(warning));
        let sources = self.config.build.command.as_ref().map(|_| self.config.build.watch.clone());
        let mut watch = match Watch::new(sources.unwrap_or_default()) {
            Ok(watch) => Some(watch),
            Err(error) => {
                self.output.problem(&format!("Changes will not be seen, restart to reload: {error}"));
                None
            }
        };
        if let Some(watch) = &mut watch {
            watch.built(inputs).iter().for_each(|problem| self.output.problem(problem));
        }
        let mut cache_due = Some(tokio::time::Instant::now() + CODE_CACHE_AFTER);
        loop {
            let change = async {
                match &mut watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            let due = cache_due.unwrap_or_else(|| tokio::time::Instant::now() + CODE_CACHE_AFTER);
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                () = tokio::time::sleep_until(due), if cache_due.is_some() => {
                    cache_due = None;
                    self.builder.keep_code_cache(&self.hash, &self.program);
                }
                change = change => {
                    let outcome = self.reload(change.sources_of_command).await;
                    let Some(watch) = &mut watch else { continue };
                    match outcome {
                        Ok(inputs) => {
                            watch.built(inputs).iter().for_each(|problem| self.output.problem(problem));
                            cache_due = Some(tokio::time::Instant::now() + CODE_CACHE_AFTER);
                        }
                        Err(error) => {
                            watch.failed();
                            self.output.problem(&error.to_string());
                            self.output.note("The last working version goes on.");
                        }
                    }
                }
            }
        }
    }

    async fn reload(&mut self, run_command: bool) -> Result<Vec<std::path::PathBuf>, RunError> {
        let begun = Instant::now();
        if run_command {
            build::run_command(&self.config)?;
        }
        let built = self.builder.build()?;
        built.warnings.iter().for_each(|warning| self.output.problem(warning));
        if built.hash != self.hash {
            self.engine.swap(built.program.clone()).await?;
            self.program = built.program;
            self.hash = built.hash;
            self.output
                .note(&format!("Updated and ready on the same port in {} ms", begun.elapsed().as_millis()));
        }
        Ok(built.inputs)
    }

    // A second signal does not wait.
    async fn stop(&self, front: Front) {
        self.output.note("Stopping.");
        let orderly = async {
            front.stop(GRACE);
            self.engine.stop(GRACE).await;
            self.builder.keep_code_cache(&self.hash, &self.program);
            // The threads of the front end by themselves after the grace.
            let _joined = tokio::task::spawn_blocking(move || front.join()).await;
        };
        tokio::select! {
            () = orderly => (),
            _ = tokio::signal::ctrl_c() => std::process::exit(130),
        }
    }
}

// What the engine asks of the process.
struct Host {
    output: Arc<Output>,
    assets: Option<StaticFiles>,
}

impl Observer for Host {
    fn console(&self, source: &Source, level: Level, text: &str) {
        self.output.console(source, level, text);
    }

    fn assets(&self, path: String) -> BoxFuture<'static, Option<Response>> {
        let (assets, output) = (self.assets.clone(), self.output.clone());
        let asking = async move {
            assets?.fetch(path).await.unwrap_or_else(|error| {
                output.problem(&format!("assets.fetch: {error}"));
                None
            })
        };
        asking.boxed()
    }
}

fn announce(config: &Config, output: &Output) {
    config.notes.iter().for_each(|note| output.note(note));
    config.warnings.iter().for_each(|warning| output.problem(warning));
    if config.serve.as_ref().is_some_and(|serve| serve.build.is_some()) {
        output.problem("`serve.build` is not supported yet: build the client with a tool of its own, for example esbuild.");
    }
}

fn static_files(config: &Config) -> Result<Option<StaticFiles>, AssetsError> {
    let Some(serve) = &config.serve else { return Ok(None) };
    let options = StaticOptions {
        include: serve.include.clone(),
        exclude: serve.exclude.clone(),
        single_page_app: serve.single_page_app,
        browser_ttl_seconds: serve.browser_ttl_seconds,
        ..StaticOptions::new(&Limits::default())
    };
    StaticFiles::new(serve.path.clone(), options).map(Some)
}

fn listen(host: IpAddr, port: Option<u16>) -> Result<TcpListener, RunError> {
    let asked = SocketAddr::new(host, port.unwrap_or(PORT));
    match partyrun_net::bind(asked) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => match port {
            Some(port) => Err(RunError::PortInUse { port }),
            None => {
                let address = SocketAddr::new(host, 0);
                partyrun_net::bind(address).map_err(|error| RunError::Listen { address, error })
            }
        },
        Err(error) => Err(RunError::Listen { address: asked, error }),
    }
}

fn open_store(config: &Config) -> Result<Arc<dyn Store>, RunError> {
    match config.persist.path() {
        None => Ok(Arc::new(Memory::new())),
        Some(path) => match Sqlite::open(path) {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) => Err(RunError::Store { path: path.display().to_string(), error }),
        },
    }
}

fn banner(config: &Config, port: u16, begun: Instant, output: &Output) {
    let folder = config.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = config.name.clone().or(folder).unwrap_or_default();
    output.note(&format!("partyrun {} {name}", env!("CARGO_PKG_VERSION")));
    let shown = if config.host.is_unspecified() {
        "localhost".to_string()
    } else {
        SocketAddr::new(config.host, 0).ip().to_string()
    };
    let shown = if shown.contains(':') { format!("[{shown}]") } else { shown };
    output.note(&format!("  http://{shown}:{port}"));
    if let Some(address) = config.host.is_unspecified().then(lan_address).flatten() {
        output.note(&format!("  http://{address}:{port} (network)"));
    }
    output.note(&format!("Ready on http://{shown}:{port} in {} ms", begun.elapsed().as_millis()));
}

// The address under which others reach this machine: that of the route to a documentation address (RFC 5737). A UDP
// socket that only connects sends nothing.
fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket
        .local_addr()
        .ok()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_asked_for_must_be_free() {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let taken = listen(host, Some(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen(host, Some(port)).unwrap_err();
        assert!(error.to_string().contains("is in use"), "{error}");
    }
}
