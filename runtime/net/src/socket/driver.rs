//! The reading task of a socket over TCP, or over a stream of HTTP/2, which emits its events.
//!
//! Reading uses one buffer per thread, so an idle socket holds none. The reader also carries out orders from others (see
//! `Orders`), and closes the connection properly: it lets the queue be written, shuts our side and reads the peer's last
//! bytes, all within `socket_close_max`.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::decode::{Bounds, Decoder, Incoming, Sender};
use super::encode::PONG;
use super::halves::{ReadHalf, StreamWriter};
use super::outbox::Outbox;
use super::writer::{Outward, Writer};
use super::{Inner, SocketEvent, Stage, pipe_driver, sweep};
use crate::clients::Paced;
use crate::close::Violation;
use crate::line::Session;
use crate::upgrade::{Ending, Transport};

/// What is read at once of a socket while the room has no memory for unfinished messages: a small message still comes whole.
const STARVED_READ_BYTES: usize = 4096;
/// The read buffer of a thread. A full one holds some thousand small messages.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// A clock that is wrong must not silence a socket for ever.
const REST_MAX: Duration = Duration::from_secs(60 * 60);
/// What a peer may still send while we end: more than the largest message that can be on its way.
const LAST_BYTES_MAX: usize = 64 * 1024 * 1024;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// What woke the reader.
enum Step {
    Read(Box<[u8]>, usize),
    Orders,
    Broken,
    /// Another thread has the connection.
    Taken,
    /// The client has waited for having sent too much.
    Rested,
}

/// Gives a socket its connection.
pub(super) fn start(inner: &Rc<Inner>, transport: Transport) -> io::Result<()> {
    match transport {
        Transport::Tcp { stream, session, read, place, agreed } => {
            inner.agree(agreed);
            let (reader, half) = TcpStream::from_std(stream)?.into_split();
            let outward = Outward { half, session: session.clone() };
            *inner.writer.borrow_mut() = Writer::Tcp(Rc::new(outward));
            let pace = place.as_ref().and_then(|place| place.hold()?.pace()).map(Box::new);
            *inner.place.borrow_mut() = place;
            inner.midway.set(!read.is_empty());
            let reading = Reader::new(inner, ReadHalf::Tcp(reader, session), read).paced(pace);
            tokio::task::spawn_local(reading.run());
        }
        Transport::Stream { sender, receiver, place, agreed } => {
            inner.agree(agreed);
            *inner.writer.borrow_mut() = Writer::Stream(Rc::new(StreamWriter::new(sender)));
            let pace = place.as_ref().and_then(|place| place.hold()?.pace()).map(Box::new);
            *inner.place.borrow_mut() = place;
            let reader = ReadHalf::Stream { receiver, rest: Bytes::new() };
            tokio::task::spawn_local(Reader::new(inner, reader, Bytes::new()).paced(pace).run());
        }
        Transport::Pipe(end) => {
            let queued = match inner.outbox.replace(Outbox::Messages(Default::default())) {
                Outbox::Frames(frames) => frames.into_messages(),
                Outbox::Messages(messages) => messages,
            };
            *inner.outbox.borrow_mut() = Outbox::Messages(queued);
            *inner.writer.borrow_mut() = Writer::Pipe(end.sender);
            tokio::task::spawn_local(pipe_driver::run(Rc::clone(inner), end.receiver));
        }
    }
    sweep::join(inner);
    inner.flush_own();
    Ok(())
}

struct Reader {
    inner: Rc<Inner>,
    reader: ReadHalf,
    decoder: Decoder,
    /// What was read but not looked at.
    backlog: Bytes,
    /// What the budget of unfinished messages knows of this socket.
    counted: usize,
    /// How fast it is read, if that is limited, and until when it is not read at all.
    pace: Option<Box<Paced>>,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    fn new(inner: &Rc<Inner>, reader: ReadHalf, backlog: Bytes) -> Self {
        let decoder = Decoder::new(Sender::Client, inner.agreed.get());
        Self { inner: Rc::clone(inner), reader, decoder, backlog, counted: 0, pace: None, rest: None }
    }

    fn paced(mut self, pace: Option<Box<Paced>>) -> Self {
        self.pace = pace;
        self
    }

    async fn run(mut self) {
        while self.inner.stage.get() != Stage::Ended {
            let starved = self.decoder.kept() > 0 && self.inner.budgets.unfinished.is_full();
            self.inner.starved.set(starved);
            let still = self.is_still();
            if still {
                *self.inner.unread.borrow_mut() = Some(self.backlog.clone());
            }
            self.inner.paused.set(still || starved || self.rest.is_some() || self.inner.sink().full());
            if !self.backlog.is_empty() && !self.inner.paused.get() {
                let mut input = std::mem::take(&mut self.backlog).to_vec();
                let messages = self.take_in(&mut input);
                self.note_kept();
                self.spend(messages, 0);
                continue;
            }
            match std::future::poll_fn(|context| self.poll_step(context)).await {
                Step::Read(mut buffer, length) => {
                    self.inner.sweep.hear();
                    let messages = self.take_in(buffer.get_mut(..length).unwrap_or_default());
                    READ_BUFFER.set(Some(buffer));
                    self.note_kept();
                    self.spend(messages, length);
                }
                Step::Rested => self.rest = None,
                Step::Orders => self.inner.obey(),
                Step::Broken => self.inner.end(SocketEvent::Lost),
                Step::Taken => self.inner.abandon(),
            }
        }
        if !self.inner.abandoned.get() {
            self.finish().await;
        }
    }

    // Whether nothing more is to be read, and no message is half read.
    fn is_still(&self) -> bool {
        self.inner.held_still.get() && self.decoder.is_between()
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        self.inner.park(context.waker());
        if !self.inner.claim() {
            return Poll::Ready(Step::Taken);
        }
        if self.inner.orders.get().look {
            return Poll::Ready(Step::Orders);
        }
        if self.rest.as_mut().is_some_and(|rest| rest.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Step::Rested);
        }
        if self.inner.paused.get() {
            self.inner.rest();
            return Poll::Pending;
        }
        let mut buffer = READ_BUFFER.take().unwrap_or_else(|| vec![0; READ_BUFFER_BYTES].into_boxed_slice());
        let most =
            if self.inner.budgets.unfinished.is_full() { STARVED_READ_BYTES } else { READ_BUFFER_BYTES };
        let mut read = ReadBuf::new(buffer.get_mut(..most).unwrap_or_default());
        let polled = self.reader.poll_read(context, &mut read);
        let length = read.filled().len();
        if polled.is_ready() && length > 0 {
            return Poll::Ready(Step::Read(buffer, length));
        }
        READ_BUFFER.set(Some(buffer));
        if polled.is_pending() {
            self.inner.rest();
        }
        polled.map(|_| Step::Broken)
    }

    /// Looks at everything that was read. Answers how many messages there were.
    fn take_in(&mut self, mut input: &mut [u8]) -> usize {
        let limits = &self.inner.limits;
        let bounds = Bounds {
            message_bytes_max: limits.message_in_bytes_max,
            fragments_max: limits.message_fragments_max,
        };
        let sink = self.inner.sink();
        let mut messages = 0;
        while self.inner.stage.get() != Stage::Ended {
            if sink.full() || self.is_still() {
                self.backlog = Bytes::copy_from_slice(input);
                break;
            }
            match self.decoder.next(&mut input, bounds) {
                Ok(Some(Incoming::Text(text))) => {
                    messages += 1;
                    sink.event(SocketEvent::Text(text));
                }
                Ok(Some(Incoming::Binary(bytes))) => {
                    messages += 1;
                    sink.event(SocketEvent::Binary(bytes));
                }
                Ok(Some(Incoming::Ping(payload))) => self.control(Some(&payload)),
                Ok(Some(Incoming::Pong)) => self.control(None),
                Ok(Some(Incoming::Close(close))) => self.inner.take_farewell(close),
                Ok(None) => break,
                Err(violation) => self.inner.fail(violation),
            }
        }
        sink.drained();
        messages
    }

    /// Counts what came, and reads nothing for a while if that was too much.
    fn spend(&mut self, messages: usize, bytes: usize) {
        let Some(pace) = &mut self.pace else { return };
        let Some(wait) = pace.spend(messages, bytes) else { return };
        self.rest = Some(Box::pin(tokio::time::sleep(wait.min(REST_MAX))));
    }

    /// Tells the budget, and the sweep, what the decoder keeps.
    fn note_kept(&mut self) {
        let unfinished = self.decoder.kept();
        self.inner.midway.set(!self.decoder.is_between() || !self.backlog.is_empty());
        self.inner.sweep.note_unfinished(unfinished > 0);
        let kept = unfinished + self.backlog.len();
        let budget = &self.inner.budgets.unfinished;
        match kept.checked_sub(self.counted) {
            Some(0) => {}
            Some(more) => budget.add(more),
            None => budget.give(self.counted - kept),
        }
        self.counted = kept;
    }

    /// Answers a ping, counts a pong.
    fn control(&self, ping: Option<&[u8]>) {
        let inner = &self.inner;
        let max = inner.limits.control_frames_per_second_max;
        if !inner.sweep.count_control(max) {
            return inner.fail(Violation::policy(format!(
                "More than {max} control frames in a second (limit `control_frames_per_second_max`)"
            )));
        }
        if let Some(payload) = ping
            && inner.stage.get() == Stage::Open
            && inner.outbox.borrow().queued() < inner.limits.send_queue_bytes_max
        {
            inner.outbox.borrow_mut().push_control(PONG, payload);
            inner.flush_own();
        }
    }

    /// Ends the connection after the last event.
    async fn finish(mut self) {
        self.inner.sweep.begin_ending();
        self.decoder = Decoder::default();
        self.backlog = Bytes::new();
        self.note_kept();
        let mut shut = false;
        let mut left = LAST_BYTES_MAX;
        std::future::poll_fn(|context| {
            self.inner.park(context.waker());
            if self.inner.orders.take().kill {
                return Poll::Ready(());
            }
            if !shut && self.inner.outbox.borrow().queued() == 0 && !self.has_unsent() {
                shut = true;
                self.shut();
            }
            ready!(self.poll_discard(context, &mut left));
            Poll::Ready(())
        })
        .await;
        self.inner.outbox.borrow_mut().clear();
        self.inner.recount();
        let place = self.inner.unmoor();
        *self.inner.writer.borrow_mut() = Writer::None;
        if let Some(mut place) = place {
            place.ended(Ending { code: self.inner.end_code.get(), silent: self.inner.sweep.silence() });
        }
    }

    // The task that writes wakes this one when nothing waits any more.
    fn has_unsent(&self) -> bool {
        self.inner.writing.get() && self.reader.session().is_some_and(Session::has_unsent)
    }

    /// Says that nothing more will be sent.
    fn shut(&self) {
        match &*self.inner.writer.borrow() {
            Writer::Tcp(writer) => {
                if let Some(session) = &writer.session {
                    session.say_farewell(writer.stream());
                }
                // A connection that is broken already needs no farewell.
                let _broken = SockRef::from(writer.stream()).shutdown(Shutdown::Write);
            }
            Writer::Stream(writer) => writer.shut(),
            Writer::Pipe(_) | Writer::None => {}
        }
    }

    /// Reads and forgets until the peer is done.
    fn poll_discard(&mut self, context: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        let mut bytes = [0; 8192];
        loop {
            let mut read = ReadBuf::new(&mut bytes);
            let polled = ready!(self.reader.poll_read(context, &mut read));
            let length = read.filled().len();
            *left = left.saturating_sub(length);
            if polled.is_err() || length == 0 || *left == 0 {
                return Poll::Ready(());
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.inner.budgets.unfinished.give(self.counted);
    }
}
