//! How a room's life ends, and what decides that it may: it is idle, it was reset, or its code was swapped.

use std::sync::Arc;
use std::time::Instant;

use partyrun_net::Response;
use partyrun_telemetry::Reset;

use crate::api::RoomChange;
use crate::room::actor::Actor;
use crate::room::lodging::{Lodging, Parcel};
use crate::room::state::Start;

/// Under pressure idle rooms leave after this part of their time.
const PRESSED_DIVISOR: u32 = 10;
/// The first collection of a life's garbage comes after this part of the time.
const FIRST_TIDY_DIVISOR: u32 = 3;

impl Actor {
    /// Resets the room at the end of this turn; what it says from now on is not sent.
    pub(crate) fn reset_soon(&self, why: Reset, reason: &str) {
        self.gate.shut();
        self.rest.reset.borrow_mut().get_or_insert_with(|| (why, reason.to_string()));
    }

    /// Ends this life of the room: the isolate goes, requests are answered with `reason` (in production it stands in
    /// the log only), sockets are closed with 1011.
    /// What was durable stays; what the turn wrote or wanted to say is forgotten.
    pub(crate) fn reset(&self, why: Reset, reason: &str) {
        self.meters.reset(why);
        self.shared.report_reset(&self.source, reason);
        self.shared.changed(&self.source, &RoomChange::Reset { why, reason });
        // The stack is for the log.
        let reason = reason.split('\n').next().unwrap_or_default();
        let concealed = self.shared.program.borrow().conceal_errors;
        let reason = if concealed { "The room was reset." } else { reason };
        self.gate.discard();
        self.leave_home();
        for event in self.inbox.take() {
            self.refuse(event, || Response::text(500, reason));
        }
        self.fail_alarms();
        self.requests.answer_all(|| Response::text(500, reason));
        self.sockets.borrow_mut().close_all(1011, reason);
        self.leave_turn();
    }

    /// Leaves the isolate; what outlives it stays.
    pub(crate) fn leave_home(&self) {
        if let Some(number) = self.placing.moved_out() {
            self.meters.live.sink(1);
            self.home.leave(number);
        }
        if let Some(records) = &self.records {
            // A transaction that was open belonged to the isolate: it is rolled back with it.
            records.rest();
        }
        self.startup.forget();
        self.rest.tidied.set(None);
        self.traces.forget();
        self.rest.waits.set(0);
    }

    /// Changes to a new program: a hibernating room keeps its sockets, others are closed with 1012 (design, section 4). Answers
    /// whether the room lived.
    pub(crate) fn swap(&self) -> bool {
        if !self.is_live() {
            return false;
        }
        self.gate.discard();
        self.leave_home();
        self.requests.answer_all(|| Response::text(503, "The server was updated."));
        if !self.rest.hibernates() {
            self.sockets.borrow_mut().close_all(self.shared.restart_code.0, "Service Restart");
            drop(self.inbox.take());
        }
        self.fail_alarms();
        self.leave_turn();
        true
    }

    /// Whether the room may leave its isolate now: nothing is in progress, and no socket needs the instance. Where rooms are
    /// `pressed` for places or memory, it may go earlier.
    pub(crate) fn evictable(&self, now: Instant, pressed: bool) -> bool {
        let quiet = now.saturating_duration_since(self.inbox.last_event());
        let limits = &self.shared.limits;
        let most = if self.home.is_busy() { limits.room_busy_idle_max } else { limits.room_idle_max };
        quiet >= if pressed { most / PRESSED_DIVISOR } else { most } && self.at_rest()
    }

    /// Whether no event is in progress.
    pub(crate) fn is_quiet(&self) -> bool {
        self.inbox.is_empty()
            && self.requests.is_empty()
            && self.alarms.is_empty()
            && self.rest.waits.get() <= 0
            && !self.startup.is_held()
            && self.startup.state() != Start::Starting
            && self.gate.is_open()
    }

    /// Whether the room has been quiet long enough for its garbage to be collected, once, and its sockets keep it: another
    /// one leaves soon, with all that it has.
    pub(crate) fn wants_tidying(&self, now: Instant) -> bool {
        let last_event = self.inbox.last_event();
        let tidied = self.rest.tidied.get();
        // What the import of the project left behind is most of it, and goes first.
        let after =
            self.shared.limits.room_tidy_after / if tidied.is_none() { FIRST_TIDY_DIVISOR } else { 1 };
        tidied.is_none_or(|tidied| tidied < last_event)
            && self.is_live()
            && !self.sockets.borrow().allow_eviction(self.rest.hibernates())
            && now.saturating_duration_since(last_event) >= after
    }

    /// Collects the garbage of a room that may stay in memory for long because of its sockets.
    pub(crate) fn tidy(&self) {
        self.rest.tidied.set(Some(Instant::now()));
        self.home.tidy();
    }

    /// Whether nothing is in progress and no socket needs the instance.
    pub(crate) fn at_rest(&self) -> bool {
        self.is_live()
            && !self.home.is_debugged()
            && self.is_quiet()
            && self.sockets.borrow().allow_eviction(self.rest.hibernates())
    }

    /// Whether a handler runs or `waitUntil` keeps something alive.
    pub(crate) fn at_work(&self) -> bool {
        self.rest.waits.get() > 0 || !self.requests.is_empty()
    }

    /// Whether nothing of the room is left in memory that anybody could need.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_live()
            && self.inbox.is_empty()
            && self.requests.is_empty()
            && self.sockets.borrow().is_empty()
            && self.gate.is_open()
    }

    /// Lets other threads have the room, if all that is left of it is connections that can go elsewhere.
    pub(crate) fn rests(&self) -> Option<Arc<Lodging>> {
        let only_sockets = !self.is_live() && self.inbox.is_empty() && !self.sockets.borrow().is_empty();
        let berths = only_sockets.then(|| self.sockets.borrow().berths()).flatten()?;
        Some(self.lodger.rest(berths, self.rest.is_slow()))
    }

    /// Takes in what was left of the room on another worker.
    pub(crate) fn adopt(&self, parcel: Parcel) {
        self.rest.set_hibernates(true);
        if parcel.slow {
            self.rest.note_slow();
        }
        for (connection, transport) in parcel.connections {
            self.sockets.borrow_mut().adopt(connection, transport);
        }
    }

    /// What is left of a room that rests, for another process; none where it does not rest, or nothing of it can go.
    pub(crate) fn lift(&self) -> Option<Parcel> {
        let rests =
            !self.is_live() && self.inbox.is_empty() && self.requests.is_empty() && self.gate.is_open();
        let connections = if rests { self.sockets.borrow_mut().lift() } else { Vec::new() };
        (!connections.is_empty()).then(|| Parcel { connections, slow: self.rest.is_slow() })
    }

    /// Forgets the room here, without a word to anybody: another worker has it.
    pub(crate) fn abandon(&self) {
        self.sockets.borrow_mut().abandon();
        self.close();
    }

    /// Whether the room is to begin its next life on another worker, and may do so now.
    pub(crate) fn moves_on(&self) -> bool {
        self.rest.is_slow()
            && self.shared.worker.upgrade().is_some_and(|worker| worker.has_neighbours())
            && self.is_empty()
    }

    /// The room is gone for good.
    pub(crate) fn close(&self) {
        self.leave_home();
        self.home.forget(self.serial);
    }
}
