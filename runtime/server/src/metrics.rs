//! `/metrics`: what a scraper is answered, and a listener that answers nothing else (`--metrics`).

use std::net::TcpListener;
use std::sync::Arc;

use http::{HeaderValue, Method, header};
use partyrun_limits::Limits;
use partyrun_net::{Body, Front, FrontOptions, Handler, Request, Response, host};
use partyrun_telemetry::Format;

/// The path that scrapers ask.
const PATH: &str = "/metrics";

/// The metrics of this moment, in the format that the request accepts. `version` is that of the program.
pub fn answer_metrics(request: &Request, version: &str) -> Response {
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        return Response::text(405, "Use GET.");
    }
    let accept = request.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept);
    let Ok(text) = format.write(version) else {
        return Response::text(500, "The metrics cannot be written.");
    };
    let mut response = Response::new(200, Body::Full(text.into()));
    response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Serves `/metrics` on a listener of its own, to whoever reaches it.
///
/// # Errors
/// Where its thread cannot be started.
pub fn serve_metrics(
    listener: TcpListener,
    version: &'static str,
    limits: &Limits,
) -> std::io::Result<Front> {
    partyrun_telemetry::measure();
    let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let options = FrontOptions { threads: 1, ..FrontOptions::default() };
    Front::start(vec![listener], Arc::new(Scraped { version, is_local }), limits.clone(), options)
}

struct Scraped {
    version: &'static str,
    /// Only this machine reaches it. Elsewhere scrapers know it by whatever name it has there.
    is_local: bool,
}

impl Handler for Scraped {
    async fn call(&self, request: Request) -> Response {
        if self.is_local && !host::is_under_own_name(&request.headers) {
            return Response::text(400, "Use an IP address or `localhost` to reach the metrics.");
        }
        if host::is_from_other_page(&request.headers) {
            return Response::text(403, "Web pages of other origins cannot read the metrics.");
        }
        if request.path() == PATH {
            return answer_metrics(&request, self.version);
        }
        Response::text(404, "Metrics are at /metrics.")
    }
}
