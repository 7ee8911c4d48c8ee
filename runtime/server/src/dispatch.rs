//! Which handler a request is for (spec 1.2, 1.3): a room, a static handler of the main party, or nobody.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use partyrun_engine::{Before, Fetched, PartyDescription};
use partyrun_net::{Request, Response, Route, RouteError};
use partyrun_store::RoomKey;

use crate::Server;

impl Server {
    pub(crate) async fn dispatch(&self, mut request: Request) -> Response {
        add_client_headers(&mut request);
        let path = request.path().to_string();
        match Route::parse(&path, self.options.limits.room_id_bytes_max) {
            Ok(Route::Room { party, room }) => self.room(RoomKey::new(party, room), request).await,
            Ok(Route::Other) => self.other(request).await,
            Err(RouteError::RoomIdTooLong(_)) => Response::text(414, "The room id is too long."),
        }
    }

    async fn room(&self, key: RoomKey, request: Request) -> Response {
        if key.party().is_empty() {
            self.reporter.warn("fetch error Error: No party found in request url");
            return Response::text(500, "No party found in request url");
        }
        let parties = self.engine.parties();
        let Some(party) = parties.iter().find(|party| party.name == key.party()) else {
            return Response::text(404, format!("Party {} not found", key.party()));
        };
        if !has_hook(party, &request) {
            return self.engine.room(key, request).await;
        }
        match self.engine.before(key.clone(), request).await {
            Before::Respond(response) => response,
            Before::Forward(request) => self.engine.room(key, request).await,
        }
    }

    async fn other(&self, request: Request) -> Response {
        if self.options.development
            && let Some(response) = self.development(&request).await
        {
            return response;
        }
        if !is_well_escaped(request.path()) {
            return Response::text(500, "URI malformed");
        }
        let parties = self.engine.parties();
        let Some(main) = parties.iter().find(|party| party.name == "main") else {
            return Response::text(404, "Not found");
        };
        if request.upgrade.is_some() && main.socket {
            return self.engine.edge_socket(request).await;
        }
        if main.cron && self.options.development && request.path() == "/__scheduled__" {
            return self.scheduled(&request).await;
        }
        if main.fetch {
            return match self.engine.edge_fetch(request).await {
                Fetched::Respond(response) => response,
                Fetched::Pass(_) => Response::text(404, "Not found"),
            };
        }
        Response::text(404, "Not found")
    }

    // Runs a cron by hand (spec 2.12).
    async fn scheduled(&self, request: &Request) -> Response {
        let name = parameter(request.query().unwrap_or(""), "cron").unwrap_or_else(|| "unknown".to_string());
        let known = self.options.crons.iter().find(|(known, _)| *known == name);
        let expression = known.map_or("* * * * *", |(_, expression)| expression).to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.engine.cron(name, expression, i64::try_from(now.as_millis()).unwrap_or(i64::MAX)).await
    }
}

fn has_hook(party: &PartyDescription, request: &Request) -> bool {
    if request.upgrade.is_some() { party.before_connect } else { party.before_request }
}

// What the hosted platform told about the client (spec 1.8 [P]). What a client says of itself is replaced.
fn add_client_headers(request: &mut Request) {
    let Ok(address) = HeaderValue::from_str(&request.peer.ip().to_string()) else { return };
    let headers = &mut request.headers;
    headers.insert("cf-connecting-ip", address.clone());
    headers.insert("x-real-ip", address.clone());
    headers.insert("x-forwarded-for", address);
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
}

pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| value.replace('+', " "))
    })
}

// Whether decodeURIComponent would take the path: every escape whole, and UTF-8 together (spec 1.2).
fn is_well_escaped(path: &str) -> bool {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = (bytes.next(), bytes.next());
        let (Some(high), Some(low)) = digits else { return false };
        let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16)) else {
            return false;
        };
        decoded.push(u8::try_from(high * 16 + low).unwrap_or(0));
    }
    std::str::from_utf8(&decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_checked_as_the_original_does() {
        assert!(is_well_escaped("/a%20b/%C3%A9"));
        assert!(!is_well_escaped("/%E0%A4%A"));
        assert!(!is_well_escaped("/%FF"));
    }

    #[test]
    fn parameters_are_found_by_name() {
        assert_eq!(parameter("a=1&cron=every+day", "cron"), Some("every day".to_string()));
        assert_eq!(parameter("", "cron"), None);
    }
}
