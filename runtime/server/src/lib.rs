//! Puts the parts together: the HTTP front in front of the engine, in the order of spec 1.3.
//!
//! [`Server`] is the front's handler. It decides by the path which room or static handler a request is for, calls the
//! static handlers only where a module declares them, and reports each answer to a [`Reporter`]. It is the only crate
//! that knows both the network and the engine.

mod admission;
mod client;
mod cors;
mod crons;
mod dev;
mod dispatch;
mod hints;
mod live_pages;
mod metrics;
mod origins;
mod reload;
mod static_files;
mod trace;
mod welcome;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::Version;
use partyrun_engine::Engine;
use partyrun_limits::Limits;
use partyrun_net::{Clients, Ending, Guest, Handler, Notes, Request, Response, Visit, Witness};
use partyrun_store::RoomKey;
use partyrun_telemetry::{NO_PARTY, Span, tracer, within};

use hints::Hints;

pub use admission::clients;
pub use client::{Network, NetworkError};
pub use cors::{Cors, CorsOptions};
pub use crons::{Clock, CronRefusal, CronRun, CronRunner, CronState, Crons, SystemClock, run_crons};
pub use metrics::{answer_metrics, serve_metrics};
pub use origins::Origins;
pub use partyrun_assets::{AssetsError, Options as StaticOptions};
pub use reload::{RELOAD_PATH, Reload};
pub use static_files::StaticFiles;

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Its method.
    pub method: &'a str,
    /// The version of HTTP in which it came.
    pub version: Version,
    /// Its path, with the query; in production only the names of the query's parameters, because tokens stand in it.
    pub path: &'a str,
    /// The client's address, as the room sees it: that of the peer, or what a trusted proxy says.
    pub client: IpAddr,
    /// The status of the answer.
    pub status: u16,
    /// The time from the request's head to that of the answer.
    pub took: Duration,
}

/// A WebSocket that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The path of its handshake, as in [`Answered`].
    pub path: &'a str,
    /// Who was connected.
    pub client: IpAddr,
    /// The code of its end; 1006 where the connection broke.
    pub code: u16,
    /// The time from the handshake to the end.
    pub lasted: Duration,
}

/// Is told of every answered request. Its methods run on the threads that answer, so they must not block.
pub trait Reporter: Send + Sync + 'static {
    /// A request was answered.
    fn request(&self, answered: &Answered<'_>);

    /// A WebSocket of a client ended; told in production only.
    fn socket_ended(&self, ended: &Ended<'_>);

    /// Something of the server itself went wrong or is worth a warning.
    fn warn(&self, text: &str);
}

/// Answers whether the server is well.
pub trait Probe: Send + Sync {
    /// Whether requests should be sent here: the status and a body of JSON.
    fn ready(&self) -> BoxFuture<'_, (u16, String)>;
}

/// What a server is made from.
pub struct ServerOptions {
    /// The limits in force.
    pub limits: Limits,
    /// Whether the development endpoints exist: `/__scheduled__` and `/__partyrun__/`.
    pub development: bool,
    /// The configured crons: name and expression.
    pub crons: Vec<(String, String)>,
    /// The static files, if there are any.
    pub assets: Option<StaticFiles>,
    /// Proxies that are believed when they tell of their clients.
    pub trusted_proxies: Vec<Network>,
    /// Answers `/healthz` and `/readyz`, if they shall be.
    pub health: Option<Arc<dyn Probe>>,
    /// Tells pages to reload, if they shall; in development only.
    pub reload: Option<Reload>,
    /// The limits of each client, if there are any ([`clients`]).
    pub clients: Option<Arc<Clients>>,
    /// The pages that may open WebSockets; all, if none are named.
    pub origins: Option<Origins>,
    /// Which pages may read what is answered; none leaves that to the project.
    pub cors: Option<Cors>,
}

/// The handler of all requests of a project.
pub struct Server {
    engine: Engine,
    options: ServerOptions,
    /// The static files, which a new release replaces.
    assets: RwLock<Option<StaticFiles>>,
    reporter: Arc<dyn Reporter>,
    hints: Arc<Hints>,
    origin_notes: Notes,
    started: Instant,
}

impl Server {
    /// A server for an engine that runs already. Give it to [`partyrun_net::Front::start`].
    pub fn new(engine: Engine, mut options: ServerOptions, reporter: Arc<dyn Reporter>) -> Self {
        let assets = RwLock::new(options.assets.take());
        let (hints, origin_notes) = (Arc::default(), admission::notes(reporter.clone()));
        Self { engine, options, assets, reporter, hints, origin_notes, started: Instant::now() }
    }

    /// Serves other static files from now on.
    pub fn replace_assets(&self, assets: Option<StaticFiles>) {
        *self.assets.write().unwrap_or_else(PoisonError::into_inner) = assets;
    }

    fn assets(&self) -> Option<StaticFiles> {
        self.assets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Handler for Server {
    async fn call(&self, mut request: Request) -> Response {
        let begun = Instant::now();
        self.hints.look(&request, &self.options, &*self.reporter);
        let client = client::tell(&mut request, &self.options.trusted_proxies);
        // Whoever speaks for others names another address than its own.
        let is_proxied = request.peer.ip().to_canonical() != client;
        let (method, version) = (request.method.clone(), request.version);
        let path = self.shown(&request);
        if let Some(upgrade) = request.upgrade.as_mut().filter(|_| !self.options.development) {
            upgrade.witnessed(self.witness_of(Visit { path: path.clone(), client, begun }, is_proxied));
        }
        let mut counted = None;
        let mut span = tracer().and_then(|tracer| {
            let is_known = |name: &str| self.engine.parties().iter().any(|party| party.name == name);
            trace::begin(tracer, &mut request, client, is_known)
        });
        let response = match self.refuse(&mut request, client, begun) {
            Some(refusal) => refusal,
            None => self.dispatch(request, &mut counted).await,
        };
        let response = if is_proxied { hints::unbuffered(response) } else { response };
        let place = span.as_ref().and_then(Span::place);
        if let Some(span) = &mut span {
            span.answered(response.status);
        }
        let (status, took) = (response.status, begun.elapsed());
        let max = self.options.limits.metrics_parties_max;
        counted.unwrap_or_else(|| partyrun_telemetry::meters(NO_PARTY, max)).answered(status, took);
        let answered = Answered { method: method.as_str(), version, path: &path, client, status, took };
        within(place, || self.reporter.request(&answered));
        response
    }

    fn lodges(&self, party: &str, room: &str) -> bool {
        let parties = self.engine.parties();
        // A static handler runs on a thread of its own.
        let asks_room = parties.iter().any(|known| known.name == party && !known.before_request);
        asks_room && self.engine.lodges(&RoomKey::new(party, room))
    }

    fn lodge(&self, party: &str, room: &str, guest: Guest) -> Result<(), Guest> {
        self.engine.lodge(&RoomKey::new(party, room), guest)
    }
}

impl Server {
    /// Tells the reporter of the end of this visit.
    pub fn witness(&self, visit: Visit) -> Witness {
        self.witness_of(visit, false)
    }

    fn witness_of(&self, visit: Visit, is_proxied: bool) -> Witness {
        let (reporter, hints) = (self.reporter.clone(), self.hints.clone());
        let pings_end = self.options.limits.socket_ping_after + self.options.limits.socket_pong_max;
        let tell = move |visit: &Visit, ending: Ending| {
            let Visit { path, client, begun } = visit;
            let code = ending.code;
            if is_proxied {
                hints.ended(ending, pings_end, &*reporter);
            }
            reporter.socket_ended(&Ended { path, client: *client, code, lasted: begun.elapsed() });
        };
        Witness { visit: Box::new(visit), tell: Arc::new(tell) }
    }

    // The path as logs show it.
    fn shown(&self, request: &Request) -> String {
        match request.query() {
            None => request.path().to_string(),
            Some(query) if self.options.development => format!("{}?{query}", request.path()),
            Some(query) => format!("{}?{}", request.path(), names_of(query)),
        }
    }
}

// The names of a query's parameters.
fn names_of(query: &str) -> String {
    let names: Vec<&str> =
        query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name)).collect();
    names.join("&")
}

#[cfg(test)]
mod tests {
    use super::names_of;

    #[test]
    fn logs_have_the_names_of_parameters_only() {
        assert_eq!(names_of("_pk=1&token=a=b&flag&=x"), "_pk&token&flag&");
    }
}
