//! What the threads of a front share, and the connections of one thread: who answers, under which limits, until when.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use partyrun_limits::{Limits, Total};
use tokio::sync::{mpsc, oneshot, watch};

use super::handshakes::Handshakes;
use super::seats::{Guest, Seats, lock};
use super::state::Roster;
use super::tls::Tls;
use crate::clients::{Clients, Excess, Hold};
use crate::deflate::Compression;
use crate::message::{Request, Response};
use crate::negotiation::Terms;
use crate::upgrade::Place;

/// Answers requests. It is called on the front's threads and must not block them.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The future is dropped when the client goes away before the answer.
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// Whether one other thread alone answers the requests of a room, and can serve connections (see [`super::Guests`]).
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
    /// What secures connections, but for those of a [`super::Listener`] that is plain; none serves all of them plain.
    pub tls: Option<Tls>,
    /// How messages are compressed for clients that ask for it; none leaves messages and answers as they are.
    pub compression: Option<Compression>,
    /// The limits of each client, if there are any.
    pub clients: Option<Arc<Clients>>,
    /// Whose connections begin with a header of the PROXY protocol; none takes nobody's word.
    pub proxies: Option<Proxies>,
    /// Counts the open connections.
    pub open: Arc<AtomicUsize>,
}

impl Default for FrontOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / 4).max(1);
        let open = Arc::default();
        Self {
            threads,
            pending_heads_max: 1024,
            tls: None,
            compression: None,
            clients: None,
            proxies: None,
            open,
        }
    }
}

/// The peers that say first, with a header of the PROXY protocol, whom they speak for.
#[derive(Clone)]
pub struct Proxies(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl Proxies {
    /// Those for whose address `are` is true.
    pub fn new(are: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(are))
    }

    /// Whether the peer at this address is one.
    pub(super) fn are(&self, peer: IpAddr) -> bool {
        (self.0)(peer)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxies").finish_non_exhaustive()
    }
}

impl FrontOptions {
    /// A place among the open connections for one that another process has accepted, of this client if that is known.
    pub fn place(&self, client: Option<IpAddr>) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        let hold = client.zip(self.clients.as_ref()).map(|(client, clients)| clients.take_over(client));
        Place::new(Arc::clone(&self.open), hold)
    }
}

/// What happens to the front as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Serving,
    /// Nothing is accepted, and no connection gets a further request; it may go on.
    Resting,
    Stopping(Duration),
}

/// What a thread of the front is asked by others.
pub(super) enum Call {
    /// To take a guest back.
    Return(Box<Guest>),
    /// To end the connection that has waited longest for its next request; the answer says whether there was one.
    MakeWay(oneshot::Sender<bool>),
    /// To end all connections after their current request; the answer comes when that is done.
    Rest(oneshot::Sender<()>),
}

/// What all threads of a front share, those of its guests included.
pub(super) struct Trunk<H> {
    pub(super) handler: Arc<H>,
    pub(super) limits: Arc<Limits>,
    /// Of what nobody has read yet of request bodies, for the process.
    pub(super) bodies: Arc<Total>,
    pub(super) options: FrontOptions,
    pub(super) terms: Terms,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) connections_max: usize,
    pub(super) course: watch::Receiver<Course>,
    /// The beginning of all clocks.
    pub(super) start: Instant,
    /// For each thread of the front the way to it.
    pub(super) calls: Vec<mpsc::UnboundedSender<Call>>,
    /// The threads that have had guests.
    pub(super) seats: Mutex<Vec<Weak<Seats>>>,
}

/// What all connections of a thread share.
pub(super) struct Shared<H> {
    pub(super) trunk: Arc<Trunk<H>>,
    pub(super) roster: Roster,
    pub(super) handshakes: Handshakes,
    /// Whether somebody watches the time limits.
    pub(super) swept: Cell<bool>,
}

impl<H> Shared<H> {
    pub(super) fn new(trunk: Arc<Trunk<H>>) -> Self {
        let roster = Roster::new(trunk.options.pending_heads_max, trunk.start);
        Self { trunk, roster, handshakes: Handshakes::default(), swept: Cell::new(false) }
    }

    /// Counts a connection of a client, where clients have limits.
    pub(super) fn hold(&self, peer: IpAddr) -> Result<Option<Hold>, Excess> {
        self.trunk.options.clients.as_ref().map_or(Ok(None), |clients| clients.accept(peer))
    }

    /// Ends a connection that waits for its next request, the one that has waited longest on its thread: false if none waits on
    /// any thread. `front` is this one.
    pub(super) async fn make_way(&self, front: usize) -> bool {
        if self.roster.make_way() || self.guest_makes_way() {
            return true;
        }
        if self.roster.asked_in_vain() {
            return false;
        }
        let others = self.trunk.calls.iter().enumerate().filter(|(other, _)| *other != front);
        for (_, calls) in others {
            let (answer, answered) = oneshot::channel();
            // A thread that has ended has no connections.
            let _ended = calls.send(Call::MakeWay(answer));
            if answered.await.unwrap_or(false) {
                return true;
            }
        }
        self.roster.note_asked_in_vain();
        false
    }

    fn guest_makes_way(&self) -> bool {
        let seats = lock(&self.trunk.seats);
        let all: Vec<Arc<Seats>> = seats.iter().filter_map(Weak::upgrade).collect();
        drop(seats);
        let longest =
            all.iter().filter_map(|seats| Some((seats.longest_idle()?, seats))).min_by_key(|(at, _)| *at);
        longest.is_some_and(|(_, seats)| seats.end_longest_idle())
    }
}
