//! The name under which a client reached this server, for endpoints that are for this machine's own user.
//!
//! A web page can point its own name at any address (DNS rebinding, threat 17); the browser then sends that name. So
//! such endpoints answer only to IP addresses and `localhost`, and never to pages of other origins.

use std::net::IpAddr;

use http::{HeaderMap, header};

/// Whether `host`, the value of a `Host` field, is an address or the one name that always means this machine.
pub fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether a request comes from a program of the user, or from a page of this server itself.
pub fn is_own_request(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(host) = text(header::HOST).filter(|host| is_own_name(host)) else { return false };
    match text(header::ORIGIN) {
        None => true,
        Some(origin) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_refused() {
        for host in ["localhost", "LOCALHOST:9229", "127.0.0.1:9229", "[::1]:9229", "[::1]", "10.0.0.7"] {
            assert!(is_own_name(host), "{host}");
        }
        for host in
            ["evil.test", "evil.test:9229", "localhost.evil.test:9229", "127.0.0.1.evil.test", "", "[evil]:1"]
        {
            assert!(!is_own_name(host), "{host}");
        }
    }

    #[test]
    fn pages_of_others_are_refused() {
        let own = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, header::HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, header::HeaderValue::from_static(origin));
            }
            is_own_request(&headers)
        };
        assert!(own("localhost:1999", None));
        assert!(own("localhost:1999", Some("http://localhost:1999")));
        assert!(!own("localhost:1999", Some("http://localhost:3000")));
        assert!(!own("localhost:1999", Some("https://evil.test")));
        assert!(!own("localhost:1999", Some("null")));
        assert!(!own("evil.test:1999", None));
        assert!(!is_own_request(&HeaderMap::new()));
    }
}
