//! Listeners, with the options that every accepted connection inherits, and the two ends of a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Connections that wait in the kernel for being accepted.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel probes a connection; then the interval and the number of probes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(45))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);
/// Time that sent bytes may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(45);

/// The peer of a connection that came over a local socket: a program of this machine.
const LOCAL_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What is known of a connection's two ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    /// It is encrypted.
    pub(super) secured: bool,
}

impl Ends {
    /// The scheme in the URLs that rooms see.
    pub(super) fn scheme(&self) -> &'static str {
        if self.secured { "https" } else { "http" }
    }

    /// Takes a proxy's word about the client, and where that connected to.
    pub(super) fn heed(&mut self, told: Option<(SocketAddr, SocketAddr)>) {
        if let Some((peer, local)) = told {
            self.peer = peer;
            self.local = Some(local);
        }
    }
}

/// Where a front accepts connections: an address, or a path of this machine.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Never secured.
    pub(super) plain: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket: Socket::Tcp(socket), plain: false }
    }
}

/// What comes over a path comes from this machine, and is not secured.
impl From<UnixListener> for Listener {
    fn from(socket: UnixListener) -> Self {
        Self { socket: Socket::Unix(socket), plain: true }
    }
}

impl Listener {
    /// The same one, whose connections are not secured even where the front secures others.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Its address; an error where it is a path.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr(),
            Socket::Unix(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sets what connections inherit on Linux, which saves system calls for each of them.
    pub(super) fn prepare(&self) -> std::io::Result<()> {
        match &self.socket {
            Socket::Tcp(socket) => prepare(socket),
            Socket::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// For one thread of the front. It must be called on a reactor.
    pub(super) fn accepting(&self) -> std::io::Result<Accepting> {
        match &self.socket {
            Socket::Tcp(socket) => tokio::net::TcpListener::from_std(socket.try_clone()?).map(Accepting::Tcp),
            Socket::Unix(socket) => {
                tokio::net::UnixListener::from_std(socket.try_clone()?).map(Accepting::Unix)
            }
        }
    }
}

/// A listener on the reactor of a thread.
pub(super) enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    /// The next connection, and who is at its other end.
    pub(super) async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().await,
            Self::Unix(listener) => {
                let stream = OwnedFd::from(listener.accept().await?.0.into_std()?);
                // To the standard library any stream socket is one of TCP, and nobody behind the front asks it for addresses.
                Ok((TcpStream::from_std(stream.into())?, LOCAL_PEER))
            }
        }
    }
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

fn prepare(listener: &TcpListener) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
