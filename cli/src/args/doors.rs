//! Flags of `start` that say where it listens, and how it secures that.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use partyrun_config::Host;

/// Where `start` listens, and how it secures that.
#[derive(Debug, Default, Args)]
pub(crate) struct DoorArgs {
    /// Where to listen in place of `--host` and `--port`: `ADDRESS:PORT`, `[V6]:PORT`, `unix:PATH` with `,mode=660` or another
    /// one, `systemd` for all sockets that it passes or `systemd:NAME` for one. Repeatable.
    #[arg(long = "listen", id = "listen-at", value_name = "WHERE", conflicts_with_all = ["host", "port"])]
    pub(crate) at: Vec<Place>,
    /// Take each client's address from the PROXY protocol (version 1 or 2), which every `--trusted-proxy` must then speak.
    #[arg(long, requires = "trusted_proxy")]
    pub(crate) proxy_protocol: bool,
    /// A certificate with its chain, in PEM form: serve https and wss, by default on port 443. Repeatable, each with its key.
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    pub(crate) tls_cert: Vec<PathBuf>,
    /// The private key of the certificate, in PEM form. Repeatable, in the order of the certificates.
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    pub(crate) tls_key: Vec<PathBuf>,
    /// Obtain and renew certificates from an authority (ACME), for each `--domain`; agrees to the authority's terms.
    #[arg(long, requires = "domain")]
    pub(crate) acme: bool,
    /// A name under which clients reach the server. Repeatable.
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "acme")]
    pub(crate) domain: Vec<String>,
    /// Where the authority reaches you.
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    pub(crate) acme_email: Option<String>,
    /// Another authority's directory [default: Let's Encrypt].
    #[arg(long, value_name = "URL", requires = "acme")]
    pub(crate) acme_directory: Option<String>,
    /// Certificates that the authority's own is signed by, in PEM form, if browsers don't trust it.
    #[arg(long, value_name = "PATH", requires = "acme")]
    pub(crate) acme_ca: Option<PathBuf>,
    /// The port of plain HTTP, which leads to https and answers authorities, or `off` [default: 80 if https is on port 443].
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<HttpPort>,
}

impl DoorArgs {
    /// Whether connections are secured.
    pub(crate) fn is_secured(&self) -> bool {
        self.acme || !self.tls_cert.is_empty()
    }
}

/// Whether plain HTTP is served beside https, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpPort {
    Off,
    At(u16),
}

impl FromStr for HttpPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::At).map_err(|_| "write a port, such as `80`, or `off`".to_string()),
        }
    }
}

/// One place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An address, or `localhost` in both families.
    Tcp(Host, u16),
    /// A path of this machine, and its permissions.
    Unix(PathBuf, u32),
    /// What systemd passes, all or one of a name.
    Systemd(Option<String>),
}

/// Who may connect where nobody says: the owner and the group, as for sockets of other servers.
const MODE: u32 = 0o660;

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let (path, mode) = match path.rsplit_once(",mode=") {
                None => (path, MODE),
                Some((path, mode)) => {
                    let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777);
                    (path, mode.ok_or("write the mode in octal, for example `unix:/run/chat.sock,mode=660`")?)
                }
            };
            return if path.is_empty() {
                Err("write a path, for example `unix:/run/chat.sock`".to_string())
            } else {
                Ok(Self::Unix(PathBuf::from(path), mode))
            };
        }
        match text.split_once(':') {
            None if text == "systemd" => return Ok(Self::Systemd(None)),
            Some(("systemd", name)) if !name.is_empty() => return Ok(Self::Systemd(Some(name.to_string()))),
            _ => {}
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Tcp(Host::Address(address.ip()), address.port()));
        }
        let parts = text.rsplit_once(':').filter(|(host, _)| host.eq_ignore_ascii_case("localhost"));
        match parts.and_then(|(_, port)| port.parse().ok()) {
            Some(port) => Ok(Self::Tcp(Host::Localhost, port)),
            None => {
                Err("write `ADDRESS:PORT`, such as `127.0.0.1:8080` or `[::]:8080`, `unix:PATH` or `systemd`"
                    .to_string())
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(Host::Address(address), port) => SocketAddr::new(*address, *port).fmt(formatter),
            Self::Tcp(host, port) => write!(formatter, "{host}:{port}"),
            Self::Unix(path, _) => write!(formatter, "unix:{}", path.display()),
            Self::Systemd(None) => formatter.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(formatter, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let read = |text: &str| text.parse::<Place>();
        let address = |text: &str| Host::Address(text.parse().unwrap());
        assert_eq!(read("127.0.0.1:80"), Ok(Place::Tcp(address("127.0.0.1"), 80)));
        assert_eq!(read("[::1]:80"), Ok(Place::Tcp(address("::1"), 80)));
        assert_eq!(read("localhost:0"), Ok(Place::Tcp(Host::Localhost, 0)));
        assert_eq!(read("unix:/run/a"), Ok(Place::Unix("/run/a".into(), 0o660)));
        assert_eq!(read("unix:a,mode=600"), Ok(Place::Unix("a".into(), 0o600)));
        assert_eq!(read("systemd"), Ok(Place::Systemd(None)));
        assert_eq!(read("systemd:web"), Ok(Place::Systemd(Some("web".to_string()))));
        for text in [
            "",
            "80",
            "example.com:80",
            "unix:",
            "unix:a,mode=9",
            "unix:a,mode=7777",
            "systemd:",
            "::1",
            "[::1]",
            "localhost:x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!("off".parse(), Ok(HttpPort::Off));
        assert_eq!("80".parse(), Ok(HttpPort::At(80)));
        assert!("no".parse::<HttpPort>().is_err());
    }
}
