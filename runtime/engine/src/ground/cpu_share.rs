//! The CPU time of turns, without a look at the thread's clock for each of them: that is a system call, and the time by the wall
//! is not.
//!
//! One turn in some is measured. What part of its time such a turn had the processor is taken to hold for those around it. A turn
//! that was long is looked at by itself: it had no more than the thread has used since the last look.

use std::cell::Cell;
use std::time::Duration;

/// From this length on a look at the clock costs nothing beside the turn.
const LONG: Duration = Duration::from_millis(1);
/// Of what is older than so much time in turns only a part counts.
const WINDOW: Duration = Duration::from_millis(50);

/// What a thread's turns use.
#[derive(Debug, Default)]
pub(crate) struct CpuShare {
    // Of measured turns.
    wall: Cell<Duration>,
    cpu: Cell<Duration>,
    // What the thread had used when the clock was looked at last.
    seen: Cell<Duration>,
}

impl CpuShare {
    /// A turn that was measured took so long, and used the processor until the thread's clock said `clock`.
    pub(crate) fn measured(&self, wall: Duration, cpu: Duration, clock: Duration) -> Duration {
        self.seen.set(clock);
        let cpu = cpu.min(wall);
        let (mut all, mut used) = (self.wall.get() + wall, self.cpu.get() + cpu);
        if all > WINDOW {
            (all, used) = (all / 2, used / 2);
        }
        self.wall.set(all);
        self.cpu.set(used);
        cpu
    }

    /// What a turn used that was not measured and took so long; `clock` looks at the thread's clock.
    pub(crate) fn of(&self, wall: Duration, clock: impl FnOnce() -> Option<Duration>) -> Duration {
        if wall >= LONG
            && let Some(now) = clock()
        {
            return wall.min(now.saturating_sub(self.seen.replace(now)));
        }
        let all = self.wall.get();
        if all.is_zero() { wall } else { wall.mul_f64(self.cpu.get().as_secs_f64() / all.as_secs_f64()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn turns_around_a_measured_one_have_its_share() {
        let share = CpuShare::default();
        let unseen = || -> Option<Duration> { panic!("a short turn looks at no clock") };
        assert_eq!(share.of(us(10), unseen), us(10));
        assert_eq!(share.measured(us(40), us(10), us(1000)), us(10));
        assert_eq!(share.of(us(80), unseen), us(20));
        // What was is forgotten in time.
        for _ in 0..10_000 {
            share.measured(us(100), us(100), us(1000));
        }
        assert!(share.of(us(1000) - us(1), unseen) > us(990));
    }

    #[test]
    fn a_long_turn_had_no_more_than_the_thread_has_used() {
        let share = CpuShare::default();
        share.measured(us(10), us(10), us(5_000));
        assert_eq!(share.of(us(900_000), || Some(us(7_000))), us(2_000));
        assert_eq!(share.of(us(3_000), || Some(us(900_000))), us(3_000));
        assert_eq!(share.of(us(3_000), || None), us(3_000));
    }
}
