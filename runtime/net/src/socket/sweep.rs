//! The watch over a thread's sockets: it pings silent ones, and ends those that stay silent or never finish closing.
//!
//! One task per thread looks at all sockets periodically, because a timer per socket would cost more than the socket.
//! Its coarse clock also stamps arrivals, so recording one is a load and a store. The task ends with the last socket.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::encode::PING;
use super::{Inner, Stage};

/// Bounds of the period.
const PERIOD_MIN: Duration = Duration::from_millis(5);
const PERIOD_MAX: Duration = Duration::from_secs(1);

thread_local! {
    static WATCH: Watch = Watch::new();
}

struct Watch {
    start: Instant,
    now: Cell<Duration>,
    period: Cell<Duration>,
    running: Cell<bool>,
    members: RefCell<Vec<Weak<Inner>>>,
}

impl Watch {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            now: Cell::new(Duration::ZERO),
            period: Cell::new(PERIOD_MAX),
            running: Cell::new(false),
            members: RefCell::default(),
        }
    }
}

/// What the watch knows of one socket.
#[derive(Default)]
pub(super) struct Record {
    heard_at: Cell<Duration>,
    pinged_at: Cell<Option<Duration>>,
    ending_since: Cell<Option<Duration>>,
    ended: Cell<bool>,
    /// Since when a part of a message is kept.
    unfinished_since: Cell<Option<Duration>>,
    /// The second in which control frames are being counted, and their number.
    control: Cell<(u64, u32)>,
}

impl Record {
    /// Notes that something arrived.
    pub(super) fn hear(&self) {
        self.heard_at.set(WATCH.with(|watch| watch.now.get()));
        self.pinged_at.set(None);
    }

    /// For how long nothing has arrived.
    pub(super) fn silence(&self) -> Duration {
        WATCH.with(|watch| watch.start.elapsed()).saturating_sub(self.heard_at.get())
    }

    /// Counts a control frame; false when there were too many in this second.
    pub(super) fn count_control(&self, per_second_max: u32) -> bool {
        let second = WATCH.with(|watch| watch.now.get()).as_secs();
        let (counted_second, count) = self.control.get();
        let count = if counted_second == second { count.saturating_add(1) } else { 1 };
        self.control.set((second, count));
        count <= per_second_max
    }

    /// Notes whether a part of a message is kept.
    pub(super) fn note_unfinished(&self, unfinished: bool) {
        match (unfinished, self.unfinished_since.get()) {
            (true, None) => self.unfinished_since.set(Some(WATCH.with(|watch| watch.now.get()))),
            (false, Some(_)) => self.unfinished_since.set(None),
            _ => {}
        }
    }

    /// Begins the time in which the peer must finish.
    pub(super) fn begin_ending(&self) {
        if self.ending_since.get().is_none() {
            self.ending_since.set(Some(WATCH.with(|watch| watch.start.elapsed())));
        }
    }

    /// True the first time.
    pub(super) fn end_once(&self) -> bool {
        !self.ended.replace(true)
    }
}

/// Puts a socket under watch.
pub(super) fn join(inner: &Rc<Inner>) {
    let limits = &inner.limits;
    let shortest = limits.socket_ping_after.min(limits.socket_pong_max).min(limits.socket_close_max);
    let shortest = shortest.min(limits.unfinished_time_max);
    WATCH.with(|watch| {
        let period = (shortest / 4).clamp(PERIOD_MIN, PERIOD_MAX);
        watch.period.set(watch.period.get().min(period));
        watch.members.borrow_mut().push(Rc::downgrade(inner));
        if !watch.running.replace(true) {
            watch.now.set(watch.start.elapsed());
            // Dropped with the runtime that it was spawned on, the guard lets a later one start anew.
            tokio::task::spawn_local(run(Running));
        }
    });
    inner.sweep.hear();
}

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        // The thread's end may have taken the watch away before.
        let _gone = WATCH.try_with(|watch| watch.running.set(false));
    }
}

async fn run(running: Running) {
    loop {
        tokio::time::sleep(WATCH.with(|watch| watch.period.get())).await;
        let now = WATCH.with(|watch| {
            watch.now.set(watch.start.elapsed());
            watch.now.get()
        });
        let mut members = WATCH.with(|watch| watch.members.take());
        members.retain(|member| match member.upgrade() {
            Some(inner) => {
                sweep(&inner, now);
                true
            }
            None => false,
        });
        let ended = WATCH.with(|watch| {
            let mut joined = watch.members.borrow_mut();
            members.append(&mut joined);
            *joined = members;
            joined.is_empty()
        });
        if ended {
            WATCH.with(|watch| watch.period.set(PERIOD_MAX));
            drop(running);
            return;
        }
    }
}

fn sweep(inner: &Rc<Inner>, now: Duration) {
    let (record, limits) = (&inner.sweep, &inner.limits);
    if let Some(since) = record.ending_since.get() {
        if now.saturating_sub(since) > limits.socket_close_max {
            inner.order(|orders| orders.kill = true);
        }
        return;
    }
    look_at_unfinished(inner, now);
    // Nothing is read while the room is full, so silence means nothing then.
    if inner.stage.get() != Stage::Open || inner.paused.get() {
        return;
    }
    match record.pinged_at.get() {
        Some(since) if now.saturating_sub(since) > limits.socket_pong_max => {
            inner.order(|orders| orders.kill = true);
        }
        None if now.saturating_sub(record.heard_at.get()) > limits.socket_ping_after && inner.claim() => {
            record.pinged_at.set(Some(now));
            inner.outbox.borrow_mut().push_control(PING, &[]);
            inner.flush_own();
            inner.rest();
        }
        _ => {}
    }
}

// While there is no memory for more unfinished messages, those that have been unfinished for long make way for the others.
fn look_at_unfinished(inner: &Rc<Inner>, now: Duration) {
    let full = inner.budgets.unfinished.is_full();
    let since = inner.sweep.unfinished_since.get();
    let late = since.is_some_and(|since| now.saturating_sub(since) > inner.limits.unfinished_time_max);
    if full && late {
        inner.order(|orders| orders.fail = Some(super::Failure::Unfinished));
    } else if !full && inner.starved.get() {
        inner.order(|_| {});
    }
}
