//! What one client may ask of the server: connections, handshakes, requests, rooms, and messages of its sockets.
//!
//! A client is an address, or a network of 64 bits of IPv6. Connections of a proxy that is trusted are nobody's: there the
//! clients are those that the proxy tells of, and their WebSockets count in place of their connections. All limits are off by
//! default, and then nothing of this exists. Where one is exceeded, a line in the log says so, at a bounded rate, and a counter.

mod notes;
mod pace;
mod table;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use partyrun_telemetry::limit_hit;

use table::{Key, Rate, Table, What};

pub use notes::Notes;
pub(crate) use pace::{Pace, Used};

/// Limits that are the same for each client, and what the clients have used of them.
pub struct Clients {
    limits: Limits,
    table: Table,
    requests: Option<Rate>,
    handshakes: Option<Rate>,
    rooms: Option<Rate>,
    start: Instant,
    turn: AtomicUsize,
    is_proxy: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    notes: Notes,
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// A client asked for more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    limit: &'static str,
    what: &'static str,
    /// When it may ask again.
    after: Duration,
}

impl Excess {
    /// What the client is told.
    pub(crate) fn text(&self, limits: &Limits) -> String {
        format!("Too many {} from your address ({}).", self.what, limits.cite(self.limit))
    }

    /// The value of `Retry-After`.
    pub(crate) fn seconds(&self) -> u64 {
        let whole = self.after.as_secs();
        if self.after > Duration::from_secs(whole) { whole + 1 } else { whole.max(1) }
    }
}

impl Clients {
    /// Keeps the limits of `limits`; none if all of them are off. `is_proxy` knows the proxies that are trusted, and `warn` takes
    /// lines for the log.
    pub fn new(
        limits: &Limits,
        is_proxy: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
        warn: impl Fn(&str) + Send + Sync + 'static,
    ) -> Option<Arc<Self>> {
        let rate = |per_second: usize| {
            let interval = 1_000_000_000 / u64::try_from(per_second).unwrap_or(u64::MAX).max(1);
            let burst = u64::try_from(limits.client_burst_time.as_nanos()).unwrap_or(u64::MAX);
            (per_second > 0).then_some(Rate { interval: interval.max(1), burst })
        };
        let is_on = [
            limits.client_connections_max,
            limits.client_requests_per_second_max,
            limits.client_handshakes_per_second_max,
            limits.client_rooms_per_second_max,
            limits.socket_messages_per_second_max,
            limits.socket_bytes_per_second_max,
        ];
        is_on.iter().any(|limit| *limit > 0).then(|| {
            Arc::new(Self {
                limits: limits.clone(),
                table: Table::new(limits.client_addresses_max),
                requests: rate(limits.client_requests_per_second_max),
                handshakes: rate(limits.client_handshakes_per_second_max),
                rooms: rate(limits.client_rooms_per_second_max),
                start: Instant::now(),
                turn: AtomicUsize::new(0),
                is_proxy: Box::new(is_proxy),
                notes: Notes::new(Box::new(warn)),
            })
        })
    }

    /// Counts a connection that was accepted, until the hold is dropped. One of a proxy is held for nobody.
    pub fn accept(self: &Arc<Self>, peer: IpAddr) -> Result<Option<Hold>, Excess> {
        if (self.is_proxy)(peer) { Ok(None) } else { self.hold(peer).map(Some) }
    }

    /// Counts a connection once more that is at two threads for a moment.
    pub(crate) fn again(self: &Arc<Self>, peer: IpAddr) -> Option<Hold> {
        if (self.is_proxy)(peer) {
            return None;
        }
        let counts = self.limits.client_connections_max > 0;
        let counts = counts && self.table.enter(Key::of(peer), usize::MAX);
        Some(Hold { client: Client::new(self, peer), counts })
    }

    /// Counts a connection that another process has accepted, however many there are.
    pub(crate) fn take_over(self: &Arc<Self>, client: IpAddr) -> Hold {
        let counts = self.limits.client_connections_max > 0;
        let counts = counts && self.table.enter(Key::of(client), usize::MAX);
        Hold { client: Client::new(self, client), counts }
    }

    /// Counts a WebSocket whose connection is a proxy's, or that shares it with others over HTTP/2; any other has been counted
    /// when it was accepted.
    pub fn join(
        self: &Arc<Self>,
        peer: IpAddr,
        client: IpAddr,
        shares: bool,
    ) -> Result<Option<Hold>, Excess> {
        if shares || (self.is_proxy)(peer) { self.hold(client).map(Some) } else { Ok(None) }
    }

    fn hold(self: &Arc<Self>, address: IpAddr) -> Result<Hold, Excess> {
        let client = Client::new(self, address);
        let most = self.limits.client_connections_max;
        if most > 0 && !self.table.enter(Key::of(address), most) {
            limit_hit!(client_connections_max);
            let excess = Excess {
                limit: "client_connections_max",
                what: "connections",
                after: self.limits.retry_after,
            };
            self.note(&excess, address);
            return Err(excess);
        }
        Ok(Hold { client, counts: most > 0 })
    }

    /// Takes one request of a client, and one handshake if it is one.
    pub fn request(&self, address: IpAddr, is_handshake: bool, at: Instant) -> Result<(), Excess> {
        if self.requests.is_none() && self.handshakes.is_none() {
            return Ok(());
        }
        let now = self.now(at);
        if let Some(rate) = self.requests
            && let Err(after) = self.table.take(Key::of(address), What::Requests, rate, now)
        {
            limit_hit!(client_requests_per_second_max);
            return Err(self.excess("client_requests_per_second_max", "requests", after, address));
        }
        if let Some(rate) = self.handshakes.filter(|_| is_handshake)
            && let Err(after) = self.table.take(Key::of(address), What::Handshakes, rate, now)
        {
            limit_hit!(client_handshakes_per_second_max);
            return Err(self.excess("client_handshakes_per_second_max", "handshakes", after, address));
        }
        Ok(())
    }

    fn excess(&self, limit: &'static str, what: &'static str, after: u64, address: IpAddr) -> Excess {
        let excess = Excess { limit, what, after: Duration::from_nanos(after) };
        self.note(&excess, address);
        excess
    }

    fn note(&self, excess: &Excess, address: IpAddr) {
        self.notes.say(excess.limit, self.start.elapsed(), || {
            format!(
                "Too many {} from {address}: they get 429 ({})",
                excess.what,
                self.limits.cite(excess.limit)
            )
        });
    }

    /// Forgets some of the addresses that need not be remembered. To be called again and again.
    pub(crate) fn tick(&self) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.table.forget_some(turn, self.now(Instant::now()));
    }

    fn now(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A client of the server.
#[derive(Clone, Debug)]
pub struct Client {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Client {
    /// The one with this address.
    pub fn new(clients: &Arc<Clients>, address: IpAddr) -> Self {
        Self { clients: Arc::clone(clients), address }
    }

    /// Takes one room that comes into memory because of the client.
    pub fn start_room(&self) -> Result<(), Excess> {
        let clients = &self.clients;
        let Some(rate) = clients.rooms else { return Ok(()) };
        let now = clients.now(Instant::now());
        clients.table.take(Key::of(self.address), What::Rooms, rate, now).map_err(|after| {
            limit_hit!(client_rooms_per_second_max);
            clients.excess("client_rooms_per_second_max", "new rooms", after, self.address)
        })
    }
}

/// A connection of a client, which counts until this is dropped.
#[derive(Debug)]
pub struct Hold {
    client: Client,
    counts: bool,
}

impl Hold {
    /// How fast the connection is read as a WebSocket, if that is limited.
    pub(crate) fn pace(&self) -> Option<Paced> {
        let limits = &self.client.clients.limits;
        let (messages, bytes) = (limits.socket_messages_per_second_max, limits.socket_bytes_per_second_max);
        let pace = || Pace::new(messages, bytes, limits.client_burst_time);
        (messages > 0 || bytes > 0).then(|| Paced { pace: pace(), client: self.client.clone() })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.counts {
            self.client.clients.table.leave(Key::of(self.client.address));
        }
    }
}

/// The pace of a client's socket.
#[derive(Debug)]
pub(crate) struct Paced {
    pace: Pace,
    client: Client,
}

impl Paced {
    /// Counts what came. Where that was too much, says how long nothing more is to be read.
    pub(crate) fn spend(&mut self, messages: usize, bytes: usize) -> Option<Duration> {
        let (wait, used) = self.pace.spend(messages, bytes)?;
        let Client { clients, address } = &self.client;
        let (limit, what) = match used {
            Used::Messages => {
                limit_hit!(socket_messages_per_second_max);
                ("socket_messages_per_second_max", "messages")
            }
            Used::Bytes => {
                limit_hit!(socket_bytes_per_second_max);
                ("socket_bytes_per_second_max", "bytes")
            }
        };
        clients.notes.say(limit, clients.start.elapsed(), || {
            format!(
                "Too many {what} on a socket from {address}: it is read more slowly ({})",
                clients.limits.cite(limit)
            )
        });
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn clients(limits: Limits) -> (Arc<Clients>, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        let warn = move |line: &str| told.lock().unwrap().push(line.to_string());
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        (Clients::new(&limits, move |address| address == proxy, warn).unwrap(), lines)
    }

    #[test]
    fn nothing_is_counted_when_all_is_off() {
        assert!(Clients::new(&Limits::default(), |_| false, |_| ()).is_none());
    }

    #[test]
    fn a_client_that_asks_too_often_hears_when_to_ask_again() {
        let limits = Limits {
            client_requests_per_second_max: 2,
            client_handshakes_per_second_max: 1,
            client_burst_time: Duration::from_secs(2),
            ..Limits::default()
        };
        let (clients, lines) = clients(limits.clone());
        let (one, at): (IpAddr, _) = ("1.2.3.4".parse().unwrap(), Instant::now());
        assert!((0..4).all(|_| clients.request(one, false, at).is_ok()));
        let excess = clients.request(one, false, at).unwrap_err();
        assert_eq!(excess.seconds(), 1);
        let text =
            "Too many requests from your address (limit `client_requests_per_second_max`: 2 requests).";
        assert_eq!(excess.text(&limits), text);
        assert!(clients.request("1.2.3.5".parse().unwrap(), false, at).is_ok());
        assert_eq!(clients.request(one, true, at).unwrap_err().limit, "client_requests_per_second_max");
        let two: IpAddr = "2001:db8::1".parse().unwrap();
        assert!(clients.request(two, true, at).is_ok() && clients.request(two, true, at).is_ok());
        assert_eq!(clients.request(two, true, at).unwrap_err().limit, "client_handshakes_per_second_max");
        assert!(clients.request(two, false, at).is_ok());
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("Too many requests from 1.2.3.4"), "{lines:?}");
    }

    #[test]
    fn connections_behind_a_proxy_are_counted_as_sockets() {
        let limits = Limits { client_connections_max: 1, ..Limits::default() };
        let (clients, _lines) = clients(limits);
        let (proxy, one): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "1.2.3.4".parse().unwrap());
        assert!(clients.accept(proxy).unwrap().is_none() && clients.accept(proxy).unwrap().is_none());
        let held = clients.join(proxy, one, false).unwrap().unwrap();
        assert!(clients.join(proxy, one, false).is_err() && clients.accept(one).is_err());
        drop(held);
        let held = clients.accept(one).unwrap();
        let again = clients.again(one);
        drop(held);
        assert!(clients.accept(one).is_err(), "the connection goes on");
        drop(again);
        let held = clients.accept(one).unwrap().unwrap();
        // It counts since it was accepted.
        assert!(clients.join(one, one, false).unwrap().is_none());
        drop(held);
        assert!(clients.accept(one).is_ok());
    }

    #[test]
    fn new_rooms_are_counted() {
        let limits = Limits {
            client_rooms_per_second_max: 1,
            client_burst_time: Duration::from_secs(3),
            ..Limits::default()
        };
        let (clients, _lines) = clients(limits);
        let client = Client::new(&clients, "1.2.3.4".parse().unwrap());
        assert_eq!((0..5).filter(|_| client.start_room().is_ok()).count(), 3);
    }
}
