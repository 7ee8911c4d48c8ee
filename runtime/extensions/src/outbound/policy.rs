//! Which servers user code may reach: what `--outbound` says, and what it means for a host and its addresses.
//!
//! A host that the flag names is allowed wherever its name leads. Any other is judged by its addresses, after they have been
//! looked up. No rule for addresses has a port: deno_fetch asks for the addresses of a name without saying for which port.
//! For the same reason a name that stands in the list with a port is reached at that port only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use super::addresses::reserved_for;

/// What `--outbound` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// `None` allows everything.
    rules: Option<Rules>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    /// As it was written.
    text: String,
    public: bool,
    networks: Vec<IpNet>,
    hosts: Vec<HostRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostRule {
    host: Pattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(String),
    /// All names below this one.
    Below(String),
    Address(IpAddr),
}

/// Why user code may not reach a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// What is known before a host's addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The host is allowed, wherever its name leads.
    Granted,
    /// Its addresses decide.
    ByAddress,
}

/// The addresses that `localhost` means.
pub(super) const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl Outbound {
    /// Whether everything is allowed.
    pub fn is_any(&self) -> bool {
        self.rules.is_none()
    }

    /// Judges a host at a port as far as that can be done without its addresses; an address that stands for itself is judged.
    /// `own` has the ports of this server.
    pub(super) fn admit(&self, host: &str, port: u16, own: &[u16]) -> Result<Admission, Refused> {
        let Some(rules) = &self.rules else { return Ok(Admission::Granted) };
        let host = normal(host);
        let is_granted = |host: &str| rules.hosts.iter().any(|rule| rule.matches(host) && rule.allows(port));
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let is_local = is_localhost(&host);
        if is_granted(&host) || own.contains(&port) && (is_local || address.is_some_and(|a| a.is_loopback()))
        {
            return Ok(Admission::Granted);
        }
        if let Some(address) = address {
            let is_allowed = rules.allow(address);
            return if is_allowed {
                Ok(Admission::Granted)
            } else {
                Err(rules.refuse(&host, port, Some(address)))
            };
        }
        if is_local {
            let is_allowed = LOOPBACK.iter().any(|address| rules.allow(*address));
            let refused = || rules.refuse(&host, port, LOOPBACK.first().copied());
            return if is_allowed { Ok(Admission::ByAddress) } else { Err(refused()) };
        }
        if rules.hosts.iter().any(|rule| rule.matches(&host)) || !rules.public && rules.networks.is_empty() {
            return Err(rules.refuse(&host, port, None));
        }
        Ok(Admission::ByAddress)
    }

    /// Whether the list names a host, at whichever port.
    pub(super) fn names(&self, host: &str) -> bool {
        let host = normal(host);
        self.rules.as_ref().is_none_or(|rules| rules.hosts.iter().any(|rule| rule.matches(&host)))
    }

    /// Keeps those addresses of a host that may be reached. An error says what one of the others is.
    pub(super) fn keep<T>(
        &self,
        host: &str,
        port: u16,
        found: Vec<T>,
        address_of: impl Fn(&T) -> IpAddr,
    ) -> Result<Vec<T>, Refused> {
        let Some(rules) = &self.rules else { return Ok(found) };
        let first = found.first().map(&address_of);
        let kept: Vec<T> = found.into_iter().filter(|one| rules.allow(address_of(one))).collect();
        if kept.is_empty() && first.is_some() {
            return Err(rules.refuse(&normal(host), port, first));
        }
        Ok(kept)
    }

    /// The error for a host that is reached for one purpose only.
    pub(super) fn refuse(&self, host: &str, port: u16, why: &str) -> Refused {
        let text = self.rules.as_ref().map_or("any", |rules| &rules.text);
        Refused {
            text: format!(
                "{}, which `--outbound {text}` does not allow user code to reach",
                at(host, port, why)
            ),
        }
    }
}

fn at(host: &str, port: u16, what: &str) -> String {
    // deno_fetch doesn't say which port a name is looked up for.
    if port == 0 { format!("{host} {what}") } else { format!("{} {what}", joined(host, port)) }
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Rules {
    fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
            || self.public && reserved_for(address).is_none()
    }

    fn refuse(&self, host: &str, port: u16, address: Option<IpAddr>) -> Refused {
        let address = address.map(|address| address.to_canonical());
        let is_literal =
            address.is_some_and(|address| host.parse::<IpAddr>().is_ok_and(|own| own == address));
        let kind = address.map(|address| reserved_for(address).unwrap_or("an address"));
        let what = match (address, kind) {
            (Some(_), Some(kind)) if is_literal => format!("is {kind}"),
            (Some(address), Some(kind)) => format!("leads to {address}, {kind}"),
            _ => "is a server".to_string(),
        };
        let wanted = if port == 0 { host.to_string() } else { joined(host, port) };
        Refused {
            text: format!(
                "{} that `--outbound {}` does not allow. To allow it, add `{wanted}` to that list.",
                at(host, port, &what),
                self.text
            ),
        }
    }
}

impl HostRule {
    fn matches(&self, host: &str) -> bool {
        match &self.host {
            Pattern::Name(name) => host == name,
            Pattern::Below(name) => host
                .strip_suffix(name.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            Pattern::Address(address) => {
                host.parse::<IpAddr>().is_ok_and(|own| own.to_canonical() == *address)
            }
        }
    }

    fn allows(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A host as it is compared: in lower case, without the brackets of an IPv6 address and the full stop of the root.
pub(super) fn normal(host: &str) -> String {
    let host = unbracketed(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether a name means this machine (RFC 6761, 6.3).
pub(super) fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

impl FromStr for Outbound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self::default());
        }
        let mut rules = Rules { text: text.to_string(), ..Rules::default() };
        for item in text.split(',').map(str::trim) {
            match item.to_ascii_lowercase().as_str() {
                "public" => rules.public = true,
                "any" | "*" => return Err("`any` allows everything, so it stands alone".to_string()),
                _ if item.contains("://") => {
                    return Err(format!("`{item}` is a URL: write its host, or HOST:PORT"));
                }
                _ if item.contains('/') => rules.networks.push(network(item)?),
                _ => rules.hosts.push(host_rule(item)?),
            }
        }
        Ok(Self { rules: Some(rules) })
    }
}

fn network(item: &str) -> Result<IpNet, String> {
    let network: IpNet = item
        .parse()
        .map_err(|_| format!("`{item}` is not a network: write ADDRESS/BITS, for example 10.0.0.0/8"))?;
    Ok(network.trunc())
}

fn host_rule(item: &str) -> Result<HostRule, String> {
    let wrong = |why: &str| Err(format!("`{item}` {why}"));
    // An IPv6 address without brackets has no port.
    if let Ok(address) = item.parse::<IpAddr>() {
        return Ok(HostRule { host: Pattern::Address(address.to_canonical()), port: None });
    }
    let (host, port) = match item.rsplit_once(':') {
        Some((host, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => (host, Some(port)),
            _ => return wrong("has no port after its colon that is a number from 1 to 65535"),
        },
        None => (item, None),
    };
    if host.starts_with('[') || host.ends_with(']') {
        return match unbracketed(host).parse::<IpAddr>() {
            Ok(address) => Ok(HostRule { host: Pattern::Address(address.to_canonical()), port }),
            Err(_) => wrong("has brackets, but no IPv6 address in them"),
        };
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(HostRule { host: Pattern::Address(address.to_canonical()), port });
    }
    let (name, is_below) = match host.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (host, false),
    };
    if let Some(close) = near(name).filter(|_| port.is_none() && !is_below) {
        return wrong(&format!("is not `{close}`; if there is a host of that name, write `{name}:PORT`"));
    }
    // As a URL has it: in lower case, and in Punycode.
    match url_host(name) {
        Some(name) if is_below => Ok(HostRule { host: Pattern::Below(name), port }),
        Some(name) => Ok(HostRule { host: Pattern::Name(name), port }),
        None => wrong(
            "is neither `public` nor a host (`example.com`, `*.example.com`, `10.0.0.5:5432`) nor a network (`10.0.0.0/8`)",
        ),
    }
}

// A word of the flag with letters wrong: as a host, nobody has it.
fn near(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    if name == "all" {
        return Some("any");
    }
    let is_near = !name.contains('.') && strsim::damerau_levenshtein(&name, "public") <= 2;
    is_near.then_some("public")
}

fn url_host(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_plain = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_') || !c.is_ascii())
    };
    let name = Some(name).filter(|name| is_plain(name))?;
    idna::domain_to_ascii(name).ok().filter(|name| !name.starts_with('.') && !name.contains(".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[u16] = &[1999];

    fn list(text: &str) -> Outbound {
        text.parse().expect(text)
    }

    // Whether a host at a port is reached, if its name leads to these addresses.
    fn reaches(text: &str, host: &str, port: u16, addresses: &[&str]) -> bool {
        let outbound = list(text);
        let found: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect(address)).collect();
        match outbound.admit(host, port, OWN) {
            Err(_) => false,
            Ok(Admission::Granted) => true,
            Ok(Admission::ByAddress) => {
                outbound.keep(host, port, found, |one| *one).is_ok_and(|kept| !kept.is_empty())
            }
        }
    }

    #[test]
    fn any_is_everything() {
        assert!(list("any").is_any() && Outbound::default().is_any() && !list("public").is_any());
        assert!(reaches("any", "169.254.169.254", 80, &[]));
    }

    #[test]
    fn public_means_public_addresses_only() {
        assert!(reaches("public", "example.com", 443, &["1.2.3.4"]));
        assert!(reaches("public", "8.8.8.8", 53, &[]) && reaches("public", "[2606:4700::1]", 443, &[]));
        for literal in
            ["127.0.0.1", "10.0.0.1", "[::1]", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "fe80::1"]
        {
            assert!(!reaches("public", literal, 80, &[]), "{literal}");
        }
        for address in ["127.0.0.1", "::1", "10.1.1.1", "169.254.169.254", "64:ff9b::a00:1"] {
            assert!(!reaches("public", "evil.test", 80, &[address]), "{address}");
        }
        assert!(
            !reaches("public", "localhost", 80, &["127.0.0.1"])
                && !reaches("public", "a.LOCALHOST.", 80, &[])
        );
    }

    #[test]
    fn only_the_allowed_addresses_of_a_name_are_kept() {
        let found: Vec<IpAddr> =
            ["10.0.0.1", "1.2.3.4", "::1"].iter().map(|one| one.parse().unwrap()).collect();
        let kept = list("public").keep("a.test", 0, found, |one| *one).unwrap();
        assert_eq!(kept, ["1.2.3.4".parse::<IpAddr>().unwrap()]);
        assert!(list("public").keep("a.test", 0, Vec::<IpAddr>::new(), |one| *one).unwrap().is_empty());
    }

    #[test]
    fn this_server_is_reached_at_its_own_port() {
        for host in ["localhost", "127.0.0.1", "::1", "[::1]", "room.localhost"] {
            assert!(reaches("public", host, 1999, &["127.0.0.1"]), "{host}");
            assert!(!reaches("public", host, 2000, &["127.0.0.1"]), "{host}");
            assert!(reaches("example.com", host, 1999, &["127.0.0.1"]), "{host}");
        }
        assert!(!reaches("public", "evil.test", 1999, &["127.0.0.1"]));
    }

    #[test]
    fn hosts_are_allowed_wherever_they_lead() {
        let text = "db.internal:5432, *.corp.example, 10.0.0.5:6379, [fd00::1]:80, Bücher.example";
        assert!(reaches(text, "DB.internal.", 5432, &["10.0.0.1"]));
        assert!(
            !reaches(text, "db.internal", 80, &["10.0.0.1"]) && !reaches(text, "other.internal", 5432, &[])
        );
        assert!(reaches(text, "a.b.corp.example", 1, &["10.0.0.1"]));
        assert!(!reaches(text, "corp.example", 1, &[]) && !reaches(text, "evilcorp.example", 1, &[]));
        assert!(reaches(text, "10.0.0.5", 6379, &[]) && reaches(text, "::ffff:10.0.0.5", 6379, &[]));
        assert!(!reaches(text, "10.0.0.5", 80, &[]) && reaches(text, "[fd00::1]", 80, &[]));
        assert!(reaches(text, "xn--bcher-kva.example", 443, &[]));
        assert!(!reaches(text, "example.com", 443, &["1.2.3.4"]), "nothing is public here");
        // A name with a port is reached there only, even where its address would do: rebinding cannot widen it.
        assert!(!reaches("public,a.test:443", "a.test", 80, &["1.2.3.4"]));
    }

    #[test]
    fn networks_are_compared_with_addresses() {
        let text = "public,10.0.0.0/8,fd00::/8";
        assert!(reaches(text, "10.9.9.9", 1, &[]) && reaches(text, "a.test", 1, &["fd12::1"]));
        assert!(reaches(text, "::ffff:10.9.9.9", 1, &[]) && !reaches(text, "192.168.0.1", 1, &[]));
        assert!(reaches("127.0.0.0/8", "localhost", 5432, &["127.0.0.1", "::1"]));
        assert!(!reaches("10.0.0.0/8", "a.test", 1, &["1.2.3.4"]));
    }

    #[test]
    fn refusals_name_the_flag_and_what_to_add() {
        let refused = |text: &str, host: &str| list(text).admit(host, 80, OWN).unwrap_err().to_string();
        assert_eq!(
            refused("public", "127.0.0.1"),
            "127.0.0.1:80 is a loopback address that `--outbound public` does not allow. To allow it, add `127.0.0.1:80` \
             to that list."
        );
        assert!(
            refused("a.test", "b.test")
                .contains("b.test:80 is a server that `--outbound a.test` does not allow")
        );
        let found = vec!["10.0.0.1".parse::<IpAddr>().unwrap()];
        let text = list("public").keep("db.test", 5432, found, |one| *one).unwrap_err().to_string();
        assert!(
            text.starts_with("db.test:5432 leads to 10.0.0.1, a private address that `--outbound"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_list_is_refused_with_a_reason() {
        let wrong = [
            ("public,any", "stands alone"),
            ("http://example.com", "is a URL"),
            ("10.0.0.0/33", "is not a network"),
            ("a.test:http", "has no port"),
            ("a.test:0", "has no port"),
            ("[::1", "brackets"),
            ("publik", "is not `public`"),
            ("all", "is not `any`"),
            ("", "is neither"),
            ("a b", "is neither"),
            ("*", "stands alone"),
            ("a..b", "is neither"),
        ];
        for (text, why) in wrong {
            let error = text.parse::<Outbound>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
