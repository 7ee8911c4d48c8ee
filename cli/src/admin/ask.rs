//! `partyrun rooms`, `room`, `logs` and `crons`: what the administrative API tells, for people or as JSON.

use std::io::Write as _;
use std::path::Path;

use clap::ValueEnum;
use http::Method;
use partyrun_config::{Config, ConfigError, Request};
use serde_json::{Value, json};

use super::client::{Ask, Client, ClientError, room_path, segment};
use super::found::write_private;
use crate::args::{Alarm, CronsArgs, LogsArgs, RoomAct, RoomArgs, RoomSort, RoomsArgs, ToArgs};
use crate::output::escape;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{path} cannot be read or written: {error}")]
    File { path: String, error: std::io::Error },
    #[error("The cron `{0}` failed; `partyrun logs` says why.")]
    Cron(String),
    #[error("{what}: {error}")]
    Machine { what: &'static str, error: std::io::Error },
}

/// The API that a command is to ask.
pub(crate) fn client(args: &ToArgs) -> Result<Client, AskError> {
    if args.to.is_some() {
        return Ok(Client::find(args.to.as_deref(), None)?.ok_or(ClientError::Nobody)?);
    }
    let config = project(args)?;
    Ok(Client::find(None, config.persist.path())?.ok_or(ClientError::Nobody)?)
}

fn project(args: &ToArgs) -> Result<Config, AskError> {
    let cwd = std::env::current_dir()
        .map_err(|error| AskError::Machine { what: "The working folder cannot be found", error })?;
    Ok(partyrun_config::load(&Request::for_data(&cwd, args.config.as_deref(), args.persist.as_deref()))?)
}

pub(super) fn print(text: &str) -> Result<(), AskError> {
    crate::stdout::print(text.as_bytes())
        .map_err(|error| AskError::Machine { what: "The output cannot be written", error })
}

fn print_json(value: &Value) -> Result<(), AskError> {
    print(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()))
}

/// The word of a choice, as the API takes it.
pub(super) fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
}

/// `partyrun rooms`.
pub(crate) fn rooms(args: &RoomsArgs) -> Result<(), AskError> {
    const PAGE: usize = 500;
    let client = client(&args.to)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("prefix", &args.prefix).append_pair("state", &word(&args.state));
    query.append_pair("sort", &word(&args.sort));
    if let Some(party) = &args.party {
        query.append_pair("party", party);
    }
    let query = query.finish();
    let (mut found, mut after): (Vec<Value>, Option<String>) = (Vec::new(), None);
    while found.len() < args.limit {
        let limit = (args.limit - found.len()).min(PAGE);
        let place = after.as_ref().map(|after| format!("&after={after}")).unwrap_or_default();
        let mut page = client.get(&format!("/v1/rooms?{query}&limit={limit}{place}"))?;
        found.extend(page["rooms"].as_array_mut().map(std::mem::take).unwrap_or_default());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    if args.to.json {
        return print_json(&json!({ "rooms": found, "more": after.is_some() }));
    }
    let mut text = table(&found, None);
    if found.is_empty() {
        text = "No room was found.\n".to_string();
    } else if after.is_some() {
        text.push_str("There are more: choose some by the beginning of their ids, or set `--limit`.\n");
    }
    print(&text)
}

/// How a room's use of the CPU is told, where it is known.
pub(super) type CpuOf<'a> = &'a dyn Fn(&Value) -> Option<f64>;

/// Rooms as a table; `cpu` says what each used of a core lately, where that is known.
pub(super) fn table(rooms: &[Value], cpu: Option<CpuOf<'_>>) -> String {
    let heading = if cpu.is_some() { "CPU %" } else { "CPU" };
    let mut text = format!(
        "{:<36}  {:<10}  {:>7}  {:>10}  {:>9}  {:>8}  {}\n",
        "ROOM", "STATE", "SOCKETS", "MEMORY", heading, "LAST", "ALARM"
    );
    for room in rooms {
        let used = match cpu {
            Some(cpu) => cpu(room).map_or_else(|| "-".to_string(), |share| format!("{:.1}", share * 100.0)),
            None => milliseconds(room["cpu_ms"].as_u64().unwrap_or(0)),
        };
        let memory = room["memory_bytes"].as_u64().filter(|bytes| *bytes > 0);
        text.push_str(&format!(
            "{:<36}  {:<10}  {:>7}  {:>10}  {:>9}  {:>8}  {}\n",
            escape(&name(room)),
            room["state"].as_str().unwrap_or_default(),
            room["sockets"].as_u64().unwrap_or(0),
            memory.map_or_else(|| "-".to_string(), partyrun_limits::shown_bytes),
            used,
            room["last_event_ms"].as_i64().map(ago).unwrap_or_default(),
            room["alarm_ms"].as_i64().map(time).unwrap_or_default(),
        ));
    }
    text
}

fn name(room: &Value) -> String {
    format!("{}/{}", room["party"].as_str().unwrap_or_default(), room["room"].as_str().unwrap_or_default())
}

fn milliseconds(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{:.1} s", ms as f64 / 1e3),
        _ => format!("{:.1} min", ms as f64 / 6e4),
    }
}

fn ago(at_ms: i64) -> String {
    seconds(u64::try_from(chrono::Utc::now().timestamp_millis() - at_ms).unwrap_or(0) / 1000)
}

/// How long ago something was, or how long it lasted, in one unit.
pub(super) fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn time(at_ms: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(at_ms) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => format!("{at_ms} ms"),
    }
}

/// The path of a room that was named on the command line.
pub(crate) fn path_of(client: &Client, named: &str) -> Result<String, ClientError> {
    let server = client.get("/v1/server")?;
    let parties = server["parties"].as_array().into_iter().flatten();
    let parties: Vec<String> =
        parties.filter_map(|party| party["name"].as_str()).map(str::to_owned).collect();
    Ok(room_path(named, &parties))
}

/// `partyrun room`.
pub(crate) fn room(args: &RoomArgs) -> Result<(), AskError> {
    let client = client(&args.to)?;
    let path = path_of(&client, &args.room)?;
    let told = |result: Value, text: String| {
        if args.to.json { print_json(&result) } else { print(&format!("{text}\n")) }
    };
    let post = |what: &str, body: &Value| client.send(Method::POST, format!("{path}/{what}"), body);
    let count = |result: &Value, what: &str| {
        crate::output::counted(usize::try_from(result[what].as_u64().unwrap_or(0)).unwrap_or(0), "connection")
    };
    match &args.act {
        RoomAct { send: Some(text), .. } => {
            let sent = post("broadcast", &json!({ "text": text }))?;
            let text = format!("Sent to {}.", count(&sent, "sent"));
            told(sent, text)
        }
        RoomAct { close: Some(id), .. } => {
            let closed =
                client.send(Method::DELETE, format!("{path}/connections/{}", segment(id)), &Value::Null)?;
            let text = format!("Closed {}.", count(&closed, "closed"));
            told(closed, text)
        }
        RoomAct { hibernate: true, .. } => {
            told(post("hibernate", &Value::Null)?, "The room left memory.".to_string())
        }
        RoomAct { evict: true, .. } => {
            let closed = post("evict", &Value::Null)?;
            let text = format!("The room left memory; {} closed with 1012.", count(&closed, "closed"));
            told(closed, text)
        }
        RoomAct { reset: true, .. } => told(post("reset", &Value::Null)?, "The room was reset.".to_string()),
        RoomAct { alarm: Some(Alarm(at_ms)), .. } => {
            client.send(Method::PUT, format!("{path}/alarm"), &json!({ "at_ms": at_ms }))?;
            told(
                json!({ "at_ms": at_ms }),
                at_ms.map_or_else(
                    || "The room has no alarm.".to_string(),
                    |at_ms| format!("The alarm is due at {}.", time(at_ms)),
                ),
            )
        }
        RoomAct { export: Some(file), .. } => export(&client, &path, file, &told),
        RoomAct { import: Some(file), .. } => import(&client, &path, file, &told),
        _ => {
            let shown = client.get(&path)?;
            if args.to.json { print_json(&shown) } else { print(&page(&shown)) }
        }
    }
}

type Told<'a> = &'a dyn Fn(Value, String) -> Result<(), AskError>;

fn export(client: &Client, path: &str, file: &Path, told: Told<'_>) -> Result<(), AskError> {
    let failed = |error| AskError::File { path: file.display().to_string(), error };
    let bytes = client.ask(Ask { path: format!("{path}/export"), ..Ask::default() })?;
    let text = str::from_utf8(&bytes).map_err(|error| failed(std::io::Error::other(error)))?;
    // What rooms store is nobody else's business.
    write_private(file, text).map_err(failed)?;
    // Beside the entries there are a first and a last line.
    let entries = text.lines().count().saturating_sub(2);
    let text =
        format!("Wrote {} of the room to {}.", crate::output::counted(entries, "value"), file.display());
    told(json!({ "entries": entries, "file": file }), text)
}

fn import(client: &Client, path: &str, file: &Path, told: Told<'_>) -> Result<(), AskError> {
    let body =
        std::fs::read(file).map_err(|error| AskError::File { path: file.display().to_string(), error })?;
    let ask = Ask { method: Method::POST, path: format!("{path}/import"), body, ..Ask::default() };
    let answer: Value = serde_json::from_slice(&client.ask(ask)?).unwrap_or_default();
    let entries = usize::try_from(answer["entries"].as_u64().unwrap_or(0)).unwrap_or(0);
    told(answer, format!("Stored {} of {}.", crate::output::counted(entries, "value"), file.display()))
}

// A room as people read it.
fn page(room: &Value) -> String {
    let bytes = |value: &Value| partyrun_limits::shown_bytes(value.as_u64().unwrap_or(0));
    let mut text = format!("{}: {}\n", escape(&name(room)), room["state"].as_str().unwrap_or_default());
    let mut line = |what: &str, value: String| text.push_str(&format!("  {what:<12}  {value}\n"));
    if let Some(at) = room["last_event_ms"].as_i64() {
        line("last event", format!("{} ago ({})", ago(at), time(at)));
    }
    if let Some(at) = room["alarm_ms"].as_i64() {
        line("alarm", time(at));
    }
    let storage = &room["storage"];
    let more = if storage["more"] == true { "more than " } else { "" };
    let entries = usize::try_from(storage["entries"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let entries = crate::output::counted(entries, "value");
    line("storage", format!("{more}{entries}, {}", bytes(&storage["bytes"])));
    if room["connections"].is_array() {
        line("memory", bytes(&room["memory_bytes"]));
        line("CPU", milliseconds(room["cpu_ms"].as_u64().unwrap_or(0)));
        let waiting = format!("{} events, {}", room["events_waiting"], bytes(&room["inbox_bytes"]));
        let held = if room["held"] == true { ", held back by the room" } else { "" };
        line("waiting", format!("{waiting}{held}"));
        line("queued", bytes(&room["queued_bytes"]));
        line("sockets", room["sockets"].to_string());
    }
    for connection in room["connections"].as_array().into_iter().flatten() {
        let tags: Vec<&str> =
            connection["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let tags = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
        text.push_str(&format!(
            "    {}  {}{}  {} queued\n",
            escape(connection["id"].as_str().unwrap_or_default()),
            escape(connection["uri"].as_str().unwrap_or_default()),
            escape(&tags),
            bytes(&connection["queue_bytes"]),
        ));
    }
    for error in room["errors"].as_array().into_iter().flatten() {
        let first = error["text"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
        let at = error["time"].as_str().unwrap_or_default();
        text.push_str(&format!("  error {at}  {}\n", escape(first)));
    }
    text
}

/// `partyrun logs`.
pub(crate) fn logs(args: &LogsArgs) -> Result<(), AskError> {
    let client = client(&args.to)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("tail", &args.tail.to_string());
    let given = [("party", &args.party), ("room", &args.room), ("level", &args.level), ("type", &args.kinds)];
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let mut stdout = std::io::stdout();
    client.lines(format!("/v1/logs?{}", query.finish()), |line| {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Ok(true) };
        let text = if args.to.json { Some(crate::output::json_line(&line)) } else { shown(&line) };
        // A reader that is gone wants no more.
        Ok(text.is_none_or(|text| writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()))
    })?;
    Ok(())
}

fn shown(line: &Value) -> Option<String> {
    let place = match (line["type"].as_str()?, line["room"].as_str()) {
        ("following" | "alive", _) => return None,
        ("lost", _) => return Some(format!("({} lines were lost: this reader is too slow)", line["count"])),
        (_, Some(_)) => name(line),
        ("console", None) => "edge".to_string(),
        (_, None) => "server".to_string(),
    };
    let time = line["time"].as_str().unwrap_or_default();
    let level = match line["level"].as_str().unwrap_or_default() {
        urgent @ ("warn" | "error") => format!("{urgent}: "),
        _ => String::new(),
    };
    let text = crate::output::escape_lines(line["text"].as_str().unwrap_or_default());
    Some(format!("{time} [{}] {level}{text}", escape(&place)))
}

/// `partyrun crons`.
pub(crate) fn crons(args: &CronsArgs) -> Result<(), AskError> {
    let client = client(&args.to)?;
    if let Some(cron) = &args.run {
        let ran = client.send(Method::POST, format!("/v1/crons/{}/run", segment(cron)), &Value::Null)?;
        if ran["succeeded"] != true {
            return Err(AskError::Cron(cron.clone()));
        }
        return if args.to.json { print_json(&ran) } else { print(&format!("The cron `{cron}` ran.\n")) };
    }
    let crons = client.get("/v1/crons")?;
    if args.to.json {
        return print_json(&crons);
    }
    let mut text = String::new();
    for cron in crons["crons"].as_array().into_iter().flatten() {
        let last = match (&cron["last"], cron["running"] == true) {
            (_, true) => "is running".to_string(),
            (Value::Null, false) => "has not run yet".to_string(),
            (last, false) => format!(
                "last {} ({}, {})",
                last["at_ms"].as_i64().map(time).unwrap_or_default(),
                if last["succeeded"] == true { "succeeded" } else { "failed" },
                milliseconds(last["took_ms"].as_u64().unwrap_or(0)),
            ),
        };
        text.push_str(&format!(
            "{:<24}  {:<20}  next {}  {last}\n",
            escape(cron["name"].as_str().unwrap_or_default()),
            cron["expression"].as_str().unwrap_or_default(),
            cron["next_ms"].as_i64().map_or_else(|| "never".to_string(), time),
        ));
    }
    if text.is_empty() {
        text.push_str("The configuration has no crons.\n");
    }
    print(&text)
}

/// The query of the rooms that `top` shows.
pub(super) fn top_query(sort: RoomSort, limit: usize) -> String {
    format!("/v1/rooms?state=all&sort={}&limit={limit}", word(&sort))
}
