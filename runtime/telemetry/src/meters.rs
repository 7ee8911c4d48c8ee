//! The numbers that rooms and requests count: one set for each thread and party, which only that thread writes.
//!
//! A set is never freed. When a thread ends, the next one that is born goes on with its sets, so that there are as many as
//! there were threads at once, and what was counted stays counted.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cell::{Counter, Histogram, Level};

/// What has no party of its own: the static handlers, files, and requests for nobody.
pub const NO_PARTY: &str = "";
/// Parties beyond `metrics_parties_max` are counted together by this name, which no party can have.
const OTHERS: &str = "(others)";

/// Why a room was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// A step took more CPU time than it may.
    Cpu,
    /// A step waited longer than it may.
    Wait,
    /// It used more memory than it may, or the process has none left.
    Memory,
    /// What it wrote could not be stored.
    Storage,
    /// It was asked for: by user code, by a debugger or by whoever runs the server.
    Asked,
    /// Something else failed.
    Failure,
}

impl Reset {
    pub(crate) const ALL: [(Self, &str); 6] = [
        (Self::Cpu, "cpu"),
        (Self::Wait, "wait"),
        (Self::Memory, "memory"),
        (Self::Storage, "storage"),
        (Self::Asked, "asked"),
        (Self::Failure, "failure"),
    ];

    /// Its name, as labels have it.
    pub fn name(self) -> &'static str {
        name(&Self::ALL, self)
    }
}

fn name<T: Copy + PartialEq>(all: &[(T, &'static str)], one: T) -> &'static str {
    all.iter().find(|(known, _)| *known == one).map_or("", |(_, name)| *name)
}

/// Why a room left its isolate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Nothing happened to it for its time.
    Idle,
    /// Others needed its place or its memory.
    Pressure,
    /// Somebody asked for it.
    Asked,
}

impl Eviction {
    pub(crate) const ALL: [(Self, &str); 3] =
        [(Self::Idle, "idle"), (Self::Pressure, "pressure"), (Self::Asked, "asked")];

    /// Its name, as labels have it.
    pub fn name(self) -> &'static str {
        name(&Self::ALL, self)
    }
}

/// How urgent a line of user code's console is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// `console.debug`.
    Debug,
    /// `console.log` and `console.info`.
    Log,
    /// `console.warn`.
    Warn,
    /// `console.error`, and errors that the runtime reports.
    Error,
}

impl Console {
    pub(crate) const ALL: [(Self, &str); 4] =
        [(Self::Debug, "debug"), (Self::Log, "log"), (Self::Warn, "warn"), (Self::Error, "error")];
}

/// The classes of a status.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What one thread has counted of one party.
#[derive(Debug)]
// A cache line of its own, and the one that processors fetch along with it.
#[repr(align(128))]
pub struct Meters {
    pub(crate) party: Arc<str>,
    /// Messages that rooms were given.
    pub messages_in: Counter,
    /// Their bytes.
    pub bytes_in: Counter,
    /// Messages that were put into queues of sockets.
    pub messages_out: Counter,
    /// Their bytes.
    pub bytes_out: Counter,
    /// CPU time of turns, of one in many.
    pub turn_cpu: Histogram,
    /// Rooms in memory.
    pub rooms: Level,
    /// Those of them that have an isolate.
    pub live: Level,
    /// Isolates that the thread has made in advance.
    pub spares: Level,
    /// Sockets of rooms.
    pub sockets: Level,
    /// How often a socket was opened.
    pub sockets_opened: Counter,
    /// Starts of rooms that nobody was connected to.
    pub new_rooms: Histogram,
    /// Starts of rooms that hibernated.
    pub wake_ups: Histogram,
    pub(crate) requests: [Counter; CLASSES.len()],
    /// The time until the head of an answer.
    pub request_time: Histogram,
    /// Runs of alarms that succeeded, and those that failed.
    pub alarms: [Counter; 2],
    pub(crate) resets: [Counter; Reset::ALL.len()],
    pub(crate) evictions: [Counter; Eviction::ALL.len()],
    pub(crate) console: [Counter; Console::ALL.len()],
}

impl Meters {
    fn new(party: Arc<str>) -> Self {
        Self {
            party,
            messages_in: Counter::new(),
            bytes_in: Counter::new(),
            messages_out: Counter::new(),
            bytes_out: Counter::new(),
            turn_cpu: Histogram::new(),
            rooms: Level::default(),
            live: Level::default(),
            spares: Level::default(),
            sockets: Level::default(),
            sockets_opened: Counter::new(),
            new_rooms: Histogram::new(),
            wake_ups: Histogram::new(),
            requests: [const { Counter::new() }; CLASSES.len()],
            request_time: Histogram::new(),
            alarms: [const { Counter::new() }; 2],
            resets: [const { Counter::new() }; Reset::ALL.len()],
            evictions: [const { Counter::new() }; Eviction::ALL.len()],
            console: [const { Counter::new() }; Console::ALL.len()],
        }
    }

    /// A message of so many bytes came.
    #[inline]
    pub fn received(&self, bytes: usize) {
        self.messages_in.add(1);
        self.bytes_in.add(bytes);
    }

    /// A message of so many bytes was queued for so many sockets.
    #[inline]
    pub fn sent(&self, sockets: usize, bytes: usize) {
        self.messages_out.add(sockets);
        self.bytes_out.add(sockets * bytes);
    }

    /// A request was answered.
    #[inline]
    pub fn answered(&self, status: u16, took: std::time::Duration) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        if let Some(count) = self.requests.get(class) {
            count.add(1);
        }
        self.request_time.record(took);
    }

    /// A run of an alarm has ended.
    pub fn alarm_ended(&self, succeeded: bool) {
        let [good, bad] = &self.alarms;
        if succeeded { good } else { bad }.add(1);
    }

    /// A room was reset.
    pub fn reset(&self, why: Reset) {
        count(&self.resets, why as usize);
    }

    /// A room left its isolate.
    pub fn evicted(&self, why: Eviction) {
        count(&self.evictions, why as usize);
    }

    /// User code printed a line.
    pub fn printed(&self, level: Console) {
        count(&self.console, level as usize);
    }
}

fn count(counters: &[Counter], index: usize) {
    if let Some(counter) = counters.get(index) {
        counter.add(1);
    }
}

/// The sets of one thread.
type Sheet = Mutex<Vec<&'static Meters>>;

struct Sheets {
    all: Vec<&'static Sheet>,
    // Those of threads that have ended.
    free: Vec<&'static Sheet>,
    parties: Vec<Arc<str>>,
}

static SHEETS: Mutex<Sheets> = Mutex::new(Sheets { all: Vec::new(), free: Vec::new(), parties: Vec::new() });

/// What a mutex guards: a thread that panicked with it has left a whole value behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// The sheet of the calling thread, and what it has of it at hand.
struct Lease {
    sheet: &'static Sheet,
    known: RefCell<Vec<(Box<str>, &'static Meters)>>,
}

impl Lease {
    fn take() -> Self {
        let mut sheets = lock(&SHEETS);
        let sheet = sheets.free.pop().unwrap_or_else(|| {
            let sheet: &'static Sheet = Box::leak(Box::default());
            sheets.all.push(sheet);
            sheet
        });
        Self { sheet, known: RefCell::default() }
    }

    fn meters(&self, party: &str, parties_max: usize) -> &'static Meters {
        let found = |known: &[(Box<str>, &'static Meters)]| {
            known.iter().find(|(name, _)| **name == *party).map(|(_, meters)| *meters)
        };
        if let Some(meters) = found(&self.known.borrow()) {
            return meters;
        }
        let label = label(party, parties_max);
        let mut sheet = lock(self.sheet);
        let meters = match sheet.iter().find(|meters| meters.party == label) {
            Some(meters) => *meters,
            None => {
                let meters: &'static Meters = Box::leak(Box::new(Meters::new(label.clone())));
                sheet.push(meters);
                meters
            }
        };
        // Whoever asks for parties that there are not must not fill the memory.
        if *label == *party {
            self.known.borrow_mut().push((party.into(), meters));
        }
        meters
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&SHEETS).free.push(self.sheet);
    }
}

thread_local! {
    static LEASE: Lease = Lease::take();
}

// The name by which a party is counted.
fn label(party: &str, parties_max: usize) -> Arc<str> {
    let mut sheets = lock(&SHEETS);
    if let Some(known) = sheets.parties.iter().find(|known| ***known == *party) {
        return known.clone();
    }
    let is_one_more = sheets.parties.len() >= parties_max && !party.is_empty();
    let label: Arc<str> = Arc::from(if is_one_more { OTHERS } else { party });
    if !is_one_more {
        sheets.parties.push(label.clone());
    }
    label
}

/// The set of the calling thread for a party; whoever keeps it must stay on the thread. Parties beyond the first
/// `parties_max` of the process share one.
pub fn meters(party: &str, parties_max: usize) -> &'static Meters {
    // A thread that is ending has no lease any more: what it counts goes into a sheet for such threads.
    LEASE.try_with(|lease| lease.meters(party, parties_max)).unwrap_or_else(|_| {
        let lease = Lease::take();
        lease.meters(party, parties_max)
    })
}

/// All sets of all threads.
pub(crate) fn all() -> Vec<&'static Meters> {
    let sheets = lock(&SHEETS).all.clone();
    sheets.iter().flat_map(|sheet| lock(sheet).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(party: &str) -> u64 {
        all().iter().filter(|meters| &*meters.party == party).map(|meters| meters.messages_out.get()).sum()
    }

    #[test]
    fn what_a_thread_counted_outlives_it_and_the_next_goes_on() {
        for _ in 0..20 {
            let counting = std::thread::spawn(|| meters("lasting", 1000).sent(3, 10));
            counting.join().unwrap();
        }
        assert_eq!(sent("lasting"), 60);
        let sets = all().iter().filter(|meters| &*meters.party == "lasting").count();
        assert!(sets < 20, "{sets} sets for threads that followed each other");
    }

    #[test]
    fn parties_beyond_the_limit_are_counted_together() {
        // `metrics_parties_max`; other tests of this process may have named some already.
        for number in 0..50 {
            meters(&format!("invented-{number}"), 3).sent(1, 1);
        }
        assert!(sent(OTHERS) >= 47, "{}", sent(OTHERS));
        assert!(lock(&SHEETS).parties.iter().filter(|party| party.starts_with("invented")).count() <= 3);
        meters(NO_PARTY, 0).sent(1, 1);
        assert_eq!(sent(NO_PARTY), 1, "what has no party is no party too many");
    }

    #[test]
    fn a_status_is_counted_by_its_class() {
        let meters = Meters::new("".into());
        for status in [101, 200, 204, 404, 599, 999, 0] {
            meters.answered(status, std::time::Duration::ZERO);
        }
        assert_eq!(meters.requests.each_ref().map(Counter::get), [2, 2, 0, 1, 2]);
    }
}
