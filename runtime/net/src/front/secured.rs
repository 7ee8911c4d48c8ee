//! TLS in front of a connection.
//!
//! After the handshake, a task copies bytes between the TLS stream and one end of a local socket pair. The other end is
//! served like any accepted connection, including its hand-over as a WebSocket. So nothing behind the front knows about
//! TLS, and plain connections don't pay for it. HTTP/2 is spoken on the TLS stream itself (`streams.rs`). A client that speaks plain HTTP gets a response that says so.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::rc::Rc;

use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{self, Arrival};
use super::linger::{LINGER_TIME, linger};
use super::streams::{self, Arrived, Carrier};
use super::tls::{HTTP_2, Tls};
use super::trunk::{Handler, Shared};
use super::way::{Side, Way};

/// Serves one connection, and carries its bytes to its end.
pub(super) async fn serve<H: Handler>(shared: Rc<Shared<H>>, identity: Tls, arrival: Arrival) {
    let Arrival { stream, read, ends, place, front, .. } = arrival;
    let shaking = timeout(shared.trunk.limits.header_time_max, shake_hands(identity, stream));
    let Ok(Some(secured)) = shaking.await else { return };
    if secured.get_ref().1.alpn_protocol() == Some(HTTP_2) {
        let carrier = Carrier::Secured(Box::new(secured));
        return streams::serve(shared, Arrived { carrier, read, ends, place, front }).await;
    }
    let Ok((inside, outside)) = pair() else { return };
    shared.roster.enter();
    // Its bytes come from this thread in any case: with a worker it would have a hop as well.
    let way = Way::new(Side::Fixed);
    let inside = Arrival { stream: inside, read, ends, place, way, front, seated: None };
    let serving = connection::serve(Rc::clone(&shared), inside);
    tokio::join!(serving, carry(secured, outside));
    shared.roster.leave();
}

/// The handshake; none if the client cannot, or does not want to, make it.
async fn shake_hands(identity: Tls, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    let length = stream.peek(&mut first).await.ok()?;
    // A method's name, where TLS begins with the number of a record.
    if length == 1 && first[0].is_ascii_uppercase() {
        refuse(stream).await;
        return None;
    }
    TlsAcceptor::from(identity.0).accept(stream).await.ok()
}

/// Answers a plain request.
async fn refuse(mut stream: TcpStream) {
    const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
        content-length: 47\r\n\r\nThis server speaks https: use an https:// URL.\n";
    // Whoever cannot even take this finds the connection closed.
    let _written = stream.write_all(PLAIN).await;
    linger(stream).await;
}

/// Two joined sockets. The first goes where connections go: to the standard library any stream socket is a
/// `TcpStream`, and nobody behind the front asks it for addresses or options.
fn pair() -> std::io::Result<(TcpStream, UnixStream)> {
    let (inside, outside) = StdUnixStream::pair()?;
    inside.set_nonblocking(true)?;
    outside.set_nonblocking(true)?;
    let inside = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(inside)))?;
    Ok((inside, UnixStream::from_std(outside)?))
}

/// Carries bytes both ways until the server is done; each side hears of the other's end.
async fn carry(secured: TlsStream<TcpStream>, outside: UnixStream) {
    let (mut from_client, mut to_client) = split(secured);
    let (mut from_server, mut to_server) = outside.into_split();
    let mut up = pin!(async {
        // However the client ends, the server learns that nothing more comes.
        let _broken = copy(&mut from_client, &mut to_server).await;
        let _gone = to_server.shutdown().await;
    });
    let mut down = pin!(async {
        let _broken = copy(&mut from_server, &mut to_client).await;
        // A connection that is broken already needs no farewell.
        let _gone = to_client.shutdown().await;
    });
    tokio::select! {
        () = &mut up => down.await,
        // Whoever goes on sending after that is cut off.
        () = &mut down => drop(timeout(LINGER_TIME, up).await),
    }
}
