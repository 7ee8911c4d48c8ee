//! The listener of plain HTTP beside one that is secured: it leads clients to that, and answers authorities (HTTP-01).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, header};
use partyrun_net::{Handler, Request, Response};

/// Where authorities look (RFC 8555, 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";
const HTTPS: u16 = 443;

/// What authorities are to find, by the token that they ask for.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<Mutex<HashMap<String, String>>>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, token: &str, proof: &str) {
        self.lock().insert(token.to_string(), proof.to_string());
    }

    pub(crate) fn remove(&self, token: &str) {
        self.lock().remove(token);
    }

    fn proof(&self, token: &str) -> Option<String> {
        self.lock().get(token).cloned()
    }
}

/// Answers plain requests: the challenges of an authority, and for everything else the way to https.
#[derive(Debug)]
pub struct PlainDoor {
    /// The port of the secured listener, as clients see it.
    pub port: u16,
    /// What authorities look for.
    pub tokens: Tokens,
}

impl PlainDoor {
    fn answer(&self, request: &Request) -> Response {
        if let Some(token) = request.path().strip_prefix(CHALLENGES) {
            return match self.tokens.proof(token) {
                Some(proof) => Response::text(200, proof),
                None => Response::text(404, "No challenge of this token is in progress."),
            };
        }
        match self.secured(request).and_then(|url| HeaderValue::try_from(url).ok()) {
            Some(url) => {
                let mut response = Response::text(308, "This server speaks https.");
                response.headers.insert(header::LOCATION, url);
                response
            }
            None => Response::text(400, "This server speaks https: use an https:// URL."),
        }
    }

    // The URL with the other scheme and port.
    fn secured(&self, request: &Request) -> Option<String> {
        let origin = request.url.origin();
        let (_, authority) = origin.split_once("://")?;
        // What follows a bracket belongs to no IPv6 address.
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let rest = request.url.as_str().strip_prefix(origin)?;
        Some(match self.port {
            HTTPS => format!("https://{host}{rest}"),
            port => format!("https://{host}:{port}{rest}"),
        })
    }
}

impl Handler for PlainDoor {
    async fn call(&self, request: Request) -> Response {
        self.answer(&request)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Version};
    use partyrun_net::{Body, RequestUrl};

    use super::*;

    fn answer(door: &PlainDoor, url: &str) -> (u16, String) {
        let response = door.answer(&Request {
            method: Method::GET,
            url: RequestUrl::parse(url).unwrap(),
            headers: HeaderMap::new(),
            version: Version::HTTP_11,
            body: Body::Empty,
            peer: "192.0.2.1:9".parse().unwrap(),
            upgrade: None,
            client: None,
        });
        let location = response.headers.get(header::LOCATION).map(|url| url.to_str().unwrap().to_string());
        let text = || match &response.body {
            Body::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => String::new(),
        };
        (response.status, location.unwrap_or_else(text))
    }

    #[test]
    fn clients_are_led_to_https_and_authorities_find_their_tokens() {
        let door = PlainDoor { port: 443, tokens: Tokens::default() };
        let led = |url: &str| answer(&door, url);
        assert_eq!(led("http://a.example/b?c=d"), (308, "https://a.example/b?c=d".to_string()));
        assert_eq!(led("http://a.example:8080/"), (308, "https://a.example/".to_string()));
        assert_eq!(led("http://[::1]/x"), (308, "https://[::1]/x".to_string()));
        assert_eq!(led("http://[::1]:80/x"), (308, "https://[::1]/x".to_string()));
        let other = PlainDoor { port: 8443, tokens: door.tokens.clone() };
        assert_eq!(answer(&other, "http://a:80/b"), (308, "https://a:8443/b".to_string()));
        let url = "http://a/.well-known/acme-challenge/token";
        assert_eq!(led(url).0, 404);
        door.tokens.put("token", "proof");
        assert_eq!(led(url), (200, "proof".to_string()));
        assert_eq!(led("http://a/.well-known/acme-challenge/toke").0, 404);
        door.tokens.remove("token");
        assert_eq!(led(url).0, 404);
    }
}
