//! All that rooms have stored as lines of JSON, and such lines as what rooms have stored: `export` and `import`.
//!
//! A line is `{"party","room","key","value"}`, where the value is JSON as docs/backup.md describes it, or
//! `{"party","room","alarm"}` with a time in milliseconds. A value that its JSON does not say all of, such as a cycle, has its
//! stored bytes beside it (`clone`, in Base64), so that an import loses nothing. An import reads the file to its end before
//! it writes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use partyrun_store::{
    ListOptions, Look, RoomKey, RoomOnDisk, RoomStorage, Sqlite, Store, StoreError, WorkerStore,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{StorageError, machine};
use super::reader::Reader;
use crate::output::counted;

/// Bytes that are written at once.
const BYTES_AT_ONCE: usize = 4 << 20;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    party: String,
    room: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    // `null` is a value.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alarm: Option<i64>,
}

fn some<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// Prints all values and alarms of these rooms.
pub(super) fn export<'rooms>(
    look: &Look,
    rooms: impl IntoIterator<Item = &'rooms RoomOnDisk>,
    print: &mut dyn FnMut(&str) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let reader = Reader::start()?;
    let store =
        |error: StoreError| StorageError::Values { room: "all rooms".to_string(), what: error.to_string() };
    let worker = WorkerStore::open(look, reader.limits.clone()).map_err(store)?;
    for room in rooms {
        let (party, id) = (room.key.party().to_string(), room.key.id().to_string());
        let line = Line { party, room: id, key: None, value: None, clone: None, alarm: None };
        if let Some(at_ms) = room.alarm_at_ms {
            print_line(&Line { alarm: Some(at_ms), ..copy(&line) }, print)?;
        }
        let name = room.key.to_string();
        let mut stored = worker.room(room.key.clone());
        reader.each(&name, &mut stored, true, &mut |key, bytes, shown| {
            if let Some(failed) = &shown.failed {
                eprintln!("{name} {key:?} is exported as stored bytes only: it cannot be shown ({failed}).");
            }
            let clone = (!shown.writable).then(|| STANDARD.encode(&bytes));
            // A reader of JSON takes `null` for nothing.
            let value = shown.value.or_else(|| (shown.kind == "null").then_some(Value::Null));
            print_line(&Line { key: Some(key), value, clone, ..copy(&line) }, print)
        })?;
    }
    reader.stop();
    Ok(())
}

fn copy(line: &Line) -> Line {
    Line {
        party: line.party.clone(),
        room: line.room.clone(),
        key: None,
        value: None,
        clone: None,
        alarm: None,
    }
}

fn print_line(
    line: &Line,
    print: &mut dyn FnMut(&str) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut text = serde_json::to_string(line)
        .map_err(|error| StorageError::Values { room: line.room.clone(), what: error.to_string() })?;
    text.push('\n');
    print(&text)
}

/// Stores what the lines of a file say in the data folder `folder`, which no server uses. Rooms that have stored anything are left
/// alone.
pub(super) fn import(
    folder: &Path,
    file: &Path,
    print: &mut dyn FnMut(&str) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    // The whole file is read first, so that one that was cut short changes nothing.
    for line in lines(file)? {
        line?;
    }
    let reader = Reader::start()?;
    let path = folder.display().to_string();
    let failed = |error: StoreError| StorageError::Store { path: path.clone(), error };
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder).map_err(failed)?);
    let mut target = Target {
        worker: WorkerStore::open(&*store, reader.limits.clone()).map_err(failed)?,
        store: store.clone(),
        room: None,
        bytes: 0,
        counts: Counts::default(),
    };
    let result = lines(file)?.try_for_each(|line| {
        let (number, line) = line?;
        target.take(&reader, line, print).map_err(|what| StorageError::Line { number, what })
    });
    let result = result.and_then(|()| {
        target.flush().map_err(|what| StorageError::Values { room: "the last room".to_string(), what })
    });
    let Counts { rooms, values, alarms, kept } = target.counts;
    drop(target);
    store.close();
    reader.stop();
    result?;
    let kept = match kept {
        0 => String::new(),
        kept => format!("; left alone, as they have data: {}", counted(kept, "room")),
    };
    let all = [counted(rooms, "room"), counted(values, "value"), counted(alarms, "alarm")].join(", ");
    print(&format!("Imported {all}{kept}\n"))
}

type Numbered = Result<(usize, Line), StorageError>;

fn lines(file: &Path) -> Result<impl Iterator<Item = Numbered>, StorageError> {
    let opened = std::fs::File::open(file).map_err(machine("The file cannot be read"))?;
    let numbered = BufReader::new(opened).lines().zip(1..);
    Ok(numbered.map(|(line, number)| {
        let line = line.map_err(machine("The file cannot be read"))?;
        let wrong = |what: String| StorageError::Line { number, what };
        let line: Line = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        match (&line.key, &line.value, &line.clone, &line.alarm) {
            (Some(_), Some(_), _, None) | (Some(_), None, Some(_), None) | (None, None, None, Some(_)) => {
                Ok((number, line))
            }
            _ => Err(wrong("it has neither a key with a value, nor an alarm".to_string())),
        }
    }))
}

#[derive(Default)]
struct Counts {
    rooms: usize,
    values: usize,
    alarms: usize,
    kept: usize,
}

// Where lines go: the lines of a room follow each other.
struct Target {
    worker: WorkerStore,
    store: Arc<dyn Store>,
    // The room of the last line; without storage if it is left alone.
    room: Option<(RoomKey, Option<RoomStorage>)>,
    bytes: usize,
    counts: Counts,
}

impl Target {
    fn take(
        &mut self,
        reader: &Reader,
        line: Line,
        print: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), String> {
        let text = |error: partyrun_store::StorageError| error.to_string();
        let key = RoomKey::new(line.party.as_str(), line.room.as_str());
        if self.room.as_ref().is_none_or(|(last, _)| *last != key) {
            self.flush()?;
            let mut room = self.worker.room(key.clone());
            let one = ListOptions { limit: Some(1), ..ListOptions::default() };
            let has_data = !room.list(&one).map_err(text)?.is_empty() || !room.take_altered().is_empty();
            if has_data {
                self.counts.kept += 1;
                print(&format!("{key} is left alone: it has data already.\n"))
                    .map_err(|error| error.to_string())?;
            } else {
                self.counts.rooms += 1;
            }
            self.room = Some((key, (!has_data).then_some(room)));
        }
        let Some((_, Some(room))) = &mut self.room else { return Ok(()) };
        if let Some(at_ms) = line.alarm {
            self.counts.alarms += 1;
            return room.set_alarm(at_ms as f64, 0).map_err(text);
        }
        let bytes = match (&line.clone, &line.value) {
            (Some(clone), _) => {
                Bytes::from(STANDARD.decode(clone).map_err(|error| format!("`clone`: {error}"))?)
            }
            (None, value) => {
                let value = value.as_ref().unwrap_or(&Value::Null);
                reader.make(value).map_err(|error| error.to_string())?
            }
        };
        if line.clone.is_some() {
            let shown = reader.show(vec![bytes.clone()], true);
            if let Some(failed) = shown.into_iter().find_map(|shown| shown.failed) {
                if line.value.is_some() {
                    return Err(format!("`clone` is no stored value: {failed}"));
                }
                // The export said so, too: no room could read it.
                let (party, id, key) = (&line.party, &line.room, line.key.as_deref().unwrap_or_default());
                let told = format!("{party}/{id} {key:?} is left out: it cannot be read ({failed}).\n");
                return print(&told).map_err(|error| error.to_string());
            }
        }
        self.counts.values += 1;
        self.bytes += bytes.len();
        room.put_many(vec![(line.key.unwrap_or_default(), bytes)]).map_err(text)?;
        if self.bytes >= BYTES_AT_ONCE { self.flush() } else { Ok(()) }
    }

    // Makes what was taken so far durable.
    fn flush(&mut self) -> Result<(), String> {
        self.bytes = 0;
        let Some((_, Some(room))) = &mut self.room else { return Ok(()) };
        let Some(batch) = room.take_batch() else { return Ok(()) };
        let seq = batch.seq;
        let (sender, done) = std::sync::mpsc::channel();
        self.store.commit(
            batch,
            Box::new(move |result| {
                // The receiver waits below.
                let _waited = sender.send(result);
            }),
        );
        let result = done.recv().map_err(|_| "the store ended".to_string())?;
        result.map_err(|error| error.to_string())?;
        room.committed(seq);
        Ok(())
    }
}
