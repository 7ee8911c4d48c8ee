//! The HTTP front: threads that accept connections, speak HTTP/1.1 and ask a [`Handler`] for every response.
//!
//! Each thread is a current-thread runtime, so a connection's state needs no locks. Rooms run on other threads and answer
//! through channels. A connection that asks one room again and again is handed to that room's thread for as long as it
//! does (see `seats.rs` and `way.rs`). One coarse sweep per thread checks every time limit, instead of one timer per
//! connection. The server calls [`Front::start`] once and [`Front::stop`] at the end.

mod arrive;
mod body;
mod carrier;
mod connection;
mod date;
mod descriptors;
mod framing;
mod guests;
mod handshakes;
mod io;
mod ledger;
mod linger;
mod listen;
mod proxied;
mod seats;
mod service;
mod state;
mod stream;
mod streams;
mod sweep;
mod target;
mod tls;
mod trunk;
mod way;

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use partyrun_limits::{Limits, Total};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};

use crate::line::Line;
use crate::negotiation::Terms;
use crate::upgrade::Place;
use arrive::Threshold;
use listen::{Accepting, Ends};
use trunk::{Call, Course, Shared, Trunk};

pub use descriptors::{connections_possible_twice, raise_descriptor_limit};
pub use listen::{Listener, bind, bind_family};
pub use seats::{Guest, Guests, Seats};
pub use tls::{Certificates, Demand, Identity, Tls, TlsError};
pub use trunk::{FrontOptions, Handler, Proxies};

/// How long accepting rests when the process has no descriptors left.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// A running front. Call [`Front::stop`] and then [`Front::join`] to end it.
#[derive(Debug)]
pub struct Front {
    course: watch::Sender<Course>,
    threads: Vec<JoinHandle<()>>,
    connections: Arc<AtomicUsize>,
    calls: Vec<mpsc::UnboundedSender<Call>>,
}

impl Front {
    /// Starts the threads. All of them serve all listeners.
    pub fn start<H: Handler>(
        listeners: Vec<impl Into<Listener>>,
        handler: Arc<H>,
        limits: Limits,
        options: FrontOptions,
    ) -> std::io::Result<Self> {
        let listeners: Arc<[Listener]> = listeners.into_iter().map(Into::into).collect();
        listeners.iter().try_for_each(Listener::prepare)?;
        let course = watch::Sender::new(Course::Serving);
        let connections = Arc::clone(&options.open);
        let count = options.threads.max(1);
        let (calls, called): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let asked = calls.clone();
        let trunk = Arc::new(Trunk {
            handler,
            bodies: Total::new(limits.bodies_total_bytes_max),
            connections: Arc::clone(&connections),
            connections_max: limits.connections_max.min(descriptors::connections_possible()),
            terms: Terms::new(&limits, options.compression),
            limits: Arc::new(limits),
            options,
            course: course.subscribe(),
            start: Instant::now(),
            calls,
            seats: Mutex::default(),
        });
        let mut threads = Vec::new();
        for (index, called) in called.into_iter().enumerate() {
            let listeners = Arc::clone(&listeners);
            let trunk = Arc::clone(&trunk);
            let body = move || {
                let Ok(runtime) =
                    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
                else {
                    return;
                };
                runtime.block_on(run(Rc::new(Shared::new(trunk)), index, listeners, called));
            };
            threads.push(std::thread::Builder::new().name(format!("front-{index}")).spawn(body)?);
        }
        Ok(Self { course, threads, connections, calls: asked })
    }

    /// The number of open connections that speak HTTP.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// What counts the open connections that speak HTTP.
    pub fn counter(&self) -> Arc<AtomicUsize> {
        self.connections.clone()
    }

    /// Accepts nothing more: whoever connects waits in the kernel. Requests in progress may finish within `grace`, and their
    /// connections end. [`Front::resume`] goes on.
    pub async fn rest(&self, grace: Duration) {
        self.course.send_replace(Course::Resting);
        let mut waiting = Vec::new();
        for thread in &self.calls {
            let (done, rests) = oneshot::channel();
            if thread.send(Call::Rest(done)).is_ok() {
                waiting.push(rests);
            }
        }
        let all = async {
            for rests in waiting {
                // A thread that has ended has no connections.
                let _ended = rests.await;
            }
        };
        // Those that are late end with the process, or go on with it.
        let _late = tokio::time::timeout(grace, all).await;
    }

    /// Accepts again after [`Front::rest`].
    pub fn resume(&self) {
        self.course.send_replace(Course::Serving);
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
    listeners: Arc<[Listener]>,
    called: mpsc::UnboundedReceiver<Call>,
) {
    let accepting: Vec<_> = listeners
        .iter()
        .filter_map(|listener| Some((listener.accepting().ok()?, listener.plain)))
        .map(|(listener, plain)| tokio::task::spawn_local(accept(Rc::clone(&shared), index, listener, plain)))
        .collect();
    let sweeping = tokio::task::spawn_local(sweep::sweep(Rc::clone(&shared)));
    tokio::task::spawn_local(take_calls(Rc::clone(&shared), called));
    let mut course = shared.trunk.course.clone();
    // An error means that the `Front` itself is gone: stop at once.
    let stopping =
        course.wait_for(|course| matches!(course, Course::Stopping(_))).await.map(|course| *course);
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

/// Takes connections in that come back from the threads of rooms, and ends idle ones where another thread has no place.
async fn take_calls<H: Handler>(shared: Rc<Shared<H>>, mut called: mpsc::UnboundedReceiver<Call>) {
    while let Some(call) = called.recv().await {
        let guest = match call {
            Call::Return(guest) => *guest,
            Call::MakeWay(answer) => {
                let _gone = answer.send(shared.roster.make_way());
                continue;
            }
            Call::Rest(done) => {
                let shared = Rc::clone(&shared);
                tokio::task::spawn_local(async move {
                    shared.roster.rest().await;
                    let _gone = done.send(());
                });
                continue;
            }
        };
        let Guest { stream, session, read, ends, place, patience, front, .. } = guest;
        // A connection that no reactor takes is closed.
        let Ok(line) = Line::from_std(stream, session) else { continue };
        let way = way::Way::back(patience);
        let arrival = connection::Arrival { line, read, ends, place, way, front, seated: None };
        tokio::task::spawn_local(connection::serve(Rc::clone(&shared), arrival));
    }
}

/// Accepts connections of one listener.
async fn accept<H: Handler>(shared: Rc<Shared<H>>, front: usize, listener: Accepting, plain: bool) {
    let tls = shared.trunk.options.tls.clone().filter(|_| !plain);
    let proxies = shared.trunk.options.proxies.clone();
    let mut course = shared.trunk.course.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept(), if *course.borrow() == Course::Serving => accepted,
            changed = course.changed() => {
                if changed.is_err() {
                    return;
                }
                if *course.borrow() == Course::Serving {
                    shared.roster.resume();
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                let open = shared.trunk.connections.fetch_add(1, Ordering::Relaxed);
                let taken = Arc::clone(&shared.trunk.connections);
                let place = match shared.hold(peer.ip()) {
                    Ok(hold) => Place::new(taken, hold),
                    Err(excess) => {
                        drop(Place::new(taken, None));
                        connection::refuse_client(&stream, &excess, &shared.trunk.options);
                        continue;
                    }
                };
                if open >= shared.trunk.connections_max && !shared.make_way(front).await {
                    partyrun_telemetry::limit_hit!(connections_max);
                    connection::refuse(&stream);
                    continue;
                }
                let ends = Ends { peer, local: stream.local_addr().ok(), secured: tls.is_some() };
                let (way, read) = (way::Way::new(way::Side::Front), Bytes::new());
                let line = Line { stream, session: None };
                let arrival = connection::Arrival { line, read, ends, place, way, front, seated: None };
                let proxied = proxies.as_ref().is_some_and(|proxies| proxies.are(peer.ip()));
                if tls.is_none() && !proxied {
                    tokio::task::spawn_local(connection::serve(Rc::clone(&shared), arrival));
                } else {
                    let threshold = Threshold { proxied, tls: tls.clone() };
                    tokio::task::spawn_local(arrive::arrive(Rc::clone(&shared), threshold, arrival));
                }
            }
            // A connection that broke before it was accepted concerns nobody else. What remains is a lack of
            // descriptors or memory: retrying at once would only burn the CPU.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(ACCEPT_BACK_OFF).await,
        }
    }
}
