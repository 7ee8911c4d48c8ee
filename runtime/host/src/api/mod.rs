//! The host's API: JSON over HTTP at the host's own name, for whoever has a token.
//!
//! Every route is a row of [`ROUTES`] and of `openapi.json`. What a token may do is checked before anything is looked up, so
//! that a token of another project cannot even tell which projects exist. Every change is written into the audit log.

mod access;
mod deploy;
mod problem;
mod projects;
mod tail;
mod values;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::common::Common;
use crate::names::Address;
use crate::proxy::{Body, Client, text};
use crate::registry::Token;
use crate::secrets::token_hash;
use crate::site::Site;
use crate::sites::Sites;
use problem::Problem;

/// The description of the API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Every route: its method, and its path with names in braces.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/whoami"),
    ("GET", "/v1/projects"),
    ("GET", "/v1/projects/{project}"),
    ("DELETE", "/v1/projects/{project}"),
    ("POST", "/v1/projects/{project}/lacking"),
    ("POST", "/v1/projects/{project}/releases"),
    ("GET", "/v1/projects/{project}/releases"),
    ("POST", "/v1/projects/{project}/rollback"),
    ("POST", "/v1/projects/{project}/promote"),
    ("GET", "/v1/projects/{project}/domains"),
    ("PUT", "/v1/projects/{project}/domains/{domain}"),
    ("DELETE", "/v1/projects/{project}/domains/{domain}"),
    ("GET", "/v1/projects/{project}/env"),
    ("POST", "/v1/projects/{project}/env"),
    ("DELETE", "/v1/projects/{project}/env"),
    ("POST", "/v1/projects/{project}/env/{name}"),
    ("DELETE", "/v1/projects/{project}/env/{name}"),
    ("GET", "/v1/projects/{project}/tail"),
    ("GET", "/v1/projects/{project}/usage"),
    ("GET", "/v1/tokens"),
    ("POST", "/v1/tokens"),
    ("DELETE", "/v1/tokens/{id}"),
    ("GET", "/v1/audit"),
];

/// The API of a host.
pub(crate) struct Api {
    sites: Arc<Sites>,
    common: Arc<Common>,
    secure: bool,
    port: u16,
}

/// A request that may be answered.
struct Ask {
    token: Token,
    client: Client,
    method: Method,
    query: Vec<(String, String)>,
    request: Request<Incoming>,
}

impl Ask {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn is_set(&self, name: &str) -> bool {
        matches!(self.query(name), Some("" | "true" | "1"))
    }

    /// The body, as long as it is within its limit.
    async fn body(self, common: &Common) -> Result<Bytes, Problem> {
        let most = common.limits.host_body_bytes_max;
        let collecting = Limited::new(self.request.into_body(), most).collect();
        let collected = tokio::time::timeout(common.limits.request_time_max, collecting).await;
        let collected = collected.map_err(|_| Problem::bad("The body did not come in time."))?;
        let too_long = |_| {
            let limit = common.limits.cite("host_body_bytes_max");
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_long",
                format!("The body is too long ({limit})."),
            )
        };
        Ok(collected.map_err(too_long)?.to_bytes())
    }

    async fn json(self, common: &Common) -> Result<Value, Problem> {
        let body = self.body(common).await?;
        serde_json::from_slice(&body).map_err(|error| Problem::bad(format!("The body is no JSON: {error}.")))
    }
}

impl Api {
    /// The API of these projects.
    pub(crate) fn new(sites: Arc<Sites>, common: Arc<Common>, secure: bool, port: u16) -> Self {
        Self { sites, common, secure, port }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, client: Client, request: Request<Incoming>) -> Response<Body> {
        match self.try_answer(client, request).await {
            Ok(response) => response,
            Err(problem) => problem.response(),
        }
    }

    async fn try_answer(
        &self,
        client: Client,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let path = request.uri().path().to_string();
        if path == "/v1/openapi.json" {
            let mut response = Response::new(text(OPENAPI));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            return Ok(response);
        }
        let segments = segments(&path)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ["v1", segments @ ..] = segments.as_slice() else {
            return Err(Problem::missing(
                "This is a partyrun host. Its API is at /v1, and projects have names of their own.",
            ));
        };
        let token = self.token(&request).await?;
        let query = pairs(request.uri().query().unwrap_or_default())?;
        let ask = Ask { token, client, method: request.method().clone(), query, request };
        match segments {
            ["whoami"] => self.whoami(&ask),
            ["tokens", rest @ ..] => self.tokens(ask, rest).await,
            ["audit"] => self.audit(&ask).await,
            ["projects"] => self.list(&ask).await,
            ["projects", project, rest @ ..] => self.of_project(ask, project, rest).await,
            _ => Err(Problem::missing("There is no such path.")),
        }
    }

    async fn token(&self, request: &Request<Incoming>) -> Result<Token, Problem> {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let hash = token_hash(given.trim());
        let found = self.common.registry(move |registry| registry.token(&hash)).await?;
        found.ok_or_else(|| {
            let message = "The token is missing, unknown or withdrawn. Log in with `partyrun login`, or set PARTYKIT_TOKEN.";
            Problem::new(StatusCode::UNAUTHORIZED, "token", message)
        })
    }

    async fn of_project(&self, ask: Ask, project: &str, rest: &[&str]) -> Result<Response<Body>, Problem> {
        let address =
            Address::new(project, ask.query("preview")).map_err(|error| Problem::bad(format!("{error}.")))?;
        let changes = ask.method != Method::GET;
        let scope = &ask.token.scope;
        if !(scope.deploys(&address.project) || !changes && scope.reads(&address.project)) {
            let message = format!(
                "The token `{}` ({}) may not do this to `{}`.",
                ask.token.name,
                access::shown(scope),
                address.project
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "scope", message));
        }
        match (ask.method.as_str(), rest) {
            ("GET", []) => self.info(&ask, &self.site(&address)?).await,
            ("DELETE", []) => self.delete(&ask, &address).await,
            ("POST", ["lacking"]) => self.lacking(ask, &address).await,
            ("POST", ["releases"]) => self.deploy(ask, &address).await,
            ("GET", ["releases"]) => self.releases(&self.site(&address)?).await,
            ("POST", ["rollback"]) => self.rollback(ask, &self.site(&address)?).await,
            ("POST", ["promote"]) => self.promote(ask, &address).await,
            ("GET", ["domains"]) => Ok(json_answer(&json!(self.sites.domains(&self.site(&address)?)))),
            ("PUT", ["domains", domain]) => self.add_domain(&ask, &self.site(&address)?, domain).await,
            ("DELETE", ["domains", domain]) => self.remove_domain(&ask, &self.site(&address)?, domain).await,
            ("GET", ["env"]) => self.values(&ask, &self.site(&address)?).await,
            ("POST", ["env"]) => self.set_values(ask, &address).await,
            ("DELETE", ["env"]) => self.remove_values(&ask, &self.site(&address)?, None).await,
            ("POST", ["env", name]) => self.set_value(ask, &address, name).await,
            ("DELETE", ["env", name]) => self.remove_values(&ask, &self.site(&address)?, Some(name)).await,
            ("GET", ["tail"]) => self.tail(&ask, &self.site(&address)?),
            ("GET", ["usage"]) => self.usage(&self.site(&address)?).await,
            _ => Err(Problem::missing(
                "There is no such path, or it has no such method: see /v1/openapi.json.",
            )),
        }
    }

    fn site(&self, address: &Address) -> Result<Arc<Site>, Problem> {
        self.sites
            .get(address)
            .ok_or_else(|| Problem::missing(format!("There is no project `{address}` on this host.")))
    }

    /// The URL under which clients reach a project.
    fn url(&self, address: &Address) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", address.below(&self.common.domain), self.shown_port())
    }

    fn shown_port(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        if self.port == usual { String::new() } else { format!(":{}", self.port) }
    }

    async fn note(&self, ask: &Actor, action: &str, subject: &str, detail: &str) -> Result<(), Problem> {
        let (who, ip) = (ask.who.clone(), ask.ip.clone());
        let (action, subject, detail) = (action.to_string(), subject.to_string(), detail.to_string());
        self.common.registry(move |registry| registry.audit(&who, &ip, &action, &subject, &detail)).await?;
        Ok(())
    }
}

/// Who does something.
#[derive(Clone)]
struct Actor {
    who: String,
    ip: String,
}

impl Ask {
    fn actor(&self) -> Actor {
        Actor { who: self.token.name.clone(), ip: self.client.ip.to_string() }
    }
}

/// An answer that is JSON.
fn json_answer(value: &Value) -> Response<Body> {
    let mut response = Response::new(text(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

// The segments of a path, decoded.
fn segments(path: &str) -> Result<Vec<String>, Problem> {
    path.trim_start_matches('/').split('/').map(|segment| decoded(segment, false)).collect()
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name, true)?, decoded(value, true)?))
        })
        .collect()
}

fn decoded(text: &str, plus: bool) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
        match byte {
            b'%' => match (hex(rest.next()), hex(rest.next())) {
                (Some(high), Some(low)) => bytes.push(u8::try_from(high * 16 + low).unwrap_or_default()),
                _ => return Err(Problem::bad("The URL is not encoded as URLs are.")),
            },
            b'+' if plus => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::bad("The URL is not encoded as URLs are."))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut found = BTreeSet::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
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
    fn paths_are_decoded_once() {
        assert_eq!(segments("/v1/a%2Fb/%2e%2e").unwrap(), ["v1", "a/b", ".."]);
        assert!(segments("/v1/%").is_err() && segments("/v1/%ff").is_err());
        assert_eq!(pairs("a=b+c&d&e=%26").unwrap().len(), 3);
    }
}
