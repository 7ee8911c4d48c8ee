//! Which web pages may connect: origins as `allowedOrigins` and `cors` of the configuration name them.
//!
//! Only browsers send `Origin`, and always truly. A program of one's own, which sends none, or whatever it likes, is not kept
//! out by this: that is what tokens are for.

use http::{HeaderMap, HeaderValue, header};
use url::{Host, Url};

/// Origins that are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// That of the host that was asked.
    SameHost,
    Exact(String),
    /// The scheme, what follows the star, and the port.
    Below {
        scheme: String,
        domain: String,
        port: String,
    },
}

impl Origins {
    /// Those of a configuration, which has checked them.
    pub fn new<S: AsRef<str>>(texts: &[S]) -> Self {
        Self { rules: texts.iter().map(|text| Rule::new(text.as_ref())).collect() }
    }

    /// Whether a page of this origin may ask the host of `headers`.
    pub(crate) fn allow(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        self.rules.iter().any(|rule| rule.allows(origin, headers))
    }
}

impl Rule {
    fn new(text: &str) -> Self {
        let below = text.split_once("://*").filter(|(_, rest)| rest.starts_with('.'));
        match below {
            _ if text == "same-host" => Self::SameHost,
            None => Self::Exact(text.to_string()),
            Some((scheme, rest)) => {
                let (domain, port) = split_port(rest);
                Self::Below { scheme: scheme.to_string(), domain: domain.to_string(), port: port.to_string() }
            }
        }
    }

    fn allows(&self, origin: &str, headers: &HeaderMap) -> bool {
        match self {
            Self::Exact(own) => own == origin,
            Self::Below { scheme, domain, port } => origin.split_once("://").is_some_and(|(own, rest)| {
                let (host, own_port) = split_port(rest);
                let sub = host.strip_suffix(domain.as_str());
                own == scheme && own_port == port && sub.is_some_and(|sub| !sub.is_empty() && is_name(sub))
            }),
            Self::SameHost => is_same_host(origin, headers),
        }
    }
}

// The host, and the port with its colon.
fn split_port(authority: &str) -> (&str, &str) {
    match authority.rfind(':').filter(|_| !authority.ends_with(']')) {
        Some(colon) => authority.split_at(colon),
        None => (authority, ""),
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

// Whether a page comes from the host that was asked. The scheme is the page's: a proxy may have taken TLS away.
fn is_same_host(origin: &str, headers: &HeaderMap) -> bool {
    let Some((scheme, _)) =
        origin.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
    else {
        return false;
    };
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let place = |url: &str| -> Option<(Host<String>, u16)> {
        let url = Url::parse(url).ok()?;
        Some((url.host()?.to_owned(), url.port_or_known_default()?))
    };
    let own = place(&format!("{scheme}://{host}/"));
    own.is_some() && own == place(origin)
}

/// The origin of the page that asks: an error if a request has several, which no browser sends.
pub(crate) fn origin_of(headers: &HeaderMap) -> Result<Option<&HeaderValue>, &HeaderValue> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (first, None) => Ok(first),
        (_, Some(second)) => Err(second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rules: &[&str], origin: &str, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        Origins::new(rules).allow(&HeaderValue::from_str(origin).unwrap(), &headers)
    }

    #[test]
    fn origins_are_compared_whole() {
        let exact = |origin| allows(&["https://example.com", "http://localhost:3000"], origin, "x");
        assert!(exact("https://example.com") && exact("http://localhost:3000"));
        for other in [
            "http://example.com",
            "https://example.com:8443",
            "https://example.com.evil.test",
            "https://evil.test/https://example.com",
            "https://a.example.com",
            "http://localhost",
            "null",
            "",
        ] {
            assert!(!exact(other), "{other}");
        }
        assert!(!allows(&[], "https://example.com", "example.com"));
    }

    #[test]
    fn a_star_stands_for_subdomains() {
        let below = |origin| allows(&["https://*.example.com"], origin, "x");
        assert!(below("https://a.example.com") && below("https://a.b.example.com"));
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://evil.test/.example.com",
            "https://evil.test?.example.com",
            "https://user@evil.test:1.example.com",
            "https://a.example.com.evil.test",
        ] {
            assert!(!below(other), "{other}");
        }
        assert!(allows(&["http://*.test:3000"], "http://a.test:3000", "x"));
        assert!(!allows(&["http://*.test:3000"], "http://a.test", "x"));
    }

    #[test]
    fn the_own_host_is_known_behind_a_proxy_as_well() {
        let same = |origin, host| allows(&["same-host"], origin, host);
        assert!(
            same("https://chat.example", "chat.example") && same("http://localhost:1999", "localhost:1999")
        );
        assert!(
            same("https://chat.example", "chat.example:443") && same("https://chat.example", "CHAT.example")
        );
        assert!(same("http://[::1]:1999", "[::1]:1999"));
        for (origin, host) in [
            ("https://evil.test", "chat.example"),
            ("https://chat.example:8443", "chat.example"),
            ("http://localhost:3000", "localhost:1999"),
            ("https://chat.example.evil.test", "chat.example"),
            ("null", "chat.example"),
            ("file://", "chat.example"),
        ] {
            assert!(!same(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(origin_of(&headers), Ok(None));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://a.test"));
        assert!(origin_of(&headers).is_ok_and(|origin| origin.is_some()));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://b.test"));
        assert!(origin_of(&headers).is_err());
    }
}
