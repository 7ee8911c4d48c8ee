//! Which handler a request is for (spec 1.2, 1.3): a room, a static handler of the main party, or nobody.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, header};
use partyrun_assets::AssetsError;
use partyrun_engine::{Before, Fetched, PartyDescription};
use partyrun_net::{Body, Request, Response, Route, RouteError};
use partyrun_store::RoomKey;
use partyrun_telemetry::{Meters, limit_hit};

use crate::Server;
use crate::dev::not_own;

impl Server {
    /// Answers a request, and says in `counted` for which party it is counted, if for any.
    pub(crate) async fn dispatch(&self, request: Request, counted: &mut Option<&'static Meters>) -> Response {
        let path = request.path().to_string();
        match Route::parse(&path, self.options.limits.room_id_bytes_max) {
            Ok(Route::Room { party, room }) => {
                let key = RoomKey::new(party, room);
                let Some(cors) = &self.options.cors else { return self.room(key, request, counted).await };
                if let Some(answer) = cors.preflight(&request) {
                    return answer;
                }
                let page = cors.look(&request.headers);
                let mut response = self.room(key, request, counted).await;
                cors.finish(page, &mut response);
                response
            }
            Ok(Route::Other) => self.other(request).await,
            Err(RouteError::RoomIdTooLong(_)) => {
                limit_hit!(room_id_bytes_max);
                let limit = self.options.limits.cite("room_id_bytes_max");
                Response::text(414, format!("The room id is too long ({limit})."))
            }
        }
    }

    async fn room(&self, key: RoomKey, request: Request, counted: &mut Option<&'static Meters>) -> Response {
        if key.party().is_empty() {
            self.reporter.warn("fetch error Error: No party found in request url");
            return Response::text(500, "No party found in request url");
        }
        let parties = self.engine.parties();
        let Some(party) = parties.iter().find(|party| party.name == key.party()) else {
            return Response::text(404, format!("Party {} not found", key.party()));
        };
        *counted = Some(partyrun_telemetry::meters(&party.name, self.options.limits.metrics_parties_max));
        if !has_hook(party, &request) {
            return self.engine.room(key, request).await;
        }
        let client = request.client.clone();
        match self.engine.before(key.clone(), request).await {
            Before::Respond(response) => *response,
            Before::Forward { mut request, keeps_cf } => {
                request.client = client;
                self.engine.forward(key, *request, keeps_cf).await
            }
        }
    }

    async fn other(&self, request: Request) -> Response {
        if let Some(response) = self.health(&request).await {
            return response;
        }
        if self.options.development
            && let Some(response) = self.development(&request).await
        {
            return response;
        }
        if decode(request.path()).is_none() {
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
            if !partyrun_net::host::is_own_request(&request.headers) {
                return not_own();
            }
            return self.scheduled(&request).await;
        }
        if let Some(assets) = self.assets()
            && let Some(response) = self.found(assets.answer(&request).await)
        {
            return response;
        }
        let Some(cors) = &self.options.cors else { return self.fetch(request, main.fetch).await };
        if let Some(answer) = cors.preflight(&request) {
            return answer;
        }
        let page = cors.look(&request.headers);
        let mut response = self.fetch(request, main.fetch).await;
        cors.finish(page, &mut response);
        response
    }

    // Asks `onFetch`, if the project has one.
    async fn fetch(&self, request: Request, is_handled: bool) -> Response {
        // The handler takes the request, and may have no answer to it.
        let welcome = match self.options.development {
            true => self.welcome(&request).await,
            false => None,
        };
        let request = match is_handled {
            true => match self.engine.edge_fetch(request).await {
                Fetched::Respond(response) => return response,
                Fetched::Pass(request) => request,
            },
            false => request,
        };
        let page = match self.assets() {
            Some(assets) => self.found(assets.not_found(&request).await),
            None => None,
        };
        if let Some(page) = page {
            return page;
        }
        welcome.unwrap_or_else(|| Response::text(404, "Not found"))
    }

    // Only where a flag asks for it: the paths are the project's otherwise.
    async fn health(&self, request: &Request) -> Option<Response> {
        let probe = self.options.health.as_ref()?;
        let (status, text) = match request.path() {
            "/healthz" => (200, r#"{"status":"ok"}"#.to_string()),
            "/readyz" => probe.ready().await,
            _ => return None,
        };
        let mut response = Response::new(status, Body::Full(text.into()));
        let fields = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        for (name, value) in fields {
            response.headers.insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }

    // A file that is there but cannot be read is an answer, too: nobody else may answer in its place.
    fn found(&self, result: Result<Option<Response>, AssetsError>) -> Option<Response> {
        result.unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            self.reporter.warn(&format!("static files: {error}{}", cause.unwrap_or_default()));
            let told = if self.options.development {
                error.to_string()
            } else {
                "Internal Server Error".to_string()
            };
            Some(Response::text(500, told))
        })
    }

    // Runs a cron by hand (spec 2.12).
    async fn scheduled(&self, request: &Request) -> Response {
        let name = parameter(request.query().unwrap_or(""), "cron").unwrap_or_else(|| "unknown".to_string());
        let known = self.options.crons.iter().find(|(known, _)| *known == name);
        if known.is_none() {
            self.reporter.warn(&format!(
                "`onCron` runs for `{name}`, but `crons` in the configuration has no such name."
            ));
        }
        let expression = known.map_or("* * * * *", |(_, expression)| expression).to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.engine.cron(name, expression, i64::try_from(now.as_millis()).unwrap_or(i64::MAX)).await.response
    }
}

fn has_hook(party: &PartyDescription, request: &Request) -> bool {
    if request.upgrade.is_some() { party.before_connect } else { party.before_request }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

/// What decodeURIComponent makes of a path; none where it would throw: every escape must be whole, and UTF-8 together
/// (spec 1.2).
pub(crate) fn decode(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_checked_as_the_original_does() {
        assert_eq!(decode("/a%20b/%C3%A9").as_deref(), Some("/a b/\u{e9}"));
        assert_eq!(decode("/%E0%A4%A"), None);
        assert_eq!(decode("/%FF"), None);
    }

    #[test]
    fn parameters_are_found_by_name() {
        assert_eq!(parameter("a=1&cron=every+day%21", "cron"), Some("every day!".to_string()));
        assert_eq!(parameter("", "cron"), None);
    }
}
