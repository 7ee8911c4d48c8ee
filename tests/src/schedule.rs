//! Gives every run of a case a server and collects what became of it.
//!
//! A fixed number of workers takes runs from a queue ordered by fixture. Cases of a fixture share one server unless they
//! need their own (`Case::needs_own_server`); it starts with the first of them and goes with the last. All of this lives
//! on one thread: the work is waiting, and children must be started by the main thread (`server`).

use crate::case::{Case, Variant};
use crate::context::{Context, Server};
use crate::execute::Failure;
use crate::fixture::Fixture;
use crate::project::Project;
use crate::runtime::{Programs, Runtime};
use crate::server::free_port;
use crate::variables::Variables;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The limits and programs of a whole run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is called.
    pub programs: Programs,
    /// How many runs at once.
    pub jobs: usize,
    /// The limit of a step that names none.
    pub step_limit: Duration,
    /// The limit for a server to take requests.
    pub start_limit: Duration,
    /// The limit of a case that names none.
    pub case_limit: Duration,
}

/// One case in one variant on one runtime.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its fixture.
    pub fixture: Rc<Fixture>,
    /// Its case, by position in the fixture.
    pub case: usize,
    /// How.
    pub variant: Variant,
    /// Where.
    pub runtime: Runtime,
}

impl Run {
    /// The case.
    pub fn case(&self) -> &Case {
        &self.fixture.cases[self.case]
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The run.
    pub run: Run,
    /// `None` when it passed.
    pub failure: Option<Failure>,
    /// Expectations that held.
    pub held: u64,
    /// The last lines of the server, when it failed.
    pub output_tail: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// The runs of some cases: fresh and in their variants.
pub fn runs_of(
    fixtures: &[Rc<Fixture>],
    runtimes: &[Runtime],
    wanted: impl Fn(&Fixture, &Case) -> bool,
) -> Vec<Run> {
    let mut runs = Vec::new();
    for fixture in fixtures {
        for runtime in runtimes {
            for (at, case) in fixture.cases.iter().enumerate() {
                if !wanted(fixture, case) || !case.runs_on(*runtime) {
                    continue;
                }
                for variant in std::iter::once(Variant::Fresh).chain(case.variants.iter().copied()) {
                    runs.push(Run { fixture: fixture.clone(), case: at, variant, runtime: *runtime });
                }
            }
        }
    }
    runs
}

/// Runs everything; `done` is told of each outcome as it comes.
pub async fn run_all(runs: Vec<Run>, settings: &Settings, done: impl Fn(Outcome)) {
    let shared = Shared::new(&runs);
    let queue = RefCell::new(VecDeque::from(runs));
    let rooms = Cell::new(0);
    let worker = || async {
        loop {
            let next = queue.borrow_mut().pop_front();
            let Some(run) = next else { return };
            rooms.set(rooms.get() + 1);
            let outcome = run_one(run.clone(), settings, &shared, rooms.get()).await;
            shared.finished(&run).await;
            done(outcome);
        }
    };
    futures_util::future::join_all((0..settings.jobs.max(1)).map(|_| worker())).await;
}

type Key = (String, Runtime);

/// The shared servers, each with the number of runs that still want it.
struct Shared {
    slots: HashMap<Key, Slot>,
}

#[derive(Default)]
struct Slot {
    server: Mutex<Option<Rc<Server>>>,
    left: Cell<usize>,
}

impl Shared {
    fn new(runs: &[Run]) -> Self {
        let mut slots: HashMap<Key, Slot> = HashMap::new();
        for run in runs.iter().filter(|run| !run.case().needs_own_server(run.variant)) {
            let slot = slots.entry((run.fixture.name.clone(), run.runtime)).or_default();
            slot.left.set(slot.left.get() + 1);
        }
        Self { slots }
    }

    fn slot(&self, run: &Run) -> Option<&Slot> {
        let wanted = !run.case().needs_own_server(run.variant);
        self.slots.get(&(run.fixture.name.clone(), run.runtime)).filter(|_| wanted)
    }

    /// The server of the slot; one that has died is replaced.
    async fn server(
        &self,
        slot: &Slot,
        run: &Run,
        settings: &Settings,
    ) -> Result<Rc<Server>, (String, Vec<String>)> {
        let mut current = slot.server.lock().await;
        if let Some(server) = current.as_ref().filter(|server| server.exit().is_none()) {
            return Ok(server.clone());
        }
        let server = start(run, settings, false).await?;
        *current = Some(server.clone());
        Ok(server)
    }

    async fn finished(&self, run: &Run) {
        if let Some(slot) = self.slot(run) {
            slot.left.set(slot.left.get() - 1);
            if slot.left.get() == 0 {
                slot.server.lock().await.take();
            }
        }
    }
}

async fn run_one(run: Run, settings: &Settings, shared: &Shared, number: u64) -> Outcome {
    let began = Instant::now();
    if let Some(slot) = shared.slot(&run) {
        let server = match shared.server(slot, &run, settings).await {
            Ok(server) => server,
            Err(problem) => return not_started(run, problem, began),
        };
        let outcome = attempt(&run, server.clone(), settings, number, began).await;
        if outcome.failure.is_none() || server.exit().is_none() {
            return outcome;
        }
        // The shared server died. Whether this case did it shows when it runs alone.
    }
    match start(&run, settings, true).await {
        Ok(server) => attempt(&run, server, settings, number, began).await,
        Err(problem) => not_started(run, problem, began),
    }
}

fn not_started(run: Run, (message, output_tail): (String, Vec<String>), began: Instant) -> Outcome {
    let failure = Some(Failure { place: run.case().place.clone(), message });
    Outcome { run, failure, held: 0, output_tail, took: began.elapsed() }
}

async fn attempt(run: &Run, server: Rc<Server>, settings: &Settings, number: u64, began: Instant) -> Outcome {
    let case = run.case();
    let shared = !case.needs_own_server(run.variant);
    let cx = Context {
        log_mark: Cell::new(if shared { server.output().mark() } else { 0 }),
        server,
        programs: settings.programs.clone(),
        variant: run.variant,
        variables: Variables::default(),
        step_limit: settings.step_limit,
        start_limit: settings.start_limit,
        held: Cell::new(0),
        sockets: RefCell::default(),
    };
    cx.variables.set("room", format!("{}-{number}", run.fixture.name));
    cx.variables.set("host", format!("127.0.0.1:{}", cx.server.port));
    cx.variables.set("port", cx.server.port);
    cx.variables.set("runtime", run.runtime.name());
    let limit = case.limit_ms.map_or(settings.case_limit, Duration::from_millis);
    let failure = match tokio::time::timeout(limit, cx.run(&case.steps)).await {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(_) => {
            let message = format!("the case did not end within {} ms", limit.as_millis());
            Some(Failure { place: case.place.clone(), message })
        }
    };
    cx.sockets.borrow_mut().drain().for_each(|(_, socket)| socket.release());
    let failure = failure.map(|failure| with_exit(failure, &cx.server));
    let output_tail = if failure.is_some() { tail(&cx.server) } else { Vec::new() };
    Outcome { run: run.clone(), failure, held: cx.held.get(), output_tail, took: began.elapsed() }
}

fn with_exit(failure: Failure, server: &Server) -> Failure {
    match server.exit() {
        Some(status) => {
            Failure { message: format!("{}\n  the server ended: {status}", failure.message), ..failure }
        }
        None => failure,
    }
}

fn tail(server: &Server) -> Vec<String> {
    const SHOWN_LINES: usize = 25;
    server.output().tail(SHOWN_LINES)
}

/// Copies the project and starts a server on it; a port taken meanwhile by someone else is not the case's fault.
async fn start(run: &Run, settings: &Settings, own: bool) -> Result<Rc<Server>, (String, Vec<String>)> {
    const ATTEMPTS: usize = 3;
    let plain = |message: String| (message, Vec::new());
    let mut problem = plain("no attempt".into());
    for _ in 0..ATTEMPTS {
        let server = prepare(run, settings, own).map_err(plain)?;
        if own && run.case().server.none {
            return Ok(Rc::new(server));
        }
        match server.start(&settings.programs, settings.start_limit).await {
            Ok(()) => return Ok(Rc::new(server)),
            Err(message) => problem = (message, tail(&server)),
        }
        let busy = problem.1.iter().any(|line| line.to_ascii_lowercase().contains("address already in use"));
        if !busy {
            break;
        }
    }
    Err(problem)
}

fn prepare(run: &Run, settings: &Settings, own: bool) -> Result<Server, String> {
    let port = free_port()?;
    let fixture = &run.fixture.server;
    let project = Project::copy(&run.fixture.folder, &settings.programs.packages)
        .map_err(|error| format!("could not copy the project: {error}"))?;
    let (mut entry, mut extra, mut env) = (fixture.entry.clone(), fixture.args.clone(), fixture.env.clone());
    let mut files = fixture.files.clone();
    if own {
        let special = &run.case().server;
        entry = special.entry.clone().or(entry);
        extra.extend(special.args.iter().cloned());
        env.extend(special.env.iter().cloned());
        files.extend(special.files.iter().cloned());
    }
    let variables = Variables::default();
    variables.set("port", port);
    for (path, text) in &files {
        project.write(path, text)?;
    }
    let extra: Vec<String> = extra.iter().map(|arg| variables.text(arg)).collect::<Result<_, _>>()?;
    let entry = entry.filter(|entry| !entry.is_empty());
    let args = settings.programs.dev_args(run.runtime, entry.as_deref(), port, &extra);
    Ok(Server { runtime: run.runtime, project, port, process: RefCell::default(), args, env })
}
