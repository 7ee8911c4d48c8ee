//! Jobs: what is left to do for the files of one generation, done on all processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use super::Module;
use crate::cache::{Cache, Key};
use crate::original::{MapSource, Original, Surroundings};
use crate::transform::{Problems, Settings, transform};

/// A file that was read, with what is wrong with it.
pub(super) struct Loaded {
    pub(super) module: Module,
    pub(super) problems: Problems,
    /// Under this name the record is new.
    pub(super) fresh_record: Option<Key>,
    /// Under this name the original files are new.
    pub(super) fresh_original: Option<Key>,
}

/// Enough for sources nested thousands of levels deep; only touched pages cost memory.
const STACK_BYTES: usize = 256 << 20;

/// A file that was read, and what is left to do for it.
pub(super) struct Job {
    pub(super) module: Module,
    pub(super) problems: Problems,
    /// How to make the record, and its name.
    pub(super) transform: Option<(Settings, Key)>,
    /// The map to read, and the name of the published file's contents.
    pub(super) map: Option<(MapSource, Key)>,
}

impl Job {
    /// Nothing is left to do.
    pub(super) fn done(module: Module, problems: Problems) -> Self {
        Self { module, problems, transform: None, map: None }
    }

    fn is_done(&self) -> bool {
        self.transform.is_none() && self.map.is_none()
    }

    fn run(self, around: &Surroundings<'_>) -> Loaded {
        let Self { mut module, mut problems, transform: settings, map } = self;
        let mut fresh_record = None;
        if let Some((settings, key)) = settings {
            fresh_record = Some(key);
            match transform(&module.source, &settings) {
                Ok(record) => module.record = Arc::new(record),
                Err(found) => problems = found,
            }
        }
        let fresh_original = map.map(|(map, hash)| {
            let (original, key) = read_map(&map, &hash, &module, around);
            module.original = Some(Arc::new(original));
            key
        });
        Loaded { module, problems, fresh_record, fresh_original }
    }
}

/// Whatever is wrong with a map, the module goes without.
fn read_map(map: &MapSource, published: &Key, module: &Module, around: &Surroundings<'_>) -> (Original, Key) {
    let bytes = map.file.as_ref().map(|file| around.files.read(file).unwrap_or_default());
    let hash: Option<Key> = bytes.as_ref().map(|bytes| Sha256::digest(bytes).into());
    let key = Cache::original_key(published, hash.as_ref(), &module.name);
    (map.read(&bytes.unwrap_or_default(), &module.source, around), key)
}

/// Runs the jobs on all processors; the results are in the jobs' order.
pub(super) fn run(jobs: Vec<Job>, around: &Surroundings<'_>) -> Vec<Loaded> {
    let work = jobs.iter().filter(|job| !job.is_done()).count();
    if work == 0 {
        return jobs.into_iter().map(|job| job.run(around)).collect();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(work);
    let slots: Vec<std::sync::Mutex<Option<Job>>> =
        jobs.into_iter().map(|job| std::sync::Mutex::new(Some(job))).collect();
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(number) else { return done };
            let job = slot.lock().ok().and_then(|mut job| job.take());
            done.extend(job.map(|job| (number, job.run(around))));
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
