//! What is served, and how close each limit is to being hit.

use std::collections::HashMap;
use std::sync::PoisonError;

use http::StatusCode;
use partyrun_limits::TABLE;
use serde_json::{Value, json};

use crate::answer::{Answer, Problem, json};
use crate::target::Target;

/// The release, the configuration without secrets, and how much is in memory.
pub(crate) async fn server(target: &Target) -> Answer {
    let usage = target.engine.usage(target.patience()).await;
    let release = &target.release;
    let parties: Vec<Value> = target
        .engine
        .parties()
        .iter()
        .map(|party| {
            json!({ "name": party.name, "on_request": party.request, "on_before_connect": party.before_connect,
                    "on_before_request": party.before_request, "on_cron": party.cron, "import_ms": party.import_ms })
        })
        .collect();
    json(&json!({
        "version": release.version,
        "command": release.command,
        "pid": std::process::id(),
        "uptime_ms": milliseconds(target.started.elapsed()),
        "project": release.project,
        "release": release.file,
        "bundle_hash": *target.bundle_hash.lock().unwrap_or_else(PoisonError::into_inner),
        "url": release.url,
        "storage": release.storage,
        "parties": parties,
        "configuration": release.configuration,
        "rooms": { "live": usage.live_rooms, "hibernated": usage.hibernated_rooms },
        "websockets": usage.connections,
        "http_connections": (target.connections)(),
        "spares": usage.spares,
        "busy_threads": usage.busy_threads,
        "memory_bytes": resident_bytes(),
        "cpu_ms": cpu_ms(),
    }))
}

/// Every limit, and how much of it is used where that is counted.
pub(crate) async fn limits(target: &Target) -> Answer {
    let usage = target.engine.usage(target.patience()).await;
    let mut used: HashMap<&str, (f64, f64)> =
        usage.used.iter().map(|(name, used, max)| (*name, (*used, *max))).collect();
    let open = (target.connections)() + usage.connections;
    used.insert("connections_max", (open as f64, target.limits.connections_max as f64));
    let rows: Vec<Value> = TABLE
        .iter()
        .map(|row| {
            let mut shown = json!({
                "name": row.name, "meaning": row.meaning.trim(), "unit": row.unit, "beyond": row.beyond,
                "value": (row.default)(&target.limits),
            });
            if let Some((used, max)) = used.get(row.name) {
                shown["used"] = number(*used);
                shown["in_force"] = number(*max);
                shown["share"] = json!(if *max > 0.0 { used / max } else { 0.0 });
            }
            shown
        })
        .collect();
    json(&json!({ "limits": rows }))
}

// Counts as whole numbers, shares as they are.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value >= 0.0 { json!(value as u64) } else { json!(value) }
}

pub(crate) fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

// What the process has in memory, as the kernel counts it.
pub(crate) fn resident_bytes() -> Option<u64> {
    const KIB: u64 = 1024;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * KIB)
}

// CPU time of all threads, from the kernel's count of hundredths of a second.
fn cpu_ms() -> Option<u64> {
    const MS_PER_TICK: u64 = 10;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold anything; behind its parenthesis come fields without spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) * MS_PER_TICK)
}

/// Loads anew what is served.
pub(crate) async fn reload(target: &Target) -> Result<Answer, Problem> {
    let control = target.control.as_ref().ok_or_else(not_here)?;
    match control.reload().await {
        Ok(changed) => Ok(json(&json!({ "changed": changed }))),
        Err(why) => Err(Problem::new(StatusCode::CONFLICT, "release", why)),
    }
}

/// Lets another process take over from this one.
pub(crate) fn upgrade(target: &Target) -> Result<Answer, Problem> {
    let control = target.control.as_ref().ok_or_else(not_here)?;
    if !control.upgrade() {
        let why = "This server has no supervisor, which would start the other process.";
        return Err(Problem::new(StatusCode::CONFLICT, "supervisor", why));
    }
    let mut answer = json(&json!({ "begun": true }));
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

fn not_here() -> Problem {
    Problem::new(StatusCode::CONFLICT, "development", "`partyrun dev` loads changes by itself.")
}
