//! Rooms: pages of them, one with all that is known of it, and what is done to it.
//!
//! A room is live (it has an isolate), hibernated (in memory without one) or resting (only in the store). Those in memory are
//! asked of their threads, the others read from the store along an index. By name both are merged. In any other order
//! those in memory come first, and resting ones follow by name: they use nothing that they could be sorted by.

use std::collections::BTreeMap;
use std::time::Duration;

use partyrun_engine::{Act, Acted, ConnectionReport, RoomDetails, RoomOrder, RoomQuery, RoomReport};
use partyrun_net::close::{REASON_BYTES_MAX, close_code_allowed};
use partyrun_store::{RoomKey, RoomSeen, RoomsPage, StoredSize};
use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{Answer, Problem, json};
use crate::cursor;
use crate::log::Log;
use crate::names::Query;
use crate::process::milliseconds;
use crate::target::Target;

const PAGE_USUAL: usize = 50;
/// Connections of a room that are listed unless more are asked for.
const CONNECTIONS_USUAL: usize = 100;
/// The last errors that are told of a room.
const ERRORS: usize = 10;

/// The parameters of [`list`].
pub(crate) const LIST_PARAMETERS: &[&str] = &["party", "prefix", "state", "sort", "limit", "after"];

#[derive(Clone, Copy, PartialEq)]
enum State {
    All,
    InMemory(bool),
    Resting,
}

// Where a page ended: in which part of the list, with which rank, at which room.
type Place = (bool, u64, String, String);

/// A page of rooms.
pub(crate) async fn list(target: &Target, query: &Query) -> Result<Answer, Problem> {
    let limit = query.count("limit", PAGE_USUAL, target.limits.admin_page_max)?;
    let states = [
        ("all", State::All),
        ("live", State::InMemory(true)),
        ("hibernated", State::InMemory(false)),
        ("resting", State::Resting),
    ];
    let state = query.choice("state", &states, State::All)?;
    let orders = [
        ("name", RoomOrder::Name),
        ("sockets", RoomOrder::Connections),
        ("memory", RoomOrder::Memory),
        ("cpu", RoomOrder::Cpu),
        ("last_event", RoomOrder::LastEvent),
    ];
    let order = query.choice("sort", &orders, RoomOrder::Name)?;
    let after: Option<Place> = query.get("after").map(cursor::read).transpose()?;
    let wanted = Wanted {
        party: query.get("party").map(str::to_owned),
        prefix: query.get("prefix").unwrap_or_default().to_owned(),
        state,
        order,
        limit,
    };
    let (rooms, next) = wanted.page(target, after).await?;
    Ok(json(&Page { rooms, next: next.map(|place| cursor::write(&place)) }))
}

// Written as it is: a tree of values for a thousand rooms takes longer than finding them.
#[derive(Serialize)]
struct Page {
    rooms: Vec<Row>,
    next: Option<String>,
}

// A room in a list.
struct Row {
    key: RoomKey,
    state: &'static str,
    sockets: usize,
    memory_bytes: usize,
    cpu: Duration,
    last_event_ms: Option<i64>,
    events_waiting: usize,
    alarm_ms: Option<i64>,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 9)?;
        row.serialize_field("party", self.key.party())?;
        row.serialize_field("room", self.key.id())?;
        row.serialize_field("state", self.state)?;
        row.serialize_field("sockets", &self.sockets)?;
        row.serialize_field("memory_bytes", &self.memory_bytes)?;
        row.serialize_field("cpu_ms", &milliseconds(self.cpu))?;
        row.serialize_field("last_event_ms", &self.last_event_ms)?;
        row.serialize_field("events_waiting", &self.events_waiting)?;
        row.serialize_field("alarm_ms", &self.alarm_ms)?;
        row.end()
    }
}

impl Row {
    // As the page of one room begins.
    fn value(&self) -> Value {
        json!(self)
    }
}

struct Wanted {
    party: Option<String>,
    prefix: String,
    state: State,
    order: RoomOrder,
    limit: usize,
}

impl Wanted {
    async fn page(
        &self,
        target: &Target,
        after: Option<Place>,
    ) -> Result<(Vec<Row>, Option<Place>), Problem> {
        let (stored_part, after) = match after {
            None => (self.state == State::Resting, None),
            Some((stored, rank, party, id)) => (stored, Some((rank, RoomKey::new(party, id)))),
        };
        if self.order == RoomOrder::Name && self.state == State::All {
            return self.merged(target, after).await;
        }
        if stored_part {
            return self.resting(target, after.map(|(_, key)| key), self.limit).await;
        }
        let live = match self.state {
            State::InMemory(live) => Some(live),
            State::All | State::Resting => None,
        };
        let mut reports = self.in_memory(target, live, self.order, after, self.limit + 1).await;
        let more = reports.len() > self.limit;
        reports.truncate(self.limit);
        let stored = self.seen(target, &reports).await?;
        let mut rooms: Vec<Row> =
            reports.iter().map(|report| of_report(report, stored.get(&report.key))).collect();
        if more {
            let last = reports.last().map(|last| {
                (false, last.rank(self.order), last.key.party().to_string(), last.key.id().to_string())
            });
            return Ok((rooms, last));
        }
        if self.state != State::All {
            return Ok((rooms, None));
        }
        let left = self.limit - rooms.len();
        if left == 0 {
            // The next page begins with the first of those that rest.
            return Ok((rooms, Some((true, 0, String::new(), String::new()))));
        }
        let (rest, next) = self.resting(target, None, left).await?;
        rooms.extend(rest);
        Ok((rooms, next))
    }

    async fn in_memory(
        &self,
        target: &Target,
        live: Option<bool>,
        order: RoomOrder,
        after: Option<(u64, RoomKey)>,
        limit: usize,
    ) -> Vec<RoomReport> {
        let query =
            RoomQuery { party: self.party.clone(), prefix: self.prefix.clone(), live, order, after, limit };
        target.engine.list_rooms(&query, target.patience()).await
    }

    async fn stored(
        &self,
        target: &Target,
        after: Option<RoomKey>,
        limit: usize,
    ) -> Result<Vec<RoomSeen>, Problem> {
        let page = RoomsPage { party: self.party.clone(), prefix: self.prefix.clone(), after, limit };
        target.survey(move |survey| survey.rooms(&page)).await
    }

    // What the store knows of rooms in memory, for their alarms.
    async fn seen(
        &self,
        target: &Target,
        reports: &[RoomReport],
    ) -> Result<BTreeMap<RoomKey, RoomSeen>, Problem> {
        let keys: Vec<RoomKey> = reports.iter().map(|report| report.key.clone()).collect();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        target
            .survey(move |survey| {
                let mut seen = BTreeMap::new();
                for key in keys {
                    if let Some(room) = survey.seen(&key)? {
                        seen.insert(key, room);
                    }
                }
                Ok(seen)
            })
            .await
    }

    // Rooms in memory and in the store, by their names.
    async fn merged(
        &self,
        target: &Target,
        after: Option<(u64, RoomKey)>,
    ) -> Result<(Vec<Row>, Option<Place>), Problem> {
        let behind = after.clone().map(|(_, key)| key);
        let count = self.limit + 1;
        let (reports, stored) = tokio::join!(
            self.in_memory(target, None, RoomOrder::Name, after, count),
            self.stored(target, behind, count)
        );
        let mut both: BTreeMap<RoomKey, (Option<RoomReport>, Option<RoomSeen>)> = BTreeMap::new();
        for report in reports {
            let key = report.key.clone();
            both.entry(key).or_default().0 = Some(report);
        }
        for room in stored? {
            let key = room.key.clone();
            both.entry(key).or_default().1 = Some(room);
        }
        let more = both.len() > self.limit;
        let page: Vec<_> = both.into_iter().take(self.limit).collect();
        // A room in memory may stand behind the page of the store.
        let missing: Vec<RoomReport> = page
            .iter()
            .filter(|(_, (_, seen))| seen.is_none())
            .filter_map(|(_, (report, _))| report.clone())
            .collect();
        let found = self.seen(target, &missing).await?;
        let next = page.last().filter(|_| more).map(|(key, _)| place_of(key));
        let rooms = page.iter().filter_map(|(key, (report, seen))| {
            let seen = seen.as_ref().or_else(|| found.get(key));
            match (report, seen) {
                (Some(report), seen) => Some(of_report(report, seen)),
                (None, seen) => seen.map(of_seen),
            }
        });
        Ok((rooms.collect(), next))
    }

    // Rooms that are in the store only, by their names.
    async fn resting(
        &self,
        target: &Target,
        mut after: Option<RoomKey>,
        limit: usize,
    ) -> Result<(Vec<Row>, Option<Place>), Problem> {
        let mut rooms = Vec::new();
        loop {
            let missing = limit - rooms.len();
            let stored = self.stored(target, after.clone(), missing).await?;
            let keys: Vec<RoomKey> = stored.iter().map(|room| room.key.clone()).collect();
            let in_memory = target.in_memory(&keys).await;
            rooms.extend(stored.iter().filter(|room| !in_memory.contains_key(&room.key)).map(of_seen));
            after = keys.last().cloned().or(after);
            if keys.len() < missing {
                return Ok((rooms, None));
            }
            if rooms.len() == limit {
                return Ok((rooms, after.as_ref().map(place_of)));
            }
        }
    }
}

fn place_of(key: &RoomKey) -> Place {
    (true, 0, key.party().to_string(), key.id().to_string())
}

fn of_report(report: &RoomReport, stored: Option<&RoomSeen>) -> Row {
    let state = match (report.busy, report.live) {
        (true, _) => "busy",
        (false, true) => "live",
        (false, false) => "hibernated",
    };
    Row {
        key: report.key.clone(),
        state,
        sockets: report.connections,
        memory_bytes: report.memory_bytes,
        cpu: report.cpu,
        last_event_ms: (!report.busy).then_some(report.last_event_ms),
        events_waiting: report.events_waiting,
        alarm_ms: stored.and_then(|room| room.alarm).map(|alarm| alarm.at_ms),
    }
}

fn of_seen(room: &RoomSeen) -> Row {
    let alarm_ms = room.alarm.map(|alarm| alarm.at_ms);
    Row { last_event_ms: room.last_seen_ms, alarm_ms, ..at_rest(&room.key) }
}

fn at_rest(key: &RoomKey) -> Row {
    Row {
        key: key.clone(),
        state: "resting",
        sockets: 0,
        memory_bytes: 0,
        cpu: Duration::ZERO,
        last_event_ms: None,
        events_waiting: 0,
        alarm_ms: None,
    }
}

/// One room.
pub(crate) async fn show(
    target: &Target,
    log: &Log,
    key: &RoomKey,
    query: &Query,
) -> Result<Answer, Problem> {
    let connections_max =
        query.count("connections", CONNECTIONS_USUAL, target.limits.connections_per_room_max)?;
    let named = key.clone();
    let stored = target.survey(move |survey| survey.room(&named));
    let (details, stored) =
        tokio::join!(target.engine.look_at(key, connections_max, target.patience()), stored);
    let stored = stored?;
    let errors = log.errors_of(key, ERRORS);
    let mut shown = match (&details, &stored) {
        (Ok(None), None) if errors.is_empty() => {
            return Err(Problem::missing(format!("The room {key} is not in memory and has stored nothing.")));
        }
        (Ok(Some(details)), _) => of_details(details),
        (Ok(None), Some((seen, _))) => of_seen(seen).value(),
        (Ok(None), None) => at_rest(key).value(),
        // Others are answered meanwhile, and of this one what the store knows.
        (Err(partyrun_engine::AskError::Busy), stored) => {
            let mut shown = stored.as_ref().map_or_else(|| json!({}), |(seen, _)| of_seen(seen).value());
            for (name, value) in
                [("party", json!(key.party())), ("room", json!(key.id())), ("state", json!("busy"))]
            {
                shown[name] = value;
            }
            shown
        }
        (Err(error), _) => return Err(error.clone().into()),
    };
    let size = stored.map(|(_, size)| size).unwrap_or_default();
    shown["storage"] = of_size(size);
    shown["errors"] = json!(errors);
    Ok(json(&shown))
}

fn of_size(size: StoredSize) -> Value {
    json!({ "entries": size.entries, "bytes": size.bytes, "more": size.more })
}

fn of_details(details: &RoomDetails) -> Value {
    let mut shown = of_report(&details.report, None).value();
    shown["alarm_ms"] = json!(details.alarm_ms);
    shown["alarms_running"] = json!(details.alarms_running);
    shown["hibernates"] = json!(details.hibernates);
    shown["held"] = json!(details.held);
    shown["requests_open"] = json!(details.requests_open);
    shown["inbox_bytes"] = json!(details.inbox_bytes);
    shown["queued_bytes"] = json!(details.queued_bytes);
    shown["undurable_bytes"] = json!(details.undurable_bytes);
    shown["connections"] = json!(details.connections.iter().map(of_connection).collect::<Vec<_>>());
    shown
}

fn of_connection(connection: &ConnectionReport) -> Value {
    json!({
        "id": connection.id, "uri": connection.uri, "tags": connection.tags,
        "state_bytes": connection.state_bytes, "queue_bytes": connection.queue_bytes,
    })
}

/// Closes the connections with an id.
pub(crate) async fn close(
    target: &Target,
    key: &RoomKey,
    id: &str,
    query: &Query,
) -> Result<Answer, Problem> {
    let code = match query.get("code").map(str::parse::<u16>) {
        None => 1000,
        Some(Ok(code)) if close_code_allowed(code) => code,
        Some(_) => return Err(Problem::bad("`code` is 1000, or from 3000 to 4999.")),
    };
    let reason = query.get("reason").unwrap_or("Closed by an operator.").to_string();
    if reason.len() > REASON_BYTES_MAX {
        return Err(Problem::bad(format!("`reason` may have {REASON_BYTES_MAX} bytes.")));
    }
    let act = Act::Close { id: id.to_string(), code, reason };
    match target.engine.act(key, act, target.patience()).await? {
        Acted::Done(0) => Err(Problem::missing(format!("The room {key} has no connection `{id}`."))),
        acted => counted(key, acted, "closed"),
    }
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

/// Sends a text to all connections of a room.
pub(crate) async fn broadcast(target: &Target, key: &RoomKey, body: &[u8]) -> Result<Answer, Problem> {
    let message: Message = serde_json::from_slice(body)
        .map_err(|error| Problem::bad(format!("Send JSON such as {{ \"text\": \"hello\" }}: {error}")))?;
    if message.text.len() > target.limits.message_out_bytes_max {
        return Err(Problem::bad("The text is longer than `message_out_bytes_max`."));
    }
    let acted = target.engine.act(key, Act::Broadcast(message.text), target.patience()).await?;
    counted(key, acted, "sent")
}

/// Takes a room out of memory, or resets it.
pub(crate) async fn act(target: &Target, key: &RoomKey, act: Act) -> Result<Answer, Problem> {
    let acted = target.engine.act(key, act, target.patience()).await?;
    counted(key, acted, "closed")
}

fn counted(key: &RoomKey, acted: Acted, what: &str) -> Result<Answer, Problem> {
    match acted {
        Acted::Done(count) => Ok(json(&json!({ what: count }))),
        Acted::InProgress => Err(Problem::new(
            http::StatusCode::CONFLICT,
            "in_progress",
            format!("Something in {key} is in progress, or a socket needs it. Nothing was done."),
        )),
        Acted::Absent => Err(Problem::missing(format!("The room {key} is not in memory."))),
    }
}
