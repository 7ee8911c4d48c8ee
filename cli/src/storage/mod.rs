//! `partyrun storage`: what rooms have stored, for people and for scripts. Where a server with an administrative API runs, it is
//! asked, and can write; else the database is read as it lies there.
//!
//! Values are V8's structured clones, so the runtime itself reads them: the same program as that of the administrative API.

mod error;
mod lines;
mod reader;
mod remote;
mod shown;

use std::path::Path;

use partyrun_backup::Place;
use partyrun_config::{Config, ConfigError, Request};
use partyrun_store::{Look, RoomKey, RoomOnDisk};

use crate::admin::client::{Client, ClientError};
use crate::args::{StorageArgs, StorageCommand};
use crate::output::{counted, escape};
use error::machine;

pub(crate) use error::StorageError;

/// Runs the command.
pub(crate) fn run(args: &StorageArgs) -> Result<(), StorageError> {
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    if args.to.is_some() {
        return through(args, Client::find(args.to.as_deref(), None)?);
    }
    let config = config(args, &cwd)?;
    if args.command.asks_server() {
        let client = Client::find(None, config.persist.path())?;
        if client.is_some() || args.command.writes() {
            return through(args, client);
        }
    }
    let folder = config.persist.path().ok_or(StorageError::NotKept)?;
    if let StorageCommand::Import { file } = &args.command {
        return lines::import(folder, &cwd.join(file), &mut print);
    }
    let path = folder.display().to_string();
    let look = Look::open(folder)
        .map_err(|error| StorageError::Store { path: path.clone(), error })?
        .ok_or_else(|| StorageError::Nothing { path: path.clone() })?;
    if let StorageCommand::Backup { folder: to } = &args.command {
        return Ok(crate::backup::back_up_to(folder, &Place::Folder(cwd.join(to)))?);
    }
    let rooms = look.rooms().map_err(|error| StorageError::Store { path, error })?;
    match &args.command {
        StorageCommand::List { room: None } => list_rooms(&rooms, args.json),
        StorageCommand::List { room: Some(room) } => {
            shown::list(&look, find(&rooms, room)?, args.json, &mut print)
        }
        StorageCommand::Get { room, key } => {
            shown::get(&look, find(&rooms, room)?, key, args.json, &mut print)
        }
        StorageCommand::Export { room: Some(room) } => {
            let room = find(&rooms, room)?;
            lines::export(&look, [room], &mut print)
        }
        StorageCommand::Export { room: None } => lines::export(&look, &rooms, &mut print),
        // Done above: some need no list of rooms, others a server.
        StorageCommand::Put { .. } | StorageCommand::Delete { .. } => Ok(()),
        StorageCommand::Backup { .. } | StorageCommand::Import { .. } => Ok(()),
    }
}

// Asks a server that runs.
fn through(args: &StorageArgs, client: Option<Client>) -> Result<(), StorageError> {
    let client = client.ok_or(ClientError::Nobody)?;
    match &args.command {
        StorageCommand::List { room: Some(room) } => remote::list(&client, room, args.json),
        StorageCommand::Get { room, key } => remote::get(&client, room, key, args.json),
        StorageCommand::Put { room, key, value } => remote::put(&client, room, key, value),
        StorageCommand::Delete { room, key: Some(key), .. } => remote::delete(&client, room, Some(key)),
        StorageCommand::Delete { room, .. } => remote::delete(&client, room, None),
        _ => Err(StorageError::Here),
    }
}

fn config(args: &StorageArgs, cwd: &Path) -> Result<Config, ConfigError> {
    partyrun_config::load(&Request::for_data(cwd, args.config.as_deref(), args.persist.as_deref()))
}

/// The room that was meant: `PARTY/ROOM`, or a room of the party `main`.
fn find<'rooms>(rooms: &'rooms [RoomOnDisk], named: &str) -> Result<&'rooms RoomOnDisk, StorageError> {
    let full = |room: &&RoomOnDisk| {
        named.strip_prefix(room.key.party()).and_then(|rest| rest.strip_prefix('/')) == Some(room.key.id())
    };
    let of_main = RoomKey::new("main", named);
    let found = rooms.iter().find(full).or_else(|| rooms.iter().find(|room| room.key == of_main));
    found.ok_or_else(|| StorageError::NoRoom { room: named.to_string() })
}

fn list_rooms(rooms: &[RoomOnDisk], as_json: bool) -> Result<(), StorageError> {
    let mut text = String::new();
    for room in rooms {
        if as_json {
            let line = serde_json::json!({
                "party": room.key.party(), "room": room.key.id(), "values": room.entries, "bytes": room.bytes,
                "last_used_ms": room.last_seen_ms, "alarm_ms": room.alarm_at_ms,
            });
            text.push_str(&format!("{}\n", crate::output::json_line(&line)));
            continue;
        }
        let alarm = room.alarm_at_ms.map(|at| format!("  alarm {}", time(at))).unwrap_or_default();
        text.push_str(&format!(
            "{:<32}  {:>10}  {:>10}  last used {}{alarm}\n",
            escape(&room.key.to_string()),
            counted(usize::try_from(room.entries).unwrap_or(usize::MAX), "value"),
            partyrun_limits::shown_bytes(room.bytes),
            time(room.last_seen_ms)
        ));
    }
    if rooms.is_empty() && !as_json {
        text.push_str("No room has stored anything.\n");
    }
    print(&text)
}

fn time(ms: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(ms) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => format!("{ms} ms"),
    }
}

fn print(text: &str) -> Result<(), StorageError> {
    crate::stdout::print(text.as_bytes()).map_err(machine("The output cannot be written"))
}
