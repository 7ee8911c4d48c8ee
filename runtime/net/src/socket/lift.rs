//! Which connections another process can go on with: those that are nothing but a socket.

use std::net::TcpStream;
use std::os::fd::AsFd;

use socket2::{Domain, SockRef};

/// A second descriptor of a connection, if its other end is outside of this process.
pub(super) fn copy(stream: &tokio::net::TcpStream) -> Option<TcpStream> {
    let socket = SockRef::from(stream);
    match socket.domain().ok()? {
        Domain::IPV4 | Domain::IPV6 => {}
        // A pair that this process made has no name, where an accepted connection has that of its listener.
        Domain::UNIX if socket.local_addr().is_ok_and(|address| address.as_pathname().is_some()) => {}
        _ => return None,
    }
    stream.as_fd().try_clone_to_owned().ok().map(TcpStream::from)
}
