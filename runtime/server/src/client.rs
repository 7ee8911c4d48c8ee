//! Who the client is (spec 1.8): the headers that the hosted platform set for every request.
//!
//! They come from the connection. Where the connection comes from a proxy that the operator trusts, they come from what
//! the proxy says: the nearest address in `x-forwarded-for` that is no trusted proxy, and `x-forwarded-proto`, which is
//! then the scheme of `request.url`, too. What anybody else says of itself is replaced.

use std::cell::RefCell;
use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderValue};
use partyrun_net::{Request, RequestUrl};

pub(crate) const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// An address, or all addresses that begin with the same bits: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Why a text of `--trusted-proxy` names no network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NetworkError {
    /// Not an IP address.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// The number after the slash is too large, or none.
    #[error("`{0}` must be a number of bits, at most {1}")]
    Bits(String, u32),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = IpAddr::from_str(address).map_err(|_| NetworkError::Address(address.to_string()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| NetworkError::Bits(bits.to_string(), most))?,
        };
        Ok(Self { address, bits })
    }
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other, most) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        // A shift by the whole width is all that is left when no bit counts.
        let rest = most - self.bits;
        rest >= 128 || own >> rest == other >> rest
    }
}

/// Whether an address is one of the proxies that are believed.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// Sets the headers that tell of the client, and answers its address.
pub(crate) fn tell(request: &mut Request, trusted: &[Network]) -> IpAddr {
    let peer = request.peer.ip().to_canonical();
    let is_trusted = |address: IpAddr| is_trusted(address, trusted);
    let by_proxy = is_trusted(peer);
    let client = if by_proxy { forwarded_client(&request.headers, peer, is_trusted) } else { peer };
    let scheme = by_proxy.then(|| forwarded_scheme(&request.headers)).flatten();
    if let Some(scheme) = scheme {
        rewrite_scheme(request, scheme);
    }
    let scheme = if request.url.as_str().starts_with("https:") { "https" } else { "http" };
    let headers = &mut request.headers;
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    let Some(address) = address_value(client) else { return client };
    headers.insert("cf-connecting-ip", address.clone());
    headers.insert("x-real-ip", address.clone());
    if !by_proxy || !headers.contains_key(FORWARDED_FOR) {
        headers.insert(FORWARDED_FOR, address);
    }
    client
}

// An address as a header's value. Most requests come from the same client as the one before.
fn address_value(address: IpAddr) -> Option<HeaderValue> {
    thread_local! {
        static LAST: RefCell<Option<(IpAddr, HeaderValue)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((known, value)) if *known == address => Some(value.clone()),
        _ => {
            let value = HeaderValue::from_str(&address.to_string()).ok()?;
            *last = Some((address, value.clone()));
            Some(value)
        }
    })
}

// Every proxy adds whom it was asked by at the end, so that the list can be believed from the end on.
fn forwarded_client(headers: &HeaderMap, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let lines: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    let mut client = peer;
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(address) = IpAddr::from_str(entry.trim()) else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

fn forwarded_scheme(headers: &HeaderMap) -> Option<&'static str> {
    let line = headers.get_all(FORWARDED_PROTO).iter().next_back()?.to_str().ok()?;
    let last = line.rsplit(',').next()?.trim();
    ["http", "https"].into_iter().find(|scheme| scheme.eq_ignore_ascii_case(last))
}

fn rewrite_scheme(request: &mut Request, scheme: &str) {
    let Some((_, rest)) = request.url.as_str().split_once("://") else { return };
    if let Some(url) = RequestUrl::parse(&format!("{scheme}://{rest}")) {
        request.url = url;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partyrun_net::Body;

    fn told(peer: &str, trusted: &[&str], lines: &[(&'static str, &str)]) -> (Vec<String>, String) {
        let mut request = Request {
            method: http::Method::GET,
            url: RequestUrl::parse("http://chat.example/party/a?x").unwrap(),
            headers: HeaderMap::new(),
            version: http::Version::HTTP_11,
            body: Body::Empty,
            peer: (IpAddr::from_str(peer).unwrap(), 1).into(),
            upgrade: None,
            client: None,
        };
        for (name, value) in lines {
            request.headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        tell(&mut request, &trusted);
        let names = ["cf-connecting-ip", "x-real-ip", FORWARDED_FOR, FORWARDED_PROTO];
        let values = names.map(|name| request.headers[name].to_str().unwrap().to_string());
        (values.to_vec(), request.url.as_str().to_string())
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let lines = [(FORWARDED_FOR, "6.6.6.6"), ("cf-connecting-ip", "6.6.6.6"), (FORWARDED_PROTO, "https")];
        let (headers, url) = told("9.9.9.9", &["10.0.0.0/8"], &lines);
        assert_eq!(headers, ["9.9.9.9", "9.9.9.9", "9.9.9.9", "http"]);
        assert_eq!(url, "http://chat.example/party/a?x");
    }

    #[test]
    fn a_trusted_proxy_tells_of_its_client() {
        let lines =
            [(FORWARDED_FOR, "6.6.6.6, 1.2.3.4"), (FORWARDED_FOR, "10.1.1.1"), (FORWARDED_PROTO, "HTTPS")];
        let (headers, url) = told("10.0.0.1", &["10.0.0.0/8"], &lines);
        assert_eq!(headers, ["1.2.3.4", "1.2.3.4", "6.6.6.6, 1.2.3.4", "https"]);
        assert_eq!(url, "https://chat.example/party/a?x");
    }

    #[test]
    fn a_trusted_proxy_that_says_nothing_is_the_client() {
        let (headers, url) = told("::1", &["::1"], &[(FORWARDED_FOR, "no address")]);
        assert_eq!(headers, ["::1", "::1", "no address", "http"]);
        assert!(url.starts_with("http:"));
        assert_eq!(told("::ffff:127.0.0.1", &["127.0.0.1"], &[]).0[0], "127.0.0.1");
    }

    #[test]
    fn networks_are_read_and_compared() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(IpAddr::from_str(address).unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.200.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::2"));
        assert!(holds("::/0", "::2") && holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "fe80::1"));
        assert!(holds("1.2.3.4", "1.2.3.4") && !holds("1.2.3.4", "1.2.3.5"));
        assert_eq!("1.2.3".parse::<Network>(), Err(NetworkError::Address("1.2.3".into())));
        assert_eq!("1.2.3.4/33".parse::<Network>(), Err(NetworkError::Bits("33".into(), 32)));
        assert_eq!("::/x".parse::<Network>(), Err(NetworkError::Bits("x".into(), 128)));
    }
}
