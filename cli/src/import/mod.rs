//! `partyrun import`: imports what rooms stored under the original's `partykit dev`.
//!
//! The original keeps one SQLite file per room, named after a hash of the room's name. It does not store the name. So
//! names come from the user (`--room`) or from text files such as logs (`--rooms-from`), and the hash tells which file
//! belongs to which name. Values are copied byte for byte, because both sides store V8's structured clone. A room that
//! already has data here is left alone, so the command can be repeated with more names. The original's files are only
//! read. They don't contain alarms, so alarms cannot be imported.

mod error;
mod names;
mod original;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use partyrun_config::Request;
use partyrun_limits::Limits;
use partyrun_store::{ListOptions, RoomKey, Sqlite, StorageError, Store, StoreError, WorkerStore};

use crate::args::ImportArgs;
use crate::output::counted;
use crate::stdout::note;
use original::{Entry, OriginalRoom};

pub(crate) use error::ImportError;

/// Runs the command.
pub(crate) fn run(args: &ImportArgs) -> Result<(), ImportError> {
    let cwd = std::env::current_dir().map_err(ImportError::NoFolder)?;
    let config =
        partyrun_config::load(&Request::for_data(&cwd, args.config.as_deref(), args.persist.as_deref()))?;
    let data = config.persist.path().ok_or(ImportError::NotKept)?;
    let from = match &args.from {
        Some(from) => cwd.join(from),
        None => cwd.join(".partykit/state"),
    };
    let rooms = original::rooms(&from)?;
    if rooms.is_empty() {
        return Err(ImportError::NoData { path: from.display().to_string() });
    }
    let candidates = names::candidates(&args.rooms, &args.rooms_from)?;
    let known = names::by_hash(&candidates, &rooms);
    let (named, unnamed): (Vec<_>, Vec<_>) =
        rooms.into_iter().partition(|room| known.contains_key(&(room.party.clone(), room.hash.clone())));
    let mut target = match args.dry_run {
        true => None,
        false => Some(Target::open(data)?),
    };
    for room in &named {
        take_over(room, &known, &mut target)?;
    }
    report(&unnamed);
    mention_other_stores(&from);
    Ok(())
}

fn take_over(
    room: &OriginalRoom,
    known: &HashMap<(String, String), String>,
    target: &mut Option<Target>,
) -> Result<(), ImportError> {
    let Some(name) = known.get(&(room.party.clone(), room.hash.clone())) else { return Ok(()) };
    let key = RoomKey::new(room.party.as_str(), name.as_str());
    let shown = format!("{}/{name}", room.party);
    let entries = room.entries()?;
    let values = counted(entries.len(), "value");
    let Some(target) = target else {
        note!("  would import  {shown}: {values}");
        return Ok(());
    };
    match target.store(key, entries).map_err(|what| ImportError::Write { room: shown.clone(), what })? {
        true => note!("  imported  {shown}: {values}"),
        false => note!("  kept      {shown}: it already has data here"),
    }
    Ok(())
}

fn report(unnamed: &[OriginalRoom]) {
    if unnamed.is_empty() {
        return;
    }
    note!("Rooms with unknown names: {}. Name them, and import again:", unnamed.len());
    note!("  partyrun import --room NAME, or --rooms-from FILE with URLs such as /party/NAME in it");
    for room in unnamed {
        note!("  {}/? ({})", room.party, room.hash);
    }
}

fn mention_other_stores(from: &Path) {
    for (folder, what) in [("kv", "KV stores"), ("r2", "R2 stores")] {
        let full = std::fs::read_dir(from.join(folder)).is_ok_and(|mut entries| entries.next().is_some());
        if full {
            note!("{what} ({}) are not imported.", from.join(folder).display());
        }
    }
}

// Our own store.
struct Target {
    store: Arc<dyn Store>,
    rooms: WorkerStore,
}

impl Target {
    fn open(data: &Path) -> Result<Self, ImportError> {
        let failed = |error| ImportError::Store { path: data.display().to_string(), error };
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(data).map_err(failed)?);
        // The original's limits held when it stored the values; a room is taken over as one batch.
        let limits = Limits {
            undurable_bytes_max: usize::MAX,
            value_bytes_max: Limits::default().value_bytes_ceiling,
            ..Limits::default()
        };
        let rooms = WorkerStore::open(&*store, Arc::new(limits)).map_err(failed)?;
        Ok(Self { store, rooms })
    }

    // False if the room has data already.
    fn store(&self, key: RoomKey, entries: Vec<Entry>) -> Result<bool, String> {
        let text = |error: StorageError| error.to_string();
        let mut room = self.rooms.room(key);
        let one = ListOptions { limit: Some(1), ..ListOptions::default() };
        // A value that was altered on disk is data, too.
        if !room.list(&one).map_err(text)?.is_empty() || !room.take_altered().is_empty() {
            return Ok(false);
        }
        room.put_many(entries).map_err(text)?;
        if let Some(batch) = room.take_batch() {
            let (sender, done) = std::sync::mpsc::channel();
            self.store.commit(
                batch,
                Box::new(move |result| {
                    // The receiver waits below.
                    let _waited = sender.send(result);
                }),
            );
            done.recv()
                .map_err(|_| "the store ended".to_string())?
                .map_err(|error: StoreError| error.to_string())?;
        }
        Ok(true)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.store.close();
    }
}
