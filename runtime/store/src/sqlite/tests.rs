//! The store on disk against what disks and processes do: power loss, `kill -9`, a full disk, a failing sync, a second
//! process, a newer schema, damaged pages. Longer runs: `PARTYRUN_CRASH_ROUNDS=30`.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use bytes::Bytes;
use fastrand::Rng;

use super::test_disk::{Disk, Event};
use super::*;
use crate::testing::{TestFolder, commit, flush, open_room, put};
use crate::{ListOptions, RoomStorage, WorkerStore};

const CRASH_FOLDER: &str = "PARTYRUN_CRASH_FOLDER";

fn rounds(short: usize) -> usize {
    std::env::var("PARTYRUN_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(short)
}

fn open_on(folder: &TestFolder, disk: &Disk) -> Result<Sqlite, StoreError> {
    let options = SqliteOptions { vfs: Some(disk.name.clone()), ..SqliteOptions::default() };
    Sqlite::open_with(folder.path(), options)
}

fn room_name(room: usize) -> String {
    format!("room {room}")
}

/// Batch `number` of a room: three keys that must agree, and one that stays.
fn write_numbered(room: &mut RoomStorage, number: u64, padding: usize) {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(8 + padding, 7);
    let value = Bytes::from(value);
    for key in ["a", "m", "z"] {
        room.put(key, value.clone()).unwrap();
    }
    room.put(&format!("kept {number:08}"), Bytes::new()).unwrap();
}

/// Checks that a room is as some batch left it, and returns which.
fn numbered_state(store: &dyn Store, room: usize) -> u64 {
    let mut storage = open_room(store, &room_name(room));
    let numbers = ["a", "m", "z"].map(|key| {
        let value = storage.get(key).unwrap();
        value.map_or(0, |value| u64::from_be_bytes(value[..8].try_into().unwrap()))
    });
    assert!(numbers.iter().all(|number| *number == numbers[0]), "a batch was torn: {numbers:?}");
    let kept = ListOptions { prefix: Some("kept ".into()), ..ListOptions::default() };
    let kept: Vec<String> = storage.list(&kept).unwrap().into_iter().map(|(key, _)| key).collect();
    let expected: Vec<String> = (1..=numbers[0]).map(|number| format!("kept {number:08}")).collect();
    assert_eq!(kept, expected, "batches of a room were reordered or lost");
    numbers[0]
}

#[test]
fn power_loss_loses_nothing_that_was_acknowledged() {
    const ROOMS: usize = 8;
    let disk = Disk::register("power-loss");
    let folder = TestFolder::new();
    let store = open_on(&folder, &disk).unwrap();
    let opened = disk.state().events.len();
    write_many(&store, &disk, ROOMS, 150);
    store.close();
    drop(store);
    let end = disk.state().events.len();
    let (mut rng, mut lost_bytes) = (Rng::with_seed(6), 0);
    for _ in 0..rounds(20) {
        let cut = rng.usize(opened..end);
        let (files, lost) = disk.files_after_power_loss(cut, &mut rng);
        lost_bytes += lost;
        let after = TestFolder::new();
        for (file, image) in files {
            std::fs::write(after.path().join(file.file_name().unwrap()), image).unwrap();
        }
        let store = Sqlite::open(after.path()).unwrap();
        let mut acknowledged = [0; ROOMS];
        for event in disk.state().events.iter().take(cut) {
            if let Event::Acknowledged { room, number } = event {
                acknowledged[*room] = *number;
            }
        }
        for (room, acknowledged) in acknowledged.into_iter().enumerate() {
            assert!(numbered_state(&store, room) >= acknowledged, "an acknowledged write is gone");
        }
    }
    assert!(lost_bytes > 0, "no cut fell between a write and its sync, so nothing was shown");
}

/// Rooms write their batches with two each under way; the disk's log notes the acknowledgements.
fn write_many(store: &Sqlite, disk: &Disk, rooms: usize, batches: u64) {
    let mut storages: Vec<_> = (0..rooms).map(|room| open_room(store, &room_name(room))).collect();
    let (answer, answers) = channel();
    let send = |storage: &mut RoomStorage, room: usize, number: u64| {
        write_numbered(storage, number, 3000);
        let (answer, disk) = (answer.clone(), disk.clone());
        let done = move |result: Result<(), StoreError>| {
            result.unwrap();
            disk.state().events.push(Event::Acknowledged { room, number });
            answer.send((room, number)).unwrap();
        };
        store.commit(storage.take_batch().unwrap(), Box::new(done));
    };
    for (room, storage) in storages.iter_mut().enumerate() {
        send(storage, room, 1);
        send(storage, room, 2);
    }
    for _ in 0..rooms as u64 * batches {
        let (room, number) = answers.recv().unwrap();
        storages[room].committed(number);
        if number + 2 <= batches {
            send(&mut storages[room], room, number + 2);
        }
    }
}

/// The process that the next test kills: it acknowledges on its standard output.
#[test]
fn crash_child() {
    let Some(folder) = std::env::var_os(CRASH_FOLDER) else { return };
    let store = Sqlite::open(Path::new(&folder)).unwrap();
    let worker = WorkerStore::open(&store, Default::default()).unwrap();
    let (answer, answers) = channel();
    let mut rooms = Vec::new();
    let mut numbers = Vec::new();
    for room in 0..100 {
        numbers.push(numbered_state(&store, room));
        rooms.push(worker.room(RoomKey::new("main", room_name(room))));
        answer.send(room).unwrap();
    }
    for room in answers {
        let mut out = std::io::stdout().lock();
        if numbers[room] > 0 {
            writeln!(out, "ack {room} {}", numbers[room]).unwrap();
            out.flush().unwrap();
        }
        numbers[room] += 1;
        write_numbered(&mut rooms[room], numbers[room], 50);
        let batch = rooms[room].take_batch().unwrap();
        rooms[room].committed(batch.seq - 1);
        let answer = answer.clone();
        store.commit(batch, Box::new(move |result| answer.send(result.map(|()| room).unwrap()).unwrap()));
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let folder = TestFolder::new();
    let mut rng = Rng::with_seed(9);
    let mut total = 0;
    for _ in 0..rounds(3) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::crash_child", "--nocapture"])
            .env(CRASH_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = HashMap::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: String| {
            let mut words = line.split(' ');
            if words.next() == Some("ack") {
                // A killed process may leave half a line: then the number is not known.
                let mut number = || words.next()?.parse::<u64>().ok();
                if let (Some(room), Some(count)) = (number(), number()) {
                    acknowledged.insert(room as usize, count);
                    return 1;
                }
            }
            0
        };
        let (mut seen, wanted) = (0, rng.usize(1000..4000));
        while seen < wanted {
            seen += note(lines.next().unwrap().unwrap());
        }
        let Err(StoreError::Locked { pid, .. }) = Sqlite::open(folder.path()) else {
            panic!("a second process was let in")
        };
        assert_eq!(pid, child.id().to_string());
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest: Vec<String> = lines.map_while(Result::ok).collect();
        // The last line may be cut off in the middle of its number.
        rest.pop();
        seen += rest.into_iter().map(note).sum::<usize>();
        total += seen;
        let store = Sqlite::open(folder.path()).unwrap();
        for (room, count) in acknowledged {
            assert!(numbered_state(&store, room) >= count, "an acknowledged write is gone");
        }
    }
    assert!(total >= 1000);
}

#[test]
fn a_full_disk_fails_its_writers_and_heals() {
    let disk = Disk::register("full-disk");
    let folder = TestFolder::new();
    let store = open_on(&folder, &disk).unwrap();
    let (mut a, mut b) = (open_room(&store, "a"), open_room(&store, "b"));
    put(&store, &mut a, "k", "before").unwrap();
    put(&store, &mut b, "k", "before").unwrap();
    disk.state().full_from = Some(2000);
    let error = put(&store, &mut a, "k", "during").unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert!(a.get("k").unwrap_err().resets_room());
    assert_eq!(open_room(&store, "a").get("k").unwrap(), Some(Bytes::from_static(b"before")));
    disk.state().full_from = None;
    put(&store, &mut b, "k", "after").unwrap();
    let mut a = open_room(&store, "a");
    put(&store, &mut a, "k", "after").unwrap();
    store.close();
    drop(store);
    let store = open_on(&folder, &disk).unwrap();
    for id in ["a", "b"] {
        assert_eq!(open_room(&store, id).get("k").unwrap(), Some(Bytes::from_static(b"after")));
    }
}

#[test]
fn a_large_batch_does_not_fail_its_neighbours() {
    let disk = Disk::register("neighbours");
    let folder = TestFolder::new();
    let store = open_on(&folder, &disk).unwrap();
    let mut rooms = ["first", "large", "small"].map(|id| open_room(&store, id));
    for room in &mut rooms {
        put(&store, room, "k", "before").unwrap();
    }
    for key in 0..40 {
        rooms[1].put(&key.to_string(), Bytes::from(vec![1; 100_000])).unwrap();
    }
    for room in &mut rooms {
        room.put("k", Bytes::from_static(b"after")).unwrap();
    }
    let [first, large, small] = rooms.each_mut().map(|room| room.take_batch().unwrap());
    let large_again =
        { rooms[1].put("k", Bytes::from_static(b"again")).map(|()| rooms[1].take_batch().unwrap()) };
    // The committer waits in the first callback until all others stand behind it: they become one transaction.
    let (go, wait) = channel();
    let (answer, answers) = channel();
    store.commit(first, Box::new(move |_| wait.recv().unwrap()));
    disk.state().full_from = Some(1 << 20);
    for (name, batch) in [("large", large), ("small", small), ("large again", large_again.unwrap())] {
        let answer = answer.clone();
        store.commit(batch, Box::new(move |result| answer.send((name, result)).unwrap()));
    }
    go.send(()).unwrap();
    let answers: BTreeMap<_, _> = answers.into_iter().take(3).collect();
    assert!(matches!(answers["large"], Err(StoreError::Full(_))), "{answers:?}");
    assert_eq!(answers["small"], Ok(()));
    assert_eq!(answers["large again"], Err(StoreError::EarlierFailed));
    // What was acknowledged is on the disk, and only that.
    store.close();
    drop((rooms, store));
    let store = open_on(&folder, &disk).unwrap();
    for (id, text) in [("first", "after"), ("large", "before"), ("small", "after")] {
        assert_eq!(
            open_room(&store, id).get("k").unwrap(),
            Some(Bytes::from_static(text.as_bytes())),
            "{id}"
        );
    }
    assert_eq!(open_room(&store, "large").get("0").unwrap(), None);
}

#[test]
fn a_failing_sync_is_not_acknowledged() {
    let disk = Disk::register("failing-sync");
    let folder = TestFolder::new();
    let store = open_on(&folder, &disk).unwrap();
    let mut room = open_room(&store, "a");
    put(&store, &mut room, "k", "before").unwrap();
    disk.state().sync_fails = true;
    let error = put(&store, &mut room, "k", "during").unwrap_err();
    assert!(matches!(error, StoreError::Io(_)), "{error:?}");
    disk.state().sync_fails = false;
    let mut room = open_room(&store, "a");
    put(&store, &mut room, "k", "after").unwrap();
    assert_eq!(open_room(&store, "a").get("k").unwrap(), Some(Bytes::from_static(b"after")));
}

#[test]
fn a_newer_schema_and_a_foreign_file_are_refused() {
    let folder = TestFolder::new();
    let path = Sqlite::open(folder.path()).unwrap().path().to_owned();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Sqlite::open(folder.path()).err().unwrap();
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error:?}");
    std::fs::write(&path, "not a database, but long enough to look like one".repeat(100)).unwrap();
    let error = Sqlite::open(folder.path()).err().unwrap();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
}

#[test]
fn a_damaged_page_is_the_error_of_its_room() {
    const PAGE_BYTES: usize = 4096;
    // A page further up belongs to the rows of all rooms below it.
    const LEAF: u8 = 0x0a;
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    // A list looks at the entry behind its last, which is the next room's: one without damage stands between the two.
    for (id, text) in [("good", "GOODGOOD"), ("between", "GOODGOOD"), ("bad", "BADBADBA")] {
        let mut room = open_room(&store, id);
        for key in 0..300 {
            room.put(&format!("{key:04}"), Bytes::from(text.repeat(30))).unwrap();
        }
        flush(&store, &mut room).unwrap();
    }
    let path = store.path().to_owned();
    drop(store);
    let mut file = std::fs::read(&path).unwrap();
    let has = |page: &[u8], text: &[u8]| page.windows(text.len()).any(|window| window == text);
    let mut damaged = 0;
    let is_bad = |page: &[u8]| page[0] == LEAF && has(page, b"BADBADBA") && !has(page, b"GOODGOOD");
    for page in file.chunks_mut(PAGE_BYTES).filter(|page| is_bad(page)) {
        page[..100].fill(0xEE);
        damaged += 1;
    }
    assert!(damaged > 5);
    std::fs::write(&path, file).unwrap();
    let store = Sqlite::open(folder.path()).unwrap();
    let (mut good, mut bad) = (open_room(&store, "good"), open_room(&store, "bad"));
    let error = bad.list(&ListOptions::default()).unwrap_err();
    assert!(matches!(error, crate::StorageError::Store(StoreError::Corrupt(_))), "{error:?}");
    let error = put(&store, &mut bad, "0150", "new").unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert_eq!(good.list(&ListOptions::default()).unwrap().len(), 300);
    put(&store, &mut good, "0150", "new").unwrap();
}

#[test]
fn an_alarm_that_ran_when_the_process_ended_waits_and_is_counted() {
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    let (mut idle, mut running) = (open_room(&store, "idle"), open_room(&store, "running"));
    for room in [&mut idle, &mut running] {
        room.set_alarm(1000.0, 0).unwrap();
        flush(&store, room).unwrap();
    }
    let due = store.alarms_due(1000, 10).unwrap();
    assert_eq!(due.len(), 2);
    let run = due.iter().find(|due| due.room.id() == "running").unwrap();
    assert!(running.start_alarm(run).unwrap());
    flush(&store, &mut running).unwrap();
    drop(store);
    let before_ms = now_ms();
    let store = Sqlite::open(folder.path()).unwrap();
    let due = store.alarms_due(before_ms, 10).unwrap();
    assert_eq!(due.iter().map(|due| due.room.id()).collect::<Vec<_>>(), ["idle"], "it fires at once");
    let at_ms = store.next_alarm().unwrap().unwrap();
    assert!(at_ms >= before_ms + 2000 && at_ms <= now_ms() + 2000);
    assert_eq!(store.alarms_due(at_ms, 10).unwrap()[0].attempt, 1);
}

#[test]
fn room_ids_are_never_mixed_up() {
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    let long = "x".repeat(4096);
    let ids = [
        "",
        "a",
        "A",
        "a\0",
        "a\0b",
        "../a",
        "a/b",
        "😀",
        "é",
        "e\u{301}",
        "%61",
        "'; DROP TABLE rooms; --",
        &long,
    ];
    for id in ids {
        put(&store, &mut open_room(&store, id), "id", id).unwrap();
    }
    for id in ids {
        assert_eq!(open_room(&store, id).get("id").unwrap(), Some(Bytes::copy_from_slice(id.as_bytes())));
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name.to_str().unwrap().starts_with("partyrun.")), "{names:?}");
}

#[test]
fn after_closing_every_batch_is_answered() {
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    let mut room = open_room(&store, "a");
    room.put("k", Bytes::new()).unwrap();
    let batch = room.take_batch().unwrap();
    store.close();
    assert_eq!(commit(&store, batch), Err(StoreError::Closed));
    assert!(!folder.path().join("partyrun.sqlite-wal").exists(), "the log was folded into the database");
    drop(store);
    Sqlite::open(folder.path()).unwrap();
}

#[test]
fn a_closed_store_is_one_file_that_can_be_copied() {
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    // A reader that stays open, as one of a worker that hangs does.
    let reader = store.reader().unwrap();
    put(&store, &mut open_room(&store, "a"), "k", "v").unwrap();
    store.close();
    let log = folder.path().join("partyrun.sqlite-wal").metadata().map_or(0, |log| log.len());
    assert_eq!(log, 0);
    let copy = TestFolder::new();
    std::fs::copy(folder.path().join(DATABASE_FILE), copy.path().join(DATABASE_FILE)).unwrap();
    drop(reader);
    let store = Sqlite::open(copy.path()).unwrap();
    assert_eq!(open_room(&store, "a").get("k").unwrap(), Some(Bytes::from_static(b"v")));
}

#[test]
fn a_look_sees_a_running_store_and_writes_nothing() {
    let folder = TestFolder::new();
    assert!(Look::open(folder.path()).unwrap().is_none());
    let store = Sqlite::open(folder.path()).unwrap();
    put(&store, &mut open_room(&store, "a"), "k", "value").unwrap();
    put(&store, &mut open_room(&store, "b"), "k", "").unwrap();
    let look = Look::open(folder.path()).unwrap().unwrap();
    let rooms: Vec<_> = look.rooms().unwrap();
    let seen: Vec<_> = rooms.iter().map(|room| (room.key.id(), room.entries, room.bytes)).collect();
    assert_eq!(seen, [("a", 1, 5), ("b", 1, 0)]);
    assert_eq!(open_room(&look, "a").get("k").unwrap(), Some(Bytes::from_static(b"value")));
    assert_eq!(put(&look, &mut open_room(&look, "a"), "k", "other"), Err(StoreError::Closed));
}

/// Changes the database with statements that no room would give, while no store has it open.
fn meddle(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn is_altered<T: std::fmt::Debug>(result: Result<T, crate::StorageError>, key: &str) -> bool {
    match result {
        Err(crate::StorageError::Store(StoreError::Altered { room, key: named })) => {
            (room.as_str(), named.as_str()) == ("main/a", key)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_altered_is_never_served_and_costs_no_other_value() {
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    for id in ["a", "b"] {
        let mut room = open_room(&store, id);
        for (key, value) in [("one", "1"), ("two", "2"), ("three", "3"), ("four", id)] {
            put(&store, &mut room, key, value).unwrap();
        }
    }
    let path = store.path().to_owned();
    drop(store);
    // A value, a value under another's key, a checksum, and a value of another room.
    let room = |id: &str| format!("(SELECT room FROM rooms WHERE id = '{id}')");
    meddle(
        &path,
        &format!(
            "UPDATE entries SET value = x'39' WHERE room = {a} AND key = x'6f6e65';
             UPDATE entries SET (value, checksum) = (SELECT value, checksum FROM entries WHERE room = {a} AND key = x'7468726565')
                 WHERE room = {a} AND key = x'74776f';
             UPDATE entries SET (value, checksum) = (SELECT value, checksum FROM entries WHERE room = {b} AND key = x'666f7572')
                 WHERE room = {a} AND key = x'666f7572';",
            a = room("a"),
            b = room("b")
        ),
    );
    let store = Sqlite::open(folder.path()).unwrap();
    let mut a = open_room(&store, "a");
    for key in ["one", "two", "four"] {
        assert!(is_altered(a.get(key), key));
    }
    let three = Bytes::from_static(b"3");
    assert_eq!(a.get("three").unwrap(), Some(three.clone()));
    let all = ListOptions::default();
    assert_eq!(a.list(&all).unwrap(), [("three".to_owned(), three.clone())]);
    assert_eq!(a.take_altered(), ["four", "one", "two"]);
    let first = ListOptions { limit: Some(1), reverse: true, ..ListOptions::default() };
    assert_eq!(a.list(&first).unwrap(), [("three".to_owned(), three.clone())]);
    assert_eq!(a.take_altered(), ["two"]);
    assert_eq!(a.get_many(&["one", "three"]).unwrap(), [("three".to_owned(), three)]);
    assert_eq!(a.take_altered(), ["one"]);
    assert_eq!(open_room(&store, "b").list(&all).unwrap().len(), 4);
    // It is mended by writing and by deleting.
    put(&store, &mut a, "one", "new").unwrap();
    assert_eq!(a.delete_many(&["two", "four"]).unwrap(), 2);
    flush(&store, &mut a).unwrap();
    let mut a = open_room(&store, "a");
    let keys: Vec<String> = a.list(&all).unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!((keys, a.take_altered()), (vec!["one".to_owned(), "three".to_owned()], vec![]));
}

#[test]
fn a_database_without_checksums_gets_them() {
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    let mut room = open_room(&store, "a");
    room.put("", Bytes::from_static(b"empty")).unwrap();
    for key in 0..600 {
        room.put(&format!("{key:04}"), Bytes::from(key.to_string())).unwrap();
    }
    flush(&store, &mut room).unwrap();
    let path = store.path().to_owned();
    drop(store);
    meddle(&path, "ALTER TABLE entries DROP COLUMN checksum; PRAGMA user_version = 1;");
    let store = Sqlite::open(folder.path()).unwrap();
    let mut room = open_room(&store, "a");
    assert_eq!((room.list(&ListOptions::default()).unwrap().len(), room.take_altered().len()), (601, 0));
    assert_eq!(room.get("").unwrap(), Some(Bytes::from_static(b"empty")));
    put(&store, &mut room, "0001", "new").unwrap();
    drop(store);
    let store = Sqlite::open(folder.path()).unwrap();
    assert_eq!(open_room(&store, "a").get("0001").unwrap(), Some(Bytes::from_static(b"new")));
}
