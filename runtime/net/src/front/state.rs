//! The state of a thread's connections as the sweep sees it: what each waits for, and since when.
//!
//! Time is a coarse clock that the sweep advances, so limits are accurate to one period. The connection's own task
//! writes its state; the sweep reads it and wakes the task with a verdict. Nothing here is shared between threads.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use tokio::sync::Notify;

use super::framing::HeadNote;
use super::way::{Side, Way};
use crate::UpgradeOffer;

/// The least number of members at which those that have ended are looked for.
const CROWD_MIN: usize = 1024;

/// How often [`Roster::rest`] looks, and how often at connections that have said nothing yet.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const FIRST_LOOKS: usize = 20;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first request head, since the connection was accepted.
    FirstHead,
    /// The rest of a later request head.
    Head,
    /// The next request.
    Idle,
    /// A small body, before the handler is called.
    Body,
    /// The handler's answer.
    Handler,
    /// The response is being written.
    Response,
    /// Of an HTTP/2 connection: the ends of its streams, which have states of their own.
    Streams,
}

/// What the sweep decided about a request in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    None,
    /// The body stopped arriving: 408.
    BodyIdle,
    /// The body became too long: 413.
    BodyTooLarge,
    /// The body's chunks are malformed: 400.
    BodyMalformed,
    /// The handler took too long: 504.
    Overdue,
}

/// One connection's state.
pub(super) struct State {
    clock: Rc<Clock>,
    phase: Cell<Phase>,
    phase_since: Cell<Duration>,
    read_at: Cell<Duration>,
    blocked_since: Cell<Option<Duration>>,
    body_awaited: Cell<bool>,
    /// The time for which the current body was waited for, without the present wait; since when that lasts; the bytes that came.
    body_waited: Cell<Duration>,
    body_since: Cell<Duration>,
    body_bytes: Cell<usize>,
    verdict: Cell<Verdict>,
    killed: Cell<bool>,
    draining: Cell<bool>,
    /// It was ended for another connection, and must not count as an end for a second one while it is closed.
    makes_way: Cell<bool>,
    /// The connection came with bytes of a request that hyper has not been given yet.
    carries: Cell<bool>,
    /// hyper has something of an answer that it has not written.
    unwritten: Cell<bool>,
    /// hyper has something of a request whose head is not whole.
    has_part: Cell<bool>,
    /// The next request waits because an answer is not done.
    waits: Cell<bool>,
    /// A request waits for the decision whether the connection moves.
    may_move: Cell<bool>,
    /// It is one stream of an HTTP/2 connection.
    is_stream: bool,
    /// The client began with the preface of HTTP/2.
    http2: Cell<bool>,
    /// Of an HTTP/2 connection: since when a frame that is no data, or a head, has been incomplete.
    part_since: Cell<Option<Duration>>,
    /// Which room it asks, and where it is.
    pub(super) way: RefCell<Way>,
    waker: RefCell<Option<Waker>>,
    /// What the heads said that hyper has and that have not been served, in their order (see `framing.rs`).
    pub(super) heads: RefCell<VecDeque<HeadNote>>,
    /// The task that carries a streamed request body to its reader.
    pub(super) pump: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    /// The offer of an upgrade whose 101 is on its way.
    pub(super) upgrade: RefCell<Option<UpgradeOffer>>,
}

/// The coarse clock of a thread.
struct Clock {
    start: Instant,
    now: Cell<Duration>,
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.phase_since.set(self.clock.now.get());
    }

    /// Notes that bytes came in.
    pub(super) fn note_read(&self) {
        self.read_at.set(self.clock.now.get());
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// Notes whether the peer takes what is written.
    pub(super) fn note_write(&self, blocked: bool) {
        match (blocked, self.blocked_since.get()) {
            (true, None) => self.blocked_since.set(Some(self.clock.now.get())),
            (false, Some(_)) => self.blocked_since.set(None),
            _ => {}
        }
    }

    /// Notes whether somebody waits for more of a streamed body.
    pub(super) fn await_body(&self, awaited: bool) {
        let now = self.clock.now.get();
        if self.body_awaited.replace(awaited) {
            self.body_waited.set(self.body_waited.get() + now.saturating_sub(self.body_since.get()));
        }
        self.body_since.set(now);
        self.read_at.set(now);
    }

    /// Notes that a piece of a body has come.
    pub(super) fn count_body(&self, length: usize) {
        self.body_bytes.set(self.body_bytes.get().saturating_add(length));
    }

    /// Whether a body comes so slowly that it holds its place for nothing. What is waited for while its reader rests counts not.
    fn dawdles(&self, limits: &Limits) -> bool {
        let waited = self.body_waited.get() + self.clock.now.get().saturating_sub(self.body_since.get());
        let expected = waited.as_secs_f64() * limits.body_bytes_per_second_min as f64;
        waited > limits.body_idle_max && (self.body_bytes.get() as f64) < expected
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.get()
    }

    /// Begins a request: what was decided about the one before is over.
    pub(super) fn begin_request(&self) {
        self.carries.set(false);
        self.verdict.set(Verdict::None);
        self.body_awaited.set(false);
        self.body_waited.set(Duration::ZERO);
        self.body_bytes.set(0);
    }

    pub(super) fn judge(&self, verdict: Verdict) {
        self.verdict.set(verdict);
        self.wake();
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed.get()
    }

    /// Whether the connection was newly told to end after its current request. One that came with a request serves that.
    pub(super) fn take_draining(&self) -> bool {
        !self.carries.get() && self.draining.take()
    }

    /// Notes whether hyper has a part of a head.
    pub(super) fn note_part(&self, has_part: bool) {
        self.has_part.set(has_part);
    }

    /// Notes that an answer, or the rest of one, is with hyper.
    pub(super) fn note_answer(&self) {
        self.unwritten.set(true);
    }

    /// Notes that hyper has written all that it had.
    pub(super) fn note_flush(&self) {
        self.unwritten.set(false);
    }

    // Whether a request is being answered, or is about to be, all of which has been read.
    fn is_answering(&self) -> bool {
        self.unwritten.get() || !self.heads.borrow().is_empty() || self.is_watched()
    }

    /// Whether these first bytes are those of HTTP/2 (RFC 9113, 3.4). It takes note of that.
    pub(super) fn is_preface(&self, first: &[u8]) -> bool {
        let is = self.phase.get() == Phase::FirstHead && first.starts_with(b"PRI * HTTP/2.0\r\n");
        if is {
            self.http2.set(true);
        }
        is
    }

    /// Whether the client began with the preface of HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        self.http2.get()
    }

    /// Notes whether a frame, or a head of several frames, is incomplete.
    pub(super) fn note_part_frame(&self, incomplete: bool) {
        match (incomplete, self.part_since.get()) {
            (true, None) => self.part_since.set(Some(self.clock.now.get())),
            (false, Some(_)) => self.part_since.set(None),
            _ => {}
        }
    }

    /// The second of the coarse clock.
    pub(super) fn second(&self) -> u64 {
        self.clock.now.get().as_secs()
    }

    /// Carries a streamed request body on.
    pub(super) fn carry_body(&self, context: &mut Context<'_>) {
        let Some(mut pump) = self.pump.take() else {
            return;
        };
        if pump.as_mut().poll(context).is_pending() {
            *self.pump.borrow_mut() = Some(pump);
        }
    }

    /// Whether somebody must look whether the client is still there: nothing more is read of its request, and it is answered.
    pub(super) fn is_watched(&self) -> bool {
        let answered = matches!(self.phase.get(), Phase::Handler | Phase::Response);
        answered && self.heads.borrow().is_empty() && self.pump.borrow().is_none()
    }

    /// Notes that the next request has come while one is answered.
    pub(super) fn note_waiting(&self) {
        self.waits.set(true);
    }

    /// Whether hyper may have the request that begins with these bytes. It waits while another one is answered, and while it
    /// is decided whether the connection moves.
    pub(super) fn passes(&self, request: &[u8]) -> bool {
        if self.is_answering() {
            self.note_waiting();
            return false;
        }
        let awaited = matches!(self.phase.get(), Phase::Idle | Phase::FirstHead | Phase::Head);
        let moves = awaited && self.way.borrow_mut().sees(request);
        self.may_move.set(moves);
        !moves
    }

    /// Whether a request waits that need wait no longer.
    pub(super) fn take_waiting(&self) -> bool {
        !self.is_answering() && self.waits.take()
    }

    /// Whether the decision is due.
    pub(super) fn take_may_move(&self) -> bool {
        self.may_move.take()
    }

    /// Goes on with the connection of a guest: false if another thread has it.
    pub(super) fn claim(&self, waker: &Waker) -> bool {
        match &self.way.borrow().side {
            Side::Guest(seat) => seat.claim(waker),
            Side::Fixed | Side::Front => true,
        }
    }

    /// Lets others have the connection of a guest while that waits for its next request.
    pub(super) fn release(&self) {
        let idle = self.phase.get() == Phase::Idle
            && !self.unwritten.get()
            && !self.waits.get()
            && !self.has_part.get();
        if idle && let Side::Guest(seat) = &self.way.borrow().side {
            seat.release(self.clock.now.get());
        }
    }

    /// Remembers the connection's task.
    pub(super) fn park(&self, waker: &Waker) {
        let mut parked = self.waker.borrow_mut();
        if !parked.as_ref().is_some_and(|parked| parked.will_wake(waker)) {
            *parked = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whether it waits for a next request, and may be ended.
    fn is_idle(&self) -> bool {
        let ends = self.killed.get() || self.draining.get() || self.makes_way.get();
        self.phase.get() == Phase::Idle && !ends && !self.is_stream
    }

    fn kill(&self) {
        self.killed.set(true);
        self.wake();
    }

    fn sweep(&self, limits: &Limits) {
        let now = self.clock.now.get();
        let waited = now.saturating_sub(self.phase_since.get());
        if self.blocked_since.get().is_some_and(|since| now.saturating_sub(since) > limits.body_idle_max) {
            return self.kill();
        }
        if self.part_since.get().is_some_and(|since| now.saturating_sub(since) > limits.header_time_max) {
            return self.kill();
        }
        let idle = now.saturating_sub(self.read_at.get()) > limits.body_idle_max;
        if self.body_awaited.get() && (idle || self.dawdles(limits)) {
            // Once the response has begun there is no way to say 408.
            return match self.phase.get() {
                Phase::Body | Phase::Handler => self.judge(Verdict::BodyIdle),
                _ => self.kill(),
            };
        }
        match self.phase.get() {
            Phase::FirstHead | Phase::Head if waited > limits.header_time_max => self.kill(),
            Phase::Idle if waited > limits.keep_alive_idle_max => {
                self.draining.set(true);
                self.wake();
            }
            Phase::Handler if waited > limits.request_time_max => self.judge(Verdict::Overdue),
            _ => {}
        }
    }
}

/// The connections of a thread.
pub(super) struct Roster {
    clock: Rc<Clock>,
    members: RefCell<Vec<Weak<State>>>,
    pending: RefCell<VecDeque<Weak<State>>>,
    pending_max: usize,
    /// Connections that wait for a next request, the one that has waited longest first, as of the time at which they were sought.
    idle: RefCell<VecDeque<Weak<State>>>,
    sought_at: Cell<Option<Duration>>,
    /// When the other threads were found to have none either.
    asked_at: Cell<Option<Duration>>,
    open: Cell<usize>,
    emptied: Notify,
    draining: Cell<bool>,
    /// With so many members, those that have ended are forgotten before the next tick: streams come and go quickly.
    crowd: Cell<usize>,
}

impl Roster {
    /// An empty one, whose clock began at `start`.
    pub(super) fn new(pending_max: usize, start: Instant) -> Self {
        let clock = Rc::new(Clock { start, now: Cell::new(start.elapsed()) });
        Self {
            clock,
            members: RefCell::default(),
            pending: RefCell::default(),
            pending_max: pending_max.max(1),
            idle: RefCell::default(),
            sought_at: Cell::new(None),
            asked_at: Cell::new(None),
            open: Cell::new(0),
            emptied: Notify::new(),
            draining: Cell::new(false),
            crowd: Cell::new(CROWD_MIN),
        }
    }

    /// Adds a connection. If too many have not said what they want, the oldest of those is closed: whoever sends a
    /// request at once is served even while thousands hold connections open in silence.
    pub(super) fn join(&self, way: Way, first: Phase, carries: bool) -> Rc<State> {
        let state = self.state(way, first, carries, false);
        self.enter();
        self.members.borrow_mut().push(Rc::downgrade(&state));
        if first != Phase::FirstHead {
            return state;
        }
        let mut pending = self.pending.borrow_mut();
        pending.push_back(Rc::downgrade(&state));
        if pending.len() > self.pending_max {
            pending.retain(is_pending);
            if pending.len() > self.pending_max
                && let Some(oldest) = pending.pop_front().and_then(|oldest| oldest.upgrade())
            {
                oldest.kill();
            }
        }
        state
    }

    /// Adds a stream of an HTTP/2 connection. The connection is what others wait for.
    pub(super) fn join_stream(&self) -> Rc<State> {
        let state = self.state(Way::new(Side::Fixed), Phase::Handler, false, true);
        let mut members = self.members.borrow_mut();
        if members.len() >= self.crowd.get() {
            members.retain(|member| member.strong_count() > 0);
            self.crowd.set((2 * members.len()).max(CROWD_MIN));
        }
        members.push(Rc::downgrade(&state));
        state
    }

    fn state(&self, way: Way, first: Phase, carries: bool, is_stream: bool) -> Rc<State> {
        let now = self.clock.now.get();
        Rc::new(State {
            clock: Rc::clone(&self.clock),
            phase: Cell::new(first),
            phase_since: Cell::new(now),
            read_at: Cell::new(now),
            blocked_since: Cell::new(None),
            body_awaited: Cell::new(false),
            body_waited: Cell::new(Duration::ZERO),
            body_since: Cell::new(now),
            body_bytes: Cell::new(0),
            verdict: Cell::new(Verdict::None),
            killed: Cell::new(false),
            draining: Cell::new(self.draining.get()),
            makes_way: Cell::new(false),
            carries: Cell::new(carries),
            unwritten: Cell::new(false),
            has_part: Cell::new(false),
            waits: Cell::new(false),
            may_move: Cell::new(false),
            is_stream,
            http2: Cell::new(false),
            part_since: Cell::new(None),
            way: RefCell::new(way),
            waker: RefCell::default(),
            heads: RefCell::default(),
            pump: RefCell::default(),
            upgrade: RefCell::default(),
        })
    }

    /// Ends the connection that has waited longest for its next request, for one that has a request: false if none waits.
    pub(super) fn make_way(&self) -> bool {
        let now = self.clock.now.get();
        let mut idle = self.idle.borrow_mut();
        // All connections are looked at once a tick at most.
        if idle.is_empty() && self.sought_at.replace(Some(now)) != Some(now) {
            let members = self.members.borrow();
            let mut waiting: Vec<_> =
                members.iter().filter_map(Weak::upgrade).filter(|state| state.is_idle()).collect();
            waiting.sort_by_key(|state| state.phase_since.get());
            idle.extend(waiting.iter().map(Rc::downgrade));
        }
        while let Some(state) = idle.pop_front() {
            if let Some(state) = state.upgrade().filter(|state| state.is_idle()) {
                state.makes_way.set(true);
                state.draining.set(true);
                state.wake();
                return true;
            }
        }
        false
    }

    /// Whether the other threads were found in this tick to have no connection that waits: asking costs more than refusing.
    pub(super) fn asked_in_vain(&self) -> bool {
        self.asked_at.get() == Some(self.clock.now.get())
    }

    /// Takes note that they have none.
    pub(super) fn note_asked_in_vain(&self) {
        self.asked_at.set(Some(self.clock.now.get()));
    }

    /// Takes note of a task that must be waited for as for a connection. It ends with [`Roster::leave`].
    pub(super) fn enter(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// Takes note that a connection ended.
    pub(super) fn leave(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.open.get() == 0
    }

    /// Looks at the time.
    pub(super) fn refresh(&self) {
        self.clock.now.set(self.clock.start.elapsed());
    }

    /// Waits until no connection is left.
    pub(super) async fn empty(&self) {
        while self.open.get() > 0 {
            self.emptied.notified().await;
        }
    }

    /// Tells all connections to end after their current request.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        for state in self.members.borrow().iter().filter_map(Weak::upgrade) {
            state.draining.set(true);
            state.wake();
        }
    }

    /// Tells all connections to end after their current request, and waits until none has one. Those that have said nothing yet
    /// get a moment.
    pub(super) async fn rest(&self) {
        self.drain();
        let mut looks = 0;
        while self.is_busy(looks < FIRST_LOOKS) {
            looks += 1;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Connections that come from now on may stay.
    pub(super) fn resume(&self) {
        self.draining.set(false);
    }

    // Whether a request is on its way or being answered; the `first` ones may be.
    fn is_busy(&self, first: bool) -> bool {
        let members = self.members.borrow();
        members.iter().filter_map(Weak::upgrade).any(|state| match state.phase() {
            Phase::Idle => state.is_answering() || state.has_part.get(),
            Phase::FirstHead => first || state.has_part.get(),
            _ => true,
        })
    }

    /// Advances the clock and judges every connection.
    pub(super) fn sweep(&self, limits: &Limits) {
        self.refresh();
        self.members.borrow_mut().retain(|member| match member.upgrade() {
            Some(state) => {
                state.sweep(limits);
                true
            }
            None => false,
        });
        self.pending.borrow_mut().retain(is_pending);
    }
}

fn is_pending(state: &Weak<State>) -> bool {
    state.upgrade().is_some_and(|state| state.phase() == Phase::FirstHead && !state.is_killed())
}
