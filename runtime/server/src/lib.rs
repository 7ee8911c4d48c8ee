//! Puts the parts together: the HTTP front in front of the engine, in the order of spec 1.3.
//!
//! [`Server`] is the front's handler. It decides by the path which room or static handler a request is for, calls the
//! static handlers only where a module declares them, and reports each answer to a [`Reporter`]. It is the only crate
//! that knows both the network and the engine.

mod client;
mod crons;
mod dev;
mod dispatch;
mod reload;
mod static_files;

use std::sync::Arc;
use std::time::{Duration, Instant};

use partyrun_engine::Engine;
use partyrun_limits::Limits;
use partyrun_net::{Handler, Request, Response};

pub use client::{Network, NetworkError};
pub use crons::{Clock, CronRunner, SystemClock, run_crons};
pub use partyrun_assets::{AssetsError, Options as StaticOptions};
pub use reload::{RELOAD_PATH, Reload};
pub use static_files::StaticFiles;

/// Hears of every answered request.
pub trait Reporter: Send + Sync + 'static {
    /// `method path` was answered with `status` after `took`.
    fn request(&self, method: &str, path: &str, status: u16, took: Duration);

    /// Something of the server itself went wrong or is worth a warning.
    fn warn(&self, text: &str);
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
    /// Tells pages to reload, if they shall; in development only.
    pub reload: Option<Reload>,
}

/// The handler of all requests of a project.
pub struct Server {
    engine: Engine,
    options: ServerOptions,
    reporter: Arc<dyn Reporter>,
}

impl Server {
    /// A server for a running engine.
    pub fn new(engine: Engine, options: ServerOptions, reporter: Arc<dyn Reporter>) -> Self {
        Self { engine, options, reporter }
    }
}

impl Handler for Server {
    async fn call(&self, request: Request) -> Response {
        let begun = Instant::now();
        let method = request.method.clone();
        let path = path_and_query(&request);
        let response = self.dispatch(request).await;
        self.reporter.request(method.as_str(), &path, response.status, begun.elapsed());
        response
    }
}

fn path_and_query(request: &Request) -> String {
    match request.query() {
        Some(query) => format!("{}?{query}", request.path()),
        None => request.path().to_string(),
    }
}
