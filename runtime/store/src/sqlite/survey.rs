//! The survey of a database: every statement follows an index from where the last page ended.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::{ENTRIES_COUNTED_MAX, RoomSeen, RoomsPage, StoredAlarm, StoredSize, Survey};
use crate::{RoomKey, StoreError};

const NEXT_PARTY: &str = "SELECT party FROM rooms WHERE party >= ?1 ORDER BY party LIMIT 1";
const PARTY_BEHIND: &str = "SELECT party FROM rooms WHERE party > ?1 ORDER BY party LIMIT 1";
const FROM: &str = "SELECT party, id, last_seen_ms, alarm_at_ms, alarm_attempt, alarm_running FROM rooms
    WHERE party = ?1 AND id >= ?2 ORDER BY id LIMIT ?3";
const BEHIND: &str = "SELECT party, id, last_seen_ms, alarm_at_ms, alarm_attempt, alarm_running FROM rooms
    WHERE party = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
const ONE: &str = "SELECT party, id, last_seen_ms, alarm_at_ms, alarm_attempt, alarm_running, room FROM rooms
    WHERE party = ?1 AND id = ?2";
const SIZE: &str = "SELECT count(*), total(length(key) + length(value)) FROM
    (SELECT key, value FROM entries WHERE room = ?1 LIMIT ?2)";
const ROW: &str = "SELECT room FROM rooms WHERE party = ?1 AND id = ?2";
const ALARMS: &str = "SELECT party, id, last_seen_ms, alarm_at_ms, alarm_attempt, alarm_running FROM rooms
    WHERE alarm_at_ms IS NOT NULL AND alarm_at_ms >= ?1 AND (alarm_at_ms > ?1 OR room > ?2)
    ORDER BY alarm_at_ms, room LIMIT ?3";

pub(super) struct SqliteSurvey {
    connection: Connection,
}

impl SqliteSurvey {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    // The rooms of one party, from or behind an id.
    fn of_party(
        &self,
        party: &str,
        (sql, id): (&str, &str),
        prefix: &str,
        found: &mut Vec<RoomSeen>,
        limit: usize,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let missing = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![party, id, missing])?;
        while let Some(row) = rows.next()? {
            let room = seen(row)?;
            if !room.key.id().starts_with(prefix) {
                break;
            }
            found.push(room);
        }
        Ok(())
    }

    fn party(&self, sql: &str, from: &str) -> Result<Option<String>, StoreError> {
        Ok(self.connection.prepare_cached(sql)?.query_row([from], |row| row.get(0)).optional()?)
    }
}

fn seen(row: &Row<'_>) -> rusqlite::Result<RoomSeen> {
    let at_ms: Option<i64> = row.get(3)?;
    let (attempt, running) = (row.get(4)?, row.get(5)?);
    Ok(RoomSeen {
        key: RoomKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
        last_seen_ms: Some(row.get(2)?),
        alarm: at_ms.map(|at_ms| StoredAlarm { at_ms, attempt, running }),
    })
}

impl Survey for SqliteSurvey {
    fn rooms(&self, page: &RoomsPage) -> Result<Vec<RoomSeen>, StoreError> {
        let mut found = Vec::new();
        let first = page.after.as_ref().map(RoomKey::party).unwrap_or_default();
        let mut party = match &page.party {
            Some(party) => (party.as_str() >= first).then(|| party.clone()),
            None => self.party(NEXT_PARTY, first)?,
        };
        while let Some(name) = party.filter(|_| found.len() < page.limit) {
            let behind = page.after.as_ref().filter(|after| after.party() == name).map(RoomKey::id);
            let start = match behind {
                Some(id) if id >= page.prefix.as_str() => (BEHIND, id),
                _ => (FROM, page.prefix.as_str()),
            };
            self.of_party(&name, start, &page.prefix, &mut found, page.limit)?;
            party = if page.party.is_some() { None } else { self.party(PARTY_BEHIND, &name)? };
        }
        Ok(found)
    }

    fn seen(&self, room: &RoomKey) -> Result<Option<RoomSeen>, StoreError> {
        let mut one = self.connection.prepare_cached(ONE)?;
        Ok(one.query_row(params![room.party(), room.id()], seen).optional()?)
    }

    fn room(&self, room: &RoomKey) -> Result<Option<(RoomSeen, StoredSize)>, StoreError> {
        let mut one = self.connection.prepare_cached(ONE)?;
        let found = one
            .query_row(params![room.party(), room.id()], |row| Ok((seen(row)?, row.get::<_, i64>(6)?)))
            .optional()?;
        let Some((seen, row)) = found else { return Ok(None) };
        let mut size = self.connection.prepare_cached(SIZE)?;
        let limit = i64::try_from(ENTRIES_COUNTED_MAX + 1).unwrap_or(i64::MAX);
        let (entries, bytes) =
            size.query_row(params![row, limit], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?)))?;
        let entries = entries.unsigned_abs();
        // SQLite's sums of lengths are whole numbers far below 2^53.
        let size = StoredSize { entries, bytes: bytes as u64, more: entries > ENTRIES_COUNTED_MAX as u64 };
        Ok(Some((seen, size)))
    }

    fn alarms(&self, after: Option<&(i64, RoomKey)>, limit: usize) -> Result<Vec<RoomSeen>, StoreError> {
        let (at_ms, row) = match after {
            None => (i64::MIN, 0),
            Some((at_ms, room)) => {
                let mut row = self.connection.prepare_cached(ROW)?;
                let row = row.query_row(params![room.party(), room.id()], |row| row.get(0)).optional()?;
                (*at_ms, row.unwrap_or(0))
            }
        };
        let mut alarms = self.connection.prepare_cached(ALARMS)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rooms = alarms.query_map(params![at_ms, row, limit], seen)?;
        Ok(rooms.collect::<Result<Vec<_>, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::testing::{TestFolder, flush};
    use crate::{Memory, Sqlite, Store, WorkerStore};

    fn names(rooms: &[RoomSeen]) -> Vec<String> {
        rooms.iter().map(|room| room.key.to_string()).collect()
    }

    fn fill(store: &dyn Store) {
        let worker =
            WorkerStore::open(store, std::sync::Arc::new(partyrun_limits::Limits::default())).unwrap();
        for (party, id) in [
            ("main", "lobby"),
            ("main", "lob"),
            ("main", "a/b"),
            ("other", "lobster"),
            ("other", "z"),
            ("a", "b"),
        ] {
            let mut room = worker.room(RoomKey::new(party, id));
            room.put("key", Bytes::from_static(b"value")).unwrap();
            if party == "other" {
                room.set_alarm(if id == "z" { 5e12 } else { 6e12 }, 0).unwrap();
            }
            flush(store, &mut room).unwrap();
        }
    }

    fn pages(store: &dyn Store, page: RoomsPage) -> Vec<String> {
        let survey = store.survey().unwrap();
        let (mut page, mut all) = (page, Vec::new());
        loop {
            let found = survey.rooms(&page).unwrap();
            assert!(found.len() <= page.limit);
            all.extend(names(&found));
            match found.last() {
                Some(last) if found.len() == page.limit => page.after = Some(last.key.clone()),
                _ => return all,
            }
        }
    }

    #[test]
    fn rooms_and_alarms_come_in_pages_from_both_stores() {
        let folder = TestFolder::new();
        let stores: [Box<dyn Store>; 2] =
            [Box::new(Sqlite::open(folder.path()).unwrap()), Box::new(Memory::new())];
        for store in stores {
            fill(&*store);
            for limit in [1, 2, 3, 100] {
                let page = |party: Option<&str>, prefix: &str| RoomsPage {
                    party: party.map(str::to_owned),
                    prefix: prefix.to_owned(),
                    after: None,
                    limit,
                };
                let all = ["a/b", "main/a/b", "main/lob", "main/lobby", "other/lobster", "other/z"];
                assert_eq!(pages(&*store, page(None, "")), all, "{limit}");
                assert_eq!(pages(&*store, page(None, "lob")), ["main/lob", "main/lobby", "other/lobster"]);
                assert_eq!(pages(&*store, page(Some("other"), "")), ["other/lobster", "other/z"]);
                assert!(pages(&*store, page(Some("none"), "")).is_empty());
            }
            let survey = store.survey().unwrap();
            let first = survey.alarms(None, 1).unwrap();
            assert_eq!(names(&first), ["other/z"]);
            let after = (5_000_000_000_000, first[0].key.clone());
            assert_eq!(names(&survey.alarms(Some(&after), 9).unwrap()), ["other/lobster"]);
            let (seen, size) = survey.room(&RoomKey::new("main", "lob")).unwrap().unwrap();
            assert_eq!((seen.alarm, size), (None, StoredSize { entries: 1, bytes: 8, more: false }));
            assert!(survey.room(&RoomKey::new("main", "none")).unwrap().is_none());
            store.close();
        }
    }

    // An index, never a whole scan: the number of rooms must not show in the plan of any page.
    #[test]
    fn no_page_scans_the_table() {
        let folder = TestFolder::new();
        let store = Sqlite::open(folder.path()).unwrap();
        let connection = Connection::open(store.path()).unwrap();
        for sql in [NEXT_PARTY, PARTY_BEHIND, FROM, BEHIND, ONE, SIZE, ROW, ALARMS] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let count = plan.parameter_count();
            let nulls = vec![rusqlite::types::Null; count];
            let steps =
                plan.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
            for step in steps.map(Result::unwrap) {
                let whole = step.starts_with("SCAN") && !step.contains("subquery") && !step.contains('(');
                assert!(!whole && !step.contains("TEMP B-TREE"), "{sql}: {step}");
            }
        }
        store.close();
    }
}
