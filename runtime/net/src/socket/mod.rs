//! A WebSocket as its room's thread has it.
//!
//! A [`Socket`] lives on one thread (`Rc`, `spawn_local`) and exists before its connection does: what is sent before
//! then waits. [`Socket::attach`] starts it. Sends only queue. [`Socket::flush`] writes everything queued with one
//! system call, and a task of its own writes what the kernel did not take. So the sends of one turn cost one call, and
//! nothing that a room sent leaves before the room flushes, not even behind a pong.
//!
//! Events go to the [`SocketSink`], which may be replaced while a room hibernates. Exactly one of the events `Close`,
//! `Lost` and `Failed` ends it, always from the socket's own task, never from inside a call of the room.

mod decode;
mod driver;
mod encode;
mod halves;
mod lift;
mod mooring;
mod outbox;
mod pipe_driver;
mod sweep;
mod writer;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;
use partyrun_limits::{Budget, Limits};
use thiserror::Error;

use crate::Transport;
use crate::close::{self, CloseFrame, Farewell, LOST, Violation};
use crate::deflate::Agreed;
use crate::upgrade::Place;
use outbox::{Frames, Outbox};

pub(crate) use decode::{Bounds, Decoder, Incoming, Sender};
pub(crate) use encode::PACKED;
pub use encode::SharedFrame;
pub use mooring::Mooring;

/// Queues up to this length do not count.
const UNCOUNTED_BYTES: usize = 1024;

/// What happens to a socket.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketEvent<'buffer> {
    /// A text message. What is borrowed lies in the read buffer of the thread.
    Text(Cow<'buffer, str>),
    /// A binary message.
    Binary(Cow<'buffer, [u8]>),
    /// The peer has closed; the last event. `None` is a close frame that says nothing (1005). The code may be any.
    Close(Option<CloseFrame>),
    /// The connection broke without a close handshake; the last event (1006).
    Lost,
    /// We closed the socket because of what the peer did; the last event. The peer is told the same.
    Failed(CloseFrame),
}

/// Takes the events of a socket. It is called from the socket's task and may call the socket.
pub trait SocketSink {
    /// Takes one event.
    fn event(&self, event: SocketEvent<'_>);

    /// All that had arrived was handed over: a good moment to run the room's turn.
    fn drained(&self) {}

    /// Whether no more should be read for now. [`Socket::resume`] ends that.
    fn full(&self) -> bool {
        false
    }

    /// Whether the connection is still this thread's. It is asked, once there is a [`Mooring`], before anything is done with the
    /// connection.
    fn claim(&self) -> bool {
        true
    }

    /// There is nothing to do with the connection for now.
    fn rest(&self) {}
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// The socket is closed or closing.
    #[error("the socket is closed")]
    Closed,
    /// The peer does not read; the socket is being closed with 1013.
    #[error("the send queue is full")]
    QueueFull,
}

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Messages go both ways.
    Open,
    /// We sent (or queued) a close frame and wait for the peer's.
    Closing,
    /// The last event was, or is about to be, given.
    Ended,
}

/// What others tell the socket's task to do.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    /// Look again at everything.
    look: bool,
    /// The peer is too slow or too silent.
    fail: Option<Failure>,
    /// Drop the connection now.
    kill: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// This socket's queue.
    QueueFull,
    /// Those of the room, or of the process.
    QueuesFull,
    Unfinished,
}

/// A WebSocket; clones are the same socket.
#[derive(Clone)]
pub struct Socket(Rc<Inner>);

/// What the sockets of one room may take together.
#[derive(Clone)]
pub struct SocketBudgets {
    /// Of messages that have not come whole.
    pub unfinished: Rc<Budget>,
    /// Of what is queued for peers that do not read it.
    pub queued: Rc<Budget>,
}

impl SocketBudgets {
    /// Budgets that are never used up, for a socket without a room.
    pub fn unbounded() -> Self {
        Self { unfinished: Rc::new(Budget::unbounded()), queued: Rc::new(Budget::unbounded()) }
    }
}

struct Inner {
    limits: Rc<Limits>,
    budgets: SocketBudgets,
    /// What `budgets.queued` knows of this socket.
    counted: Cell<usize>,
    /// Nothing is read because there is no memory for more of an unfinished message.
    starved: Cell<bool>,
    sink: RefCell<Rc<dyn SocketSink>>,
    outbox: RefCell<Outbox>,
    writer: RefCell<writer::Writer>,
    stage: Cell<Stage>,
    /// The code of the last event, once it was given.
    end_code: Cell<u16>,
    orders: Cell<Orders>,
    waker: RefCell<Option<Waker>>,
    /// Something was queued by the room since its last flush.
    held: Cell<bool>,
    /// A task writes, so a flush need not.
    writing: Cell<bool>,
    paused: Cell<bool>,
    /// A part of a message or of a frame has been read, or nothing was looked at yet.
    midway: Cell<bool>,
    /// What was agreed on with the peer about compression.
    agreed: Cell<Option<Agreed>>,
    /// The connection's place among those of the process, unless the mooring has it.
    place: RefCell<Option<Place>>,
    /// What another thread can take the connection by.
    mooring: RefCell<Option<Mooring>>,
    /// Nothing more is read once no message is half read.
    held_still: Cell<bool>,
    /// What was read then and not looked at; none until then.
    unread: RefCell<Option<Bytes>>,
    /// Another thread has the connection.
    abandoned: Cell<bool>,
    sweep: sweep::Record,
}

impl Socket {
    /// A socket without a connection: it queues until [`Self::attach`] gives it one. `sink` gets its events.
    pub fn new(limits: Rc<Limits>, sink: Rc<dyn SocketSink>) -> Self {
        Self::within(limits, SocketBudgets::unbounded(), sink)
    }

    /// The same of a room whose sockets share `budgets`.
    pub fn within(limits: Rc<Limits>, budgets: SocketBudgets, sink: Rc<dyn SocketSink>) -> Self {
        Self(Rc::new(Inner {
            limits,
            budgets,
            counted: Cell::new(0),
            starved: Cell::new(false),
            sink: RefCell::new(sink),
            outbox: RefCell::new(Outbox::Frames(Frames::default())),
            writer: RefCell::new(writer::Writer::None),
            stage: Cell::new(Stage::Open),
            end_code: Cell::new(LOST),
            orders: Cell::default(),
            waker: RefCell::default(),
            held: Cell::new(false),
            writing: Cell::new(false),
            paused: Cell::new(false),
            midway: Cell::new(true),
            agreed: Cell::default(),
            place: RefCell::default(),
            mooring: RefCell::default(),
            held_still: Cell::new(false),
            unread: RefCell::default(),
            abandoned: Cell::new(false),
            sweep: sweep::Record::default(),
        }))
    }

    /// Compresses what is sent from now on, as was agreed on for the connection that the socket will have.
    pub fn agree(&self, agreed: Option<Agreed>) {
        self.0.agree(agreed);
    }

    /// Gives the socket its connection. It must be called on a `LocalSet` or local runtime, and once; what was
    /// flushed before is sent now.
    pub fn attach(&self, transport: Transport) -> std::io::Result<()> {
        driver::start(&self.0, transport)
    }

    /// Gives all events from now on to `sink`, and reads on if the one before was full.
    pub fn set_sink(&self, sink: Rc<dyn SocketSink>) {
        *self.0.sink.borrow_mut() = sink;
        self.resume();
    }

    /// What another thread can take the connection by from now on, as long as the taker of events lets it; none where it cannot
    /// be taken.
    pub fn moor(&self) -> Option<Mooring> {
        let inner = &self.0;
        let (fd, session) = match &*inner.writer.borrow() {
            writer::Writer::Tcp(writer) if inner.stage.get() == Stage::Open => {
                (writer.descriptor(), writer.session.clone())
            }
            _ => return None,
        };
        let mut mooring = inner.mooring.borrow_mut();
        let (place, agreed) = (&inner.place, inner.agreed.get());
        let mooring = mooring.get_or_insert_with(|| Mooring::new(fd, session, place.take(), agreed));
        mooring.note(inner.is_clean());
        Some(mooring.clone())
    }

    /// Reads nothing more once no message is half read, until [`Self::release`].
    pub fn hold_still(&self) {
        self.0.held_still.set(true);
        self.0.order(|_| {});
    }

    /// Reads on after [`Self::hold_still`].
    pub fn release(&self) {
        self.0.held_still.set(false);
        *self.0.unread.borrow_mut() = None;
        self.0.order(|_| {});
    }

    /// Whether the connection stands between two messages, with everything written: [`Self::lift`] would take it.
    pub fn is_still(&self) -> bool {
        let inner = &self.0;
        inner.stage.get() == Stage::Open
            && !inner.writing.get()
            && inner.outbox.borrow().queued() == 0
            && inner.unread.borrow().is_some()
    }

    /// Takes the connection for another process: what is left is to [`Self::abandon`]. None where it is not still, or where it is
    /// more than a socket of this machine's network, as with TLS.
    pub fn lift(&self) -> Option<Transport> {
        let inner = &self.0;
        let agreed = inner.agreed.get();
        if !self.is_still() || agreed.is_some_and(|agreed| agreed.keeps_history()) {
            return None;
        }
        let stream = match &*inner.writer.borrow() {
            writer::Writer::Tcp(writer) if writer.session.is_none() => lift::copy(writer.stream())?,
            _ => return None,
        };
        let read = inner.unread.borrow_mut().take()?;
        let moored = inner.mooring.borrow().as_ref().and_then(Mooring::take_place);
        Some(Transport::Tcp { stream, session: None, read, place: inner.place.take().or(moored), agreed })
    }

    /// Forgets the connection without a word and without an event: another thread has it.
    pub fn abandon(&self) {
        self.0.abandon();
        self.0.order(|_| {});
    }

    /// Queues a text message; [`Self::flush`] writes it. An error means that the socket is closing or closed.
    pub fn send_text(&self, text: &str) -> Result<(), SendError> {
        self.0.admit(text.len())?;
        self.0.outbox.borrow_mut().push_text(text);
        self.0.recount();
        Ok(())
    }

    /// Queues a binary message; [`Self::flush`] writes it. An error means that the socket is closing or closed.
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.0.admit(bytes.len())?;
        self.0.outbox.borrow_mut().push_binary(bytes);
        self.0.recount();
        Ok(())
    }

    /// Queues a message that other sockets send too.
    pub fn send_shared(&self, frame: &SharedFrame) -> Result<(), SendError> {
        self.0.admit(frame.frame().len())?;
        self.0.outbox.borrow_mut().push_shared(frame);
        self.0.recount();
        Ok(())
    }

    /// Queues a close frame and begins to wait for the peer's. A second call does nothing (spec 2.7). The reason is
    /// cut to what fits; whether the code is allowed is for the caller to ask ([`crate::close::close_code_allowed`]).
    pub fn close(&self, close: Option<CloseFrame>) {
        if self.0.stage.get() != Stage::Open {
            return;
        }
        self.0.held.set(true);
        self.0.outbox.borrow_mut().push_close(close);
        self.0.stage.set(Stage::Closing);
        self.0.sweep.begin_ending();
    }

    /// Writes all that is queued, as far as the kernel takes it; the rest follows by itself.
    pub fn flush(&self) {
        self.0.held.set(false);
        writer::flush(&self.0);
    }

    /// Forgets every message of which no byte was written, for a room whose words must not be heard.
    pub fn discard(&self) {
        self.0.outbox.borrow_mut().cut();
        self.0.recount();
        self.0.held.set(false);
    }

    /// Drops the connection without a word and without an event.
    pub fn abort(&self) {
        self.0.stage.set(Stage::Ended);
        self.0.sweep.end_once();
        self.0.outbox.borrow_mut().clear();
        self.0.recount();
        self.0.order(|orders| orders.kill = true);
    }

    /// Closes the socket with 1013, as one whose peer does not read: what is queued and not begun is forgotten at once.
    /// `alone` says that its own queue is too long; otherwise those of its room, or of the process, are.
    pub fn overflow(&self, alone: bool) {
        if self.0.stage.get() == Stage::Open {
            self.0.overflow(if alone { Failure::QueueFull } else { Failure::QueuesFull });
        }
    }

    /// Whether its queue is long enough to count in the room's budget.
    pub fn is_counted(&self) -> bool {
        self.0.counted.get() > 0
    }

    /// Bytes that are queued, those included that other sockets send too.
    pub fn queued_bytes(&self) -> usize {
        self.0.outbox.borrow().queued()
    }

    /// Reads on after [`SocketSink::full`] said to stop.
    pub fn resume(&self) {
        if self.0.paused.get() {
            self.0.order(|orders| orders.look = true);
        }
    }

    /// Whether messages can be sent: no close frame was queued, and the last event has not come.
    pub fn is_open(&self) -> bool {
        self.0.stage.get() == Stage::Open
    }

    /// Bytes that wait for the network; heads of frames count where the socket writes frames itself.
    pub fn waiting_bytes(&self) -> usize {
        self.0.outbox.borrow().waiting()
    }
}

impl Inner {
    /// Compresses messages from now on, if that was agreed on and is not known yet.
    fn agree(&self, agreed: Option<Agreed>) {
        if self.agreed.get() != agreed
            && let Some(agreed) = agreed
        {
            self.outbox.borrow_mut().agree(agreed);
        }
        self.agreed.set(agreed);
    }

    /// Decides whether a message may be queued. One message always may: the limit is about peers that do not read.
    fn admit(&self, length: usize) -> Result<(), SendError> {
        if self.stage.get() != Stage::Open {
            return Err(SendError::Closed);
        }
        let queued = self.outbox.borrow().queued();
        if queued > 0 && queued.saturating_add(length) > self.limits.send_queue_bytes_max {
            self.overflow(Failure::QueueFull);
            return Err(SendError::QueueFull);
        }
        self.held.set(true);
        Ok(())
    }

    fn overflow(&self, failure: Failure) {
        match failure {
            Failure::QueuesFull => partyrun_telemetry::limit_hit!(send_queues_bytes_max),
            _ => partyrun_telemetry::limit_hit!(send_queue_bytes_max),
        }
        self.stage.set(Stage::Closing);
        self.outbox.borrow_mut().cut();
        self.recount();
        self.order(|orders| orders.fail = Some(failure));
    }

    /// Tells the budget what is queued now. A queue that takes no more than the socket itself does not count: it is what
    /// every message to a peer that reads makes.
    fn recount(&self) {
        let own = self.outbox.borrow().own();
        let counts = if own > UNCOUNTED_BYTES { own } else { 0 };
        let before = self.counted.get();
        if counts != before {
            self.counted.set(counts);
            match counts.checked_sub(before) {
                Some(more) => self.budgets.queued.add(more),
                None => self.budgets.queued.give(before - counts),
            }
        }
    }

    /// Leaves an order and wakes the socket's task.
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        let mut orders = self.orders.get();
        change(&mut orders);
        orders.look = true;
        self.orders.set(orders);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Remembers the socket's task.
    fn park(&self, waker: &Waker) {
        let mut parked = self.waker.borrow_mut();
        if !parked.as_ref().is_some_and(|parked| parked.will_wake(waker)) {
            *parked = Some(waker.clone());
        }
    }

    /// Whether the connection is still this thread's.
    fn claim(&self) -> bool {
        self.mooring.borrow().is_none() || self.sink().claim()
    }

    /// There is nothing to do with the connection for now.
    fn rest(&self) {
        if let Some(mooring) = &*self.mooring.borrow() {
            mooring.note(self.is_clean());
            self.sink().rest();
        }
    }

    // Whether the connection could go on elsewhere with nothing but itself.
    fn is_clean(&self) -> bool {
        self.stage.get() == Stage::Open
            && !self.midway.get()
            && !self.writing.get()
            && !self.paused.get()
            && self.outbox.borrow().queued() == 0
            && self.agreed.get().is_none_or(|agreed| !agreed.keeps_history())
    }

    fn abandon(&self) {
        self.abandoned.set(true);
        self.stage.set(Stage::Ended);
        self.sweep.end_once();
        self.outbox.borrow_mut().clear();
        self.recount();
        writer::forget(&mut self.writer.borrow_mut());
    }

    /// The connection is about to be closed.
    fn unmoor(&self) -> Option<Place> {
        let mooring = self.mooring.borrow();
        if let Some(mooring) = &*mooring {
            mooring.close();
        }
        self.place.take().or_else(|| mooring.as_ref()?.take_place())
    }

    fn sink(&self) -> Rc<dyn SocketSink> {
        Rc::clone(&self.sink.borrow())
    }

    /// Writes what the socket itself had to say, unless the room has not released what stands before it.
    fn flush_own(self: &Rc<Self>) {
        if !self.held.get() {
            writer::flush(self);
        }
    }

    /// Carries out what others ordered.
    fn obey(self: &Rc<Self>) {
        let orders = self.orders.take();
        if orders.kill {
            self.end(SocketEvent::Lost);
            self.outbox.borrow_mut().clear();
            self.recount();
            // The end of the connection, which comes next, must know not to wait for the peer.
            self.orders.set(Orders { kill: true, ..Orders::default() });
        } else if let Some(failure) = orders.fail {
            let (limits, budgets) = (&self.limits, &self.budgets);
            let unread = |limit| format!("The peer does not read what it is sent ({limit})");
            let reason = match failure {
                Failure::QueueFull => unread(limits.cite("send_queue_bytes_max")),
                Failure::QueuesFull => {
                    unread(budgets.queued.cite("send_queues_bytes_max", "send_queues_total_bytes_max"))
                }
                Failure::Unfinished => {
                    let limit = budgets.unfinished.cite("unfinished_bytes_max", "unfinished_total_bytes_max");
                    format!("The message did not become whole while memory was short ({limit})")
                }
            };
            self.fail(Violation { code: 1013, reason: reason.into() });
        }
    }

    /// Takes the peer's close frame, answering it if ours was not sent before (RFC 6455, 5.5.1; spec 2.7).
    fn take_farewell(self: &Rc<Self>, close: Farewell) {
        if self.stage.get() == Stage::Open {
            self.outbox.borrow_mut().push_close(close.answer());
            self.sweep.begin_ending();
            self.stage.set(Stage::Closing);
        }
        self.flush_own();
        self.end(SocketEvent::Close(close.said));
    }

    /// Gives the last event.
    fn end(&self, event: SocketEvent<'_>) {
        if self.sweep.end_once() {
            self.stage.set(Stage::Ended);
            self.end_code.set(match &event {
                SocketEvent::Close(None) => close::NOTHING_SAID,
                SocketEvent::Close(Some(close)) | SocketEvent::Failed(close) => close.code,
                SocketEvent::Lost | SocketEvent::Text(_) | SocketEvent::Binary(_) => LOST,
            });
            self.sink().event(event);
        }
    }

    /// Closes the socket for a reason that the peer gave.
    fn fail(self: &Rc<Self>, violation: Violation) {
        let close = CloseFrame { code: violation.code, reason: violation.reason.into_owned() };
        {
            let mut outbox = self.outbox.borrow_mut();
            // What was queued for a peer that breaks the rules is not worth the wait for its close frame.
            outbox.cut();
            outbox.push_close(Some(close.clone()));
        }
        self.held.set(false);
        self.sweep.begin_ending();
        self.recount();
        writer::flush(self);
        self.end(SocketEvent::Failed(close));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.budgets.queued.give(self.counted.get());
        // The thread ends, perhaps before it has heard that another one has the connection.
        if self.mooring.get_mut().as_ref().is_some_and(Mooring::close) {
            writer::forget(self.writer.get_mut());
        }
    }
}
