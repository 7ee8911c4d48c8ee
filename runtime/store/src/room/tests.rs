//! Rules of a room's storage that the model does not cover: refusals, batches, failures, runs of alarms.

use super::*;
use crate::testing::{TestFolder, commit, flush, open_room, put};
use crate::{DueAlarm, Memory, Sqlite};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

// Beyond `key_bytes_max`, `value_bytes_max` and `keys_per_call_max`.
#[test]
fn a_refused_call_writes_nothing() {
    let store = Memory::new();
    let mut room = open_room(&store, "a");
    let entries = vec![("fine".to_owned(), bytes("1")), ("k".repeat(2049), bytes("2"))];
    assert_eq!(room.put_many(entries), Err(StorageError::KeyTooLarge { max: 2048, size: 2049 }));
    let large = Bytes::from(vec![0; 131_072 + 35]);
    assert_eq!(room.put("k", large), Err(StorageError::ValueTooLarge { max: 131_072, size: 131_107 }));
    let keys: Vec<String> = (0..129).map(|key| key.to_string()).collect();
    assert_eq!(room.get_many(&keys), Err(StorageError::TooManyKeys { max: 128, count: 129 }));
    let keys: Vec<String> = keys.into_iter().chain(["k".repeat(2049)]).collect();
    assert_eq!(room.delete_many(&keys), Err(StorageError::KeyTooLarge { max: 2048, size: 2049 }));
    assert_eq!(room.set_alarm(f64::NAN, 0), Err(StorageError::AlarmNotADate));
    assert_eq!(room.set_alarm(f64::INFINITY, 0), Err(StorageError::AlarmNotADate));
    assert_eq!(room.set_alarm(0.0, 0), Err(StorageError::AlarmNotPositive));
    assert!(room.take_batch().is_none());
}

#[test]
fn a_turn_is_one_batch_and_a_transaction_waits_for_its_commit() {
    let store = Memory::new();
    let mut room = open_room(&store, "a");
    room.put("a", bytes("1")).unwrap();
    let outer = room.begin();
    room.put("b", bytes("2")).unwrap();
    let first = room.take_batch().unwrap();
    assert_eq!((first.seq, first.writes.len()), (1, 1));
    assert!(room.take_batch().is_none());
    let inner = room.begin();
    assert_eq!(room.commit(outer), Err(StorageError::TransactionNotInnermost));
    room.put("c", bytes("3")).unwrap();
    room.rollback(inner).unwrap();
    assert_eq!(room.get("b").unwrap(), Some(bytes("2")));
    room.commit(outer).unwrap();
    let second = room.take_batch().unwrap();
    assert_eq!((second.seq, second.writes.len()), (2, 1));
    assert_eq!((room.undurable(), room.pending_seq(), room.undurable_bytes()), (true, Some(2), 4));
    commit(&store, first).unwrap();
    room.committed(1);
    assert_eq!((room.undurable(), room.pending_seq(), room.undurable_bytes()), (true, Some(2), 2));
    commit(&store, second).unwrap();
    room.committed(2);
    assert_eq!((room.undurable(), room.pending_seq(), room.undurable_bytes()), (false, None, 0));
}

#[test]
fn after_a_failure_nothing_of_that_life_is_stored() {
    let store = Memory::new();
    let mut room = open_room(&store, "a");
    put(&store, &mut room, "a", "1").unwrap();
    room.put("a", bytes("2")).unwrap();
    let lost = room.take_batch().unwrap();
    room.put("a", bytes("3")).unwrap();
    let later = room.take_batch().unwrap();
    room.failed(lost.seq);
    assert_eq!(commit(&store, later), Err(StoreError::EarlierFailed));
    let error = room.get("a").unwrap_err();
    assert!(error.resets_room());
    assert_eq!(open_room(&store, "a").get("a").unwrap(), Some(bytes("1")));
}

#[test]
fn a_room_that_outruns_the_disk_is_refused() {
    let store = Memory::new();
    let limits = Limits { unawaited_bytes_max: 1000, ..Limits::default() };
    let mut room = WorkerStore::open(&store, Arc::new(limits)).unwrap().room(RoomKey::new("main", "a"));
    room.put("a", Bytes::from(vec![0; 900])).unwrap();
    room.put("a", Bytes::from(vec![0; 950])).unwrap();
    let error = room.put("b", Bytes::from(vec![0; 100])).unwrap_err();
    assert_eq!(error, StorageError::TooMuchUndurable { max: 1000 });
    assert!(error.resets_room());
}

#[test]
fn what_was_read_is_kept_within_the_limit() {
    let store = Memory::new();
    let mut room = open_room(&store, "a");
    for key in ["a", "b", "c"] {
        put(&store, &mut room, key, &key.repeat(1000)).unwrap();
    }
    for (max, kept) in [(2500, 1000..=2500), (100, 0..=100)] {
        let limits = Limits { storage_cache_bytes_max: max, ..Limits::default() };
        let mut room = WorkerStore::open(&store, Arc::new(limits)).unwrap().room(RoomKey::new("main", "a"));
        for key in ["a", "b", "c", "a"] {
            assert_eq!(room.get(key).unwrap(), Some(bytes(&key.repeat(1000))));
            assert!(room.cache.bytes() <= max);
        }
        assert!(kept.contains(&room.cache.bytes()), "{}", room.cache.bytes());
    }
}

#[test]
fn an_untouched_room_costs_no_row() {
    let folder = TestFolder::new();
    let store = Sqlite::open(folder.path()).unwrap();
    let mut room = open_room(&store, "a");
    assert_eq!(room.get("a").unwrap(), None);
    assert!(room.list(&ListOptions::default()).unwrap().is_empty());
    assert!(!room.delete("a").unwrap());
    room.delete_alarm().unwrap();
    assert_eq!(room.get_alarm().unwrap(), None);
    assert!(room.take_batch().is_none());
    assert_eq!(room.handle.row(), 0);
    drop(room);
    let database = rusqlite::Connection::open(store.path()).unwrap();
    let rows = |table: &str| -> i64 {
        database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows("rooms"), rows("entries")), (0, 0));
    // What it would look like.
    put(&store, &mut open_room(&store, "b"), "a", "1").unwrap();
    assert_eq!((rows("rooms"), rows("entries")), (1, 1));
}

/// Runs a test over both stores.
fn over_both(test: impl Fn(&dyn Store)) {
    test(&Memory::new());
    let folder = TestFolder::new();
    test(&Sqlite::open(folder.path()).unwrap());
}

fn due(store: &dyn Store, now_ms: i64) -> DueAlarm {
    let mut due = store.alarms_due(now_ms, 10).unwrap();
    assert_eq!(due.len(), 1);
    assert!(store.alarms_due(now_ms, 10).unwrap().is_empty(), "a taken alarm is not given twice");
    assert_eq!(store.next_alarm().unwrap(), None);
    due.remove(0)
}

// `alarm_retries_max` times.
#[test]
fn a_failed_alarm_is_retried_and_counted() {
    over_both(|store| {
        let mut room = open_room(store, "a");
        room.set_alarm(1000.0, 0).unwrap();
        flush(store, &mut room).unwrap();
        assert_eq!(store.next_alarm().unwrap(), Some(1000));
        assert!(store.alarms_due(999, 10).unwrap().is_empty());
        let mut now_ms = 1000;
        for failures in 0..6 {
            let alarm = due(store, now_ms);
            assert_eq!((alarm.scheduled_ms, alarm.attempt), (now_ms, failures));
            assert!(room.start_alarm(&alarm).unwrap());
            assert_eq!(room.get_alarm().unwrap(), None, "null while it runs");
            flush(store, &mut room).unwrap();
            assert_eq!(room.get_alarm().unwrap(), None);
            let end = room.end_alarm(AlarmOutcome::Failed, now_ms, 0.0).unwrap();
            let at_ms = now_ms + (2000 << failures);
            assert_eq!(end, AlarmEnd::Retry { at_ms, attempt: failures + 1 });
            flush(store, &mut room).unwrap();
            assert_eq!(store.next_alarm().unwrap(), Some(at_ms));
            // Every other run meets a new life of the room.
            if failures % 2 == 0 {
                room = open_room(store, "a");
            }
            now_ms = at_ms;
        }
        assert!(room.start_alarm(&due(store, now_ms)).unwrap());
        assert_eq!(room.end_alarm(AlarmOutcome::Failed, now_ms, 0.0).unwrap(), AlarmEnd::GivenUp);
        flush(store, &mut room).unwrap();
        assert_eq!((store.next_alarm().unwrap(), room.get_alarm().unwrap()), (None, None));
    });
}

#[test]
fn alarms_go_by_the_wall_clock_also_when_it_jumps() {
    over_both(|store| {
        let mut room = open_room(store, "a");
        room.set_alarm(10_000.0, 5000).unwrap();
        flush(store, &mut room).unwrap();
        // Forward by an hour: due at once, and once.
        let alarm = due(store, 3_600_000);
        assert_eq!((alarm.scheduled_ms, alarm.attempt), (10_000, 0));
        assert!(room.start_alarm(&alarm).unwrap());
        flush(store, &mut room).unwrap();
        // Back again during the run: the retry waits by the clock as it is then.
        let end = room.end_alarm(AlarmOutcome::Failed, 4000, 0.0).unwrap();
        assert_eq!(end, AlarmEnd::Retry { at_ms: 6000, attempt: 1 });
        flush(store, &mut room).unwrap();
        assert!(store.alarms_due(5999, 10).unwrap().is_empty());
        assert_eq!(due(store, 6000).attempt, 1);
    });
}

#[test]
fn an_alarm_set_during_its_run_replaces_the_retry() {
    over_both(|store| {
        let mut room = open_room(store, "a");
        room.set_alarm(1000.0, 0).unwrap();
        flush(store, &mut room).unwrap();
        assert!(room.start_alarm(&due(store, 1000)).unwrap());
        flush(store, &mut room).unwrap();
        room.set_alarm(1500.0, 1000).unwrap();
        assert_eq!(room.get_alarm().unwrap(), Some(1500));
        flush(store, &mut room).unwrap();
        assert!(store.alarms_due(9999, 10).unwrap().is_empty(), "one run of a room at a time");
        assert_eq!(room.end_alarm(AlarmOutcome::Failed, 2000, 0.0).unwrap(), AlarmEnd::Replaced);
        flush(store, &mut room).unwrap();
        assert_eq!((due(store, 2000).scheduled_ms, room.get_alarm().unwrap()), (1500, Some(1500)));
    });
}

#[test]
fn a_run_ends_well_in_one_turn_or_is_refused_if_the_alarm_moved() {
    over_both(|store| {
        let mut room = open_room(store, "a");
        room.set_alarm(1000.0, 0).unwrap();
        flush(store, &mut room).unwrap();
        let alarm = due(store, 1000);
        room.set_alarm(3000.0, 1000).unwrap();
        assert!(!room.start_alarm(&alarm).unwrap());
        flush(store, &mut room).unwrap();
        assert_eq!(store.next_alarm().unwrap(), Some(3000));
        assert!(room.start_alarm(&due(store, 3000)).unwrap());
        assert_eq!(room.end_alarm(AlarmOutcome::Succeeded, 3000, 0.0).unwrap(), AlarmEnd::Done);
        flush(store, &mut room).unwrap();
        assert_eq!((store.next_alarm().unwrap(), room.get_alarm().unwrap()), (None, None));
    });
}

#[test]
fn a_terminated_turn_keeps_the_run_and_a_rolled_back_alarm_goes() {
    over_both(|store| {
        let mut room = open_room(store, "a");
        room.set_alarm(1000.0, 0).unwrap();
        let transaction = room.begin();
        room.set_alarm(500.0, 0).unwrap();
        room.rollback(transaction).unwrap();
        flush(store, &mut room).unwrap();
        assert!(room.start_alarm(&due(store, 1000)).unwrap());
        room.set_alarm(5000.0, 1000).unwrap();
        room.discard_turn();
        assert!(room.alarm_running());
        let end = room.end_alarm(AlarmOutcome::Failed, 1000, 1.0).unwrap();
        assert_eq!(end, AlarmEnd::Retry { at_ms: 3500, attempt: 1 });
        flush(store, &mut room).unwrap();
        assert_eq!(store.next_alarm().unwrap(), Some(3500));
    });
}

#[test]
fn a_released_alarm_is_due_again_later() {
    over_both(|store| {
        let mut room = open_room(store, "a");
        room.set_alarm(1000.0, 0).unwrap();
        flush(store, &mut room).unwrap();
        let alarm = due(store, 1000);
        store.release_alarm(&alarm.room, 4000);
        assert_eq!(store.next_alarm().unwrap(), Some(4000));
        assert!(store.alarms_due(3999, 10).unwrap().is_empty());
        assert_eq!(due(store, 4000), alarm);
    });
}

#[test]
fn the_hook_hears_of_earlier_alarms_only() {
    over_both(|store| {
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = heard.clone();
        store.on_earlier_alarm(Arc::new(move |at_ms| note.lock().unwrap().push(at_ms)));
        for (id, at_ms) in [("a", 5000.0), ("b", 6000.0), ("c", 4000.0)] {
            let mut room = open_room(store, id);
            room.set_alarm(at_ms, 0).unwrap();
            flush(store, &mut room).unwrap();
        }
        assert_eq!(*heard.lock().unwrap(), [5000, 4000]);
        let ids: Vec<_> =
            store.alarms_due(9000, 2).unwrap().iter().map(|due| due.room.id().to_owned()).collect();
        assert_eq!(ids, ["c", "a"]);
        assert_eq!(store.next_alarm().unwrap(), Some(6000));
    });
}
