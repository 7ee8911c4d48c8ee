//! What comes before HTTP on a connection: a proxy's word about its client, and the TLS handshake.
//!
//! Both take as long as the peer wants, so that they have a time and a bound of their own (`handshake_time_max`,
//! `handshakes_max`). After the handshake the connection is served, and moves between threads, like any other: its
//! [`Line`] encrypts. A client that speaks plain HTTP where TLS is meant gets a response that says so.

use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::connection::{self, Arrival};
use super::linger::linger;
use super::proxied;
use super::streams::{self, Arrived};
use super::tls::{HTTP_2, Tls};
use super::trunk::{Handler, Shared};
use crate::line::Line;

/// What a new connection must do before it is served.
#[derive(Debug)]
pub(super) struct Threshold {
    /// A proxy says first whom it speaks for.
    pub(super) proxied: bool,
    pub(super) tls: Option<Tls>,
}

/// Serves one connection once it has done what comes before HTTP.
pub(super) async fn arrive<H: Handler>(shared: Rc<Shared<H>>, threshold: Threshold, arrival: Arrival) {
    let limits = &shared.trunk.limits;
    let crossing = cross(&shared, threshold, arrival);
    let Some(arrived) = shared.handshakes.bounded(limits, crossing).await else { return };
    match arrived {
        (arrival, false) => connection::serve(shared, arrival).await,
        (arrival, true) => {
            let Arrival { line, read, ends, place, front, .. } = arrival;
            streams::serve(shared, Arrived { line, read, ends, place, front }).await;
        }
    }
}

/// Crosses the threshold; true where the client speaks HTTP/2.
async fn cross<H: Handler>(
    shared: &Shared<H>,
    threshold: Threshold,
    mut arrival: Arrival,
) -> Option<(Arrival, bool)> {
    let limits = &shared.trunk.limits;
    let mut streams = false;
    if threshold.proxied {
        // Who was promised a header and gets none, or nonsense, cannot know where one would begin.
        let told = proxied::read(&mut arrival.line.stream, limits.proxy_header_bytes_max).await.ok()?;
        if told.is_some() {
            arrival.ends.heed(told);
            // A client that has as many connections as it may is told nothing here, as where TLS is spoken.
            arrival.place.hold_for(shared.hold(arrival.ends.peer.ip()).ok()?);
        }
    }
    if let Some(tls) = threshold.tls {
        let stream = shake_hands(tls, arrival.line).await?;
        if Tls::was_challenge(stream.get_ref().1.alpn_protocol()) {
            linger(Line::secured(stream, limits.tls_unsent_bytes_max)).await;
            return None;
        }
        streams = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        arrival.line = Line::secured(stream, limits.tls_unsent_bytes_max);
    }
    Some((arrival, streams))
}

/// The handshake; none if the client cannot, or does not want to, make it.
async fn shake_hands(tls: Tls, line: Line) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    let length = line.stream.peek(&mut first).await.ok()?;
    // A method's name, where TLS begins with the number of a record.
    if length == 1 && first[0].is_ascii_uppercase() {
        refuse(line).await;
        return None;
    }
    let Some(demand) = tls.demand else {
        return TlsAcceptor::from(tls.config).accept(line.stream).await.ok();
    };
    let begun = LazyConfigAcceptor::new(Acceptor::default(), line.stream).await.ok()?;
    let name = begun.client_hello().server_name().map(str::to_ascii_lowercase);
    if let Some(name) = name {
        demand(&name).await;
    }
    begun.into_stream(tls.config).await.ok()
}

/// Answers a plain request.
async fn refuse(mut line: Line) {
    const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
        content-length: 47\r\n\r\nThis server speaks https: use an https:// URL.\n";
    // Whoever cannot even take this finds the connection closed.
    let _written = line.write_all(PLAIN).await;
    linger(line).await;
}
