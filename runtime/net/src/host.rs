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
    is_under_own_name(headers) && !is_from_other_page(headers)
}

/// Whether a request was sent to an address, or to the one name that always means this machine.
pub fn is_under_own_name(headers: &HeaderMap) -> bool {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_own_name)
}

/// Whether a browser says that a page of another origin asks, or has made it ask. Of a link that was followed, or an image, it
/// says so in `Sec-Fetch-Site` only.
pub fn is_from_other_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let host = headers.get(header::HOST).map(|host| host.as_bytes()).unwrap_or_default();
    let is_own = |origin: &[u8]| origin.strip_suffix(host).is_some_and(|scheme| scheme.ends_with(b"://"));
    site.is_some_and(|site| site == b"cross-site" || site == b"same-site")
        || headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin.as_bytes()))
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

    #[test]
    fn what_a_page_makes_a_browser_ask_is_known() {
        let from = |site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, header::HeaderValue::from_static("localhost:1999"));
            headers.insert("sec-fetch-site", header::HeaderValue::from_static(site));
            is_from_other_page(&headers)
        };
        assert!(from("cross-site") && from("same-site"));
        assert!(!from("same-origin") && !from("none") && !is_from_other_page(&HeaderMap::new()));
    }
}
