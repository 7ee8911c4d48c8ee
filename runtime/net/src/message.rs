//! HTTP messages as rooms see them, for the network and for calls from one room to another.
//!
//! The front makes a [`Request`] from what it read and writes the [`Response`] that it is given; a room that calls
//! another room makes and reads the same types without any network. Everything here is `Send`: a message is made on
//! one thread and used on another. A streamed body is a bounded channel, so a slow reader slows its writer down.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version};
use partyrun_coding::Coder;
use partyrun_limits::{Charge, Limits};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::clients::{Client, Excess};
use crate::upgrade::Upgrade;
use crate::url::RequestUrl;

/// A request, from the network or from another room.
#[derive(Debug)]
pub struct Request {
    /// The method; any token is allowed, not only those of the standard.
    pub method: Method,
    /// The absolute URL, normalized as the WHATWG URL standard does.
    pub url: RequestUrl,
    /// The header fields, hop-by-hop ones included: nothing may be concluded from those.
    pub headers: HeaderMap,
    /// The version of HTTP in which it came; HTTP/1.1 for a call from another room.
    pub version: Version,
    /// The body. Small ones of known length are already here.
    pub body: Body,
    /// The address of the peer; for a call from another room, that of the request which caused it.
    pub peer: SocketAddr,
    /// Present when the request is a valid WebSocket handshake.
    pub upgrade: Option<Upgrade>,
    /// Who asks, where clients have limits; none for a call from another room.
    pub client: Option<Client>,
}

impl Request {
    /// The path as it stands in the URL, percent escapes kept.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }
}

/// A response. The front adds `date`, `content-length` or `transfer-encoding`, and removes hop-by-hop fields.
#[derive(Debug)]
pub struct Response {
    /// 200 to 599, or 101 to accept the request's [`Upgrade`].
    pub status: u16,
    /// The reason phrase when it is not the usual one.
    pub reason: Option<String>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body; ignored where the status or the method allows none.
    pub body: Body,
    /// Whether the body is already in the coding that `Content-Encoding` names. Otherwise it is plain, and is packed when
    /// it leaves (see `negotiation.rs`).
    pub packed: bool,
}

impl Response {
    /// A response without header fields, whose body is not packed. `status` must be 101, or 200 to 599.
    pub fn new(status: u16, body: Body) -> Self {
        Self { status, reason: None, headers: HeaderMap::new(), body, packed: false }
    }

    /// A text response, in the form that the original gives to its own answers (spec 1.4).
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let mut response = Self::new(status, Body::Full(Bytes::from(text.into())));
        let plain = HeaderValue::from_static("text/plain;charset=UTF-8");
        response.headers.insert(http::header::CONTENT_TYPE, plain);
        response
    }

    /// The response to a client that asks for more than it may: 429 with `Retry-After`.
    pub fn too_many(excess: &Excess, limits: &Limits) -> Self {
        let mut response = Self::text(429, excess.text(limits));
        response.headers.insert(http::header::RETRY_AFTER, HeaderValue::from(excess.seconds()));
        response
    }

    /// The response that accepts a WebSocket handshake.
    pub fn switching_protocols() -> Self {
        Self::new(101, Body::Empty)
    }
}

/// The body of a message.
#[derive(Debug, Default)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// The whole body, in memory.
    Full(Bytes),
    /// A body that arrives in pieces. Dropping the stream ends the transfer.
    Stream(BodyStream),
}

impl Body {
    /// Reads the body to its end and adds it to `whole`, without a bound: for bodies that this process made. After an error,
    /// what came before it is there.
    pub async fn gather(self, whole: &mut Vec<u8>) -> Result<(), BodyError> {
        match self {
            Self::Empty => {}
            Self::Full(bytes) => whole.extend_from_slice(&bytes),
            Self::Stream(mut stream) => {
                while let Some(piece) = stream.next().await {
                    whole.extend_from_slice(&piece?);
                }
            }
        }
        Ok(())
    }
}

/// The same bytes, counted until nobody holds them any more.
pub fn counted(bytes: Bytes, charge: Charge) -> Bytes {
    struct Counted {
        bytes: Bytes,
        _charge: Charge,
    }
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Counted { bytes, _charge: charge })
}

/// Why a streamed body ended before its end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// The sender of the body is gone.
    #[error("the body's sender went away")]
    Gone,
    /// Nothing arrived for longer than `body_idle_max`.
    #[error("the body stopped arriving")]
    Idle,
    /// It is longer than `body_bytes_max`.
    #[error("the body is longer than {0} bytes (limit `body_bytes_max`)")]
    TooLarge(usize),
    /// The chunks of the body are malformed.
    #[error("the body is malformed")]
    Malformed,
    /// The sender says that making the body failed.
    #[error("{0}")]
    Failed(String),
}

/// The reading end of a streamed body. Dropping it tells the writer that nobody reads.
#[derive(Debug)]
pub struct BodyStream {
    receiver: mpsc::Receiver<Result<Bytes, BodyError>>,
    length: Option<u64>,
    ended: bool,
    /// What the pieces go through, and the part of a piece that has not gone through it yet.
    coder: Option<Box<Coder>>,
    rest: Bytes,
    /// Whether as much went through it as should without letting others have their turn.
    tired: bool,
    seat: Option<Charge>,
}

/// The writing end of a streamed body. The body is whole when [`BodyWriter::finish`] was called.
#[derive(Debug)]
pub struct BodyWriter {
    sender: mpsc::Sender<Result<Bytes, BodyError>>,
}

impl BodyStream {
    /// A body of which `pieces_max` pieces may wait. `length` is promised to the peer when it is known.
    pub fn channel(pieces_max: usize, length: Option<u64>) -> (BodyWriter, Self) {
        let (sender, receiver) = mpsc::channel(pieces_max.max(1));
        let stream = Self {
            receiver,
            length,
            ended: false,
            coder: None,
            rest: Bytes::new(),
            tired: false,
            seat: None,
        };
        (BodyWriter { sender }, stream)
    }

    /// A stream of one piece.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let (writer, stream) = Self::channel(2, None);
        for piece in [bytes, Bytes::new()] {
            // There is room for both.
            let _full = writer.sender.try_send(Ok(piece));
        }
        stream
    }

    /// The same stream in another coding, of unknown length. It keeps `seat` while it lasts.
    pub(crate) fn through(mut self, coder: Coder, seat: Option<Charge>) -> Self {
        self.coder = Some(Box::new(coder));
        self.length = None;
        self.seat = seat;
        self
    }

    /// A stream that fails where it is read.
    pub(crate) fn failing(error: &std::io::Error) -> Self {
        let (writer, stream) = Self::channel(1, None);
        // There is room for it.
        let _full = writer.sender.try_send(Err(coding_failed(error)));
        stream
    }

    /// The whole length when the sender promised one.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; `None` at the end of a whole body. A writer that vanished is [`BodyError::Gone`].
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// [`BodyStream::next`] for those who poll.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if std::mem::take(&mut self.tired) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while let Some(mut coder) = self.coder.take() {
            if self.rest.is_empty() {
                match self.poll_piece(context) {
                    Poll::Ready(Some(Ok(piece))) => self.rest = piece,
                    Poll::Ready(None) => match coder.finish() {
                        Ok(last) if last.is_empty() => return Poll::Ready(None),
                        last => return Poll::Ready(Some(last.map_err(|error| coding_failed(&error)))),
                    },
                    Poll::Ready(error) => return Poll::Ready(error),
                    Poll::Pending => {
                        self.coder = Some(coder);
                        return Poll::Pending;
                    }
                }
            }
            let part = self.rest.split_to(self.rest.len().min(Coder::PIECE_BYTES));
            match coder.push(&part, self.rest.is_empty()) {
                Ok(coded) => {
                    self.coder = Some(coder);
                    self.tired = part.len() == Coder::PIECE_BYTES;
                    if !coded.is_empty() {
                        return Poll::Ready(Some(Ok(coded)));
                    }
                    if std::mem::take(&mut self.tired) {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(coding_failed(&error))));
                }
            }
        }
        self.poll_piece(context)
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.receiver.poll_recv(context));
        // An empty piece is the writer's word that the body is whole: only so can its death be told from its end.
        match piece {
            Some(Ok(bytes)) if !bytes.is_empty() => Poll::Ready(Some(Ok(bytes))),
            Some(Ok(_)) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                self.ended = true;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.ended = true;
                Poll::Ready(Some(Err(BodyError::Gone)))
            }
        }
    }
}

fn coding_failed(error: &std::io::Error) -> BodyError {
    BodyError::Failed(format!("the body is not in the coding that its header names: {error}"))
}

impl BodyWriter {
    /// Adds a piece, waiting while too many are unread. An error means that nobody reads any more.
    pub async fn write(&self, piece: Bytes) -> Result<(), BodyError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.send(Ok(piece)).await.map_err(|_| BodyError::Gone)
    }

    /// Whether everything that was written has been read.
    pub fn is_read(&self) -> bool {
        self.sender.capacity() == self.sender.max_capacity()
    }

    /// Ends the body as a whole one; a writer that is only dropped ends it as broken. An error means that nobody reads
    /// any more.
    pub async fn finish(self) -> Result<(), BodyError> {
        self.sender.send(Ok(Bytes::new())).await.map_err(|_| BodyError::Gone)
    }

    /// Ends the body with an error, which the reader sees after what was written before.
    pub async fn fail(self, error: BodyError) {
        // A reader that is gone does not need to hear of it.
        let _gone = self.sender.send(Err(error)).await;
    }

    /// Waits until nobody reads any more.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_whole_only_when_finished() {
        let (writer, mut stream) = BodyStream::channel(4, None);
        writer.write(Bytes::from_static(b"a")).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(stream.next().await, None);
        assert_eq!(stream.next().await, None);

        let (writer, mut stream) = BodyStream::channel(4, None);
        drop(writer);
        assert_eq!(stream.next().await, Some(Err(BodyError::Gone)));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn the_writer_hears_of_a_reader_that_left() {
        let (writer, stream) = BodyStream::channel(1, None);
        drop(stream);
        writer.closed().await;
        assert_eq!(writer.write(Bytes::from_static(b"a")).await, Err(BodyError::Gone));
    }
}
