//! One HTTP connection from its acceptance to its end, or until it is handed over as a WebSocket.
//!
//! Polls hyper, the streamed request body and the sweep's orders in one task. After a 101 the TCP stream leaves hyper
//! and its reactor through the upgrade's offer. Every other end is a lingering close: what the client still sends is
//! read for a moment, so that it can read an error response before a reset.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use partyrun_limits::Limits;
use tokio::net::TcpStream;

use super::io::Io;
use super::linger::linger;
use super::listen::Ends;
use super::seats::{Guest, Origin, Seated};
use super::service::{self, Connection};
use super::state::{Phase, State};
use super::streams::{self, Arrived};
use super::target;
use super::trunk::{FrontOptions, Handler, Shared};
use super::way::{Side, Way};
use crate::clients::Excess;
use crate::line::Line;
use crate::upgrade::Place;

/// Number of header fields up to which hyper parses without allocating.
const HEADER_COUNT_INLINE: usize = 100;
/// The least read buffer that hyper accepts.
const READ_BUFFER_MIN: usize = 8192;

/// How hyper's part ended.
#[derive(PartialEq, Eq)]
enum End {
    /// Both sides are done.
    Done,
    /// The client broke the rules, or the connection broke.
    Failed,
    /// The sweep closed it.
    Killed,
    /// It goes on on another thread.
    Moves,
    /// Another thread has it already.
    Taken,
    /// The client speaks HTTP/2.
    Streams,
}

/// Says 503 to a connection for which there is no place.
pub(super) fn refuse(stream: &TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // Whoever cannot even take this finds the connection closed.
    let _written = stream.try_write(BUSY);
}

/// Says 429 to a connection of a client that has as many as it may. Where TLS is spoken, nothing can be said.
pub(super) fn refuse_client(stream: &TcpStream, excess: &Excess, options: &FrontOptions) {
    if options.tls.is_none() {
        let seconds = excess.seconds();
        let head = format!(
            "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n"
        );
        // Whoever cannot even take this finds the connection closed.
        let _written = stream.try_write(head.as_bytes());
    }
}

/// A connection that comes to a thread.
pub(super) struct Arrival {
    pub(super) line: Line,
    /// What was read of it.
    pub(super) read: Bytes,
    pub(super) ends: Ends,
    pub(super) place: Place,
    pub(super) way: Way,
    /// The thread of the front that it belongs to.
    pub(super) front: usize,
    /// A guest's.
    pub(super) seated: Option<Seated>,
}

impl Arrival {
    // What it waits for.
    fn phase(&self) -> Phase {
        match self.way.side {
            // One that comes back from a worker waits for its next request, or has begun it.
            _ if !self.read.is_empty() => Phase::Head,
            Side::Front if self.way.has_moved() => Phase::Idle,
            _ => Phase::FirstHead,
        }
    }
}

/// Serves one connection to its end, or until it moves.
pub(super) async fn serve<H: Handler>(shared: Rc<Shared<H>>, arrival: Arrival) {
    let (first, carries) = (arrival.phase(), !arrival.read.is_empty());
    let Arrival { line, read, ends, place, way, front, seated } = arrival;
    let state = shared.roster.join(way, first, carries);
    let builder = builder(&shared.trunk.limits);
    let (service_shared, service_state) = (Rc::clone(&shared), Rc::clone(&state));
    let connection = Connection { shared: service_shared, state: service_state, ends, origin: Rc::default() };
    let connection = Rc::new(connection);
    let service = service_fn(move |request| service::serve(Rc::clone(&connection), request));
    let (io, wire) = Io::new(line, Rc::clone(&state), read);
    let mut hyper = builder.serve_connection(io, service);
    let present = Present { shared: &shared, _seated: seated };
    let end = std::future::poll_fn(|context| {
        state.park(context.waker());
        if !state.claim(context.waker()) {
            return Poll::Ready(End::Taken);
        }
        loop {
            if state.is_killed() {
                return Poll::Ready(End::Killed);
            }
            if state.take_draining() {
                Pin::new(&mut hyper).graceful_shutdown();
            }
            let ended = Pin::new(&mut hyper).poll(context);
            state.carry_body(context);
            if let Poll::Ready(ended) = ended {
                return Poll::Ready(if ended.is_ok() { End::Done } else { End::Failed });
            }
            if state.speaks_http2() {
                return Poll::Ready(End::Streams);
            }
            if state.is_watched() && wire.borrow_mut().is_over(context) {
                return Poll::Ready(End::Failed);
            }
            if state.take_may_move() {
                if moves(&shared, &state) {
                    return Poll::Ready(End::Moves);
                }
                state.way.borrow_mut().stay();
            } else if !state.take_waiting() {
                break;
            }
        }
        state.release();
        Poll::Pending
    })
    .await;
    drop(present);
    state.pump.take();
    let parts = hyper.into_parts();
    drop(parts.io);
    // Nobody else has it any more.
    let Some(wire) = Rc::into_inner(wire) else { return };
    let (line, ahead) = wire.into_inner().into_parts();
    let read = if ahead.is_empty() { parts.read_buf } else { [parts.read_buf, ahead].concat().into() };
    drop(parts.service);
    let offer = state.upgrade.take();
    match (offer, end) {
        (Some(offer), End::Done) => {
            if let Ok(parts) = line.into_std() {
                offer.complete_tcp(parts, read, place);
            }
        }
        (_, End::Killed | End::Taken) => {}
        (_, End::Streams) => {
            let arrived = Arrived { line, read, ends, place, front };
            streams::serve(shared, arrived).await;
        }
        (_, End::Moves) => {
            let Ok((stream, session)) = line.into_std() else { return };
            let (room, patience, is_guest) = {
                let mut way = state.way.borrow_mut();
                (std::mem::take(&mut way.room), way.patience(), matches!(way.side, Side::Guest(_)))
            };
            let origin = Arc::clone(&shared.trunk) as Arc<dyn Origin>;
            let guest = Guest { stream, session, read, ends, place, room, patience, front, origin };
            depart(&*shared.trunk.handler, guest, is_guest);
        }
        _ => linger(line).await,
    }
}

/// A connection among those of its thread.
struct Present<'shared, H> {
    shared: &'shared Shared<H>,
    // Goes before the connection does, because others may use it until then.
    _seated: Option<Seated>,
}

impl<H> Drop for Present<'_, H> {
    fn drop(&mut self) {
        self.shared.roster.leave();
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        // Whether the client is still there is seen in `serve`: hyper would take new memory for it each time.
        .half_close(true)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(limits.header_bytes_max.max(READ_BUFFER_MIN));
    if limits.header_count_max != HEADER_COUNT_INLINE {
        builder.max_headers(limits.header_count_max);
    }
    builder
}

/// Whether a connection that could move does so.
fn moves<H: Handler>(shared: &Shared<H>, state: &State) -> bool {
    let way = state.way.borrow();
    match way.side {
        Side::Guest(_) => true,
        Side::Fixed => false,
        Side::Front => {
            target::names(&way.room).is_some_and(|(party, room)| shared.trunk.handler.lodges(party, room))
        }
    }
}

/// Sends a connection to the thread where its next request is answered.
fn depart<H: Handler>(handler: &H, guest: Guest, is_guest: bool) {
    if is_guest {
        return guest.go_back();
    }
    let room = guest.room.clone();
    let lodged = match target::names(&room) {
        Some((party, room)) => handler.lodge(party, room, guest),
        None => Err(guest),
    };
    // Back to this thread.
    lodged.unwrap_or_else(Guest::go_back);
}
