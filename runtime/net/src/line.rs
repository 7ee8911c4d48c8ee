//! A client's connection, plain or secured, for whoever serves it: the front, or the thread of a room.
//!
//! A [`Session`] is the TLS half of a connection after its handshake. It moves with the connection from thread to thread, so
//! that a room's thread encrypts what it sends, without a copy through another task. Ciphertext is read into one
//! buffer per thread: an idle session holds its keys and one short buffer.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::TcpStream as StdTcpStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::server::TlsStream;

/// The buffer of a thread for what it reads of secured connections.
const CIPHERTEXT_BYTES: usize = 64 * 1024;
/// A read that brings no more leaves rustls no long buffer behind.
const SHORT_READ_BYTES: usize = 4096;

thread_local! {
    static CIPHERTEXT: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// What encrypts and decrypts one connection. Clones are the same session; one thread at a time uses it.
#[derive(Clone)]
pub struct Session(Arc<Mutex<Inner>>);

struct Inner {
    tls: ServerConnection,
    /// What was read and not decrypted, because nobody had room for more.
    ahead: Vec<u8>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

/// A connection as rustls writes to it.
struct Out<'stream>(&'stream TcpStream);

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What ciphertext is read from.
pub(crate) trait Source: AsyncRead + Unpin {
    /// The connection itself.
    fn tcp(&self) -> &TcpStream;
}

impl Source for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Source for OwnedReadHalf {
    fn tcp(&self) -> &TcpStream {
        self.as_ref()
    }
}

/// Has nothing to read for now.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _bytes: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Session {
    /// The session of a connection whose handshake is done. `unsent_bytes_max` bounds what waits for the kernel to take it.
    fn new(mut tls: ServerConnection, unsent_bytes_max: usize) -> Self {
        tls.set_buffer_limit(Some(unsent_bytes_max));
        Self(Arc::new(Mutex::new(Inner { tls, ahead: Vec::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the client said, as [`AsyncRead`] does. An end without a farewell is an end.
    pub(crate) fn poll_read(
        &self,
        source: &mut impl Source,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        let before = out.filled().len();
        loop {
            let ended = inner.decrypt_ahead(source.tcp(), out)?;
            if ended || out.filled().len() > before || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(inner.poll_read(source, context, out))?;
        }
    }

    /// Encrypts as much as it may hold, and writes as much of that as the kernel takes. `WouldBlock` says that
    /// something from before still waits.
    pub(crate) fn try_write(&self, stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.lock();
        inner.drain(stream)?;
        let taken = inner.tls.writer().write_vectored(slices)?;
        match inner.drain(stream) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Encrypts as much as it may hold, and leaves it to [`Session::try_flush`] to write that.
    pub(crate) fn encrypt(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.lock().tls.writer().write_vectored(slices)
    }

    /// Bounds what waits for the kernel to take it.
    pub(crate) fn bound(&self, unsent_bytes_max: usize) {
        self.lock().tls.set_buffer_limit(Some(unsent_bytes_max));
    }

    /// Writes what waits; `WouldBlock` says that the kernel does not take all of it.
    pub(crate) fn try_flush(&self, stream: &TcpStream) -> io::Result<()> {
        self.lock().drain(stream)
    }

    /// Whether something encrypted waits for the kernel.
    pub(crate) fn has_unsent(&self) -> bool {
        self.lock().tls.wants_write()
    }

    /// Says farewell, as far as the kernel takes it.
    pub(crate) fn say_farewell(&self, stream: &TcpStream) {
        let mut inner = self.lock();
        inner.tls.send_close_notify();
        // A connection that is broken already needs none.
        let _broken = inner.drain(stream);
    }
}

impl Inner {
    fn drain(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut Out(stream))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Gives what is decrypted, or can be without reading; true at the end of what the client says.
    fn decrypt_ahead(&mut self, stream: &TcpStream, out: &mut ReadBuf<'_>) -> io::Result<bool> {
        let ended = self.give(out)?;
        if ended || self.ahead.is_empty() {
            return Ok(ended);
        }
        let ahead = std::mem::take(&mut self.ahead);
        self.decrypt(stream, &ahead, out)?;
        Ok(false)
    }

    /// Reads once, and decrypts.
    fn poll_read(
        &mut self,
        source: &mut impl Source,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = CIPHERTEXT.take().unwrap_or_else(|| vec![0; CIPHERTEXT_BYTES].into_boxed_slice());
        // What nobody has room for would be copied.
        let most = out.remaining().max(SHORT_READ_BYTES);
        let mut read = ReadBuf::new(buffer.get_mut(..most.min(CIPHERTEXT_BYTES)).unwrap_or_default());
        // The stream knows by itself when the kernel has no more, without asking.
        let result = Pin::new(&mut *source).poll_read(context, &mut read).map(|read_once| {
            read_once?;
            match read.filled() {
                // The end, of which rustls must hear.
                [] => self.tls.read_tls(&mut io::empty()).map(|_| ()),
                ciphertext => self.decrypt(source.tcp(), ciphertext, out),
            }
        });
        CIPHERTEXT.set(Some(buffer));
        result
    }

    fn decrypt(&mut self, stream: &TcpStream, mut bytes: &[u8], out: &mut ReadBuf<'_>) -> io::Result<()> {
        let long = bytes.len() > SHORT_READ_BYTES;
        while !bytes.is_empty() {
            if out.remaining() == 0 {
                self.ahead = bytes.to_vec();
                break;
            }
            // Nothing more is read after the client's farewell.
            if self.tls.read_tls(&mut bytes)? == 0 {
                break;
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The client is told what is wrong, if it can still be told anything.
                let _broken = self.drain(stream);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if self.give(out)? {
                break;
            }
        }
        // An answer to the client's new keys; what the kernel does not take goes with the next write.
        match self.drain(stream) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        if long {
            // rustls shortens its buffer when it is to read and has nothing.
            let _nothing = self.tls.read_tls(&mut Nothing);
        }
        Ok(())
    }

    /// Gives what is decrypted; true at the end of what the client says.
    fn give(&mut self, out: &mut ReadBuf<'_>) -> io::Result<bool> {
        let mut reader = self.tls.reader();
        while out.remaining() > 0 {
            let length = match reader.fill_buf() {
                Ok([]) => return Ok(true),
                Ok(chunk) => {
                    let length = chunk.len().min(out.remaining());
                    out.put_slice(chunk.get(..length).unwrap_or_default());
                    length
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
                Err(error) => return Err(error),
            };
            reader.consume(length);
        }
        Ok(false)
    }
}

/// A connection on a reactor.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    pub(crate) session: Option<Session>,
}

impl Line {
    /// One after its handshake. What was decrypted already is its beginning.
    pub(crate) fn secured(stream: TlsStream<TcpStream>, unsent_bytes_max: usize) -> Self {
        let (stream, tls) = stream.into_inner();
        Self { stream, session: Some(Session::new(tls, unsent_bytes_max)) }
    }

    /// One that comes from another thread.
    pub(crate) fn from_std(stream: StdTcpStream, session: Option<Session>) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::from_std(stream)?, session })
    }

    /// Without a reactor.
    pub(crate) fn into_std(self) -> io::Result<(StdTcpStream, Option<Session>)> {
        Ok((self.stream.into_std()?, self.session))
    }

    fn poll_write_slices(
        &self,
        session: &Session,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match session.try_write(&self.stream, slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(context))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, session } = &mut *self;
        match session {
            None => Pin::new(stream).poll_read(context, out),
            Some(session) => session.poll_read(stream, context, out),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &self.session {
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
            Some(session) => self.poll_write_slices(session, context, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &self.session {
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
            Some(session) => self.poll_write_slices(session, context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(session) = &self.session else { return Poll::Ready(Ok(())) };
        loop {
            match session.try_flush(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(context))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        if let Some(session) = &self.session {
            session.say_farewell(&self.stream);
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    type Client = tokio_rustls::client::TlsStream<TcpStream>;

    // Both ends of a secured connection.
    async fn pair(unsent_bytes_max: usize) -> (Client, Line) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let (client, server) = tokio::join!(connector.connect(name, stream), acceptor.accept(accepted));
        (client.unwrap(), Line::secured(server.unwrap(), unsent_bytes_max))
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index * 31 % 251) as u8).collect()
    }

    #[tokio::test]
    async fn what_is_said_arrives_whole_both_ways_whatever_the_pieces() {
        for (unsent_bytes_max, piece) in [(1, 1000), (100, 7), (32 * 1024, 100_000)] {
            let (mut client, mut line) = pair(unsent_bytes_max).await;
            let (up, down) = (sample(300_000), sample(200_000));
            let speaking = async {
                client.write_all(&up).await.unwrap();
                let mut heard = vec![0; down.len()];
                client.read_exact(&mut heard).await.unwrap();
                client.shutdown().await.unwrap();
                let mut rest = Vec::new();
                client.read_to_end(&mut rest).await.unwrap();
                (heard, rest)
            };
            let answering = async {
                let mut heard = Vec::new();
                let mut buffer = vec![0; piece];
                while heard.len() < up.len() {
                    let length = line.read(&mut buffer).await.unwrap();
                    assert!(length > 0);
                    heard.extend_from_slice(&buffer[..length]);
                }
                line.write_all(&down).await.unwrap();
                line.flush().await.unwrap();
                assert!(!line.session.as_ref().unwrap().has_unsent());
                assert_eq!(line.read(&mut buffer).await.unwrap(), 0, "the client's farewell");
                line.shutdown().await.unwrap();
                heard
            };
            let ((heard, rest), answered) = tokio::join!(speaking, answering);
            assert!(heard == down && rest.is_empty() && answered == up);
        }
    }

    #[tokio::test]
    async fn a_connection_goes_on_elsewhere_in_the_middle_of_what_was_read() {
        let (mut client, mut line) = pair(1000).await;
        client.write_all(&sample(50_000)).await.unwrap();
        let mut heard = vec![0; 100];
        line.read_exact(&mut heard).await.unwrap();
        let (stream, session) = line.into_std().unwrap();
        let elsewhere = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut line = Line::from_std(stream, session).unwrap();
                let mut rest = vec![0; 49_900];
                line.read_exact(&mut rest).await.unwrap();
                line.write_all(b"done").await.unwrap();
                line.shutdown().await.unwrap();
                rest
            })
        });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        heard.extend(elsewhere.join().unwrap());
        assert!(heard == sample(50_000) && answer == b"done");
    }

    #[tokio::test]
    async fn nonsense_after_the_handshake_is_an_error_and_an_end_without_farewell_an_end() {
        let (client, mut line) = pair(1000).await;
        let (mut stream, _) = client.into_inner();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let error = line.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let (client, mut line) = pair(1000).await;
        let (mut stream, _tls) = client.into_inner();
        stream.shutdown().await.unwrap();
        assert_eq!(line.read(&mut [0; 10]).await.unwrap(), 0);
    }
}
