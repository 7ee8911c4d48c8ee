//! The debugger's endpoint: lists live rooms as targets and carries the Chrome DevTools protocol to them.
//!
//! It speaks what Node and Chrome speak: `GET /json/version`, `GET /json` and `/json/list`, and one WebSocket per target at
//! `/ID`. The first target is the whole server (`hub.rs`), which brings a debugger every room. It is a server of its own on a
//! port of its own, on loopback unless told otherwise. A request whose `Host` is a name other than `localhost` is refused, so
//! that no web page reaches it through a name of its own (DNS rebinding, threat 17); ids of targets cannot be guessed, and the
//! lists carry no CORS headers (threat 18). A WebSocket asks no CORS headers: so a request that names its `Origin` is refused
//! unless that is a debugger's, or a page's of this machine that knows an id. A room's name instead of an id (`/main/lobby`) is
//! an address that stays: for debuggers only.

mod client;
mod hub;
mod session;
mod view;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use http::{HeaderValue, Method};
use partyrun_engine::{Inspector, Target};
use partyrun_limits::Limits;
use partyrun_net::{Body, Front, FrontOptions, Handler, Request, Response, Upgrade};
use serde_json::{Value, json};

struct Endpoint {
    inspector: Arc<Inspector>,
    address: SocketAddr,
    product: String,
    // Where the whole server is attached to.
    server_id: String,
    limits: Limits,
    paused: Paused,
}

/// Hears the title of each target that pauses.
pub type Paused = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts the endpoint on a listener. `product` names this server to debuggers; `paused` is told of pauses.
pub fn serve(
    listener: TcpListener,
    inspector: Arc<Inspector>,
    product: String,
    paused: Paused,
) -> std::io::Result<Front> {
    let address = listener.local_addr()?;
    let limits = limits();
    let endpoint =
        Endpoint { server_id: inspector.id(""), inspector, address, product, limits: limits.clone(), paused };
    let options = FrontOptions { threads: 1, ..FrontOptions::default() };
    Front::start(vec![listener], Arc::new(endpoint), limits, options)
}

// A heap snapshot leaves in many messages that are made faster than they are read; a debugger's are whole scripts.
fn limits() -> Limits {
    let defaults = Limits::default();
    Limits {
        message_in_bytes_max: defaults.message_in_bytes_ceiling,
        send_queue_bytes_max: 1 << 30,
        ..defaults
    }
}

impl Handler for Endpoint {
    async fn call(&self, mut request: Request) -> Response {
        let host = request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(partyrun_net::host::is_own_name) {
            return Response::text(400, "Use an IP address or `localhost` to reach the debugger.");
        }
        let origin = request.headers.get(http::header::ORIGIN).cloned();
        let origin = origin.as_ref();
        if !origin.is_none_or(|origin| origin.to_str().is_ok_and(is_trusted)) {
            return Response::text(403, "Web pages of other origins cannot reach the debugger.");
        }
        let host = host.map_or_else(|| self.address.to_string(), str::to_owned);
        let path = request.path().to_string();
        if let Some(upgrade) = request.upgrade.take() {
            return self.attach(upgrade, &path, origin.and_then(|origin| origin.to_str().ok()));
        }
        if request.method != Method::GET {
            return Response::text(405, "Use GET.");
        }
        match path.trim_end_matches('/') {
            "/json/version" => answer(&json!({ "Browser": self.product, "Protocol-Version": "1.3" })),
            "/json" | "/json/list" => {
                let server = describe(&self.server_id, "partyrun (all rooms)", 0, &host);
                let targets = self.inspector.targets();
                let rooms = targets.iter().map(|target| {
                    let Target { id, title, sessions } = target;
                    describe(id, title, *sessions, &host)
                });
                answer(&std::iter::once(server).chain(rooms).collect())
            }
            _ => Response::text(404, "Not found"),
        }
    }
}

impl Endpoint {
    // Attaches a debugger to what a path names: the server, a target's id, or a room.
    fn attach(&self, upgrade: Upgrade, path: &str, origin: Option<&str>) -> Response {
        let name = path.trim_start_matches('/');
        let (inspector, limits, paused) = (&self.inspector, &self.limits, self.paused.clone());
        if name == self.server_id {
            hub::start(upgrade, inspector.clone(), limits, paused);
            return Response::switching_protocols();
        }
        let Ok(name) = percent_encoding::percent_decode_str(name).decode_utf8() else {
            return Response::text(400, "The path is not UTF-8.");
        };
        let is_id = inspector.targets().iter().any(|target| target.id == name);
        // Whoever knows an id could read the list. A name can be guessed.
        if !is_id && !origin.is_none_or(is_debugger) {
            return Response::text(403, "Web pages cannot reach the debugger by a room's name.");
        }
        match inspector.connect(&name) {
            Some(session) => {
                session::start(upgrade, session, limits, paused);
                Response::switching_protocols()
            }
            None if name.contains('/') => Response::text(
                404,
                "This room is not in memory: it gets there with its next event. Attach to the first target of /json/list \
                 to get every room that comes.",
            ),
            None => Response::text(404, "There is no such target: it may have ended. See /json/list."),
        }
    }
}

fn is_debugger(origin: &str) -> bool {
    origin.starts_with("devtools://") || origin.starts_with("chrome-devtools://")
}

// Whether a page of this origin may debug: DevTools of a browser, and what is served on this machine.
fn is_trusted(origin: &str) -> bool {
    if is_debugger(origin) {
        return true;
    }
    let Ok(origin) = origin.parse::<http::Uri>() else { return false };
    let host = origin.host().unwrap_or_default();
    let is_web = matches!(origin.scheme_str(), Some("http" | "https"));
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    is_web && (host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()))
}

// One target as the lists of Node have it.
fn describe(id: &str, title: &str, sessions: usize, host: &str) -> Value {
    json!({
        "id": id,
        "type": "node",
        "title": title,
        "description": if sessions > 0 { "a debugger is attached" } else { "partyrun" },
        "url": format!("file:///{title}"),
        "devtoolsFrontendUrl":
            format!("devtools://devtools/bundled/js_app.html?v8only=true&ws={host}/{id}"),
        "webSocketDebuggerUrl": format!("ws://{host}/{id}"),
    })
}

fn answer(value: &Value) -> Response {
    let mut response = Response::new(200, Body::Full(value.to_string().into()));
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers.insert(http::header::CONTENT_TYPE, json);
    response.headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::is_trusted;

    #[test]
    fn only_debuggers_and_pages_of_this_machine_are_trusted() {
        for origin in [
            "devtools://devtools",
            "http://localhost:3000",
            "https://LOCALHOST",
            "http://127.0.0.1:9229",
            "http://[::1]:80",
        ] {
            assert!(is_trusted(origin), "{origin}");
        }
        let others = [
            "null",
            "",
            "http://evil.test",
            "https://localhost.evil.test",
            "http://192.168.0.9",
            "http://10.0.0.1:9229",
        ];
        let more = [
            "file://",
            "chrome-extension://abc",
            "http://localhost@evil.test",
            "http://",
            "localhost",
            "http://[::2]",
        ];
        for origin in others.into_iter().chain(more) {
            assert!(!is_trusted(origin), "{origin}");
        }
    }
}
