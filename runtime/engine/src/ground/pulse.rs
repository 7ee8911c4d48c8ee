//! What a worker tells the watchdog: in which step of which room it is, and since when.
//!
//! A turn enters an isolate and goes through steps: each event is one, so is what timers and finished ops call. The worker
//! announces every step by one atomic exchange, which is all that a quick step costs. The watchdog compares the numbers
//! that it sees and marks a step that takes long; only then does the worker measure, when the step ends. A mark that comes
//! too late finds another number and does nothing, so that no step pays for the one before it.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deno_core::v8::{IsolateHandle, UnsafeRawIsolatePtr};

use crate::api::Source;
use crate::ground::held_stack;
use crate::ground::import_cost;
use crate::ground::memory;

/// What runs in an isolate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Step {
    /// The project's modules are evaluated.
    Import,
    /// The constructor and `onStart`.
    Start,
    /// `onConnect`.
    Connect,
    /// `onMessage`.
    Message,
    /// `onClose` or `onError`.
    End,
    /// `onRequest`.
    Request,
    /// `onAlarm`.
    Alarm,
    /// The static `onBeforeConnect`.
    BeforeConnect,
    /// The static `onBeforeRequest`.
    BeforeRequest,
    /// The static `onFetch`.
    Fetch,
    /// The static `onSocket`.
    Socket,
    /// The static `onCron`.
    Cron,
    /// Timers, and what waited for something.
    Later,
}

impl Step {
    const ALL: [Self; 13] = [
        Self::Import,
        Self::Start,
        Self::Connect,
        Self::Message,
        Self::End,
        Self::Request,
        Self::Alarm,
        Self::BeforeConnect,
        Self::BeforeRequest,
        Self::Fetch,
        Self::Socket,
        Self::Cron,
        Self::Later,
    ];

    /// The step as the subject of a sentence.
    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::Import => "importing the project",
            Self::Start => "`onStart`",
            Self::Connect => "`onConnect`",
            Self::Message => "`onMessage`",
            Self::End => "`onClose` or `onError`",
            Self::Request => "`onRequest`",
            Self::Alarm => "`onAlarm`",
            Self::BeforeConnect => "`onBeforeConnect`",
            Self::BeforeRequest => "`onBeforeRequest`",
            Self::Fetch => "`onFetch`",
            Self::Socket => "`onSocket`",
            Self::Cron => "`onCron`",
            Self::Later => "a timer or code after an `await`",
        }
    }
}

/// Which limit of time ended a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeLimit {
    /// `turn_cpu_max`, or `start_cpu_max` while the project is imported.
    Cpu,
    /// `turn_wait_max`.
    Wait,
}

/// A step that took long.
#[derive(Clone, Debug)]
pub(crate) struct Overrun {
    /// Whose it was; where rooms share an isolate, nobody knows whose timers ran.
    pub(crate) source: Option<Source>,
    /// Which one.
    pub(crate) step: Step,
    /// What it used of the CPU.
    pub(crate) cpu: Duration,
    /// The limit that ended it, if one did.
    pub(crate) ended: Option<TimeLimit>,
    /// Where it was, as lines of a stack each after a line break. The isolate knows.
    pub(crate) stack: String,
}

// The state's bits: whether the worker is in an isolate, the watchdog's two marks, the step, and a number that no two
// steps share.
const INSIDE: u64 = 1;
const SLOW: u64 = 2;
const ENDED: u64 = 4;
const STEP_SHIFT: u32 = 3;
const STEP_MASK: u64 = 31;
const NUMBER_SHIFT: u32 = 8;

/// What V8 calls between two instructions of the code that runs.
type Interrupt = unsafe extern "C" fn(UnsafeRawIsolatePtr, *mut c_void);

/// What one worker tells the watchdog.
pub(crate) struct Pulse {
    // Only the worker changes step and number; the watchdog adds marks.
    state: AtomicU64,
    current: Mutex<Current>,
    overran: AtomicBool,
    clock: libc::clockid_t,
}

#[derive(Default)]
struct Current {
    isolate: Option<Entered>,
    // What the watchdog measured of the step that it marked.
    cpu_at_start: Duration,
    ended: Option<TimeLimit>,
    overrun: Option<Overrun>,
}

struct Entered {
    serial: u64,
    handle: IsolateHandle,
    whose: Whose,
}

/// Whose isolate is entered.
#[derive(Clone, Default)]
pub(crate) struct Whose {
    /// The room or the edge; a spare belongs to nobody yet, and where rooms share an isolate nobody knows whose timers run.
    pub(crate) source: Option<Source>,
    /// Whether several rooms share the isolate.
    pub(crate) shared: bool,
    /// How many debuggers are attached: code that pauses for one waits rightly.
    pub(crate) debuggers: Option<Arc<AtomicUsize>>,
}

/// A step as the watchdog sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    number: u64,
    /// Which one.
    pub(crate) step: Step,
}

impl Pulse {
    /// The pulse of the calling thread.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: the thread is alive, it is the calling one, and `clock` is a valid place.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        let clock = if failed == 0 { clock } else { libc::CLOCK_MONOTONIC };
        Arc::new(Self {
            state: AtomicU64::new(0),
            current: Mutex::default(),
            overran: AtomicBool::new(false),
            clock,
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn of the isolate `serial` begins.
    pub(crate) fn begin(
        &self,
        serial: u64,
        handle: &IsolateHandle,
        step: Step,
        whose: impl FnOnce() -> Whose,
    ) {
        let mut current = self.current();
        // A spare that was the last isolate here has a room by now. The rooms of a shared one name themselves.
        let named = |known: &Entered| known.whose.source.is_some() && !known.whose.shared;
        let known = |known: &Entered| known.serial == serial && named(known);
        if !current.isolate.as_ref().is_some_and(known) {
            current.isolate = Some(Entered { serial, handle: handle.clone(), whose: whose() });
        }
        drop(current);
        self.advance(INSIDE | (step as u64) << STEP_SHIFT);
    }

    /// The turn's next step begins. True if the one before it was ended by force.
    pub(crate) fn step(&self, step: Step) -> bool {
        self.advance(INSIDE | (step as u64) << STEP_SHIFT)
    }

    /// The step that runs is this room's, in an isolate that rooms share; or nobody knows whose.
    pub(crate) fn now_of(&self, source: Option<&Source>) {
        if let Some(entered) = &mut self.current().isolate
            && entered.whose.source.as_ref() != source
        {
            entered.whose.source = source.cloned();
        }
    }

    /// The turn has ended. True if its last step was ended by force.
    pub(crate) fn end(&self) -> bool {
        self.advance((self.last_step() as u64) << STEP_SHIFT)
    }

    /// The step that runs, or ran last.
    pub(crate) fn last_step(&self) -> Step {
        step_of(self.state.load(Ordering::Relaxed))
    }

    fn advance(&self, bits: u64) -> bool {
        let number = (self.state.load(Ordering::Relaxed) >> NUMBER_SHIFT).wrapping_add(1);
        let was = self.state.swap(number << NUMBER_SHIFT | bits, Ordering::AcqRel);
        if was & (SLOW | ENDED) == 0 {
            return false;
        }
        // Whoever marks holds the lock until the isolate has been told: from here on it was, or it never is.
        let mut current = self.current();
        let cpu = self.cpu().unwrap_or_default().saturating_sub(current.cpu_at_start);
        let ended = current.ended.take().filter(|_| was & ENDED != 0);
        let source = current.isolate.as_ref().and_then(|entered| entered.whose.source.clone());
        let overrun = Overrun { source, step: step_of(was), cpu, ended, stack: String::new() };
        // Of several steps of a turn the one that counts most is remembered.
        if current
            .overrun
            .as_ref()
            .is_none_or(|known| known.ended.is_none() && (ended.is_some() || known.cpu < cpu))
        {
            current.overrun = Some(overrun);
        }
        self.overran.store(true, Ordering::Relaxed);
        was & ENDED != 0
    }

    /// The step that took long since this was asked last.
    pub(crate) fn take_overrun(&self) -> Option<Overrun> {
        // The worker itself sets it.
        self.overran.swap(false, Ordering::Relaxed).then(|| self.current().overrun.take()).flatten()
    }

    /// The CPU time of the worker's thread.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place. The clock of a thread that has ended makes the call fail, which is handled.
        if unsafe { libc::clock_gettime(self.clock, &raw mut time) } != 0 {
            return None;
        }
        Some(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// The step that the worker is in.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let state = self.state.load(Ordering::Acquire);
        (state & INSIDE != 0).then(|| Seen { number: state >> NUMBER_SHIFT, step: step_of(state) })
    }

    /// Whose isolate the worker is in.
    pub(crate) fn whose(&self) -> Whose {
        self.current().isolate.as_ref().map(|entered| entered.whose.clone()).unwrap_or_default()
    }

    /// Lets the worker measure this step when it ends.
    pub(crate) fn mark_slow(&self, seen: Seen, cpu_at_start: Duration) {
        let mut current = self.current();
        if self.mark(seen, SLOW) {
            current.cpu_at_start = cpu_at_start;
        }
    }

    /// Ends this step, unless it has ended by now.
    pub(crate) fn terminate(&self, seen: Seen, cpu_at_start: Duration, limit: TimeLimit) {
        let mut current = self.current();
        if !self.mark(seen, ENDED) {
            return;
        }
        current.cpu_at_start = cpu_at_start;
        current.ended.get_or_insert(limit);
        if let Some(entered) = &current.isolate {
            entered.handle.terminate_execution();
        }
    }

    /// Notes where an import is, if it still is the step.
    pub(crate) fn sample_import(&self, seen: Seen) {
        self.interrupt(seen, import_cost::sample);
    }

    /// Notes where this step is, if it still runs.
    pub(crate) fn note_stack(&self, seen: Seen) {
        self.interrupt(seen, held_stack::note);
    }

    fn interrupt(&self, seen: Seen, call: Interrupt) {
        let current = self.current();
        if self.seen() == Some(seen)
            && let Some(entered) = &current.isolate
        {
            entered.handle.request_interrupt(call, std::ptr::null_mut());
        }
    }

    /// Whether the step that runs was told to end.
    #[cfg(test)]
    pub(crate) fn is_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    /// Has the isolate look at what it uses outside of its heap, if its worker is still in that step.
    pub(crate) fn look_at_memory(&self, seen: Seen) {
        self.interrupt(seen, memory::look);
    }

    // True if the step was still running when it got the mark.
    fn mark(&self, seen: Seen, mark: u64) -> bool {
        let same = |state: u64| state & INSIDE != 0 && state >> NUMBER_SHIFT == seen.number;
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| same(state).then_some(state | mark))
            .is_ok()
    }
}

fn step_of(state: u64) -> Step {
    let place = (state >> STEP_SHIFT) & STEP_MASK;
    usize::try_from(place).ok().and_then(|place| Step::ALL.get(place)).copied().unwrap_or(Step::Later)
}
