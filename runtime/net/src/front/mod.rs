//! The HTTP front: threads that accept connections, speak HTTP/1.1 and ask a [`Handler`] for every response.
//!
//! Each thread is a current-thread runtime that keeps its connections for life, so a connection's state needs no locks.
//! Rooms run on other threads and answer through channels. One coarse sweep per thread checks every time limit, instead
//! of one timer per connection. The server calls [`Front::start`] once and [`Front::stop`] at the end.

mod body;
mod connection;
mod descriptors;
mod framing;
mod io;
mod service;
mod state;
mod tls;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use partyrun_limits::{Limits, Total};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use crate::upgrade::Place;
use crate::{Request, Response};

pub use descriptors::raise_descriptor_limit;
pub use tls::{Tls, TlsError};

/// Connections that wait in the kernel for being accepted.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel probes a connection; then the interval and the number of probes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(45))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);
/// Time that sent bytes may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(45);
/// How long accepting rests when the process has no descriptors left.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// Answers requests. It is called on the front's threads and must not block them.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The future is dropped when the client goes away before the answer.
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send;
}

/// What the front needs to know besides the limits.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Threads that accept and serve connections.
    pub threads: usize,
    /// Connections that may be without a complete first request head; beyond it the oldest of them is closed.
    pub pending_heads_max: usize,
    /// The identity for connections that are secured; none serves plain ones.
    pub tls: Option<Tls>,
}

impl Default for FrontOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: (cores / 4).max(1), pending_heads_max: 1024, tls: None }
    }
}

impl FrontOptions {
    /// The scheme in the URLs that rooms see.
    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// What happens to the front as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Serving,
    Stopping(Duration),
}

/// A running front. Call [`Front::stop`] and then [`Front::join`] to end it.
#[derive(Debug)]
pub struct Front {
    course: watch::Sender<Course>,
    threads: Vec<JoinHandle<()>>,
    connections: Arc<AtomicUsize>,
}

/// The addresses of a connection's two ends.
#[derive(Clone, Copy, Debug)]
struct Ends {
    peer: SocketAddr,
    local: Option<SocketAddr>,
}

/// What all connections of a thread share.
struct Shared<H> {
    handler: Arc<H>,
    limits: Arc<Limits>,
    /// Of what nobody has read yet of request bodies, for the process.
    bodies: Arc<Total>,
    options: FrontOptions,
    connections: Arc<AtomicUsize>,
    connections_max: usize,
    roster: state::Roster,
}

/// Opens a listener with the options that all accepted connections inherit. `::` means IPv4 as well.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    listener(address, false)
}

/// As [`bind`], for an address's own family only: another listener has the other one, and peers keep their IPv4 addresses.
pub fn bind_family(address: SocketAddr) -> std::io::Result<TcpListener> {
    listener(address, address.is_ipv6())
}

fn listener(address: SocketAddr, only_v6: bool) -> std::io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Front {
    /// Starts the threads. All of them serve all listeners.
    pub fn start<H: Handler>(
        listeners: Vec<TcpListener>,
        handler: Arc<H>,
        limits: Limits,
        options: FrontOptions,
    ) -> std::io::Result<Self> {
        for listener in &listeners {
            let socket = SockRef::from(listener);
            socket.set_nonblocking(true)?;
            // Accepted connections inherit these on Linux, which saves system calls for each of them.
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_keepalive(&KEEPALIVE)?;
            socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        }
        let course = watch::Sender::new(Course::Serving);
        let connections = Arc::new(AtomicUsize::new(0));
        let limits = Arc::new(limits);
        let bodies = Total::new(limits.bodies_total_bytes_max);
        let connections_max = limits.connections_max.min(descriptors::connections_possible());
        let mut threads = Vec::new();
        for index in 0..options.threads.max(1) {
            let listeners = listeners.iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>()?;
            let (handler, limits, options) = (Arc::clone(&handler), Arc::clone(&limits), options.clone());
            let (course, connections) = (course.subscribe(), Arc::clone(&connections));
            let bodies = Arc::clone(&bodies);
            let body = move || {
                let Ok(runtime) =
                    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
                else {
                    return;
                };
                let roster = state::Roster::new(options.pending_heads_max);
                let shared =
                    Shared { handler, limits, bodies, options, connections, connections_max, roster };
                runtime.block_on(run(Rc::new(shared), listeners, course));
            };
            threads.push(std::thread::Builder::new().name(format!("front-{index}")).spawn(body)?);
        }
        Ok(Self { course, threads, connections })
    }

    /// The number of open connections that speak HTTP.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Stops accepting. Requests in progress may finish within `grace`; then all connections are closed.
    pub fn stop(&self, grace: Duration) {
        self.course.send_replace(Course::Stopping(grace));
    }

    /// Waits for the threads to end, which they do after [`Front::stop`].
    pub fn join(self) {
        for thread in self.threads {
            // A front thread that panicked has nothing left to wait for.
            let _panicked = thread.join();
        }
    }
}

/// One thread of the front.
async fn run<H: Handler>(
    shared: Rc<Shared<H>>,
    listeners: Vec<TcpListener>,
    mut course: watch::Receiver<Course>,
) {
    let accepting: Vec<_> = listeners
        .into_iter()
        .filter_map(|listener| tokio::net::TcpListener::from_std(listener).ok())
        .map(|listener| tokio::task::spawn_local(accept(Rc::clone(&shared), listener)))
        .collect();
    let sweeping = tokio::task::spawn_local(sweep(Rc::clone(&shared)));
    // An error means that the `Front` itself is gone: stop at once.
    let stopping = course.wait_for(|course| *course != Course::Serving).await.map(|course| *course);
    for task in accepting {
        task.abort();
    }
    shared.roster.drain();
    if let Ok(Course::Stopping(grace)) = stopping {
        // Beyond the deadline the connections end with their runtime.
        let _late = tokio::time::timeout(grace, shared.roster.empty()).await;
    }
    sweeping.abort();
}

/// Accepts connections of one listener.
async fn accept<H: Handler>(shared: Rc<Shared<H>>, listener: tokio::net::TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let open = shared.connections.fetch_add(1, Ordering::Relaxed);
                let place = Place::new(Arc::clone(&shared.connections));
                if open >= shared.connections_max && !shared.roster.make_way() {
                    connection::refuse(&stream);
                    continue;
                }
                let ends = Ends { peer, local: stream.local_addr().ok() };
                match shared.options.tls.clone() {
                    None => {
                        tokio::task::spawn_local(connection::serve(Rc::clone(&shared), stream, ends, place))
                    }
                    Some(identity) => tokio::task::spawn_local(tls::serve(
                        Rc::clone(&shared),
                        identity,
                        stream,
                        ends,
                        place,
                    )),
                };
            }
            // A connection that broke before it was accepted concerns nobody else. What remains is a lack of
            // descriptors or memory: retrying at once would only burn the CPU.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(ACCEPT_BACK_OFF).await,
        }
    }
}

/// Watches the time limits of a thread's connections.
async fn sweep<H>(shared: Rc<Shared<H>>) {
    let limits = &shared.limits;
    let shortest =
        [limits.header_time_max, limits.body_idle_max, limits.keep_alive_idle_max, limits.request_time_max]
            .into_iter()
            .min()
            .unwrap_or_default();
    let period = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.roster.sweep(limits);
    }
}
