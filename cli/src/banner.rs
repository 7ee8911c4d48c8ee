//! The first lines of output: version, addresses of the server, how long the start took.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use partyrun_config::{Config, Host};

use crate::output::Output;

/// What the banner tells.
pub(crate) struct Banner<'a> {
    pub(crate) config: &'a Config,
    /// Where it listens, of the places that have a port.
    pub(crate) host: Host,
    /// 0 where none has.
    pub(crate) port: u16,
    /// How this machine's own clients reach it.
    pub(crate) url: &'a str,
    pub(crate) https: bool,
    pub(crate) begun: Instant,
    /// Where the administrative API is, with its token.
    pub(crate) admin: Option<String>,
    /// The file that is served in place of a folder.
    pub(crate) release: Option<&'a str>,
}

/// Prints it.
pub(crate) fn print(banner: &Banner<'_>, output: &Output) {
    let Banner { config, host, port, url: here, https, begun, admin, release } = banner;
    let folder = config.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = config.name.clone().or_else(|| release.map(str::to_owned)).or(folder).unwrap_or_default();
    output.headline(&format!("partyrun {}", env!("CARGO_PKG_VERSION")), &name);
    output.note(&format!("  local    {here}"));
    let is_open = *port != 0 && host.is_unspecified();
    if let Some(address) = is_open.then(lan_address).flatten() {
        output.note(&format!("  network  {}", url(*https, Host::Address(address), *port)));
    }
    if let Some(admin) = admin {
        output.note(&format!("  admin    {admin}"));
    }
    output.ready(*port, here);
    output.note(&format!("Ready on {here} in {} ms", begun.elapsed().as_millis()));
}

/// The address for this machine's own clients.
pub(crate) fn url(https: bool, host: Host, port: u16) -> String {
    let scheme = if https { "https" } else { "http" };
    let shown = match host {
        Host::Address(IpAddr::V6(host)) if !host.is_unspecified() => format!("[{host}]"),
        Host::Address(IpAddr::V4(host)) if !host.is_unspecified() => host.to_string(),
        Host::All | Host::Localhost | Host::Address(_) => "localhost".to_string(),
    };
    format!("{scheme}://{shown}:{port}")
}

// The address under which others reach this machine: that of the route to a documentation address (RFC 5737). A UDP
// socket that only connects sends nothing.
pub(crate) fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9))).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_can_be_clicked() {
        let shown = |host: &str| url(false, host.parse().unwrap(), 1999);
        assert_eq!(shown("0.0.0.0"), "http://localhost:1999");
        assert_eq!(shown("localhost"), "http://localhost:1999");
        assert_eq!(shown("::"), "http://localhost:1999");
        assert_eq!(shown("::1"), "http://[::1]:1999");
        assert_eq!(shown("127.0.0.1"), "http://127.0.0.1:1999");
        assert_eq!(url(true, Host::All, 2000), "https://localhost:2000");
    }
}
