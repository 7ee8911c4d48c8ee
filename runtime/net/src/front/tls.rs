//! TLS in front of a connection.
//!
//! After the handshake, a task copies bytes between the TLS stream and one end of a local socket pair. The other end is
//! served like any accepted connection, including its hand-over as a WebSocket. So nothing behind the front knows about
//! TLS, and plain connections don't pay for it. A client that speaks plain HTTP gets a response that says so.

use std::iter;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::connection::{self, Arrival, LINGER_TIME};
use super::way::{Side, Way};
use super::{Handler, Shared};

/// The certificate and key with which a front secures its connections.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ServerConfig>);

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The text of the certificates is not PEM, or there is none in it.
    #[error("the certificate cannot be read: {0}")]
    Certificate(pem::Error),
    /// The text of the key is not PEM, or there is none in it.
    #[error("the key cannot be read: {0}")]
    Key(pem::Error),
    /// Certificate and key are no pair, or of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(rustls::Error),
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM form.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Whether a client that trusts the first certificate of this PEM text, and nothing else, accepts it under that name
    /// and under all of these addresses at all of these times.
    pub fn names(
        certificate: &[u8],
        name: &str,
        addresses: impl Iterator<Item = IpAddr>,
        times: &[SystemTime],
    ) -> bool {
        let Ok(certificate) = CertificateDer::from_pem_slice(certificate) else { return false };
        let mut roots = RootCertStore::empty();
        if roots.add(certificate.clone()).is_err() {
            return false;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from(name)) else { return false };
        let accepts = |name: &ServerName<'_>, time: &SystemTime| {
            let time = time.duration_since(SystemTime::UNIX_EPOCH).map(UnixTime::since_unix_epoch);
            time.is_ok_and(|time| verifier.verify_server_cert(&certificate, &[], name, &[], time).is_ok())
        };
        let mut names = iter::once(name).chain(addresses.map(ServerName::from));
        names.all(|name| times.iter().all(|time| accepts(&name, time)))
    }
}

/// Serves one connection, and carries its bytes to its end.
pub(super) async fn serve<H: Handler>(shared: Rc<Shared<H>>, identity: Tls, arrival: Arrival) {
    let Arrival { stream, read, ends, place, front, .. } = arrival;
    let shaking = timeout(shared.trunk.limits.header_time_max, shake_hands(identity, stream));
    let Ok(Some(secured)) = shaking.await else { return };
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
    connection::linger(stream).await;
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
