//! The HTTP front: threads that accept connections, speak HTTP/1.1 and ask a [`Handler`] for every response.
//!
//! Each thread is a current-thread runtime, so a connection's state needs no locks. Rooms run on other threads and answer
//! through channels. A connection that asks one room again and again is handed to that room's thread for as long as it
//! does (see `guests.rs` and `way.rs`). One coarse sweep per thread checks every time limit, instead of one timer per
//! connection. The server calls [`Front::start`] once and [`Front::stop`] at the end.

mod body;
mod connection;
mod descriptors;
mod framing;
mod guests;
mod io;
mod service;
mod state;
mod tls;
mod way;

use std::cell::Cell;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use partyrun_limits::{Limits, Total};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use crate::upgrade::Place;
use crate::{Request, Response};

pub use descriptors::raise_descriptor_limit;
pub use guests::{Guest, Guests, Seats};
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

    /// Whether one other thread alone answers the requests of a room, and can serve connections (see [`Guests`]).
    fn lodges(&self, _party: &str, _room: &str) -> bool {
        false
    }

    /// Gives a connection to the thread of a room, or back if that cannot take it now.
    #[expect(clippy::result_large_err, reason = "the connection goes back where it came from")]
    fn lodge(&self, _party: &str, _room: &str, guest: Guest) -> Result<(), Guest> {
        Err(guest)
    }
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

/// What all threads of a front share, those of its guests included.
struct Trunk<H> {
    handler: Arc<H>,
    limits: Arc<Limits>,
    /// Of what nobody has read yet of request bodies, for the process.
    bodies: Arc<Total>,
    options: FrontOptions,
    connections: Arc<AtomicUsize>,
    connections_max: usize,
    course: watch::Receiver<Course>,
    /// The beginning of all clocks.
    start: Instant,
    /// For each thread of the front the way back to it.
    returns: Vec<mpsc::UnboundedSender<Guest>>,
    /// The threads that have had guests.
    seats: Mutex<Vec<Weak<Seats>>>,
}

/// What all connections of a thread share.
struct Shared<H> {
    trunk: Arc<Trunk<H>>,
    roster: state::Roster,
    /// Whether somebody watches the time limits.
    swept: Cell<bool>,
}

impl<H> Shared<H> {
    fn new(trunk: Arc<Trunk<H>>) -> Self {
        let roster = state::Roster::new(trunk.options.pending_heads_max, trunk.start);
        Self { trunk, roster, swept: Cell::new(false) }
    }

    /// Ends the connection that has waited longest for its next request: false if none waits.
    fn make_way(&self) -> bool {
        if self.roster.make_way() {
            return true;
        }
        let seats = guests::lock(&self.trunk.seats);
        let all: Vec<Arc<Seats>> = seats.iter().filter_map(Weak::upgrade).collect();
        drop(seats);
        let longest =
            all.iter().filter_map(|seats| Some((seats.longest_idle()?, seats))).min_by_key(|(at, _)| *at);
        longest.is_some_and(|(_, seats)| seats.end_longest_idle())
    }
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
        let count = options.threads.max(1);
        let (returns, returned): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let trunk = Arc::new(Trunk {
            handler,
            bodies: Total::new(limits.bodies_total_bytes_max),
            connections: Arc::clone(&connections),
            connections_max: limits.connections_max.min(descriptors::connections_possible()),
            limits: Arc::new(limits),
            options,
            course: course.subscribe(),
            start: Instant::now(),
            returns,
            seats: Mutex::default(),
        });
        let mut threads = Vec::new();
        for (index, returned) in returned.into_iter().enumerate() {
            let listeners = listeners.iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>()?;
            let trunk = Arc::clone(&trunk);
            let body = move || {
                let Ok(runtime) =
                    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
                else {
                    return;
                };
                runtime.block_on(run(Rc::new(Shared::new(trunk)), index, listeners, returned));
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
    index: usize,
    listeners: Vec<TcpListener>,
    returned: mpsc::UnboundedReceiver<Guest>,
) {
    let accepting: Vec<_> = listeners
        .into_iter()
        .filter_map(|listener| tokio::net::TcpListener::from_std(listener).ok())
        .map(|listener| tokio::task::spawn_local(accept(Rc::clone(&shared), index, listener)))
        .collect();
    let sweeping = tokio::task::spawn_local(sweep(Rc::clone(&shared)));
    tokio::task::spawn_local(take_back(Rc::clone(&shared), returned));
    let mut course = shared.trunk.course.clone();
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

/// Takes connections in that come back from the threads of rooms.
async fn take_back<H: Handler>(shared: Rc<Shared<H>>, mut returned: mpsc::UnboundedReceiver<Guest>) {
    while let Some(guest) = returned.recv().await {
        let Guest { stream, read, ends, place, patience, front, .. } = guest;
        // A connection that no reactor takes is closed.
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
        let way = way::Way::back(patience);
        let arrival = connection::Arrival { stream, read, ends, place, way, front, seated: None };
        tokio::task::spawn_local(connection::serve(Rc::clone(&shared), arrival));
    }
}

/// Accepts connections of one listener.
async fn accept<H: Handler>(shared: Rc<Shared<H>>, front: usize, listener: tokio::net::TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let open = shared.trunk.connections.fetch_add(1, Ordering::Relaxed);
                let place = Place::new(Arc::clone(&shared.trunk.connections));
                if open >= shared.trunk.connections_max && !shared.make_way() {
                    connection::refuse(&stream);
                    continue;
                }
                let ends = Ends { peer, local: stream.local_addr().ok() };
                let (way, read) = (way::Way::new(way::Side::Front), Bytes::new());
                let arrival = connection::Arrival { stream, read, ends, place, way, front, seated: None };
                match shared.trunk.options.tls.clone() {
                    None => tokio::task::spawn_local(connection::serve(Rc::clone(&shared), arrival)),
                    Some(identity) => {
                        tokio::task::spawn_local(tls::serve(Rc::clone(&shared), identity, arrival))
                    }
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
    let mut ticks = ticks(&shared.trunk.limits);
    loop {
        ticks.tick().await;
        shared.roster.sweep(&shared.trunk.limits);
    }
}

/// Watches the time limits of a thread's guests, and that they leave when the front stops, while there are any.
async fn sweep_guests<H>(shared: Rc<Shared<H>>) {
    let mut ticks = ticks(&shared.trunk.limits);
    let mut course = shared.trunk.course.clone();
    let mut serving = true;
    while !shared.roster.is_empty() {
        tokio::select! {
            _ = ticks.tick() => shared.roster.sweep(&shared.trunk.limits),
            // An error means that the front is gone.
            _stopped = course.wait_for(|course| *course != Course::Serving), if serving => serving = false,
            () = shared.roster.empty() => {}
        }
        if !serving {
            shared.roster.drain();
        }
    }
    shared.swept.set(false);
}

fn ticks(limits: &Limits) -> tokio::time::Interval {
    let shortest =
        [limits.header_time_max, limits.body_idle_max, limits.keep_alive_idle_max, limits.request_time_max]
            .into_iter()
            .min()
            .unwrap_or_default();
    let period = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}
