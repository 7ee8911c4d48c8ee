//! Places of live rooms: how many rooms may be in memory (`rooms_max`), and whether memory allows one more
//! (`memory_share_max`).
//!
//! A room asks for a place before it gets an isolate, and gives the place back with the isolate. If there is none, idle rooms
//! are asked to leave memory; a room that has waited for `room_place_wait_max` refuses its requests with 503. Hibernating rooms
//! that their connections wake may use a reserve (`waking_reserve_share`) beyond both limits; when it is used up, their
//! messages wait. Alarms wait in the store. One line is printed when rooms begin to be refused, and one when that ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use partyrun_limits::Limits;
use partyrun_store::RoomKey;

use crate::api::Observer;
use crate::ground::machine::{Bound, Machine};

const MIB: u64 = 1 << 20;
/// How long what was read about memory is believed.
const READING_VALID: Duration = Duration::from_millis(10);
/// What a room takes at least, for rooms that have begun but not grown yet.
const ROOM_BYTES_MIN: u64 = 3 * MIB;
/// Most of the memory that the reserve may take, whatever the limits say.
const WAKING_SHARE_MAX: f64 = 0.95;
/// From this part of a limit on, idle rooms leave earlier.
const PRESSED_FROM: f64 = 0.875;
/// Rooms that were used within this time make way only for want of places, not of memory.
const WARM: Duration = Duration::from_secs(1);
/// How often rooms are asked to make way.
const MAKE_WAY_EVERY: Duration = Duration::from_millis(50);
/// Without a refusal for so long the refusing has ended.
const CALM_AFTER: Duration = Duration::from_secs(5);

/// Why no room can start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Full {
    /// As many are live as may.
    Rooms,
    /// The bound that is nearly used up.
    Memory(Bound),
}

/// The places of one engine.
pub(crate) struct Places {
    rooms_max: usize,
    memory_share_max: f64,
    waking_reserve_share: f64,
    room_bytes_max: u64,
    observer: Arc<dyn Observer>,
    live: AtomicUsize,
    starting: AtomicUsize,
    pressed: AtomicBool,
    machine: Mutex<Readings>,
    refusing: Mutex<Option<Refusing>>,
    asked: Mutex<Option<Instant>>,
}

// What was read last, and what a room takes as far as that shows it.
struct Readings {
    machine: Machine,
    last: Option<(Instant, Option<Bound>)>,
    /// Bytes of the process before it had rooms.
    at_start: Option<u64>,
    /// The most live rooms of the last while: memory of those that left comes back late.
    live_lately: usize,
}

struct Refusing {
    last: Instant,
    count: u64,
}

/// A place that a live room has; dropping it gives it back.
pub(crate) struct Place {
    places: Arc<Places>,
    starting: bool,
}

impl Place {
    /// The room has started: what it takes can be measured from now on.
    pub(crate) fn settle(&mut self) {
        if std::mem::take(&mut self.starting) {
            self.places.starting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settle();
        self.places.live.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Places {
    pub(crate) fn new(limits: &Limits, observer: Arc<dyn Observer>) -> Arc<Self> {
        Self::on(Machine::here(), limits, observer)
    }

    fn on(machine: Machine, limits: &Limits, observer: Arc<dyn Observer>) -> Arc<Self> {
        let room_bytes_max = limits.heap_bytes_max.saturating_add(limits.external_bytes_max);
        Arc::new(Self {
            rooms_max: limits.rooms_max,
            memory_share_max: limits.memory_share_max,
            waking_reserve_share: limits.waking_reserve_share,
            room_bytes_max: (room_bytes_max as u64).max(ROOM_BYTES_MIN),
            observer,
            live: AtomicUsize::new(0),
            starting: AtomicUsize::new(0),
            pressed: AtomicBool::new(false),
            machine: Mutex::new(Readings { machine, last: None, at_start: None, live_lately: 0 }),
            refusing: Mutex::new(None),
            asked: Mutex::new(None),
        })
    }

    /// A place for a room that is about to start; one that is `waking` may use the reserve.
    pub(crate) fn take(self: &Arc<Self>, waking: bool) -> Result<Place, Full> {
        // Counted first, so that two that ask at once do not get the same place.
        let before = self.live.fetch_add(1, Ordering::AcqRel);
        self.starting.fetch_add(1, Ordering::AcqRel);
        let place = Place { places: self.clone(), starting: true };
        self.room_for(before, waking).map(|()| place)
    }

    /// Why a room that does not wake could not start now, if it could not.
    pub(crate) fn full(&self) -> Option<Full> {
        self.room_for(self.live.load(Ordering::Acquire), false).err()
    }

    /// How many rooms have a place.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// The share that the process has of the memory that it could have.
    pub(crate) fn memory_share(&self) -> f64 {
        self.look(0).map_or(0.0, |(bound, _)| bound.share_with(0))
    }

    /// Whether a limit is near: idle rooms then leave earlier, and nothing is made in advance.
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Acquire)
    }

    /// Whether the caller shall ask the workers to make way: now and then.
    pub(crate) fn may_ask(&self) -> bool {
        let mut asked = lock(&self.asked);
        let due = asked.is_none_or(|asked| asked.elapsed() >= MAKE_WAY_EVERY);
        if due {
            *asked = Some(Instant::now());
        }
        due
    }

    fn room_for(&self, live: usize, waking: bool) -> Result<(), Full> {
        let reserve =
            if waking { (self.rooms_max as f64 * self.waking_reserve_share).ceil() as usize } else { 0 };
        if live >= self.rooms_max.saturating_add(reserve) {
            self.pressed.store(true, Ordering::Release);
            return Err(Full::Rooms);
        }
        let Some((bound, room_bytes)) = self.look(live) else { return Ok(()) };
        let starting = self.starting.load(Ordering::Acquire).max(1) as u64;
        let share_max = if waking {
            (self.memory_share_max + self.waking_reserve_share)
                .min(WAKING_SHARE_MAX.max(self.memory_share_max))
        } else {
            self.memory_share_max
        };
        if bound.share_with(starting.saturating_mul(room_bytes)) > share_max {
            self.pressed.store(true, Ordering::Release);
            return Err(Full::Memory(bound));
        }
        Ok(())
    }

    // The tightest bound, and what a room takes.
    fn look(&self, live: usize) -> Option<(Bound, u64)> {
        let mut readings = lock(&self.machine);
        let valid = readings.last.as_ref().is_some_and(|(at, _)| at.elapsed() < READING_VALID);
        if !valid {
            let bound = readings.machine.tightest();
            readings.last = Some((Instant::now(), bound));
        }
        let bound = readings.last.as_ref()?.1.clone()?;
        let at_start = *readings.at_start.get_or_insert(bound.own);
        readings.live_lately = readings.live_lately.max(live);
        let grown = bound.own.saturating_sub(at_start);
        let room_bytes = grown / readings.live_lately.max(1) as u64;
        Some((bound, room_bytes.clamp(ROOM_BYTES_MIN, self.room_bytes_max)))
    }

    /// A request was refused.
    pub(crate) fn refused(&self, why: &Full) {
        let mut refusing = lock(&self.refusing);
        if let Some(refusing) = &mut *refusing {
            refusing.last = Instant::now();
            refusing.count += 1;
            return;
        }
        *refusing = Some(Refusing { last: Instant::now(), count: 1 });
        drop(refusing);
        self.say(&format!(
            "{} Rooms that are not in memory answer 503 until another one leaves.",
            self.reason(why)
        ));
    }

    fn reason(&self, why: &Full) -> String {
        match why {
            Full::Rooms => {
                let live = self.live.load(Ordering::Acquire);
                format!("No more rooms are started: {live} are live (limit `rooms_max`: {}).", self.rooms_max)
            }
            Full::Memory(bound) => format!(
                "No more rooms are started: this process has {} MiB of the {} MiB that {} leaves to it (limit \
                 `memory_share_max`: {}).",
                bound.own / MIB,
                bound.total() / MIB,
                bound.name,
                self.memory_share_max
            ),
        }
    }

    /// Looks whether limits are near, and whether the refusing has ended; workers call it now and then.
    pub(crate) fn sweep(&self) {
        let live = self.live.load(Ordering::Acquire);
        let share = self.look(live).map_or(0.0, |(bound, _)| bound.share_with(0));
        let near = live as f64 >= self.rooms_max as f64 * PRESSED_FROM
            || share >= self.memory_share_max * PRESSED_FROM;
        self.pressed.store(near, Ordering::Release);
        {
            let mut readings = lock(&self.machine);
            readings.live_lately = live.max(readings.live_lately - readings.live_lately / 8);
        }
        let mut refusing = lock(&self.refusing);
        let calm = refusing.as_ref().is_some_and(|refusing| refusing.last.elapsed() >= CALM_AFTER);
        if !calm || self.full().is_some() {
            return;
        }
        let count = refusing.take().map_or(0, |refusing| refusing.count);
        drop(refusing);
        self.say(&format!("Rooms are started again; {count} requests were refused meanwhile."));
    }

    fn say(&self, text: &str) {
        self.observer.warn(text);
    }
}

/// Which of the rooms that are idle since those times shall leave: for want of a place the one that has been idle longest;
/// for want of memory all that were not used just now, at least one.
pub(crate) fn leaving(mut idle: Vec<(Instant, RoomKey)>, why: &Full) -> impl Iterator<Item = RoomKey> {
    idle.sort_unstable_by_key(|(since, _)| *since);
    let count = match why {
        Full::Rooms => 1,
        Full::Memory(_) => idle.iter().take_while(|(since, _)| since.elapsed() >= WARM).count().max(1),
    };
    idle.into_iter().take(count).map(|(_, key)| key)
}

// A thread that panicked while it held one of these locks left a whole value behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Level, Source};
    use futures_util::future::BoxFuture;

    struct Nobody;

    impl Observer for Nobody {
        fn console(&self, _source: &Source, _level: Level, _text: &str) {}

        fn assets(&self, _path: String) -> BoxFuture<'static, Option<partyrun_net::Response>> {
            Box::pin(async { None })
        }
    }

    fn places(limits: &Limits) -> Arc<Places> {
        Places::new(limits, Arc::new(Nobody))
    }

    #[test]
    fn rooms_beyond_the_limit_get_no_place_but_waking_ones_a_reserve() {
        let limits = Limits { rooms_max: 10, waking_reserve_share: 0.1, ..Limits::default() };
        let places = places(&limits);
        let mut taken: Vec<Place> = (0..10).map(|_| places.take(false).ok().unwrap()).collect();
        assert_eq!(places.take(false).err(), Some(Full::Rooms));
        taken.push(places.take(true).ok().unwrap());
        assert_eq!(places.take(true).err(), Some(Full::Rooms));
        assert!(places.full().is_some() && places.pressed());
        taken.truncate(9);
        assert!(places.full().is_none());
        assert!(places.take(false).is_ok());
        assert_eq!(places.live.load(Ordering::Acquire), 9, "what was refused is not counted");
    }

    #[test]
    fn memory_beyond_the_share_refuses() {
        let none = places(&Limits { memory_share_max: 0.0, waking_reserve_share: 0.0, ..Limits::default() });
        assert!(matches!(none.take(false).err(), Some(Full::Memory(bound)) if bound.own > 0));
        assert!(none.take(true).is_err());
        assert_eq!(none.starting.load(Ordering::Acquire), 0);
        let all = places(&Limits { memory_share_max: 1.0, ..Limits::default() });
        assert!(all.take(false).is_ok());
    }
}
