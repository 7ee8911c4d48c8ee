//! What `dev` and `start` have in common: a listener, a store, the engine behind a server, and their orderly shutdown.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use partyrun_admin::{Control, Health, Log, Release, Target};
use partyrun_bindings::Bindings;
use partyrun_config::{Config, Host as ListenHost};
use partyrun_engine::{
    BindingCall, BindingReply, Engine, EngineOptions, Inspector, Isolation, Level, Observer, Parcel, Program,
    RestartCode, RoomChange, Source, Warm, Workers,
};
use partyrun_limits::Limits;
use partyrun_net::{Compression, Front, FrontOptions, Listener, Proxies, Response, Route, Tls, Transport};
use partyrun_server::{
    Answered, AssetsError, Cors, CorsOptions, Crons, Ended, Network, Origins, Reload, Reporter, Server,
    ServerOptions, StaticFiles, StaticOptions, SystemClock,
};
use partyrun_store::{FolderLock, Memory, RoomKey, Sqlite, SqliteOptions, Store};

use crate::admin::Administration;
use crate::bindings;
use crate::error::{PORT, RunError, files, machine};
use crate::inherit;
use crate::output::Output;
use crate::stack::Files;
use crate::stop::StopRequests;
use crate::upgrade::take::Estate;

/// What is to be served, and how.
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    pub(crate) output: Arc<Output>,
    pub(crate) program: Arc<Program>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tls: Option<Tls>,
    /// Whose connections begin with a header of the PROXY protocol.
    pub(crate) proxies: Option<Proxies>,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
    pub(crate) development: bool,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) reload: Option<Reload>,
    pub(crate) inspector: Option<Arc<Inspector>>,
    /// Where operators ask, and what they are told of the release.
    pub(crate) administration: Option<(Arc<Administration>, Release)>,
    /// The hash of the program's bundle.
    pub(crate) bundle_hash: Option<String>,
    /// Whether the public listener tells of the server's health.
    pub(crate) health: bool,
    /// What was begun before there was a program.
    pub(crate) warm: Option<Warm>,
    /// The local bindings, if there are any.
    pub(crate) bindings: Option<Bindings>,
    /// What another process has handed over.
    pub(crate) estate: Option<Estate>,
    /// What sockets hear that a restart ends.
    pub(crate) restart_code: RestartCode,
    /// What operators may have done to the process.
    pub(crate) control: Option<Arc<dyn Control>>,
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    front: Front,
    administration: Option<Arc<Administration>>,
    reload: Option<Reload>,
    clock: tokio::task::JoinHandle<()>,
    bindings: Option<Bindings>,
    store: Arc<dyn Store>,
    crons: Arc<Crons>,
    reporter: Arc<dyn Reporter>,
    server: Arc<Server>,
    host: Arc<Host>,
    health: Arc<Health>,
    started: Instant,
    control: Option<Arc<dyn Control>>,
}

/// The threads that carry the command; the front and the workers have their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(machine("The threads cannot be started"))
}

impl Running {
    /// Starts everything.
    pub(crate) async fn start(plan: Plan) -> Result<Self, RunError> {
        let Plan {
            config,
            output,
            program,
            store,
            listeners,
            tls,
            proxies,
            workers,
            limits,
            development,
            trusted_proxies,
            reload,
            inspector,
            administration,
            bundle_hash,
            health,
            warm,
            bindings,
            estate,
            restart_code,
            control,
        } = plan;
        let ports = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        partyrun_engine::note_own_ports(ports.map(|address| address.port()).collect());
        let assets = static_files(&config, &limits)?;
        let compression = compression(&config, &limits);
        let (administration, release) = administration.unzip();
        let log = administration.as_ref().map(|administration| administration.log.clone());
        let host = Arc::new(Host {
            console: Console::new(&config, output.clone()),
            log: log.clone(),
            assets: RwLock::new(assets.clone()),
            bindings: bindings.clone(),
        });
        let isolation = if config.shares_isolates { Isolation::Worker } else { Isolation::Room };
        let options = EngineOptions {
            limits: limits.clone(),
            workers,
            isolation,
            compression,
            inspector,
            restart_code,
        };
        let engine = Engine::start_warm(warm, options, program, store.clone(), host.clone())
            .await
            .map_err(|error| RunError::starting(error, &config))?;
        let crons = match estate.as_ref().and_then(|estate| estate.crons_looked_ms) {
            Some(looked_ms) => Crons::since(config.crons.clone(), looked_ms),
            None => Crons::new(config.crons.clone()),
        };
        let reporter: Arc<dyn Reporter> = match log {
            Some(log) => Arc::new(Told { output: output.clone(), log }),
            None => output,
        };
        let known = Arc::new(Health::new(engine.clone(), store.clone(), &limits));
        let clients = partyrun_server::clients(&limits, &trusted_proxies, reporter.clone());
        let options = ServerOptions {
            clients: clients.clone(),
            origins: config.allowed_origins.as_deref().map(Origins::new),
            cors: config.cors.as_ref().map(cors),
            limits: limits.clone(),
            development,
            crons: config.crons.clone(),
            health: health.then(|| known.clone() as Arc<dyn partyrun_server::Probe>),
            assets,
            trusted_proxies,
            reload: reload.clone(),
        };
        let server = Arc::new(Server::new(engine.clone(), options, reporter.clone()));
        partyrun_net::front::raise_descriptor_limit();
        let options = FrontOptions { tls, proxies, compression, clients, ..FrontOptions::default() };
        if let Some(estate) = estate {
            // Before the first request, which would make their rooms anew.
            engine.adopt(estate.rooms(&options, &limits, |visit| server.witness(visit)));
        }
        let front = Front::start(listeners, server.clone(), limits.clone(), options)
            .map_err(machine("The HTTP threads cannot be started"))?;
        let clock = start_clock(&engine, &crons, &reporter);
        let running = Self {
            engine,
            front,
            administration,
            reload,
            clock,
            bindings,
            store,
            crons,
            reporter,
            server,
            host,
            health: known,
            started: Instant::now(),
            control,
        };
        if let Some(release) = release {
            running.attach(release, bundle_hash, limits);
        }
        Ok(running)
    }

    // Tells operators what runs.
    fn attach(&self, release: Release, bundle_hash: Option<String>, limits: Limits) {
        let Some(administration) = &self.administration else { return };
        let counted = self.front.counter();
        administration.admin.attach(Target {
            engine: self.engine.clone(),
            store: self.store.clone(),
            limits,
            crons: self.crons.clone(),
            release,
            bundle_hash: std::sync::Mutex::new(bundle_hash),
            started: self.started,
            connections: Box::new(move || counted.load(std::sync::atomic::Ordering::Relaxed)),
            health: self.health.clone(),
            control: self.control.clone(),
        });
    }

    /// Changes to another release: its program, its static files, its crons. Where the program cannot be evaluated, everything
    /// stays as it is.
    pub(crate) async fn swap(
        &mut self,
        config: &Arc<Config>,
        program: &Arc<Program>,
        release: Release,
        hash: &str,
        limits: &Limits,
    ) -> Result<(), RunError> {
        let assets = static_files(config, limits)?;
        let swapped = self.engine.swap_within(program.clone(), limits.upgrade_drain_max).await;
        swapped.map_err(|error| RunError::starting(error, config))?;
        self.server.replace_assets(assets.clone());
        *self.host.assets.write().unwrap_or_else(PoisonError::into_inner) = assets;
        self.clock.abort();
        let looked_ms = self.crons.looked_ms().unwrap_or_default();
        self.crons = Crons::since(config.crons.clone(), looked_ms);
        self.clock = start_clock(&self.engine, &self.crons, &self.reporter);
        self.attach(release, Some(hash.to_string()), limits.clone());
        Ok(())
    }

    /// Comes to rest, so that another process can have it: nothing is accepted, no alarm and no cron begins, and rooms that may
    /// hibernate do. Answers those. [`Running::go_on`] undoes it.
    pub(crate) async fn rest(&mut self, within: Duration) -> Vec<(RoomKey, Parcel)> {
        self.front.rest(within).await;
        self.clock.abort();
        self.engine.lift(within).await
    }

    /// Goes on after [`Running::rest`].
    pub(crate) fn go_on(&mut self, parcels: Vec<(RoomKey, Parcel)>) {
        self.engine.go_on(parcels);
        self.clock = start_clock(&self.engine, &self.crons, &self.reporter);
        self.front.resume();
    }

    /// Ends what is left after [`Running::rest`], and closes the data, which another process has. Its sockets are not closed:
    /// they go on there.
    pub(crate) async fn give_up(&mut self, parcels: &mut [(RoomKey, Parcel)]) {
        let all = parcels.iter_mut().flat_map(|(_, parcel)| &mut parcel.connections);
        for (_, transport) in all {
            if let Transport::Tcp { place: Some(place), .. } = transport {
                place.leave();
            }
        }
        self.detach();
        self.leave_path();
        self.front.stop(Duration::ZERO);
        self.engine.stop(Duration::ZERO).await;
        self.close_bindings().await;
    }

    /// Leaves the path of the API to another process, which has its listener.
    pub(crate) fn leave_path(&self) {
        self.administration.iter().for_each(|administration| administration.admin.leave());
    }

    /// The lock of the data folder.
    pub(crate) fn lock(&self) -> Option<OwnedFd> {
        self.store.lock()
    }

    /// Up to when crons have been run, in milliseconds since 1970.
    pub(crate) fn crons_looked_ms(&self) -> Option<i64> {
        self.crons.looked_ms()
    }

    /// Ends this server in favour of another one in the same process.
    pub(crate) async fn halt(&mut self, grace: Duration) {
        self.detach();
        self.clock.abort();
        self.end_streams();
        self.front.stop(grace);
        self.engine.stop(grace).await;
        self.close_bindings().await;
    }

    // Who asks meanwhile hears that nothing is served.
    fn detach(&self) {
        self.administration.iter().for_each(|administration| administration.admin.detach());
    }

    // After the rooms, which use them until their end.
    async fn close_bindings(&mut self) {
        if let Some(bindings) = self.bindings.take() {
            let _closed = tokio::task::spawn_blocking(move || bindings.close()).await;
        }
    }

    // Pages that wait for a reload would wait for ever.
    fn end_streams(&self) {
        if let Some(reload) = &self.reload {
            reload.end();
        }
    }

    /// Stops: accepts nothing more, lets requests and events in progress finish within `grace`, closes sockets with
    /// 1012, makes what was written durable, and leaves databases of one file each. A second request to stop does not wait.
    pub(crate) async fn stop(mut self, grace: Duration, requests: &mut StopRequests) {
        let orderly = async {
            self.detach();
            self.clock.abort();
            self.end_streams();
            self.front.stop(grace);
            self.engine.stop(grace).await;
            self.close_bindings().await;
            // The threads of the front end by themselves after the grace.
            let _joined = tokio::task::spawn_blocking(move || self.front.join()).await;
        };
        tokio::select! {
            () = orderly => (),
            () = requests.next() => std::process::exit(130),
        }
    }
}

fn start_clock(
    engine: &Engine,
    crons: &Arc<Crons>,
    reporter: &Arc<dyn Reporter>,
) -> tokio::task::JoinHandle<()> {
    let (engine, crons, reporter) = (engine.clone(), crons.clone(), reporter.clone());
    tokio::spawn(partyrun_server::run_crons(engine, crons, SystemClock::default(), reporter))
}

/// Prints what user code prints, with its errors explained.
pub(crate) struct Console {
    files: Files,
    output: Arc<Output>,
}

impl Console {
    /// For the project of this configuration.
    pub(crate) fn new(config: &Config, output: Arc<Output>) -> Self {
        Self { files: files(config), output }
    }

    // A text whose stack names the project's own files.
    fn folded<'text>(&self, text: &'text str) -> Cow<'text, str> {
        if text.contains('\n') && text.contains(" at ") { self.files.fold(text).into() } else { text.into() }
    }

    fn print(&self, source: &Source, level: Level, text: &str) {
        // Most lines are no errors.
        let is_stack = text.contains('\n') && text.contains(" at ");
        match (is_stack, self.output.is_json()) {
            (false, _) => self.output.console(source, level, text),
            (true, true) => self.output.console(source, level, &self.files.fold(text)),
            (true, false) => self.output.console(source, level, &self.files.explain(text)),
        }
    }
}

impl Observer for Console {
    fn console(&self, source: &Source, level: Level, text: &str) {
        self.print(source, level, text);
    }

    fn assets(&self, _path: String) -> BoxFuture<'static, Option<Response>> {
        Box::pin(async { None })
    }
}

// Tells the terminal and the live log.
struct Told {
    output: Arc<Output>,
    log: Arc<Log>,
}

impl Told {
    fn room(path: &str) -> Option<RoomKey> {
        let path = path.split('?').next().unwrap_or(path);
        match Route::parse(path, usize::MAX) {
            Ok(Route::Room { party, room }) => Some(RoomKey::new(party, room)),
            _ => None,
        }
    }
}

impl Reporter for Told {
    fn request(&self, answered: &Answered<'_>) {
        let Answered { method, path, status, took, .. } = *answered;
        if self.log.is_read() {
            self.log.request(Self::room(path).as_ref(), method, path, status, took);
        }
        self.output.request(answered);
    }

    fn socket_ended(&self, ended: &Ended<'_>) {
        if self.log.is_read() {
            self.log.close(Self::room(ended.path).as_ref(), ended.path, ended.code, ended.lasted);
        }
        self.output.socket_ended(ended);
    }

    fn warn(&self, text: &str) {
        self.log.warning(text);
        Reporter::warn(&*self.output, text);
    }
}

// What the engine asks of the process.
struct Host {
    console: Console,
    log: Option<Arc<Log>>,
    assets: RwLock<Option<StaticFiles>>,
    bindings: Option<Bindings>,
}

impl Observer for Host {
    fn binding(&self, call: BindingCall) -> BoxFuture<'static, Result<BindingReply, String>> {
        bindings::call(self.bindings.clone(), call)
    }

    fn console(&self, source: &Source, level: Level, text: &str) {
        if let Some(log) = &self.log {
            log.console(source, level, &self.console.folded(text));
        }
        self.console.print(source, level, text);
    }

    fn changed(&self, room: &RoomKey, change: &RoomChange<'_>) {
        if let Some(log) = &self.log {
            log.changed(room, change);
        }
    }

    fn warn(&self, text: &str) {
        self.log.iter().for_each(|log| log.warning(text));
        Reporter::warn(&*self.console.output, text);
    }

    fn assets(&self, path: String) -> BoxFuture<'static, Option<Response>> {
        let assets = self.assets.read().unwrap_or_else(PoisonError::into_inner).clone();
        let output = self.console.output.clone();
        let asking = async move {
            assets?.fetch(path).await.unwrap_or_else(|error| {
                output.problem(&format!("assets.fetch: {error}"));
                None
            })
        };
        asking.boxed()
    }
}

/// Ports that are tried until one is free in both families.
const FREE_PORTS_TRIED: usize = 16;

/// Listens on the port that was asked for; without one on 1999, or a free one if that is taken. A port is free when it is so at
/// every address of the host.
pub(crate) fn listen(host: ListenHost, port: Option<u16>) -> Result<(Vec<TcpListener>, u16), RunError> {
    let addresses = host.addresses();
    let mut listening = listen_at(&addresses, port.unwrap_or(PORT));
    for _ in 0..FREE_PORTS_TRIED {
        match &listening {
            Err((_, error)) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            _ => break,
        }
        match port {
            Some(port) if port > 0 => return Err(RunError::PortInUse { port }),
            _ => listening = listen_at(&addresses, 0),
        }
    }
    listening.map_err(|(address, error)| RunError::Listen { address, error })
}

// Listens at all of the addresses that this machine has, on one port.
fn listen_at(
    addresses: &[IpAddr],
    mut port: u16,
) -> Result<(Vec<TcpListener>, u16), (SocketAddr, std::io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut missing = None;
    for &address in addresses {
        let asked = SocketAddr::new(address, port);
        let bind = if addresses.len() > 1 { partyrun_net::bind_family } else { partyrun_net::bind };
        let bound = inherit::tcp(asked, bind);
        match bound {
            Ok(listener) => {
                port = listener.local_addr().map_err(|error| (asked, error))?.port();
                listeners.push(listener);
            }
            // A machine without IPv6, or without IPv4, is served in the other family.
            Err(error) if is_missing(&error) => missing = Some((asked, error)),
            Err(error) => return Err((asked, error)),
        }
    }
    match missing {
        Some(missing) if listeners.is_empty() => Err(missing),
        _ => Ok((listeners, port)),
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn cors(cors: &partyrun_config::Cors) -> Cors {
    Cors::new(&CorsOptions {
        origins: cors.origins.clone(),
        methods: cors.methods.clone(),
        headers: cors.headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        credentials: cors.credentials,
        max_age_seconds: cors.max_age_seconds,
    })
}

fn static_files(config: &Config, limits: &Limits) -> Result<Option<StaticFiles>, AssetsError> {
    let Some(serve) = &config.serve else { return Ok(None) };
    let options = StaticOptions {
        include: serve.include.clone(),
        exclude: serve.exclude.clone(),
        single_page_app: serve.single_page_app,
        browser_ttl_seconds: serve.browser_ttl_seconds,
        compress: config.compression.is_some(),
        ..StaticOptions::new(limits)
    };
    StaticFiles::new(serve.path.clone(), options).map(|files| Some(files.reloading(serve.live)))
}

/// How messages and responses are compressed, if they are.
pub(crate) fn compression(config: &Config, limits: &Limits) -> Option<Compression> {
    let asked = config.compression?;
    let usual = Compression::new(limits);
    Some(Compression {
        message_bytes_min: asked.message_bytes_min.unwrap_or(usual.message_bytes_min),
        level: asked.level.unwrap_or(usual.level),
        context_takeover: asked.context_takeover,
    })
}

/// The store that the configuration asks for.
pub(crate) fn open_store(config: &Config, limits: &Limits) -> Result<Arc<dyn Store>, RunError> {
    open_store_with(config, limits, None)
}

/// The same, with the lock that another process has handed over.
pub(crate) fn open_store_with(
    config: &Config,
    limits: &Limits,
    lock: Option<OwnedFd>,
) -> Result<Arc<dyn Store>, RunError> {
    let Some(path) = config.persist.path() else { return Ok(Arc::new(Memory::new())) };
    let options = SqliteOptions::new(limits);
    let opened = match lock {
        None => Sqlite::open_with(path, options),
        Some(lock) => {
            FolderLock::inherit(path, lock).and_then(|lock| Sqlite::open_locked(path, options, lock))
        }
    };
    match opened {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(RunError::Store { path: path.display().to_string(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_asked_for_must_be_free() {
        let host = ListenHost::Address(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let (_taken, port) = listen(host, Some(0)).unwrap();
        for host in [host, ListenHost::Localhost, ListenHost::All] {
            let error = listen(host, Some(port)).unwrap_err();
            assert!(error.to_string().contains("is in use"), "{error}");
        }
    }

    #[test]
    fn localhost_is_reached_in_both_families() {
        for host in [ListenHost::Localhost, ListenHost::All] {
            let (listeners, port) = listen(host, Some(0)).unwrap();
            for listener in &listeners {
                let address = listener.local_addr().unwrap();
                assert_eq!(address.port(), port);
                let loopback = ListenHost::Localhost.addresses();
                let client = loopback.into_iter().find(|client| client.is_ipv4() == address.is_ipv4());
                std::net::TcpStream::connect((client.unwrap(), port)).unwrap();
            }
            // A port that is taken in one family is not free.
            let other = ListenHost::Address(listeners.last().unwrap().local_addr().unwrap().ip());
            drop(listeners);
            inherit::forget_kept();
            let (_taken, port) = listen(other, Some(port)).unwrap();
            assert!(matches!(listen(host, Some(port)), Err(RunError::PortInUse { .. })));
        }
    }
}
