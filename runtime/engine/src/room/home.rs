//! A home: an isolate, and the rooms that live in it. This file and `host` alone know how many there are.
//!
//! A task of the worker polls it: each poll is one turn. It enters the isolate once, lets the rooms that rang begin and gives
//! them their events, lets deno_core dispatch timers and finished ops, leaves, and then ends the turn of each room that had a
//! part in it: each room's writes are a batch of their own, and what a room says waits for its own batch only. An isolate
//! that goes beyond a limit ends the lives of all its rooms.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use deno_core::v8;
use partyrun_store::RoomKey;
use partyrun_telemetry::Reset;

use crate::api::{Described, Isolation, Source};
use crate::ground::overrun;
use crate::ground::pulse::{Overrun, Step};
use crate::ground::registry::Registered;
use crate::isolate::{CallError, Entered, Isolate, call};
use crate::room::actor::Actor;
use crate::room::host::HostSlot;
use crate::room::line::Line;
use crate::room::shared::{Landlord, Shared};
use crate::room::state::Start;

/// Turns after which the code cache is made again: by then the functions that events need are compiled.
const CODE_CACHE_AFTER: u32 = 3;

/// The CPU time of one turn in so many is measured: asking for it is a system call.
const TURNS_PER_MEASURED: u64 = 32;

/// An isolate with the program evaluated, and the host side that its ops call.
pub(crate) struct Prepared {
    pub(crate) isolate: Isolate,
    pub(crate) host: Rc<HostSlot>,
}

/// What a home asks of its worker.
pub(crate) trait Housing {
    /// An isolate of the current program, for this room.
    fn isolate(&self, source: &Source) -> Result<Prepared, CallError>;

    /// Whether the caller shall make the code cache with `isolate`: once per program, worker and party.
    fn claim_code_cache(&self, isolate: &Isolate) -> bool;

    /// Puts a live isolate, by the name of a room in it, on the list of those that use memory.
    fn register(&self, room: &RoomKey, isolate: &Isolate) -> Registered;
}

/// An isolate while it is there, its rooms, and its task.
pub(crate) struct Home {
    shared: Rc<Shared>,
    housing: Weak<dyn Housing>,
    // Whether the isolate stays when its last room leaves.
    stays: bool,
    // It goes with its last room nevertheless: it is beyond a limit, or its program is old.
    ends: Cell<bool>,
    line: Rc<Line>,
    // By serial number: those that live in the isolate, and those that would.
    rooms: RefCell<HashMap<u64, Weak<Actor>>>,
    isolate: RefCell<Option<Prepared>>,
    registered: RefCell<Option<Registered>>,
    // The event loop has something pending: timers, fetches.
    busy: Cell<bool>,
    turns: Cell<u32>,
    closed: Cell<bool>,
}

impl Home {
    /// One without rooms; with [`Isolation::Worker`] its isolate stays when the last room leaves.
    pub(crate) fn new(shared: Rc<Shared>, housing: Weak<dyn Housing>, isolation: Isolation) -> Rc<Self> {
        Rc::new(Self {
            shared,
            housing,
            stays: isolation == Isolation::Worker,
            ends: Cell::new(false),
            line: Rc::default(),
            rooms: RefCell::default(),
            isolate: RefCell::default(),
            registered: RefCell::default(),
            busy: Cell::new(false),
            turns: Cell::new(0),
            closed: Cell::new(false),
        })
    }

    /// Where its rooms ring.
    pub(crate) fn line(&self) -> &Rc<Line> {
        &self.line
    }

    /// Takes in a room, which comes into the isolate with its first event.
    pub(crate) fn take_in(&self, room: &Rc<Actor>) {
        self.rooms.borrow_mut().insert(room.serial, Rc::downgrade(room));
    }

    /// Gives the home an isolate, and the room a part in it, before there is an event.
    pub(crate) fn prepare(&self, room: &Rc<Actor>, prepared: Prepared) {
        room.move_in(prepared.host.bind(room));
        *self.isolate.borrow_mut() = Some(prepared);
    }

    fn room(&self, serial: u64) -> Option<Rc<Actor>> {
        self.rooms.borrow().get(&serial)?.upgrade()
    }

    // Those that live in the isolate.
    fn live(&self) -> Vec<Rc<Actor>> {
        let rooms = self.rooms.borrow();
        rooms.values().filter_map(Weak::upgrade).filter(|room| room.is_live()).collect()
    }

    fn rang(&self) -> Vec<Rc<Actor>> {
        self.line.take_rang(|serial| self.room(serial))
    }

    /// One turn. Ready when the home is gone for good.
    pub(crate) fn poll(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.closed.get() {
            return Poll::Ready(());
        }
        self.line.park(context.waker());
        self.shared.note_activity();
        let begun = Instant::now();
        let cpu_before = self.is_measured().then(|| self.shared.pulse.cpu()).flatten();
        let outcome = self.turn(context);
        let cpu = self.used(begun.elapsed(), cpu_before);
        let mut overrun = self.shared.pulse.take_overrun();
        if let Some(overrun) = &mut overrun {
            let mut isolate = self.isolate.borrow_mut();
            overrun.stack =
                isolate.as_mut().map(|prepared| prepared.isolate.held_stack()).unwrap_or_default();
            drop(isolate);
            self.tell_overrun(overrun);
        }
        let mut touched = self.line.take_touched(|serial| self.room(serial));
        if let (true, Some(room)) = (cpu_before.is_some(), touched.first()) {
            room.meters.turn_cpu.record(cpu);
        }
        if let Err(error) = outcome {
            let guilty = overrun.as_ref().and_then(|overrun| overrun.source.clone());
            let (why, reason) = self.why_failed(&error, overrun);
            let mut others = self.live();
            others.retain(|room| !touched.iter().any(|one| Rc::ptr_eq(one, room)));
            touched.append(&mut others);
            for room in &touched {
                match &guilty {
                    Some(guilty) if *guilty != room.source => {
                        let other = overrun::name(guilty);
                        room.reset_soon(
                            why,
                            &format!("{other}, which shares its isolate, was reset: {reason}"),
                        );
                    }
                    _ => room.reset_soon(why, &reason),
                }
            }
            self.end_isolate();
        }
        let part = cpu / u32::try_from(touched.len()).unwrap_or(u32::MAX).max(1);
        for room in &touched {
            room.rest.note_turn(part);
            room.end_of_turn();
        }
        Poll::Pending
    }

    // A step took long: of one room, or of one among those that share the isolate.
    fn tell_overrun(&self, overrun: &Overrun) {
        let live = self.live();
        let Some(first) = live.first() else { return };
        match &overrun.source {
            Some(source) => {
                if let Some(room) = live.iter().find(|room| room.source == *source) {
                    room.overran(overrun, &overrun::name(source));
                }
            }
            None => first.overran(overrun, &overrun::one_of(live.iter().map(|room| &room.source))),
        }
    }

    // The CPU time of a turn that took so long; `before` is what the thread had used when it began, if that was looked at. While
    // nobody looks at rooms it is the time by the wall.
    fn used(&self, took: Duration, before: Option<Duration>) -> Duration {
        let (pulse, cpu) = (&self.shared.pulse, &self.shared.cpu);
        match before.and_then(|before| Some((before, pulse.cpu()?))) {
            Some((before, now)) => cpu.measured(took, now.saturating_sub(before), now),
            None if partyrun_telemetry::is_measuring() => cpu.of(took, || pulse.cpu()),
            None => took,
        }
    }

    // Whether the turn that begins is one of those whose CPU time is measured.
    fn is_measured(&self) -> bool {
        partyrun_telemetry::is_measuring() && self.shared.activity.get().is_multiple_of(TURNS_PER_MEASURED)
    }

    fn why_failed(&self, error: &CallError, overrun: Option<Overrun>) -> (Reset, String) {
        let (pulse, limits) = (&self.shared.pulse, &self.shared.limits);
        let subject = pulse.last_step().subject();
        let beyond = self.beyond(subject);
        let ended = overrun.and_then(|overrun| Some((overrun.step, overrun.ended?, overrun.stack)));
        match (error, ended) {
            (CallError::Terminated, _) if beyond.is_some() => (Reset::Memory, beyond.unwrap_or_default()),
            (CallError::Terminated, Some((step, limit, stack))) => {
                (overrun::count(step, limit), overrun::time(step, limit, limits) + &stack)
            }
            (CallError::Terminated, None) => (Reset::Asked, format!("{subject} was ended by a debugger")),
            (other, _) => (Reset::Failure, other.to_string()),
        }
    }

    // The limit of memory that the isolate is beyond.
    fn beyond(&self, subject: &str) -> Option<String> {
        let guard = self.isolate.borrow();
        let memory = guard.as_ref()?.isolate.memory();
        let reason = memory.beyond(subject)?;
        memory.count_limit();
        Some(reason)
    }

    fn turn(&self, context: &mut Context<'_>) -> Result<(), CallError> {
        let rang = self.rang();
        let mut guard = self.isolate.borrow_mut();
        for room in rang.iter().filter(|room| !room.is_live()) {
            if room.inbox.is_empty() || !room.finds_place() {
                continue;
            }
            if guard.is_none() {
                *guard = Some(self.make(room)?);
            }
            if let Some(prepared) = &mut *guard {
                room.lodger.wake();
                room.move_in(prepared.host.bind(room));
                if self.shared.shares_isolate {
                    prepared.isolate.also_give_to(&room.source);
                }
            }
        }
        let Some(prepared) = guard.as_mut() else { return Ok(()) };
        let isolate = &mut prepared.isolate;
        if self.is_undescribed() {
            return Ok(());
        }
        let pulse = self.shared.pulse.clone();
        if isolate.poll_ready(&pulse, &self.shared.limits, context)?.is_pending() {
            rang.iter().for_each(|room| room.inbox.wait());
            return Ok(());
        }
        let outcome = isolate.turn(&pulse, Step::Later, |entered| self.run(entered, &rang, context));
        if !matches!(outcome, Err(CallError::Terminated)) {
            self.keep_code_cache(isolate);
        }
        outcome
    }

    /// Drops the isolate, now or with the last room that lives in it.
    pub(crate) fn end_isolate(&self) {
        self.ends.set(true);
        if self.live().is_empty() {
            self.drop_isolate();
        }
    }

    /// Ends the home although its isolate would stay.
    pub(crate) fn close(&self) {
        self.end_isolate();
        self.closed.set(true);
        self.line.wake();
    }

    fn drop_isolate(&self) {
        let gone = self.isolate.take();
        drop(gone);
        *self.registered.borrow_mut() = None;
        self.ends.set(false);
        self.busy.set(false);
        self.turns.set(0);
    }

    // The isolate goes on without a room: its scripts forget it, so that what it left running reaches nobody's storage.
    fn forget_in_isolate(&self, number: u32) {
        let pulse = self.shared.pulse.clone();
        let mut guard = self.isolate.borrow_mut();
        let Some(Prepared { isolate, .. }) = guard.as_mut() else { return };
        // Where it fails, the next turn fails, too, and ends the isolate.
        let _failed = isolate.turn(&pulse, Step::Later, |entered| {
            let left = entered.scope(|scope, calls| {
                let number = v8::Integer::new_from_unsigned(scope, number).into();
                call(scope, &calls.leave, &[number]).map(drop)
            });
            left.unwrap_or(Ok(()))
        });
    }

    // An isolate for the first of the rooms that will live in it.
    fn make(&self, room: &Actor) -> Result<Prepared, CallError> {
        let housing = self.housing.upgrade().ok_or(CallError::Failed("asking a worker that has ended"))?;
        let prepared = housing.isolate(&room.source)?;
        if let Some(key) = room.key() {
            *self.registered.borrow_mut() = Some(housing.register(key, &prepared.isolate));
        }
        Ok(prepared)
    }

    // Whether this is the edge before `describe` has seen the modules: then there is nothing to do.
    fn is_undescribed(&self) -> bool {
        let edge = self.rooms.borrow().values().next().and_then(Weak::upgrade);
        edge.is_some_and(|edge| {
            edge.key().is_none() && edge.startup.state() != Start::Started && edge.inbox.is_empty()
        })
    }

    fn run(
        &self,
        entered: &mut Entered<'_>,
        rang: &[Rc<Actor>],
        context: &mut Context<'_>,
    ) -> Result<(), CallError> {
        for room in rang.iter().filter(|room| room.is_live()) {
            room.begin(entered)?;
            room.deliver(entered)?;
            if room.is_ready() && !room.inbox.is_empty() {
                room.inbox.wait();
            }
        }
        if self.shared.pulse.step(Step::Later) {
            return Err(CallError::Terminated);
        }
        if self.shared.shares_isolate {
            self.shared.pulse.now_of(None);
        }
        let idle = match entered.poll_event_loop(context) {
            Poll::Pending => false,
            Poll::Ready(result) => {
                result?;
                true
            }
        };
        self.busy.set(!idle);
        // The event loop may have ended a start or released a hold: what waited for it goes now.
        for room in self.rang() {
            if room.is_live() {
                room.deliver(entered)?;
            }
            let goes_on = !room.is_live() || room.is_ready() || room.startup.state() == Start::New;
            if goes_on && !room.inbox.is_empty() {
                room.wake();
            }
        }
        Ok(())
    }

    fn keep_code_cache(&self, isolate: &mut Isolate) {
        let turns = self.turns.get();
        self.turns.set(turns.saturating_add(1));
        if turns == CODE_CACHE_AFTER
            && self.housing.upgrade().is_some_and(|worker| worker.claim_code_cache(isolate))
        {
            isolate.make_code_cache();
        }
    }

    /// Asks the edge what the modules declare, once they have been evaluated.
    pub(crate) fn describe(
        &self,
        edge: &Actor,
        context: &mut Context<'_>,
    ) -> Poll<Result<Described, CallError>> {
        let mut guard = self.isolate.borrow_mut();
        let Some(Prepared { isolate, .. }) = guard.as_mut() else {
            return Poll::Ready(Err(CallError::Failed("making the edge")));
        };
        let pulse = self.shared.pulse.clone();
        if isolate.poll_ready(&pulse, &self.shared.limits, context)?.is_pending() {
            return Poll::Pending;
        }
        let described = isolate.turn(&pulse, Step::Import, |entered| edge.describe_in(entered));
        if isolate.debuggable() {
            // A turn, so that debuggers can wake the edge before its first event.
            edge.wake();
        }
        Poll::Ready(described)
    }
}

impl Landlord for Home {
    fn leave(&self, number: u32) {
        let goes = !self.stays || self.ends.get();
        if !goes {
            self.forget_in_isolate(number);
        }
        if let Some(prepared) = &*self.isolate.borrow()
            && let Some(room) = prepared.host.peek(number)
        {
            prepared.isolate.take_from(&room.source);
        }
        let last = self.isolate.borrow().as_ref().is_none_or(|prepared| prepared.host.release(number));
        if last && goes {
            self.drop_isolate();
        }
    }

    fn forget(&self, serial: u64) {
        self.rooms.borrow_mut().remove(&serial);
        if self.rooms.borrow().is_empty() && !self.stays {
            self.closed.set(true);
            self.line.wake();
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.get()
    }

    fn is_debugged(&self) -> bool {
        self.isolate.borrow().as_ref().is_some_and(|prepared| prepared.isolate.debugged())
    }

    fn memory_bytes(&self, measured: bool) -> usize {
        self.isolate.borrow_mut().as_mut().map_or(0, |prepared| match measured {
            true => prepared.isolate.measure(),
            false => prepared.isolate.memory().bytes(),
        })
    }

    fn tidy(&self) {
        // Garbage of one room among many is not worth collecting that of all.
        if let Some(prepared) = &mut *self.isolate.borrow_mut()
            && !self.stays
        {
            prepared.isolate.tidy();
        }
    }

    fn relieve(&self) {
        if let Some(reason) = self.beyond("it") {
            self.ends.set(true);
            self.live().iter().for_each(|room| room.reset(Reset::Memory, &reason));
            self.end_isolate();
        }
    }
}
