//! Who may ask: whoever has the token, under a name of this machine, and no page of another origin.
//!
//! A web page can point a name of its own at any address (DNS rebinding, threat 17): the browser then sends that name as
//! `Host`, and the page's own origin. So both are checked before the token is. The token is compared in constant time.

use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use crate::answer::Problem;

/// What must be right about a request before anything of it is looked at.
#[derive(Debug)]
pub(crate) struct Guard {
    token: String,
    /// Names beside addresses and `localhost`, in lower case, without ports.
    names: Vec<String>,
}

impl Guard {
    /// Lets those pass who have `token` and ask for an address, `localhost` or one of `names`.
    pub(crate) fn new(token: String, names: &[String]) -> Self {
        Self { token, names: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request came under a name of this server, and from no page of another origin.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let text =
            |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = text(header::HOST).unwrap_or_default();
        if !partyrun_net::host::is_own_name(host) && !self.names.iter().any(|name| name == &name_of(host)) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host",
                "Use an IP address or `localhost` to reach this, or name the host with `--admin-host`.",
            ));
        }
        let own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
        match text(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if own(origin) => Ok(()),
            Some(_) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "origin",
                "Web pages of other origins cannot use the administrative API.",
            )),
        }
    }

    /// Whether a request bears the token.
    pub(crate) fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
        let is_bearer = given.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "));
        let token = if is_bearer { given.get(7..).unwrap_or_default() } else { b"" };
        // An empty token lets nobody in.
        if !self.token.is_empty() && bool::from(token.ct_eq(self.token.as_bytes())) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "token",
            "Send the token as `Authorization: Bearer TOKEN`. `dev` prints it; `start` takes it from \
             PARTYRUN_ADMIN_TOKEN or keeps it in `admin.token` in the data folder.",
        ))
    }
}

// A `Host` without its port, in lower case.
fn name_of(host: &str) -> String {
    host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_whole_token_passes() {
        let guard = Guard::new("secret".to_string(), &[]);
        let passes = |value: &'static str| guard.check_token(&headers(&[("authorization", value)])).is_ok();
        assert!(passes("Bearer secret") && passes("bearer secret"));
        for wrong in
            ["", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "secret", "Bearer  secret"]
        {
            assert!(!passes(wrong), "{wrong}");
        }
        assert!(guard.check_token(&HeaderMap::new()).is_err());
        assert!(
            Guard::new(String::new(), &[]).check_token(&headers(&[("authorization", "Bearer ")])).is_err()
        );
    }

    #[test]
    fn names_and_pages_of_others_are_refused() {
        let guard = Guard::new("t".to_string(), &["Admin.example.com".to_string()]);
        let passes = |pairs: &[(&'static str, &'static str)]| guard.check_origin(&headers(pairs)).is_ok();
        assert!(passes(&[("host", "127.0.0.1:1998")]) && passes(&[("host", "localhost")]));
        assert!(passes(&[("host", "admin.example.com:443"), ("origin", "https://admin.example.com:443")]));
        assert!(passes(&[("host", "localhost:1998"), ("origin", "http://localhost:1998")]));
        for wrong in [
            &[("host", "evil.test:1998")][..],
            &[],
            &[("host", "localhost:1998"), ("origin", "https://evil.test")],
            &[("host", "localhost:1998"), ("origin", "null")],
            &[("host", "localhost:1998"), ("origin", "http://localhost:3000")],
        ] {
            assert!(!passes(wrong), "{wrong:?}");
        }
    }
}
