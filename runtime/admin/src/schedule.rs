//! What is to come: alarms of rooms, and crons, which can also be run now.

use http::StatusCode;
use partyrun_store::{RoomKey, RoomSeen};
use serde_json::{Value, json};

use crate::answer::{Answer, Problem, json};
use crate::cursor;
use crate::names::Query;
use crate::target::Target;

const PAGE_USUAL: usize = 100;

/// The alarms that are set, the next first.
pub(crate) async fn alarms(target: &Target, query: &Query) -> Result<Answer, Problem> {
    let limit = query.count("limit", PAGE_USUAL, target.limits.admin_page_max)?;
    let after: Option<(i64, String, String)> = query.get("after").map(cursor::read).transpose()?;
    let after = after.map(|(at_ms, party, id)| (at_ms, RoomKey::new(party, id)));
    let found = target.survey(move |survey| survey.alarms(after.as_ref(), limit)).await?;
    let next = found
        .last()
        .filter(|_| found.len() == limit)
        .and_then(|last| Some(cursor::write(&(last.alarm?.at_ms, last.key.party(), last.key.id()))));
    let alarms: Vec<Value> = found.iter().filter_map(alarm).collect();
    Ok(json(&json!({ "alarms": alarms, "next": next })))
}

fn alarm(room: &RoomSeen) -> Option<Value> {
    let alarm = room.alarm?;
    Some(json!({
        "party": room.key.party(), "room": room.key.id(),
        "at_ms": alarm.at_ms, "failed_runs": alarm.attempt, "running": alarm.running,
    }))
}

/// The crons of the configuration.
pub(crate) fn crons(target: &Target) -> Answer {
    let has_handler = target.engine.parties().iter().any(|party| party.name == "main" && party.cron);
    let crons: Vec<Value> = target
        .crons
        .states(chrono::Utc::now() + chrono::TimeDelta::milliseconds(partyrun_clock::offset_ms()))
        .into_iter()
        .map(|cron| {
            let last = cron
                .last
                .map(|run| json!({ "at_ms": run.at_ms, "took_ms": run.took_ms, "succeeded": run.succeeded }));
            json!({
                "name": cron.name, "expression": cron.expression, "next_ms": cron.next_ms,
                "running": cron.running, "last": last,
            })
        })
        .collect();
    json(&json!({ "crons": crons, "has_handler": has_handler }))
}

/// What time it is for rooms, alarms and crons.
pub(crate) fn clock() -> Answer {
    json(&json!({
        "now_ms": partyrun_clock::now_ms(),
        "ahead_ms": partyrun_clock::offset_ms(),
        "movable": partyrun_clock::is_movable(),
    }))
}

/// Moves it forward, in a process that was started for tests.
pub(crate) fn move_clock(body: &[u8]) -> Result<Answer, Problem> {
    let asked: Option<Value> = serde_json::from_slice(body).ok();
    let by_ms = asked.as_ref().and_then(|asked| asked.get("advance_ms")?.as_u64());
    let by_ms =
        by_ms.ok_or_else(|| Problem::bad("Write {\"advance_ms\": N} with a number of milliseconds."))?;
    if !partyrun_clock::is_movable() {
        let message = "The clock of this server cannot be moved: it was not started with `--test-clock`.";
        return Err(Problem::new(StatusCode::CONFLICT, "not_movable", message));
    }
    match partyrun_clock::advance(by_ms) {
        Some(_) => Ok(clock()),
        None => Err(Problem::bad("The clock cannot be moved so far.")),
    }
}

/// Runs a cron now, and answers how that ended.
pub(crate) async fn run(target: &Target, name: &str) -> Result<Answer, Problem> {
    match target.crons.run_now(&target.engine, name).await {
        Ok(outcome) => Ok(json(&json!({ "succeeded": outcome.response.status < 400 }))),
        Err(partyrun_server::CronRefusal::Unknown) => {
            Err(Problem::missing(format!("There is no cron `{name}` in the configuration.")))
        }
        Err(partyrun_server::CronRefusal::NoHandler) => {
            Err(Problem::new(StatusCode::CONFLICT, "no_handler", "The main party has no static `onCron`."))
        }
        Err(partyrun_server::CronRefusal::Running) => {
            Err(Problem::new(StatusCode::CONFLICT, "running", format!("The cron `{name}` is running.")))
        }
    }
}
