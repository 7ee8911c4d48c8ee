//! Ends steps that take too long, and reports which threads are held up.
//!
//! The watchdog's thread looks at all pulses many times per second. It measures the CPU time of a step, because a thread that
//! waits for a core uses none, and the time in which the thread sleeps, because a step that blocks holds its worker up as well.
//! Reading the clocks here keeps entering an isolate cheap. The limits are `turn_cpu_max`, `start_cpu_max` for importing the
//! project, and `turn_wait_max`. A worker that has been in one step for `turn_held_after` is held up: the engine is told at
//! once, so that other workers take over (`placement.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;

use crate::ground::pulse::{Pulse, Seen, Step, TimeLimit, Whose};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What one look counts as waiting at most: this thread may come late, and the machine may have slept.
const WAITED_PER_LOOK_MAX: Duration = Duration::from_millis(200);
/// A thread that used less of the CPU than this part of the time between two looks has waited.
const WAITING_SHARE: u32 = 20;
/// An import that takes longer is looked into, to tell which module takes the time.
const IMPORT_LOOKED_INTO_AFTER: Duration = Duration::from_millis(200);

/// What the engine hears about a worker.
pub(crate) enum Notice {
    /// It has been in one step for two looks.
    Busy,
    /// It has been in one step for long, and whose step that is.
    Held(Step, Whose),
    /// That step has ended, after so long.
    Released(Duration, Whose),
}

/// Takes notices; the number is the worker's.
pub(crate) type Listener = Box<dyn Fn(usize, Notice) + Send>;

/// The thread that looks at the pulses; it ends when this value is dropped.
pub(crate) struct Watchdog {
    pulses: Arc<Mutex<Vec<Watched>>>,
    stop: Arc<AtomicBool>,
}

/// What is too long.
struct Bounds {
    cpu_warn: Duration,
    cpu_max: Duration,
    start_cpu_max: Duration,
    // None where code may wait for a debugger.
    wait_max: Option<Duration>,
    held_after: Duration,
}

struct Watched {
    pulse: Weak<Pulse>,
    worker: usize,
    // The step of the last look, and what was counted of it.
    seen: Option<Seen>,
    since: Instant,
    cpu_at_start: Duration,
    cpu: Duration,
    waited: Duration,
    looked: Instant,
    // The engine has heard that the worker is busy with this step.
    told: bool,
    // Its stack was noted because it is slow, and because it is about to be ended.
    noted_slow: bool,
    noted_end: bool,
    // Whose step holds the worker up.
    held: Option<Whose>,
}

impl Watchdog {
    /// Starts watching. Where code `may_pause` for a debugger, no time of waiting is too long.
    pub(crate) fn start(limits: &Limits, may_pause: bool, tell: Listener) -> std::io::Result<Self> {
        let bounds = Bounds {
            cpu_warn: limits.turn_cpu_warn,
            cpu_max: limits.turn_cpu_max,
            start_cpu_max: limits.start_cpu_max,
            wait_max: (!may_pause).then_some(limits.turn_wait_max),
            held_after: limits.turn_held_after,
        };
        let pulses: Arc<Mutex<Vec<Watched>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let watching = (pulses.clone(), stop.clone());
        std::thread::Builder::new().name("watchdog".to_string()).spawn(move || {
            let (pulses, stop) = watching;
            let mut notices = Vec::new();
            while !stop.load(Ordering::Acquire) {
                std::thread::sleep(LOOK_EVERY);
                pulses
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .retain_mut(|watched| watched.look(&bounds, &mut notices));
                // Without the lock: the engine may start a worker, which is watched from then on.
                notices.drain(..).for_each(|(worker, notice)| tell(worker, notice));
            }
        })?;
        Ok(Self { pulses, stop })
    }

    /// Watches one more worker, until its pulse is dropped.
    pub(crate) fn watch(&self, worker: usize, pulse: &Arc<Pulse>) {
        let now = Instant::now();
        let watched = Watched {
            pulse: Arc::downgrade(pulse),
            worker,
            seen: None,
            since: now,
            cpu_at_start: Duration::ZERO,
            cpu: Duration::ZERO,
            waited: Duration::ZERO,
            looked: now,
            told: false,
            noted_slow: false,
            noted_end: false,
            held: None,
        };
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Watched {
    // Answers whether the worker still lives.
    fn look(&mut self, bounds: &Bounds, notices: &mut Vec<(usize, Notice)>) -> bool {
        let Some(pulse) = self.pulse.upgrade() else { return false };
        let (seen, now) = (pulse.seen(), Instant::now());
        if seen != self.seen {
            if let Some(whose) = self.held.take() {
                notices.push((self.worker, Notice::Released(now - self.since, whose)));
            }
            self.seen = seen;
            self.since = now;
            self.looked = now;
            self.told = false;
            (self.noted_slow, self.noted_end) = (false, false);
            self.waited = Duration::ZERO;
            if seen.is_some() {
                self.cpu_at_start = pulse.cpu().unwrap_or_default();
                self.cpu = self.cpu_at_start;
            }
            return true;
        }
        if seen.is_some() && !std::mem::replace(&mut self.told, true) {
            notices.push((self.worker, Notice::Busy));
        }
        if let (Some(seen), Some(cpu)) = (seen, pulse.cpu()) {
            self.count(&pulse, now, cpu);
            self.judge(&pulse, seen, bounds, notices);
        }
        true
    }

    fn count(&mut self, pulse: &Pulse, now: Instant, cpu: Duration) {
        let passed = (now - self.looked).min(WAITED_PER_LOOK_MAX);
        if cpu.saturating_sub(self.cpu) < passed / WAITING_SHARE && !pulse.whose().is_debugged() {
            self.waited += passed;
        }
        self.looked = now;
        self.cpu = cpu;
    }

    fn judge(&mut self, pulse: &Pulse, seen: Seen, bounds: &Bounds, notices: &mut Vec<(usize, Notice)>) {
        let used = self.cpu.saturating_sub(self.cpu_at_start);
        let imports = seen.step == Step::Import;
        pulse.look_at_memory(seen);
        if imports && used > IMPORT_LOOKED_INTO_AFTER {
            pulse.sample_import(seen);
        }
        if used >= bounds.cpu_warn {
            if !std::mem::replace(&mut self.noted_slow, true) {
                pulse.note_stack(seen);
            }
            pulse.mark_slow(seen, self.cpu_at_start);
        }
        let beyond = if used > if imports { bounds.start_cpu_max } else { bounds.cpu_max } {
            Some(TimeLimit::Cpu)
        } else {
            bounds.wait_max.filter(|max| self.waited > *max).map(|_| TimeLimit::Wait)
        };
        if let Some(limit) = beyond {
            // Where it was is asked first: by the next look the code has told.
            if std::mem::replace(&mut self.noted_end, true) {
                pulse.terminate(seen, self.cpu_at_start, limit);
            } else {
                pulse.note_stack(seen);
            }
        }
        // Making a room takes every thread as long.
        if !imports && self.held.is_none() && used + self.waited > bounds.held_after {
            let whose = pulse.whose();
            self.held = Some(whose.clone());
            notices.push((self.worker, Notice::Held(seen.step, whose)));
        }
    }
}

impl Whose {
    fn is_debugged(&self) -> bool {
        self.debuggers.as_ref().is_some_and(|count| count.load(Ordering::Relaxed) > 0)
    }
}
