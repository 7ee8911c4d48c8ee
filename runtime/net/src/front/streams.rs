//! One HTTP/2 connection from its preface to its end.
//!
//! h2 speaks the protocol, and a task here drives it: it gives each stream a task of its own (`stream.rs`), tells the sweep
//! what the connection waits for, and ends it when it is idle, told to drain, or flooded with frames that have no content. h2 is
//! used as it is, without hyper around it: streams must be reset for their own slowness, connections be ended with the right code,
//! and WebSockets have their stream on the thread of their room.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::Reason;
use h2::server::{self, Builder};
use partyrun_limits::Limits;

use super::carrier::{Io, Wire};
use super::linger::linger;
use super::listen::Ends;
use super::state::{Phase, State};
use super::stream::{self, Common};
use super::trunk::{Handler, Shared};
use super::way::{Side, Way};
use crate::line::Line;
use crate::upgrade::Place;

/// A connection whose client speaks HTTP/2.
pub(super) struct Arrived {
    pub(super) line: Line,
    /// What was read of it.
    pub(super) read: Bytes,
    pub(super) ends: Ends,
    pub(super) place: Place,
    /// The thread of the front that it belongs to.
    pub(super) front: usize,
}

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(shared: Rc<Shared<H>>, arrived: Arrived) {
    let Arrived { line, read, ends, place: _place, front } = arrived;
    let state = shared.roster.join(Way::new(Side::Fixed), Phase::FirstHead, false);
    let present = Present(&shared);
    let (io, wire) = Io::new(line, Rc::clone(&state), read, &shared.trunk.limits);
    let mut greeting = pin!(builder(&shared.trunk.limits).handshake::<_, Bytes>(io));
    let greeted = std::future::poll_fn(|context| {
        state.park(context.waker());
        if state.is_killed() || wire.borrow().is_flooded() {
            return Poll::Ready(None);
        }
        let greeted = greeting.as_mut().poll(context).map(Result::ok);
        match wire.borrow_mut().poll_flush(context) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => greeted,
        }
    });
    let Some(h2) = greeted.await else { return };
    let common = Common { shared: Rc::clone(&shared), ends, front, origin: Rc::default() };
    let closes = drive(h2, &state, &wire, common).await;
    drop(present);
    // What is left of the streams may keep the wire for a moment.
    if closes && let Some(wire) = Rc::into_inner(wire) {
        linger(wire.into_inner().into_line()).await;
    }
}

/// A connection among those of its thread.
struct Present<'shared, H>(&'shared Shared<H>);

impl<H> Drop for Present<'_, H> {
    fn drop(&mut self) {
        self.0.roster.leave();
    }
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_connect_protocol()
        .initial_window_size(limits.http2_stream_window_bytes)
        .initial_connection_window_size(limits.http2_connection_window_bytes)
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(limits.http2_send_buffer_bytes_max)
        .max_pending_accept_reset_streams(limits.http2_resets_per_second_max as usize);
    builder
}

/// Drives a connection until it has ended; answers whether it is still to be closed in order.
async fn drive<H: Handler>(
    mut h2: server::Connection<Io, Bytes>,
    state: &State,
    wire: &RefCell<Wire>,
    common: Common<H>,
) -> bool {
    let (mut leaves, mut ends) = (false, false);
    std::future::poll_fn(|context| {
        state.park(context.waker());
        if state.is_killed() {
            return Poll::Ready(false);
        }
        if state.take_draining() {
            leaves = true;
            if h2.has_streams() {
                h2.graceful_shutdown();
            }
        }
        loop {
            match h2.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    state.enter(Phase::Streams);
                    tokio::task::spawn_local(stream::serve(common.clone(), request, respond));
                    continue;
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(true),
                Poll::Pending => {}
            }
            let reason = if ends {
                None
            } else if wire.borrow().is_flooded() {
                Some(Reason::ENHANCE_YOUR_CALM)
            } else if leaves && !h2.has_streams() {
                // Whoever waits for an answer to the announcement of the end may wait for ever.
                Some(Reason::NO_ERROR)
            } else {
                None
            };
            let Some(reason) = reason else {
                match wire.borrow_mut().poll_flush(context) {
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    _ => break,
                }
            };
            ends = true;
            h2.abrupt_shutdown(reason);
        }
        match (h2.has_streams(), state.phase()) {
            (true, Phase::FirstHead | Phase::Idle) => state.enter(Phase::Streams),
            (false, Phase::Streams) => state.enter(Phase::Idle),
            _ => {}
        }
        Poll::Pending
    })
    .await
}
