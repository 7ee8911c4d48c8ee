//! Which addresses belong to the public internet, and what the others are for.
//!
//! After the registries of special-purpose addresses (RFC 6890 and its successors). An IPv6 address that carries an IPv4
//! address to a gateway is judged by that one. What is not known to be public is not public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The prefix of NAT64 (RFC 6052), whose last 32 bits are an IPv4 address.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
/// Where clouds tell their machines about themselves, credentials included.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What a not public address is, as the end of a sentence: `a loopback address`; none if it is public.
pub(super) fn reserved_for(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    if METADATA.contains(&address) {
        return Some("the metadata service of a cloud");
    }
    match address {
        IpAddr::V4(address) => reserved_v4(address),
        IpAddr::V6(address) => reserved_v6(address),
    }
}

fn reserved_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some("an unspecified address"),
        (127, ..) => Some("a loopback address"),
        (169, 254, _) => Some("a link-local address"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("a private address"),
        (100, 64..=127, _) => Some("a provider's internal address"),
        (224..=239, ..) => Some("a multicast address"),
        // Protocols, documentation, benchmarks, the relays of 6to4, and what is reserved.
        (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113)
        | (240.., ..) => Some("a reserved address"),
        _ => None,
    }
}

fn reserved_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if let [a, b, c, d, e, f, high, low] = segments
        && [a, b, c, d, e, f] == NAT64
    {
        let ([g, h], [i, j]) = (high.to_be_bytes(), low.to_be_bytes());
        return reserved_v4(Ipv4Addr::new(g, h, i, j));
    }
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        // Unique local addresses, and the site-local ones of old.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some("a private address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // Protocols and Teredo, documentation, 6to4, documentation again.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => {
            Some("a reserved address")
        }
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserved(text: &str) -> Option<&'static str> {
        reserved_for(text.parse().expect(text))
    }

    #[test]
    fn public_addresses_are_public() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ];
        for address in public {
            assert_eq!(reserved(address), None, "{address}");
        }
    }

    #[test]
    fn what_is_reserved_is_known_in_every_spelling() {
        let kinds = [
            (
                "a loopback address",
                &["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"][..],
            ),
            ("an unspecified address", &["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "64:ff9b::"]),
            (
                "the metadata service of a cloud",
                &["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"],
            ),
            ("a link-local address", &["169.254.0.1", "fe80::1", "febf::1", "64:ff9b::169.254.169.254"]),
            (
                "a private address",
                &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1", "fec0::1"],
            ),
            ("a private address", &["::ffff:10.0.0.1", "64:ff9b::192.168.0.1"]),
            ("a provider's internal address", &["100.64.0.1", "100.127.255.255"]),
            ("a multicast address", &["224.0.0.1", "239.255.255.255", "ff02::1", "::ffff:224.0.0.1"]),
            (
                "a reserved address",
                &[
                    "192.0.0.8",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.18.0.1",
                    "198.51.100.1",
                    "203.0.113.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "2001::1",
                    "2001:db8::1",
                    "2002:7f00:1::",
                    "2002:808:808::",
                    "3fff::1",
                    "100::1",
                    "64:ff9b:1::1",
                    "::127.0.0.1",
                    "5f00::1",
                ],
            ),
        ];
        for (kind, addresses) in kinds {
            for address in addresses {
                assert_eq!(reserved(address), Some(kind), "{address}");
            }
        }
    }
}
