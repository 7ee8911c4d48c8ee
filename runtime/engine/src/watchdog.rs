//! Ends turns that take too long.
//!
//! A worker announces each turn in its [`Pulse`]. The watchdog thread looks at all pulses several times a second: when
//! a worker is still in the same turn after `turn_cpu_max` of its thread's CPU time, the isolate is terminated. CPU time,
//! because a thread that waits for its core has not used it. Reading the clock here keeps entering an isolate cheap.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use deno_core::v8::IsolateHandle;

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What one worker tells the watchdog.
pub(crate) struct Pulse {
    // Even: outside any isolate. Odd: inside, and another number for each turn.
    turn: AtomicU64,
    // The isolate of the current turn. Written by the worker when the isolate changes, read by the watchdog.
    current: Mutex<Option<(u64, IsolateHandle)>>,
    clock: libc::clockid_t,
    /// The turn that was ended by force.
    ended: AtomicU64,
}

impl Pulse {
    /// The pulse of the calling thread.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: the thread is alive, it is the calling one, and `clock` is a valid place.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        let clock = if failed == 0 { clock } else { libc::CLOCK_MONOTONIC };
        Arc::new(Self { turn: AtomicU64::new(0), current: Mutex::new(None), clock, ended: AtomicU64::new(0) })
    }

    /// A turn of `isolate` begins. Answers its number.
    pub(crate) fn begin(&self, serial: u64, handle: &IsolateHandle) -> u64 {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|(known, _)| *known != serial) {
            *current = Some((serial, handle.clone()));
        }
        self.turn.fetch_add(1, Ordering::Release) + 1
    }

    /// The turn has ended. Answers whether it was ended by force.
    pub(crate) fn end(&self, turn: u64) -> bool {
        self.turn.store(turn + 1, Ordering::Release);
        self.ended.load(Ordering::Acquire) == turn
    }

    fn cpu(&self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place. The clock of a thread that has ended makes the call fail, which is handled.
        if unsafe { libc::clock_gettime(self.clock, &raw mut time) } != 0 {
            return None;
        }
        Some(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    fn terminate(&self, turn: u64) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock is held by `begin` too: the turn cannot change while it is being ended.
        if self.turn.load(Ordering::Acquire) != turn {
            return;
        }
        self.ended.store(turn, Ordering::Release);
        if let Some((_, handle)) = &*current {
            handle.terminate_execution();
        }
    }
}

/// The thread that looks at the pulses; it ends when this value is dropped.
pub(crate) struct Watchdog {
    pulses: Arc<Mutex<Vec<Watched>>>,
    stop: Arc<AtomicBool>,
}

struct Watched {
    pulse: Weak<Pulse>,
    turn: u64,
    cpu_at_start: Duration,
}

impl Watchdog {
    /// Starts watching; a turn may take `turn_cpu_max`.
    pub(crate) fn start(turn_cpu_max: Duration) -> std::io::Result<Self> {
        let pulses: Arc<Mutex<Vec<Watched>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let watching = (pulses.clone(), stop.clone());
        std::thread::Builder::new().name("watchdog".to_string()).spawn(move || {
            let (pulses, stop) = watching;
            while !stop.load(Ordering::Acquire) {
                std::thread::sleep(LOOK_EVERY);
                let mut pulses = pulses.lock().unwrap_or_else(PoisonError::into_inner);
                pulses.retain_mut(|watched| watched.look(turn_cpu_max));
            }
        })?;
        Ok(Self { pulses, stop })
    }

    /// Watches one more worker, until its pulse is dropped.
    pub(crate) fn watch(&self, pulse: &Arc<Pulse>) {
        let watched = Watched { pulse: Arc::downgrade(pulse), turn: 0, cpu_at_start: Duration::ZERO };
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
    fn look(&mut self, turn_cpu_max: Duration) -> bool {
        let Some(pulse) = self.pulse.upgrade() else { return false };
        let turn = pulse.turn.load(Ordering::Acquire);
        if turn.is_multiple_of(2) {
            return true;
        }
        let Some(cpu) = pulse.cpu() else { return true };
        if turn != self.turn {
            self.turn = turn;
            self.cpu_at_start = cpu;
        } else if cpu.saturating_sub(self.cpu_at_start) > turn_cpu_max {
            pulse.terminate(turn);
        }
        true
    }
}
