//! An actor: a room, or the edge. It has an inbox, a home with an isolate, and everything of it that outlives the isolate.
//!
//! Each part of it has an owner: `inbox.rs`, `sockets.rs`, `requests.rs`, `records.rs` (storage), `output_gate.rs`, and the
//! small ones in `state.rs`. What is done with several of them stands in files of its own: `turn.rs` (a room's part of a turn),
//! `start.rs`, `placing.rs` (whether it may live), `rest.rs` (how a life ends), `alarms.rs`, `leave.rs` (the way out). The
//! isolate and the turn itself are `home.rs`. Ops reach the actor through `host` while the isolate is entered; they never
//! touch the isolate itself.

use std::cell::RefCell;
use std::rc::Rc;

use partyrun_extensions::wire;
use partyrun_net::SocketBudgets;
use partyrun_store::RoomKey;
use partyrun_telemetry::{Meters, NO_PARTY};

use crate::api::Source;
use crate::ground::totals::Totals;
use crate::room::event::Event;
use crate::room::inbox::Inbox;
use crate::room::line::{Bell, Line};
use crate::room::lodging::Lodger;
use crate::room::output_gate::OutputGate;
use crate::room::records::Records;
use crate::room::requests::Requests;
use crate::room::shared::{Landlord, Shared};
use crate::room::sockets::Sockets;
use crate::room::state::{Alarms, Placing, Rest, Startup};
use crate::room::traces::Traces;

/// A room or the edge, as long as anything of it is in memory.
pub(crate) struct Actor {
    pub(crate) source: Source,
    pub(crate) serial: u64,
    pub(crate) shared: Rc<Shared>,
    pub(crate) home: Rc<dyn Landlord>,
    pub(crate) inbox: Rc<Inbox>,
    pub(crate) sockets: RefCell<Sockets>,
    pub(crate) requests: Requests,
    /// The edge has none.
    pub(crate) records: Option<Records>,
    pub(crate) alarms: Alarms,
    pub(crate) gate: OutputGate,
    pub(crate) startup: Startup,
    pub(crate) rest: Rest,
    pub(crate) placing: Placing,
    pub(crate) traces: Traces,
    /// Claimed before anything of a hibernating room is touched.
    pub(crate) lodger: Rc<Lodger>,
    /// What the worker counts of the room's party.
    pub(crate) meters: &'static Meters,
}

impl Actor {
    /// A room, or the edge, that comes into memory; its isolate comes with its first event.
    pub(crate) fn new(
        source: Source,
        serial: u64,
        shared: Rc<Shared>,
        home: Rc<dyn Landlord>,
        line: &Rc<Line>,
    ) -> Rc<Self> {
        let (limits, totals) = (&shared.limits, &shared.totals);
        let records = match &source {
            Source::Room(key) => Some(Records::new(shared.store.room(key.clone()), totals.undurable(limits))),
            Source::Edge => None,
        };
        let inbox = Inbox::new(limits, totals.inbox(limits), Bell::new(line, serial));
        let budgets = SocketBudgets {
            unfinished: Rc::new(totals.unfinished(limits)),
            queued: Rc::new(totals.send_queues(limits)),
        };
        let lodger = Rc::<Lodger>::default();
        let party = match &source {
            Source::Room(key) => key.party(),
            Source::Edge => NO_PARTY,
        };
        let meters = partyrun_telemetry::meters(party, limits.metrics_parties_max);
        meters.rooms.rise();
        Rc::new(Self {
            source,
            serial,
            sockets: RefCell::new(Sockets::new(
                limits.clone(),
                inbox.clone(),
                lodger.clone(),
                budgets,
                meters,
            )),
            inbox,
            requests: Requests::new(totals.answers(limits), Totals::bodies(limits)),
            records,
            alarms: Alarms::default(),
            gate: OutputGate::new(totals.held(limits)),
            startup: Startup::default(),
            rest: Rest::default(),
            placing: Placing::default(),
            traces: Traces::default(),
            lodger,
            meters,
            shared,
            home,
        })
    }

    /// The room's name; the edge has none.
    pub(crate) fn key(&self) -> Option<&RoomKey> {
        match &self.source {
            Source::Room(key) => Some(key),
            Source::Edge => None,
        }
    }

    /// Adds an event. [`Actor::wake`] makes its turn come.
    pub(crate) fn push(&self, event: Event) {
        self.inbox.push(event);
    }

    /// Makes the room's turn come.
    pub(crate) fn wake(&self) {
        self.inbox.wake();
    }

    /// The room's number in its isolate.
    pub(crate) fn number(&self) -> u32 {
        self.placing.number().unwrap_or(wire::FIRST_ROOM)
    }

    /// Whether the room lives in an isolate.
    pub(crate) fn is_live(&self) -> bool {
        self.placing.number().is_some()
    }

    /// The room has come into an isolate, where it has this number.
    pub(crate) fn move_in(&self, number: u32) {
        self.placing.moved_in(number);
        self.meters.live.rise();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if self.is_live() {
            self.meters.live.sink(1);
        }
        self.meters.rooms.sink(1);
    }
}
