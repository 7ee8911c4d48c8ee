//! Which request is answered by what. Every route is a row of [`ROUTES`] and a path of `openapi.json`; a test compares them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use partyrun_engine::Act;
use partyrun_store::RoomKey;
use serde_json::json;

use crate::answer::{Answer, Problem, json, plain};
use crate::guard::Guard;
use crate::history::{self, History};
use crate::log::Log;
use crate::names::{Query, room, segments};
use crate::target::{Extra, Page, Target};
use crate::values::Values;
use crate::{dashboard, health, process, room_file, rooms, schedule, storage, stream};

/// The description of all routes.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// Methods and paths, as in [`OPENAPI`].
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/server"),
    ("GET", "/v1/limits"),
    ("GET", "/v1/history"),
    ("GET", "/v1/logs"),
    ("GET", "/v1/alarms"),
    ("GET", "/v1/clock"),
    ("POST", "/v1/clock"),
    ("GET", "/v1/crons"),
    ("POST", "/v1/crons/{cron}/run"),
    ("POST", "/v1/release"),
    ("POST", "/v1/upgrade"),
    ("GET", "/v1/rooms"),
    ("GET", "/v1/rooms/{party}/{room}"),
    ("POST", "/v1/rooms/{party}/{room}/hibernate"),
    ("POST", "/v1/rooms/{party}/{room}/evict"),
    ("POST", "/v1/rooms/{party}/{room}/reset"),
    ("POST", "/v1/rooms/{party}/{room}/broadcast"),
    ("DELETE", "/v1/rooms/{party}/{room}/connections/{connection}"),
    ("PUT", "/v1/rooms/{party}/{room}/alarm"),
    ("GET", "/v1/rooms/{party}/{room}/storage"),
    ("DELETE", "/v1/rooms/{party}/{room}/storage"),
    ("GET", "/v1/rooms/{party}/{room}/storage/{key}"),
    ("PUT", "/v1/rooms/{party}/{room}/storage/{key}"),
    ("DELETE", "/v1/rooms/{party}/{room}/storage/{key}"),
    ("GET", "/v1/rooms/{party}/{room}/export"),
    ("POST", "/v1/rooms/{party}/{room}/import"),
];

/// What every request needs.
pub(crate) struct Desk {
    pub(crate) guard: Guard,
    pub(crate) log: Arc<Log>,
    pub(crate) history: History,
    pub(crate) extras: Vec<Arc<dyn Extra>>,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_time_max: std::time::Duration,
}

/// What may start late, or come and go.
pub(crate) trait Parts {
    /// The server that runs now.
    fn target(&self) -> Option<Arc<Target>>;

    /// What reads values.
    fn values(&self) -> impl Future<Output = Result<Arc<Values>, Problem>>;
}

/// Answers a request.
pub(crate) async fn answer(desk: &Desk, parts: &impl Parts, request: Request<Incoming>) -> Answer {
    match try_answer(desk, parts, request).await {
        Ok(answer) => answer,
        Err(problem) => problem.into(),
    }
}

async fn try_answer(desk: &Desk, parts: &impl Parts, request: Request<Incoming>) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    desk.guard.check_origin(&head.headers)?;
    let path = head.uri.path();
    let is_get = head.method == Method::GET;
    match path {
        "/healthz" if is_get => return Ok(health::alive()),
        "/readyz" if is_get => return Ok(health::ready(parts.target().as_deref()).await),
        _ => {}
    }
    let is_asked = is_get || head.method == Method::HEAD;
    if let Some(answer) = is_asked.then(|| dashboard::page(path, &head.headers)).flatten() {
        return Ok(answer);
    }
    let extra = |authorized| desk.extras.iter().find_map(|extra| extra.page(path, authorized));
    if let Some(page) = is_get.then(|| extra(false)).flatten() {
        return Ok(of_page(page));
    }
    desk.guard.check_token(&head.headers)?;
    if let Some(page) = is_get.then(|| extra(true)).flatten() {
        return Ok(of_page(page));
    }
    let names = segments(path).ok_or_else(|| Problem::bad("The path is no UTF-8."))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check_route(&head.method, &names)?;
    let body = read(desk, body).await?;
    let asked = Asked { desk, head: &head, body: &body };
    match names.as_slice() {
        ["v1", "openapi.json"] => Ok(plain(StatusCode::OK, "application/json", OPENAPI)),
        ["v1", "history"] => desk.history.answer(&asked.query(history::PARAMETERS)?),
        ["v1", "logs"] => {
            stream::follow(&desk.log, &asked.query(&["level", "type", "party", "room", "tail"])?)
        }
        names => {
            let target = parts.target().ok_or_else(|| {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "The server is starting.")
            })?;
            match names {
                ["v1", "rooms", party, id, rest @ ..] => {
                    asked.of_room(&target, parts, &room(party, id), rest).await
                }
                names => asked.of_server(&target, names).await,
            }
        }
    }
}

// Whether there is such a route: 404, or 405 with the methods that there are.
fn check_route(method: &Method, names: &[&str]) -> Result<(), Problem> {
    let fits = |template: &str| {
        let parts: Vec<&str> = template.trim_start_matches('/').split('/').collect();
        parts.len() == names.len()
            && parts.iter().zip(names).all(|(part, name)| part.starts_with('{') || part == name)
    };
    let methods: Vec<&str> =
        ROUTES.iter().filter(|(_, template)| fits(template)).map(|(method, _)| *method).collect();
    if methods.contains(&method.as_str()) {
        return Ok(());
    }
    if methods.is_empty() {
        return Err(Problem::missing("There is no such path. `/v1/openapi.json` describes all of them."));
    }
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", format!("Use {}.", methods.join(" or "))))
}

async fn read(desk: &Desk, body: Incoming) -> Result<Bytes, Problem> {
    let limited = Limited::new(body, desk.body_bytes_max).collect();
    match tokio::time::timeout(desk.body_time_max, limited).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The body is longer than `admin_body_bytes_max`.",
        )),
        Ok(Err(error)) => Err(Problem::bad(format!("The body could not be read: {error}."))),
        Err(_) => {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The body did not arrive in time."))
        }
    }
}

fn of_page(page: Page) -> Answer {
    let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::OK);
    let mut answer = plain(status, page.content_type, page.body);
    for (name, value) in page.headers {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

// A request that may be answered.
struct Asked<'a> {
    desk: &'a Desk,
    head: &'a http::request::Parts,
    body: &'a [u8],
}

impl Asked<'_> {
    fn query(&self, known: &[&str]) -> Result<Query, Problem> {
        Query::read(self.head.uri.query(), known)
    }

    async fn of_server(&self, target: &Target, names: &[&str]) -> Result<Answer, Problem> {
        match names {
            ["v1", "server"] => Ok(process::server(target).await),
            ["v1", "limits"] => Ok(process::limits(target).await),
            ["v1", "alarms"] => schedule::alarms(target, &self.query(&["limit", "after"])?).await,
            ["v1", "crons"] => Ok(schedule::crons(target)),
            ["v1", "clock"] if self.head.method == Method::POST => schedule::move_clock(self.body),
            ["v1", "clock"] => Ok(schedule::clock()),
            ["v1", "crons", name, "run"] => schedule::run(target, name).await,
            ["v1", "release"] => process::reload(target).await,
            ["v1", "upgrade"] => process::upgrade(target),
            ["v1", "rooms"] => rooms::list(target, &self.query(rooms::LIST_PARAMETERS)?).await,
            _ => Err(Problem::missing("There is no such path.")),
        }
    }

    async fn of_room(
        &self,
        target: &Target,
        parts: &impl Parts,
        key: &RoomKey,
        rest: &[&str],
    ) -> Result<Answer, Problem> {
        if key.party().is_empty() || key.id().is_empty() {
            return Err(Problem::bad("A room is named by a party and an id: /v1/rooms/PARTY/ROOM."));
        }
        match rest {
            [] => rooms::show(target, &self.desk.log, key, &self.query(&["connections"])?).await,
            ["hibernate"] => rooms::act(target, key, Act::Hibernate).await,
            ["evict"] => rooms::act(target, key, Act::Evict).await,
            ["reset"] => rooms::act(target, key, Act::Reset).await,
            ["broadcast"] => rooms::broadcast(target, key, self.body).await,
            ["connections", id] => rooms::close(target, key, id, &self.query(&["code", "reason"])?).await,
            ["alarm"] => {
                self.check_party(target, key)?;
                storage::alarm(target, key, self.body).await
            }
            ["export"] => room_file::export(target, key).await,
            ["import"] => {
                self.check_party(target, key)?;
                let query = self.query(&["keep"])?;
                room_file::import(target, &*parts.values().await?, key, &query, self.body).await
            }
            ["storage", rest @ ..] => self.of_storage(target, parts, key, rest).await,
            _ => Err(Problem::missing("There is no such path.")),
        }
    }

    async fn of_storage(
        &self,
        target: &Target,
        parts: &impl Parts,
        key: &RoomKey,
        rest: &[&str],
    ) -> Result<Answer, Problem> {
        let method = &self.head.method;
        match rest {
            [] if method == Method::DELETE => storage::clear(target, key).await,
            [] => {
                let query = self.query(storage::LIST_PARAMETERS)?;
                storage::list(target, &*parts.values().await?, key, &query).await
            }
            [name] if method == Method::PUT => {
                self.check_party(target, key)?;
                let values = parts.values().await?;
                storage::put(target, &values, key, name, &self.head.headers, self.body).await
            }
            [name] if method == Method::DELETE => {
                storage::delete(target, key, name, &self.head.headers).await
            }
            [name] => storage::get(target, &*parts.values().await?, key, name).await,
            _ => Err(Problem::missing("There is no such path.")),
        }
    }

    // Whether something may be written for a room of this name: its party must be one of the project's.
    fn check_party(&self, target: &Target, key: &RoomKey) -> Result<(), Problem> {
        if target.engine.parties().iter().any(|party| party.name == key.party()) {
            return Ok(());
        }
        Err(Problem::missing(format!("The project has no party `{}`.", key.party())))
    }
}

/// What is answered where more connect than may.
pub(crate) fn too_many() -> String {
    let text = json!({ "error": { "code": "connections", "message": "Too many connections (limit `admin_connections_max`)." } });
    let text = text.to_string();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// What a panic is answered with.
pub(crate) fn failed() -> Answer {
    let mut answer = json(&json!({ "error": { "code": "failed", "message": "This is a bug in partyrun." } }));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let mut found = BTreeSet::new();
        for (path, methods) in paths {
            for (method, operation) in
                methods.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
            {
                assert!(
                    operation["summary"].is_string() && operation["operationId"].is_string(),
                    "{method} {path}"
                );
                found.insert((method.to_uppercase(), path.clone()));
            }
        }
        let routes: BTreeSet<(String, String)> =
            ROUTES.iter().map(|(method, path)| ((*method).to_string(), (*path).to_string())).collect();
        assert_eq!(found, routes);
    }

    #[test]
    fn paths_and_methods_are_told_apart() {
        let check = |method: Method, path: &str| {
            let names = segments(path).unwrap();
            check_route(&method, &names.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert!(check(Method::GET, "/v1/rooms/main/a%2Fb").is_ok());
        assert_eq!(check(Method::GET, "/v2/rooms").unwrap_err().status, 404);
        let refused = check(Method::POST, "/v1/rooms/main/a/storage/k").unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.message.as_str()), (405, "Use GET or PUT or DELETE."));
    }
}
