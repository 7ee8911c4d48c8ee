//! The thread of a worker: how it starts, what it is given, and that its mailbox is closed when it ends.
//!
//! The edge's thread starts before there is a program, and makes its first heap while the project is bundled.

use std::sync::Arc;

use partyrun_limits::Limits;
use partyrun_store::WorkerStore;

use crate::api::StartError;
use crate::ground::inspect::Inspector;
use crate::ground::pulse::Pulse;
use crate::ground::watchdog::Watchdog;
use crate::isolate::Heap;
use crate::worker;
use crate::worker::isolates::Isolates;
use crate::worker::mailbox::Mailbox;
use crate::worker::setup::Setup;

/// Stack of a worker: V8's own limit is about 1 MiB, ops and the snapshot's scripts come on top.
const STACK_BYTES: usize = 4 << 20;

/// Starts a worker; it runs until it is told to stop, or has nothing to do any more.
pub(crate) fn start(
    mailbox: Arc<Mailbox>,
    name: String,
    setup: Setup,
    watchdog: &Watchdog,
) -> Result<Arc<Mailbox>, StartError> {
    WaitingWorker::spawn(mailbox, name, None)?.begin(setup, watchdog)
}

/// What the first heap of a worker needs.
pub(crate) type ForHeap = (Limits, Option<Arc<Inspector>>);

type Started = std::sync::mpsc::Sender<Result<Arc<Pulse>, StartError>>;

/// The thread of a worker that waits for its setup, and may make its first heap meanwhile. One that gets no setup has
/// ended when this is dropped: a process must not end while V8 is at work.
#[derive(Debug)]
pub(crate) struct WaitingWorker {
    mailbox: Arc<Mailbox>,
    setups: Option<std::sync::mpsc::Sender<(Setup, Started)>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl WaitingWorker {
    pub(crate) fn spawn(
        mailbox: Arc<Mailbox>,
        name: String,
        heap: Option<ForHeap>,
    ) -> Result<Self, StartError> {
        let (setups, given) = std::sync::mpsc::channel();
        let own = mailbox.clone();
        let thread = std::thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES)
            .spawn(move || live(heap, &given, &Closing(own)))
            .map_err(|error| StartError::Machine(format!("a worker thread could not be started: {error}")))?;
        Ok(Self { mailbox, setups: Some(setups), thread: Some(thread) })
    }

    pub(crate) fn begin(mut self, setup: Setup, watchdog: &Watchdog) -> Result<Arc<Mailbox>, StartError> {
        let (started, answer) = std::sync::mpsc::channel();
        if let Some(setups) = self.setups.take() {
            let _ended = setups.send((setup, started));
        }
        self.thread = None;
        match answer.recv() {
            Ok(Ok(pulse)) => watchdog.watch(self.mailbox.id, &pulse),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(StartError::Machine("a worker thread ended at once".to_string())),
        }
        Ok(self.mailbox.clone())
    }
}

impl Drop for WaitingWorker {
    fn drop(&mut self) {
        self.setups = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

// Closes the mailbox with its thread, however that ends.
struct Closing(Arc<Mailbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn live(heap: Option<ForHeap>, given: &std::sync::mpsc::Receiver<(Setup, Started)>, own: &Closing) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    // Where it cannot be made, the isolate that needs it says why.
    let make = |(limits, inspector): ForHeap| async move { Heap::new(&limits, inspector.as_ref()).ok() };
    let heap = match (&runtime, heap) {
        (Ok(runtime), Some(needs)) => runtime.block_on(make(needs)),
        _ => None,
    };
    let Ok((setup, started)) = given.recv() else {
        if let Ok(runtime) = &runtime {
            runtime.block_on(async move { drop(heap) });
        }
        return;
    };
    match runtime {
        Ok(runtime) => run(&runtime, heap, setup, &own.0, &started),
        Err(error) => {
            let _gone = started.send(Err(StartError::Machine(error.to_string())));
        }
    }
}

fn run(
    runtime: &tokio::runtime::LocalRuntime,
    heap: Option<Heap>,
    setup: Setup,
    mailbox: &Arc<Mailbox>,
    started: &Started,
) {
    let store = match WorkerStore::open(&*setup.store, Arc::new(setup.limits.clone())) {
        Ok(store) => store,
        Err(error) => {
            let _gone = started.send(Err(StartError::Machine(error.to_string())));
            return;
        }
    };
    let pulse = Pulse::of_this_thread();
    let whereabouts = setup.whereabouts.clone();
    let isolates = Isolates::new(setup, store, pulse.clone(), mailbox.clone(), heap);
    let _gone = started.send(Ok(pulse));
    // A local runtime, not a LocalSet: deno_core polls ops outside of any set, and their futures start tasks too.
    // In a task of its own: waking the future that a runtime blocks on costs a system call, even from its own thread.
    runtime.block_on(async {
        let _panicked = tokio::task::spawn_local(worker::serve(isolates, whereabouts)).await;
    });
}
