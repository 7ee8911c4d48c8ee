//! The isolates of a worker: spares that wait for rooms, and what rooms ask of the worker for theirs.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use partyrun_store::{Batch, RoomKey, Store, StoreError, WorkerStore};

use crate::api::{Isolation, Level, RoomCost, Source};
use crate::ground::cpu_share::CpuShare;
use crate::ground::inspect::Inspector;
use crate::ground::overrun;
use crate::ground::program::Program;
use crate::ground::pulse::Pulse;
use crate::ground::registry::{Registered, Registry};
use crate::isolate::{CallError, Heap, Isolate, Loaded};
use crate::room::home::{Housing, Prepared};
use crate::room::host::HostSlot;
use crate::room::shared::{Shared, Worker};
use crate::worker::mailbox::{Kind, Mailbox};
use crate::worker::message::{Durable, Message};
use crate::worker::setup::Setup;
use crate::worker::spares::Spares;

/// A worker without a turn for so long may make a spare.
const LULL: Duration = Duration::from_millis(2);
/// After so many looks without a lull it makes one anyway.
const LULL_LOOKS_MAX: usize = 25;

/// The isolates of one worker.
pub(crate) struct Isolates {
    pub(crate) shared: Rc<Shared>,
    pub(crate) mailbox: Arc<Mailbox>,
    writer: Arc<dyn Store>,
    inspector: Option<Arc<Inspector>>,
    pub(crate) isolation: Isolation,
    registry: Arc<Registry>,
    spares: RefCell<Spares>,
    // The one that was made before there was a program.
    early: RefCell<Option<Heap>>,
    refilling: Cell<bool>,
    making_spare: Arc<AtomicBool>,
    next_serial: Cell<u64>,
    // Parties whose functions are in the code cache.
    code_cached: RefCell<HashSet<String>>,
    this: Weak<Isolates>,
}

impl Isolates {
    /// The isolates of the worker on this thread: none yet.
    pub(crate) fn new(
        setup: Setup,
        store: WorkerStore,
        pulse: Arc<Pulse>,
        mailbox: Arc<Mailbox>,
        heap: Option<Heap>,
    ) -> Rc<Self> {
        let spares = Spares::new(setup.spares, &setup.limits, &setup.program);
        let shares_isolate = setup.isolation == Isolation::Worker && mailbox.kind != Kind::Edge;
        Rc::new_cyclic(|this: &Weak<Self>| Self {
            shared: Rc::new(Shared {
                limits: Rc::new(setup.limits),
                observer: setup.observer,
                store,
                pulse,
                program: RefCell::new(setup.program),
                places: setup.places,
                totals: setup.totals,
                compression: setup.compression,
                restart_code: setup.restart_code,
                shares_isolate,
                worker: this.clone(),
                neighbours: setup.neighbours,
                cpu: CpuShare::default(),
                activity: Cell::new(0),
            }),
            mailbox,
            writer: setup.store,
            inspector: setup.inspector,
            isolation: setup.isolation,
            registry: setup.registry,
            spares: RefCell::new(spares),
            early: RefCell::new(heap),
            refilling: Cell::new(false),
            making_spare: setup.making_spare,
            next_serial: Cell::new(1),
            code_cached: RefCell::default(),
            this: this.clone(),
        })
    }

    /// How many spares are ready.
    pub(crate) fn spare_count(&self) -> usize {
        self.spares.borrow().len()
    }

    /// Keeps fewer spares where demand has gone down.
    pub(crate) fn ease(&self) {
        self.spares.borrow_mut().ease(self.shared.places.pressed());
    }

    /// Drops all spares.
    pub(crate) fn clear(&self) {
        self.spares.borrow_mut().clear();
    }

    /// Changes to a new program.
    pub(crate) fn swap(&self, program: Arc<Program>) {
        self.spares.borrow_mut().begin_program(&program);
        *self.shared.program.borrow_mut() = program;
        self.code_cached.borrow_mut().clear();
    }

    fn load(&self, isolate: &mut Isolate, wanted: Loaded) -> Result<(), CallError> {
        if *isolate.loaded() != Loaded::Nothing {
            return Ok(());
        }
        let began = Instant::now();
        isolate.load(&self.shared.pulse, &self.shared.limits, wanted)?;
        self.spares.borrow_mut().note_time(isolate.loaded(), began.elapsed());
        // The edge imports all parties, so it is the one that tells.
        let overrun = self.shared.pulse.take_overrun();
        if let Some(overrun) = overrun.filter(|_| self.mailbox.kind == Kind::Edge) {
            let (used, longest) = (overrun::seconds(overrun.cpu), isolate.longest_import());
            let text = format!(
                "Importing the project used {used} of CPU time{longest}. Each room needs as much for its party when it starts.\n"
            );
            self.shared.observer.console(&Source::Edge, Level::Warn, &text);
        }
        isolate.forget_import();
        Ok(())
    }

    /// A new isolate for `source`, or a spare.
    pub(crate) fn create(&self, source: Option<&Source>) -> Result<Prepared, CallError> {
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        let shared = &self.shared;
        let program = shared.program.borrow().clone();
        let top_level = matches!(source, Some(Source::Edge)).then(|| shared.observer.clone());
        let host = HostSlot::new(program.clone(), top_level);
        let early = self.early.take();
        let heap = early.map_or_else(|| Heap::new(&shared.limits, self.inspector.as_ref()), Ok)?;
        let mut isolate = Isolate::create(
            heap,
            &program,
            host.clone(),
            &shared.limits,
            serial,
            &shared.pulse,
            self.inspector.as_ref().zip(source),
            shared.shares_isolate,
        )?;
        if let Some(source) = source {
            self.load(&mut isolate, self.wanted_by(source))?;
            if program.code_cache().is_none() {
                isolate.make_code_cache();
            }
            isolate.give_to(source);
        }
        Ok(Prepared { isolate, host })
    }

    /// Waits for a moment in which no room of the worker has a turn; under steady load there is none, and then a spare is
    /// made anyway after a while, so that the next room does not pay for it.
    pub(crate) async fn lull(&self) {
        for _ in 0..LULL_LOOKS_MAX {
            let seen = self.shared.activity.get();
            tokio::time::sleep(LULL).await;
            if self.shared.activity.get() == seen {
                return;
            }
        }
    }

    /// Makes spares when the worker has nothing else to do: making one takes the thread for some milliseconds.
    pub(crate) fn refill(&self) {
        if !self.spares.borrow().wants_more() || self.refilling.replace(true) {
            return;
        }
        let Some(isolates) = self.this.upgrade() else { return };
        tokio::task::spawn_local(async move {
            let shared = isolates.shared.clone();
            loop {
                isolates.lull().await;
                if !isolates.spares.borrow().wants_more() || shared.places.pressed() {
                    break;
                }
                // One worker at a time: at a start, and after a burst, all of them want spares, and a room that is
                // being made somewhere must not compete with that.
                if isolates.making_spare.swap(true, Ordering::AcqRel) {
                    continue;
                }
                let created = isolates.spare();
                isolates.making_spare.store(false, Ordering::Release);
                let Ok(mut spare) = created else { break };
                let ready = std::future::poll_fn(|context| {
                    spare.isolate.poll_ready(&shared.pulse, &shared.limits, context)
                })
                .await;
                // A program that was swapped meanwhile makes the spare useless.
                if ready.is_err() || !Arc::ptr_eq(spare.isolate.program(), &shared.program.borrow()) {
                    break;
                }
                // A fifth to a half of what it has is what its import left behind.
                spare.isolate.tidy();
                isolates.spares.borrow_mut().put(spare);
            }
            isolates.refilling.set(false);
        });
    }

    /// What a room of this party takes that has just started. The isolate that is made for it becomes a spare.
    pub(crate) async fn measure(&self, party: String) -> Result<RoomCost, CallError> {
        self.lull().await;
        let (pulse, limits) = (self.shared.pulse.clone(), self.shared.limits.clone());
        let begun = pulse.cpu();
        let mut made = self.create(None)?;
        self.load(&mut made.isolate, Loaded::Party(party.clone()))?;
        std::future::poll_fn(|context| made.isolate.poll_ready(&pulse, &limits, context)).await?;
        let cpu = begun.zip(pulse.cpu()).map(|(begun, now)| now.saturating_sub(begun)).unwrap_or_default();
        made.isolate.tidy();
        let bytes = made.isolate.bytes();
        let is_current = Arc::ptr_eq(made.isolate.program(), &self.shared.program.borrow());
        if is_current && self.spares.borrow().wants_more() {
            self.spares.borrow_mut().put(made);
        }
        Ok(RoomCost { party, cpu, bytes })
    }

    // What an isolate for `source` must have evaluated.
    fn wanted_by(&self, source: &Source) -> Loaded {
        match source {
            Source::Room(key) if self.isolation == Isolation::Room => Loaded::Party(key.party().to_string()),
            _ => Loaded::All,
        }
    }

    // The spare that is wanted most.
    fn spare(&self) -> Result<Prepared, CallError> {
        let (blank, wanted) = self.spares.borrow_mut().begin();
        let mut spare = blank.map_or_else(|| self.create(None), Ok)?;
        if wanted != Loaded::Nothing {
            self.load(&mut spare.isolate, wanted)?;
        }
        Ok(spare)
    }
}

impl Housing for Isolates {
    fn isolate(&self, source: &Source) -> Result<Prepared, CallError> {
        let wanted = self.wanted_by(source);
        // A spare has run the modules, where a debugger that follows may want to stop.
        let followed = self.inspector.as_ref().is_some_and(|inspector| inspector.is_followed());
        let spare = if followed { None } else { self.spares.borrow_mut().take(&wanted) };
        self.refill();
        match spare {
            Some(mut spare) => {
                spare.isolate.give_to(source);
                self.load(&mut spare.isolate, wanted)?;
                Ok(spare)
            }
            None => self.create(Some(source)),
        }
    }

    fn claim_code_cache(&self, isolate: &Isolate) -> bool {
        let party = match isolate.loaded() {
            Loaded::Party(party) => party.clone(),
            // No party has this name.
            Loaded::All if self.mailbox.kind != Kind::Edge => String::new(),
            _ => return false,
        };
        isolate.has_latest_code_cache() && self.code_cached.borrow_mut().insert(party)
    }

    fn register(&self, room: &RoomKey, isolate: &Isolate) -> Registered {
        let (mailbox, room) = (self.mailbox.clone(), room.clone());
        let end = move || mailbox.send(Message::Relieve(room.clone())).is_ok();
        self.registry.add(isolate.memory().clone(), isolate.handle().clone(), end)
    }
}

impl Worker for Isolates {
    fn commit(&self, serial: u64, life: u32, batch: Batch) {
        let (mailbox, seq) = (self.mailbox.clone(), batch.seq);
        let done = move |result: Result<(), StoreError>| {
            let _gone = mailbox.send(Message::Durable(Durable { room: serial, life, seq, result }));
        };
        self.writer.commit(batch, Box::new(done));
    }

    fn release_alarm(&self, room: &RoomKey, retry_at_ms: i64) {
        self.writer.release_alarm(room, retry_at_ms);
    }

    fn has_neighbours(&self) -> bool {
        self.mailbox.kind == Kind::Share && self.isolation == Isolation::Room
    }
}
