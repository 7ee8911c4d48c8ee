//! Where the server listens: on all addresses of the machine, or on the one that `--host` names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What `--host` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// All addresses of the machine, of both families: clients that try `::1` first for `localhost` arrive as well.
    #[default]
    All,
    /// `localhost`, in both families.
    Localhost,
    /// One address.
    Address(IpAddr),
}

impl Host {
    /// The addresses to listen on. Of several it is enough that there is one on this machine.
    pub fn addresses(self) -> Vec<IpAddr> {
        match self {
            Self::All => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Self::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Self::Address(address) => vec![address],
        }
    }

    /// Whether clients of other machines are served at any of their addresses.
    pub fn is_unspecified(self) -> bool {
        match self {
            Self::All => true,
            Self::Localhost => false,
            Self::Address(address) => address.is_unspecified(),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Localhost);
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let address = bare.parse().map(Self::Address);
        address.map_err(|_| {
            "write an address of this machine, such as 127.0.0.1 or ::1, or localhost".to_string()
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all addresses"),
            Self::Localhost => formatter.write_str("localhost"),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Host;

    #[test]
    fn hosts_are_addresses_or_localhost() {
        assert_eq!("localhost".parse(), Ok(Host::Localhost));
        for (text, address) in
            [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), ("0.0.0.0", "0.0.0.0")]
        {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.addresses(), [address.parse::<std::net::IpAddr>().unwrap()], "{text}");
        }
        assert!("example.com".parse::<Host>().is_err() && "".parse::<Host>().is_err());
        assert_eq!(Host::default().addresses().len(), 2);
    }
}
