//! Jobs: the transforms of one generation of files, run on all processors.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Module;
use crate::cache::{self, Key};
use crate::diagnostic::Problems;
use crate::settings::Settings;
use crate::transform::transform;

/// A file that was read, with what is wrong with it.
pub(super) struct Loaded {
    pub(super) module: Module,
    pub(super) problems: Problems,
    /// Under this name the record is new.
    pub(super) fresh: Option<Key>,
}

/// Enough for sources nested thousands of levels deep; only touched pages cost memory.
const STACK_BYTES: usize = 256 << 20;

/// What is left to do for a file.
pub(super) enum Job {
    Done(Box<Loaded>),
    /// The record has a name, and where there is a folder for it, a file.
    Transform(Box<(Module, Settings, Key, Option<PathBuf>)>),
}

impl Job {
    /// Nothing is left to do.
    pub(super) fn done(module: Module, problems: Problems) -> Self {
        Self::Done(Box::new(Loaded { module, problems, fresh: None }))
    }

    /// How long it may take, compared with others.
    fn size(&self) -> usize {
        match self {
            Self::Done(_) => 0,
            Self::Transform(work) => work.0.source.len(),
        }
    }

    fn run(self) -> Loaded {
        match self {
            Self::Done(loaded) => *loaded,
            Self::Transform(work) => {
                let (mut module, settings, key, file) = *work;
                let problems = match transform(&module.source, &settings) {
                    Ok(record) => {
                        if let Some(file) = file {
                            cache::keep(&file, &record);
                        }
                        module.record = Arc::new(record);
                        Vec::new()
                    }
                    Err(problems) => problems,
                };
                Loaded { module, problems, fresh: Some(key) }
            }
        }
    }
}

/// Runs the jobs on all processors; the results are in the jobs' order.
pub(super) fn run(jobs: Vec<Job>) -> Vec<Loaded> {
    let work = jobs.iter().filter(|job| matches!(job, Job::Transform(_))).count();
    if work == 0 {
        return jobs.into_iter().map(Job::run).collect();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(work);
    // The longest first: the others are done by the rest of the processors meanwhile.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|number| std::cmp::Reverse(jobs.get(*number).map_or(0, Job::size)));
    let slots: Vec<std::sync::Mutex<Option<Job>>> =
        jobs.into_iter().map(|job| std::sync::Mutex::new(Some(job))).collect();
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let Some(&number) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { return done };
            let Some(slot) = slots.get(number) else { return done };
            let job = slot.lock().ok().and_then(|mut job| job.take());
            done.extend(job.map(|job| (number, job.run())));
        }
    };
    let mut loaded: Vec<(usize, Loaded)> = std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, take).ok();
        let workers: Vec<_> = (0..threads).filter_map(spawn).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    // Whatever no thread could be started for.
    loaded.extend(take());
    loaded.sort_by_key(|(number, _)| *number);
    loaded.into_iter().map(|(_, loaded)| loaded).collect()
}
