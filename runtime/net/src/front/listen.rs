//! Listeners, with the options that every accepted connection inherits, and the two ends of a connection.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};

/// Connections that wait in the kernel for being accepted.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel probes a connection; then the interval and the number of probes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(45))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);
/// Time that sent bytes may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(45);

/// The addresses of a connection's two ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: Option<SocketAddr>,
}

/// Opens a listener with the options that all accepted connections inherit. `::` means IPv4 as well.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    listener(address, false)
}

/// As [`bind`], for an address's own family only: another listener has the other one, and peers keep their IPv4 addresses.
pub fn bind_family(address: SocketAddr) -> std::io::Result<TcpListener> {
    listener(address, address.is_ipv6())
}

fn listener(address: SocketAddr, only_v6: bool) -> std::io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets what connections inherit on Linux, which saves system calls for each of them.
pub(super) fn prepare(listener: &TcpListener) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
