//! Bodies between hyper and [`Body`]: collects small ones, streams large ones, and writes responses.
//!
//! A request body with a known small length is read before the handler is called, so most handlers never wait. [`carry`]
//! streams every other body: the connection's task polls it, and it fills a bounded channel, so the client cannot send
//! faster than the reader reads. Both stop at `body_bytes_max`, and when nothing arrives for `body_idle_max`.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use partyrun_limits::Total;

use super::state::{Phase, State, Verdict};
use crate::{Body, BodyError, BodyStream, BodyWriter, counted};

/// Pieces of a request body that may wait for its reader. Hyper's pieces are at most as long as its read buffer.
const PIECES_MAX: usize = 4;
/// Pieces from this length on are counted.
const COUNTED_FROM_BYTES: usize = 4096;
/// How often it is looked whether there is memory for more.
const FULL_LOOK_EVERY: Duration = Duration::from_millis(10);

/// A request body as it comes from the network.
pub(super) trait Pieces {
    /// Whether nothing of it comes any more.
    fn is_over(&self) -> bool;
    /// Its length, if the client said so.
    fn length(&self) -> Option<u64>;
    /// The next piece, which is not empty; none at the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;
}

impl Pieces for Incoming {
    fn is_over(&self) -> bool {
        self.is_end_stream()
    }

    fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match ready!(Pin::new(&mut *self).poll_frame(context)) {
                // Trailers are dropped: rooms have no way to see them.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    _ => {}
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(&error)))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Takes a request's body: small ones at once, others as a stream. An error is a length beyond the limit.
pub(super) async fn take<P: Pieces + 'static>(
    state: &Rc<State>,
    bodies: &Arc<Total>,
    incoming: P,
    eager_bytes_max: usize,
    bytes_max: usize,
) -> Result<Body, BodyError> {
    if incoming.is_over() {
        return Ok(Body::Empty);
    }
    let known = incoming.length();
    match known.map(|length| usize::try_from(length).unwrap_or(usize::MAX)) {
        Some(length) if length > bytes_max => Err(BodyError::TooLarge(bytes_max)),
        Some(length) if length <= eager_bytes_max => {
            state.enter(Phase::Body);
            collect(state, bodies, incoming, length).await.map(Body::Full)
        }
        _ => {
            let (writer, stream) = BodyStream::channel(PIECES_MAX, known);
            let carrying = carry(Rc::clone(state), Arc::clone(bodies), incoming, writer, bytes_max);
            *state.pump.borrow_mut() = Some(Box::pin(carrying));
            Ok(Body::Stream(stream))
        }
    }
}

/// Reads a whole body of known length.
async fn collect<P: Pieces>(
    state: &State,
    bodies: &Arc<Total>,
    mut incoming: P,
    length: usize,
) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = next(state, bodies, &mut incoming).await? {
        if piece.len() == length {
            return Ok(piece);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Carries a body into its channel until it ends, fails, or nobody reads it.
async fn carry<P: Pieces>(
    state: Rc<State>,
    bodies: Arc<Total>,
    mut incoming: P,
    writer: BodyWriter,
    bytes_max: usize,
) {
    let mut total = 0;
    loop {
        let piece = tokio::select! {
            biased;
            piece = next(&state, &bodies, &mut incoming) => piece,
            () = writer.closed() => return state.await_body(false),
        };
        let error = match piece {
            Ok(Some(piece)) => {
                total += piece.len();
                if total <= bytes_max {
                    match writer.write(piece).await {
                        Ok(()) => continue,
                        Err(_) => return,
                    }
                }
                state.judge(Verdict::BodyTooLarge);
                BodyError::TooLarge(bytes_max)
            }
            Ok(None) => {
                // A reader that has left does not need the end.
                let _gone = writer.finish().await;
                return;
            }
            Err(BodyError::Malformed) => {
                state.judge(Verdict::BodyMalformed);
                BodyError::Malformed
            }
            Err(error) => error,
        };
        return writer.fail(error).await;
    }
}

/// The next piece of a request body.
async fn next<P: Pieces>(
    state: &State,
    bodies: &Arc<Total>,
    incoming: &mut P,
) -> Result<Option<Bytes>, BodyError> {
    while bodies.is_full() {
        tokio::time::sleep(FULL_LOOK_EVERY).await;
    }
    state.await_body(true);
    let piece = std::future::poll_fn(|context| {
        if state.verdict() == Verdict::BodyIdle {
            return Poll::Ready(Err(BodyError::Idle));
        }
        incoming.poll_piece(context).map(Option::transpose)
    });
    let piece = piece.await;
    state.await_body(false);
    if let Ok(Some(piece)) = &piece {
        state.count_body(piece.len());
    }
    piece.map(|piece| piece.map(|bytes| count(bodies, bytes)))
}

// Short pieces are bounded by the number of connections.
fn count(bodies: &Arc<Total>, bytes: Bytes) -> Bytes {
    if bytes.len() < COUNTED_FROM_BYTES {
        return bytes;
    }
    let charge = bodies.charge(bytes.len());
    counted(bytes, charge)
}

/// Whether the client is gone, or what it sends is no body.
fn broken(error: &hyper::Error) -> BodyError {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    match cause.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData) => BodyError::Malformed,
        _ => BodyError::Gone,
    }
}

/// A response's body on its way out.
pub(super) enum OutBody {
    Empty,
    Full(Bytes),
    Stream(OutStream),
}

/// A streamed response, which keeps its connection in [`Phase::Response`] while it lasts.
pub(super) struct OutStream {
    pub(super) stream: BodyStream,
    pub(super) state: Rc<State>,
}

impl Drop for OutStream {
    fn drop(&mut self) {
        self.state.enter(Phase::Idle);
        // What ends the body may be still to be written.
        self.state.note_answer();
    }
}

impl HttpBody for OutBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(out) => out.stream.poll_next(context).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(out) => out.stream.length().map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}
