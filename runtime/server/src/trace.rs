//! The span of a request from the network, and what the room hears of it: the request's `traceparent` names the span.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use partyrun_net::{Request, Route};
use partyrun_telemetry::{Place, Side, Span, Tracer};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Begins the span of a request, as a part of the trace that it names or as a new one; none if it is not sampled. `is_known` says
/// whether there is such a party.
pub(crate) fn begin(
    tracer: &'static Tracer,
    request: &mut Request,
    client: IpAddr,
    is_known: impl Fn(&str) -> bool,
) -> Option<Span> {
    let parent = place_of(&request.headers);
    let Some(mut span) = tracer.begin(Side::Server, parent.as_ref(), || name(request, is_known)) else {
        // Others on the way must know that this trace is not kept here.
        if let Some(parent) = parent.filter(Place::is_sampled) {
            tell(&mut request.headers, &tracer.dropped(&parent));
        }
        return None;
    };
    if let Some(version) = version(request.version) {
        span.set("network.protocol.version", version.to_string());
    }
    let method = method_of(request);
    span.set("http.request.method", method.unwrap_or("_OTHER").to_string());
    if method.is_none() {
        span.set("http.request.method_original", request.method.as_str().to_string());
    }
    span.set("url.path", request.path().to_string());
    span.set("client.address", client.to_string());
    if let Some(place) = span.place() {
        tell(&mut request.headers, &place);
    }
    Some(span)
}

// As OpenTelemetry writes versions of HTTP.
fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

fn place_of(headers: &HeaderMap) -> Option<Place> {
    let field = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Place::read(field(&PARENT)?, field(&STATE).unwrap_or_default())
}

fn tell(headers: &mut HeaderMap, place: &Place) {
    for (name, value) in [(PARENT, place.parent()), (STATE, place.state().to_string())] {
        match HeaderValue::try_from(value) {
            Ok(value) if !value.is_empty() => drop(headers.insert(name, value)),
            _ => drop(headers.remove(name)),
        }
    }
}

// There are few names, whatever clients send: rooms and files have none of their own, and what is unknown has none either.
fn name(request: &Request, is_known: impl Fn(&str) -> bool) -> String {
    let method = method_of(request).unwrap_or("HTTP");
    match Route::parse(request.path(), usize::MAX) {
        Ok(Route::Room { party: "main", .. }) => format!("{method} /party/:room"),
        Ok(Route::Room { party, .. }) if is_known(party) => format!("{method} /parties/{party}/:room"),
        _ => method.to_string(),
    }
}

// The methods that semantic conventions know; a client may send any word.
fn method_of(request: &Request) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == request.method.as_str())
}
