//! Answers to web pages of other origins (the Fetch standard's CORS), where the configuration asks for them.
//!
//! Preflights are answered here, without a room. Other answers get the header fields that let a page read them, unless the
//! project has set `Access-Control-Allow-Origin` itself: then all of them are the project's matter.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};
use partyrun_net::{Body, Request, Response};

use crate::origins::{Origins, origin_of};

const METHODS: &str = "GET, HEAD, PUT, POST, DELETE, PATCH";

/// Which pages may read what is answered.
#[derive(Clone, Debug)]
pub struct Cors {
    /// All, if none are named.
    origins: Option<Origins>,
    methods: HeaderValue,
    /// Those that are asked for, if none are named.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

/// What [`Cors`] is made from, as the configuration has it.
#[derive(Clone, Debug, Default)]
pub struct CorsOptions {
    /// The origins that may read answers; none if all may.
    pub origins: Option<Vec<String>>,
    /// The methods that preflights allow; empty means the common ones.
    pub methods: Vec<String>,
    /// The request headers that preflights allow; empty means all that are asked for.
    pub headers: Vec<String>,
    /// The response headers that pages may read.
    pub expose_headers: Vec<String>,
    /// Whether pages may send cookies.
    pub credentials: bool,
    /// Seconds for which a preflight is remembered.
    pub max_age_seconds: Option<u64>,
}

/// What an answer must say to the page that asks for it.
pub(crate) enum Page {
    /// It may read the answer.
    May(HeaderValue),
    /// It may not, or no page asks.
    MayNot,
}

impl Cors {
    /// What is not a valid header is left out.
    pub fn new(options: &CorsOptions) -> Self {
        let list = |texts: &[String]| {
            let text = texts.join(", ");
            HeaderValue::from_str(&text).ok().filter(|_| !text.is_empty())
        };
        Self {
            origins: options.origins.as_deref().map(Origins::new),
            methods: list(&options.methods).unwrap_or(HeaderValue::from_static(METHODS)),
            headers: list(&options.headers),
            exposed: list(&options.expose_headers),
            credentials: options.credentials,
            max_age: options.max_age_seconds.map(HeaderValue::from),
        }
    }

    // Whether the same is said to all pages.
    fn is_open(&self) -> bool {
        self.origins.is_none() && !self.credentials
    }

    /// Looks at a request before it is answered.
    pub(crate) fn look(&self, headers: &HeaderMap) -> Page {
        if self.is_open() {
            return Page::May(HeaderValue::from_static("*"));
        }
        match origin_of(headers) {
            Ok(Some(origin))
                if self.origins.as_ref().is_none_or(|origins| origins.allow(origin, headers)) =>
            {
                Page::May(origin.clone())
            }
            _ => Page::MayNot,
        }
    }

    /// The answer to a preflight, if a request is one.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = &request.headers;
        let asks = request.method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = Response::new(204, Body::Empty);
        let page = self.look(headers);
        let is_allowed = matches!(page, Page::May(_));
        self.say(page, &mut response.headers);
        if is_allowed {
            let fields = &mut response.headers;
            fields.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
            if let Some(allowed) = self.headers.as_ref().or(asked) {
                fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
            }
            if self.headers.is_none() && asked.is_some() {
                fields.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
            }
            if let Some(seconds) = &self.max_age {
                fields.insert(ACCESS_CONTROL_MAX_AGE, seconds.clone());
            }
        }
        Some(response)
    }

    /// Lets a page read an answer, unless the project has said who may.
    pub(crate) fn finish(&self, page: Page, response: &mut Response) {
        let headers = &mut response.headers;
        if response.status == 101 || headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        let is_allowed = matches!(page, Page::May(_));
        self.say(page, headers);
        if let Some(exposed) = self.exposed.as_ref().filter(|_| is_allowed) {
            headers.entry(ACCESS_CONTROL_EXPOSE_HEADERS).or_insert_with(|| exposed.clone());
        }
    }

    fn say(&self, page: Page, headers: &mut HeaderMap) {
        if !self.is_open() {
            // A cache must not give one page what was said to another.
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Page::May(origin) = page else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partyrun_net::RequestUrl;

    fn request(method: Method, fields: &[(&'static str, &'static str)]) -> Request {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Request {
            method,
            url: RequestUrl::parse("http://chat.test/party/a").unwrap(),
            headers,
            version: http::Version::HTTP_11,
            body: Body::Empty,
            peer: ([127, 0, 0, 1], 1).into(),
            upgrade: None,
            client: None,
        }
    }

    fn fields(response: &Response) -> Vec<String> {
        let mut list: Vec<String> = response
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        list.sort();
        list
    }

    fn answered(
        cors: &Cors,
        fields_of: &[(&'static str, &'static str)],
        own: Option<&'static str>,
    ) -> Vec<String> {
        let mut response = Response::new(200, Body::Empty);
        if let Some(own) = own {
            response.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static(own));
        }
        cors.finish(cors.look(&request(Method::GET, fields_of).headers), &mut response);
        fields(&response)
    }

    #[test]
    fn everybody_may_read_unless_origins_are_named() {
        let cors = Cors::new(&CorsOptions::default());
        assert_eq!(
            answered(&cors, &[("origin", "https://a.test")], None),
            ["access-control-allow-origin: *"]
        );
        assert_eq!(answered(&cors, &[], None), ["access-control-allow-origin: *"]);
        let own = answered(&cors, &[("origin", "https://a.test")], Some("https://b.test"));
        assert_eq!(own, ["access-control-allow-origin: https://b.test"], "what the project says wins");
    }

    #[test]
    fn named_origins_are_told_their_own() {
        let options = CorsOptions {
            origins: Some(vec!["https://a.test".to_string()]),
            credentials: true,
            expose_headers: vec!["X-Total".to_string()],
            ..CorsOptions::default()
        };
        let cors = Cors::new(&options);
        let expected = [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://a.test",
            "access-control-expose-headers: X-Total",
            "vary: Origin",
        ];
        assert_eq!(answered(&cors, &[("origin", "https://a.test")], None), expected);
        assert_eq!(answered(&cors, &[("origin", "https://b.test")], None), ["vary: Origin"]);
        let two = [("origin", "https://a.test"), ("origin", "https://a.test")];
        assert_eq!(answered(&cors, &two, None), ["vary: Origin"]);
    }

    #[test]
    fn preflights_are_answered() {
        let ask = [
            ("origin", "https://a.test"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-one, x-two"),
        ];
        let cors = Cors::new(&CorsOptions { max_age_seconds: Some(600), ..CorsOptions::default() });
        let response = cors.preflight(&request(Method::OPTIONS, &ask)).unwrap();
        assert_eq!(response.status, 204);
        let expected = [
            "access-control-allow-headers: x-one, x-two",
            "access-control-allow-methods: GET, HEAD, PUT, POST, DELETE, PATCH",
            "access-control-allow-origin: *",
            "access-control-max-age: 600",
            "vary: Access-Control-Request-Headers",
        ];
        assert_eq!(fields(&response), expected);
        let named = CorsOptions {
            origins: Some(vec!["https://b.test".to_string()]),
            methods: vec!["GET".to_string()],
            headers: vec!["X-One".to_string()],
            ..CorsOptions::default()
        };
        let cors = Cors::new(&named);
        let refused = cors.preflight(&request(Method::OPTIONS, &ask)).unwrap();
        assert_eq!((refused.status, fields(&refused)), (204, vec!["vary: Origin".to_string()]));
        for other in [request(Method::OPTIONS, &ask[..1]), request(Method::GET, &ask)] {
            assert!(cors.preflight(&other).is_none());
        }
    }
}
