//! Backups of real stores and bindings, damaged and whole, taken under writers, restored and compared row by row.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use partyrun_bindings::{Bindings, Call};
use partyrun_limits::Limits;
use partyrun_store::{FolderLock, RoomKey, Sqlite, Store, WorkerStore};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::*;

/// Events come within seconds; nothing waits for it in vain.
const PATIENCE: Duration = Duration::from_secs(60);

fn put(store: &Arc<dyn Store>, party: &str, id: &str, values: &[(String, Vec<u8>)], alarm: Option<f64>) {
    let rooms = WorkerStore::open(&**store, Arc::new(Limits::default())).unwrap();
    let mut room = rooms.room(RoomKey::new(party, id));
    for (key, value) in values {
        room.put(key, Bytes::from(value.clone())).unwrap();
    }
    if let Some(at_ms) = alarm {
        room.set_alarm(at_ms, 0).unwrap();
    }
    let (answer, answers) = channel();
    store.commit(room.take_batch().unwrap(), Box::new(move |result| answer.send(result).unwrap()));
    answers.recv().unwrap().unwrap();
}

/// A store with rooms of two parties, values of many sizes, an alarm, and bindings.
fn filled(folder: &Path) -> (Arc<dyn Store>, Bindings) {
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder).unwrap());
    for room in 0..20_usize {
        let value = |key: usize| (format!("key/{key:03}"), vec![u8::try_from(room).unwrap(); key * 37]);
        let values: Vec<_> = (0..60).map(value).collect();
        let alarm = (room % 3 == 0).then_some(4e12 + room as f64);
        put(
            &store,
            if room % 2 == 0 { "main" } else { "game" },
            &format!("room {room} \u{e9}"),
            &values,
            alarm,
        );
    }
    let bindings = Bindings::open(Some(folder), Arc::new(Limits::default())).unwrap();
    let calls = [
        ("kv", r#"{ "key": "greeting" }"#, &b"hello"[..]),
        ("r2", r#"{ "key": "picture", "http": {}, "custom": {} }"#, &[7; 5000][..]),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (kind, arguments, bytes) in calls {
        let call = Call {
            kind: kind.to_owned(),
            binding: "a".to_owned(),
            method: "put".to_owned(),
            arguments: arguments.to_owned(),
            bytes: Some(Bytes::copy_from_slice(bytes)),
        };
        runtime.block_on(bindings.call(call)).unwrap();
    }
    (store, bindings)
}

/// Every row of every table of a folder's databases.
fn rows(folder: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in DATABASES {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(folder.join(name), flags).unwrap();
        let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for table in tables {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<Value> = (0..columns).map(|at| row.get(at).unwrap()).collect();
                all.insert(format!("{name} {table} {values:?}"));
            }
        }
    }
    all
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn backup(data: &Path, to: &Path) -> Result<Taken, BackupError> {
    take(data, to, &Stop::default())
}

/// A data folder, and a backup of it that was taken while it was open.
fn taken() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, to) = (folder.path().join("data"), folder.path().join("backups/one"));
    let (store, bindings) = filled(&data);
    backup(&data, &to).unwrap();
    store.close();
    bindings.close();
    (folder, data, to)
}

#[test]
fn a_drill_brings_back_every_row() {
    let (folder, data, to) = taken();
    assert_eq!(names(&to), ["backup.json", "bindings.sqlite", "partyrun.sqlite"]);
    let before = rows(&data);
    assert!(before.len() > 1220, "{}", before.len());
    let whole = verify(&to, false).unwrap();
    assert_eq!((whole.rooms, whole.values, whole.altered), (20, 1200, 0));
    std::fs::remove_dir_all(&data).unwrap();
    let restored = restore(&to, &data, false, false).unwrap();
    assert_eq!((restored.aside, restored.verified), (None, whole));
    // As it lies there, and as a server opens it.
    assert_eq!(rows(&data), before);
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&data).unwrap());
    assert_eq!(store.next_alarm().unwrap(), Some(4_000_000_000_000));
    put(&store, "main", "later", &[("k".to_owned(), vec![1])], None);
    store.close();
    // Over what is there by now: it is kept aside, whole.
    let after = rows(&data);
    let refused = restore(&to, &data, false, false).unwrap_err();
    assert!(refused.to_string().contains("`--replace`"), "{refused}");
    let aside = restore(&to, &data, true, false).unwrap().aside.unwrap();
    assert_eq!((rows(&data), rows(&aside)), (before, after));
    drop(folder);
}

#[test]
fn no_backup_is_written_over_another_or_beside_one_in_progress() {
    let (_folder, data, to) = taken();
    let before = std::fs::read(to.join(MANIFEST)).unwrap();
    let refused = backup(&data, &to).unwrap_err();
    assert!(matches!(refused, BackupError::Exists { .. }), "{refused}");
    assert_eq!(std::fs::read(to.join(MANIFEST)).unwrap(), before);
    let busy = to.parent().unwrap().join("two");
    std::fs::create_dir(&busy).unwrap();
    let other = std::fs::File::create(busy.join("backup.lock")).unwrap();
    other.lock().unwrap();
    let refused = backup(&data, &busy).unwrap_err();
    assert!(matches!(refused, BackupError::Busy { .. }), "{refused}");
    drop(other);
    // What a process that was killed left is in nobody's way.
    std::fs::write(busy.join("partyrun.sqlite.draft"), "half").unwrap();
    backup(&data, &busy).unwrap();
    assert_eq!(names(&busy), names(&to));
    let nothing = backup(&busy.join("none"), &busy.join("three")).unwrap_err();
    assert!(matches!(nothing, BackupError::NoStorage { .. }), "{nothing}");
    let stop = Stop::default();
    stop.request();
    let four = busy.join("four");
    assert!(matches!(take(&data, &four, &stop), Err(BackupError::Stopped)));
    assert!(!four.exists() && !busy.join("three").exists(), "nothing stays");
}

/// Changes a copy of the backup, and answers why it is refused; nothing must have been restored then.
fn refused(to: &Path, change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (copy, data) = (folder.path().join("copy"), folder.path().join("data"));
    std::fs::create_dir(&copy).unwrap();
    for name in names(to) {
        std::fs::copy(to.join(&name), copy.join(&name)).unwrap();
    }
    change(&copy);
    let error = verify(&copy, false).unwrap_err().to_string();
    let restored = restore(&copy, &data, false, false).unwrap_err().to_string();
    assert_eq!(restored.replace(".restoring", "").replace("data/", "copy/"), error);
    assert!(!data.exists() || names(&data) == ["partyrun.lock"], "{:?}", names(&data));
    error
}

#[test]
fn what_is_not_whole_is_refused() {
    let (_folder, _data, to) = taken();
    let flip = |path: PathBuf| {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let [rooms, bindings] = DATABASES;
    for name in DATABASES {
        assert!(refused(&to, |copy| flip(copy.join(name))).contains("its SHA-256 sum is another"));
        let missing = refused(&to, |copy| std::fs::remove_file(copy.join(name)).unwrap());
        assert!(
            missing.contains(&format!("{name} is no backup that can be restored: it is missing")),
            "{missing}"
        );
        let cut = refused(&to, |copy| {
            std::fs::OpenOptions::new().write(true).open(copy.join(name)).unwrap().set_len(5000).unwrap();
        });
        assert!(cut.contains("it has 5000 bytes, and "), "{cut}");
        // Without sums the databases themselves tell.
        let unmanifest = refused(&to, |copy| {
            std::fs::remove_file(copy.join(MANIFEST)).unwrap();
            std::fs::OpenOptions::new().write(true).open(copy.join(name)).unwrap().set_len(8192).unwrap();
        });
        assert!(unmanifest.contains("damaged") || unmanifest.contains("malformed"), "{unmanifest}");
        let sql = |copy: &Path, sql: &str| {
            std::fs::remove_file(copy.join(MANIFEST)).unwrap();
            Connection::open(copy.join(name)).unwrap().execute_batch(sql).unwrap();
        };
        let newer = refused(&to, |copy| sql(copy, "PRAGMA user_version = 99"));
        assert!(newer.contains("use a newer partyrun"), "{newer}");
        let foreign = refused(&to, |copy| sql(copy, "PRAGMA user_version = 0"));
        assert!(foreign.contains("it was not written by partyrun"), "{foreign}");
    }
    let manifest =
        |text: &'static str| refused(&to, |copy| std::fs::write(copy.join(MANIFEST), text).unwrap());
    assert!(manifest("{").contains("it is damaged"));
    assert!(manifest(r#"{ "format": 1 }"#).contains("it is damaged"));
    assert!(manifest(r#"{ "format": 2, "else": 1 }"#).contains("use a newer partyrun"));
    let outside = r#"{ "format": 1, "partyrun": "", "taken": "", "data": "",
                       "files": [{ "name": "../x", "bytes": 1, "sha256": "" }] }"#;
    assert!(manifest(outside).contains("unknown file"));
    let live = refused(&to, |copy| std::fs::write(copy.join(format!("{rooms}-wal")), "log").unwrap());
    assert!(live.contains("`partyrun backup`"), "{live}");
    let several = verify(to.parent().unwrap(), false).unwrap_err().to_string();
    assert!(several.contains(&format!("the newest is {}", to.display())), "{several}");
    let object = refused(&to, |copy| {
        std::fs::remove_file(copy.join(MANIFEST)).unwrap();
        let connection = Connection::open(copy.join(bindings)).unwrap();
        connection.execute_batch("UPDATE object SET body = x'00'").unwrap();
    });
    assert!(object.contains("the object \"picture\" of the bucket a"), "{object}");
}

#[test]
fn altered_values_are_named_and_may_be_accepted() {
    let (_folder, data, to) = taken();
    let later = to.parent().unwrap().join("later");
    let connection = Connection::open(data.join(DATABASES[0])).unwrap();
    connection
        .execute_batch("UPDATE entries SET value = x'00' WHERE room = 1 AND key = x'6b65792f303031'")
        .unwrap();
    drop(connection);
    backup(&data, &later).unwrap();
    let error = verify(&later, false).unwrap_err().to_string();
    let whole = "1 value is in this backup not what was written, among them main/room 0 \u{e9} \"key/001\". `--with-altered`";
    assert!(error.starts_with(whole), "{error}");
    std::fs::remove_dir_all(&data).unwrap();
    restore(&later, &data, false, false).unwrap_err();
    assert_eq!(restore(&later, &data, false, true).unwrap().verified.altered, 1);
}

#[test]
fn a_data_folder_in_use_is_left_alone() {
    let (_folder, data, to) = taken();
    let before = rows(&data);
    let lock = FolderLock::take(&data).unwrap();
    let refused = restore(&to, &data, true, false).unwrap_err().to_string();
    assert!(
        refused.contains("is in use by process") && refused.contains("Stop the server first"),
        "{refused}"
    );
    drop(lock);
    assert_eq!(rows(&data), before);
}

#[test]
fn both_databases_are_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let connection = Connection::open(folder.path().join(name)).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        connection.execute_batch("CREATE TABLE n (n); INSERT INTO n VALUES (0)").unwrap();
        connection
    };
    let [rooms, bindings] = DATABASES.map(open);
    let (end, ended) = channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut n = 0_i64;
        while ended.try_recv().is_err() {
            n += 1;
            bindings.execute("UPDATE n SET n = ?1", [n]).unwrap();
            rooms.execute("UPDATE n SET n = ?1", [n]).unwrap();
        }
        n
    });
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let sources = snapshot::open(folder.path()).unwrap();
        let n = |at: usize| {
            sources[at].connection.query_row("SELECT n FROM n", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let (rooms, bindings) = (n(0), n(1));
        assert!(bindings == rooms || bindings == rooms + 1, "rooms {rooms}, bindings {bindings}");
        seen.insert(rooms);
    }
    end.send(()).unwrap();
    assert!(writer.join().unwrap() > 0 && seen.len() > 1, "the writer wrote meanwhile");
}

#[test]
fn a_copy_ends_while_others_commit() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (store, bindings) = filled(&data);
    // Longer than a step.
    for room in 0..20 {
        let values: Vec<_> = (0..4).map(|key| (format!("{key}"), vec![1; 100_000])).collect();
        put(&store, "main", &format!("large {room}"), &values, None);
    }
    let (end, ended) = channel::<()>();
    let writing = store.clone();
    let writer = std::thread::spawn(move || {
        let mut n = 0_u64;
        while ended.try_recv().is_err() {
            put(&writing, "main", "counter", &[("n".to_owned(), n.to_le_bytes().to_vec())], None);
            n += 1;
        }
        n
    });
    let to = folder.path().join("to");
    backup(&data, &to).unwrap();
    end.send(()).unwrap();
    let written = writer.join().unwrap();
    assert!(written > 1, "{written}");
    assert!(verify(&to, false).unwrap().rooms >= 40);
    // No put was lost for it.
    let rooms = WorkerStore::open(&*store, Arc::new(Limits::default())).unwrap();
    let last = rooms.room(RoomKey::new("main", "counter")).get("n").unwrap().unwrap();
    assert_eq!(last, (written - 1).to_le_bytes().to_vec());
    store.close();
    bindings.close();
}

fn schedule(data: &Path, to: &Path, keep: usize) -> (Running, Receiver<Event>) {
    let (sender, events) = channel();
    let (data, to) = (data.to_owned(), to.to_owned());
    let schedule = Schedule { data, to: Place::Folder(to), every: Duration::from_millis(1), keep };
    let running = schedule.start(move |event| {
        // The test may have seen enough.
        let _gone = sender.send(event);
    });
    (running.unwrap(), events)
}

#[test]
fn a_schedule_keeps_so_many_and_only_removes_its_own() {
    let (folder, data, _) = taken();
    let (other, to) = (folder.path().join("other"), folder.path().join("scheduled"));
    let (store, bindings) = filled(&other);
    store.close();
    bindings.close();
    let of_other = to.join("2020-01-01T00-00-00.000Z");
    backup(&other, &of_other).unwrap();
    let half = to.join("2020-01-02T00-00-00.000Z");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("backup.lock"), "").unwrap();
    let foreign = to.join("notes");
    std::fs::create_dir(&foreign).unwrap();
    let (running, events) = schedule(&data, &to, 2);
    let mut removed_in_all = 0;
    for number in 0..5 {
        match events.recv_timeout(PATIENCE).unwrap() {
            Event::Taken { removed, .. } => {
                removed_in_all += removed;
                assert!(removed <= 1 && (number < 2 || removed == 1), "{number}: {removed}");
            }
            other => panic!("{other:?}"),
        }
    }
    drop(running);
    assert!(removed_in_all == 3 && of_other.exists() && foreign.exists() && !half.exists());
    let mut own = names(&to);
    own.retain(|name| name.starts_with('2') && !name.starts_with("2020"));
    assert_eq!(own.len(), 2, "{own:?}");
    for name in own {
        assert_eq!(verify(&to.join(name), false).unwrap().rooms, 20);
    }
}

#[test]
fn a_folder_that_went_away_is_told_and_not_made_again() {
    let (folder, data, _) = taken();
    let (to, away) = (folder.path().join("disk"), folder.path().join("away"));
    let (running, events) = schedule(&data, &to, 3);
    assert!(matches!(events.recv_timeout(PATIENCE).unwrap(), Event::Taken { .. }));
    std::fs::rename(&to, &away).unwrap();
    loop {
        // One that was in progress fails otherwise.
        if let Event::Failed { error: BackupError::Gone { path }, .. } =
            events.recv_timeout(PATIENCE).unwrap()
        {
            assert_eq!(path, to.display().to_string());
            break;
        }
    }
    assert!(!to.exists());
    std::fs::rename(&away, &to).unwrap();
    while !matches!(events.recv_timeout(PATIENCE).unwrap(), Event::Taken { .. }) {}
    drop(running);
}
