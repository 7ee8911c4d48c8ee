//! What the API changes: storage in the room's own order, connections, and rooms that are taken out of memory.

use std::time::Instant;

use serde_json::{Value, json};

use super::{AT_ONCE, Api, project, serve};
use crate::raw;
use crate::support::{Hold, Server, get, until};

fn put(api: &Api, key: &str, value: &Value, fields: &str) -> super::Answer {
    let body = json!({ "value": value }).to_string();
    api.ask_with("PUT", &format!("/v1/rooms/main/a/storage/{key}"), fields, &body)
}

fn of_room(server: &Server, key: &str) -> Value {
    let (_, text) = server.get(&format!("/party/a?act=get&key={key}"));
    serde_json::from_str::<Value>(&text).unwrap()["value"].clone()
}

#[test]
fn values_are_written_for_rooms_that_live_and_for_rooms_that_rest() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    // Nothing of the room is in memory, and nothing of it runs.
    assert_eq!(put(&api, "first", &json!({ "list": [1, "two"] }), "").status, 200);
    assert!(!server.output().contains("constructed"), "{}", server.output());
    assert_eq!(of_room(&server, "first"), json!({ "list": [1, "two"] }));
    // The room is live by now, and has read the value.
    assert_eq!(put(&api, "first", &json!("new"), "").status, 200);
    assert_eq!(of_room(&server, "first"), "new");
    let special = json!({ "$map": [[{ "$date": "2020-02-02T00:00:00.000Z" }, { "$bigint": "7" }]] });
    assert_eq!(put(&api, "special", &special, "").status, 200);
    assert_eq!(api.get("/v1/rooms/main/a/storage/special")["value"], special);
    for (value, part) in
        [(json!({ "$what": 1 }), "$what"), (json!({ "$bytes": "AA==", "of": "No" }), "typed array")]
    {
        let refused = put(&api, "first", &value, "");
        assert!(refused.status == 422 && refused.body.contains(part), "{}", refused.body);
    }
    assert_eq!(api.ask("PUT", "/v1/rooms/main/a/storage/x", "no json").status, 400);
    let long = put(&api, "first", &json!("x".repeat(200 << 10)), "");
    assert!(long.status == 422 && long.body.contains("Values cannot be larger"), "{}", long.body);
    assert_eq!(api.ask("PUT", "/v1/rooms/nobody/a/storage/x", r#"{"value":1}"#).status, 404);

    // Only the value that was read is replaced.
    let etag = api.get("/v1/rooms/main/a/storage/first")["etag"].as_str().unwrap().to_string();
    let matches = format!("if-match: {etag}\r\n");
    assert_eq!(put(&api, "first", &json!(1), &matches).status, 200);
    assert_eq!(put(&api, "first", &json!(2), &matches).code(), "changed");
    assert_eq!(put(&api, "first", &json!(2), "if-none-match: *\r\n").code(), "changed");
    assert_eq!(of_room(&server, "first"), 1);

    assert_eq!(api.ask("DELETE", "/v1/rooms/main/a/storage/first", "").status, 204);
    assert_eq!(api.ask("DELETE", "/v1/rooms/main/a/storage/first", "").status, 404);
    assert_eq!(of_room(&server, "first"), Value::Null);
    let alarm = api.ask("PUT", "/v1/rooms/main/a/alarm", r#"{"at_ms":4000000000000}"#);
    assert_eq!(
        (alarm.status, &api.get("/v1/rooms/main/a")["alarm_ms"]),
        (204, &json!(4_000_000_000_000_i64))
    );
    assert_eq!(api.ask("DELETE", "/v1/rooms/main/a/storage", "").status, 204);
    assert_eq!(api.get("/v1/rooms/main/a")["storage"]["entries"], 0);
    server.stop();
}

// The room and an operator both read a number, wait, and write one more: whoever comes between would lose the other's.
#[test]
fn no_update_is_lost_between_a_room_and_an_operator() {
    const OF_ROOM: usize = 200;
    let project = project();
    let (server, api) = serve(&project, &[]);
    assert_eq!(put(&api, "count", &json!(0), "").status, 200);
    let port = server.port;
    let room = std::thread::spawn(move || {
        get(port, &format!("/party/a?act=count&times={OF_ROOM}"), "localhost").unwrap().0
    });
    let (mut written, mut refused) = (0, 0);
    while !room.is_finished() || written == 0 {
        let now = api.get("/v1/rooms/main/a/storage/count");
        let more = json!(now["value"].as_u64().unwrap() + 1);
        let answer = put(&api, "count", &more, &format!("if-match: {}\r\n", now["etag"].as_str().unwrap()));
        match answer.status {
            200 => written += 1,
            412 => refused += 1,
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert_eq!(room.join().unwrap(), 200);
    assert_eq!(of_room(&server, "count"), json!(OF_ROOM + written), "{written} written, {refused} refused");
    // Without a condition, too: what the operator wrote is what the room counts from.
    let room = std::thread::spawn(move || {
        get(port, &format!("/party/a?act=count&times={OF_ROOM}"), "localhost").unwrap().0
    });
    until("the room counts", || {
        api.get("/v1/rooms/main/a/storage/count")["value"].as_u64().unwrap() > (OF_ROOM + written) as u64
    });
    assert_eq!(put(&api, "count", &json!(1_000_000), "").status, 200);
    assert_eq!(room.join().unwrap(), 200);
    let count = of_room(&server, "count").as_u64().unwrap();
    assert!((1_000_000..=1_000_000 + OF_ROOM as u64).contains(&count), "{count}");
    server.stop();
}

#[test]
fn a_room_that_is_held_or_spins_is_busy_and_the_others_are_not() {
    let project = project();
    let (server, api) = serve(&project, &["--workers", "2", "--limit", "admin_answer_time_max=1s"]);
    let hold = Hold::new();
    server.get(&format!("/party/a?act=hold&port={}", hold.port));
    let held = hold.held();
    let begun = Instant::now();
    let busy = put(&api, "late", &json!(1), "");
    assert_eq!((busy.status, busy.code()), (503, "busy".to_string()), "{}", busy.body);
    assert!(begun.elapsed() < AT_ONCE);
    held.let_go();
    until("the room goes on", || api.get("/v1/rooms/main/a")["held"] == false);
    // What was refused is not written later.
    assert_eq!(put(&api, "after", &json!(1), "").status, 200);
    assert_eq!(of_room(&server, "late"), Value::Null);

    assert_eq!(server.get("/party/spins").0, 200);
    let port = server.port;
    let spinning = std::thread::spawn(move || get(port, "/party/spins?act=spin", "localhost").unwrap().0);
    until("the room is busy", || api.state("main/spins") == "busy");
    let begun = Instant::now();
    let listed = api.get("/v1/rooms?prefix=spins");
    assert_eq!(listed["rooms"][0]["state"], "busy", "{listed}");
    // Another thread's rooms are read and written meanwhile.
    let others = (0..20).filter(|id| {
        let path = format!("/v1/rooms/main/other-{id}/storage/key");
        api.ask("PUT", &path, r#"{"value":1}"#).status == 200
    });
    assert!(others.count() > 0);
    assert!(api.get("/v1/server")["pid"].is_u64());
    assert!(begun.elapsed() < AT_ONCE);
    assert_eq!(spinning.join().unwrap(), 200);
    until("it is busy no more", || api.state("main/spins") == "live");
    server.stop();
}

#[test]
fn connections_are_closed_and_sent_to_and_rooms_leave_memory() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let act = |path: &str, body: &str| api.ask("POST", &format!("/v1/rooms/main/{path}"), body);
    let mut one = raw::socket(&server, "/party/a?_pk=one");
    let mut two = raw::socket(&server, "/party/a?_pk=two");
    let said = |socket: &mut std::net::TcpStream| String::from_utf8(raw::frame(socket).unwrap().1).unwrap();
    assert_eq!((said(&mut one), said(&mut two)), ("welcome".to_string(), "welcome".to_string()));
    assert_eq!(act("a/broadcast", r#"{"text":"maintenance"}"#).json(), json!({ "sent": 2 }));
    assert_eq!((said(&mut one), said(&mut two)), ("maintenance".to_string(), "maintenance".to_string()));
    let close = |path: &str| api.ask("DELETE", &format!("/v1/rooms/main/a/connections/{path}"), "");
    assert_eq!(close("one?code=4001&reason=bye").json(), json!({ "closed": 1 }));
    assert_eq!(raw::close_code(&mut one), Some(4001));
    drop(one);
    server.wait_for("closed one");
    assert_eq!(close("none").status, 404);
    assert_eq!(close("two?code=1005").status, 400);
    // A socket that does not hibernate needs its room.
    let refused = act("a/hibernate", "");
    assert_eq!((refused.status, refused.code()), (409, "in_progress".to_string()));
    assert_eq!(act("a/evict", "").json(), json!({ "closed": 1 }));
    assert_eq!(raw::close_code(&mut two), Some(1012));
    let mut three = raw::socket(&server, "/party/a?_pk=three");
    assert_eq!(act("a/reset", "").status, 200);
    assert_eq!(raw::close_code(&mut three), Some(1011));
    server.wait_for("was reset: an operator asked for it");
    assert_eq!(act("nobody/reset", "").status, 404);
    let mut sleeper = raw::socket(&server, "/party/h?_pk=four");
    assert_eq!(said(&mut sleeper), "welcome");
    until("it hibernates", || act("h/hibernate", "").status == 200);
    assert_eq!(act("h/broadcast", r#"{"text":"still there"}"#).json(), json!({ "sent": 1 }));
    assert_eq!(said(&mut sleeper), "still there");
    assert_eq!(api.state("main/h"), "hibernated", "a broadcast wakes nobody");
    server.stop();
}

#[test]
fn a_room_is_exported_and_imported_whole_or_not_at_all() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    server.get("/party/a?act=values");
    let file = api.ask("GET", "/v1/rooms/main/a/export", "");
    assert!(file.status == 200 && file.head.contains("application/x-ndjson"), "{}", file.head);
    let import = |text: &str| api.ask("POST", "/v1/rooms/other/copy/import", text);
    assert_eq!(api.ask("PUT", "/v1/rooms/other/copy/storage/old", r#"{"value":1}"#).status, 200);
    let cut = &file.body[..file.body.len() / 2];
    let newer = file.body.replacen("\"version\":1", "\"version\":9", 1);
    let altered = file.body.replacen("\"key\":\"map\"", "\"key\":\"mop\"", 1);
    for wrong in [cut, &newer, &altered, "", "{}\n", "not json"] {
        let refused = import(wrong);
        assert_eq!((refused.status, refused.code()), (422, "file".to_string()), "{}", refused.body);
    }
    assert!(import(&newer).body.contains("version 9"));
    let entries = |room: &str| api.get(&format!("/v1/rooms/{room}/storage"))["entries"].clone();
    assert_eq!(entries("other/copy").as_array().unwrap().len(), 1, "nothing was changed");
    assert_eq!(import(&file.body).json(), json!({ "entries": 10 }));
    let plain = |entries: Value| {
        let plain = |entry: &Value| (entry["key"].clone(), entry["text"].clone(), entry["bytes"].clone());
        entries.as_array().unwrap().iter().map(plain).collect::<Vec<_>>()
    };
    assert_eq!(plain(entries("other/copy")), plain(entries("main/a")));
    let alarm = |room: &str| api.get(&format!("/v1/rooms/{room}"))["alarm_ms"].clone();
    assert_eq!(alarm("other/copy"), alarm("main/a"));
    assert_eq!(api.ask("GET", "/v1/rooms/main/none/export", "").status, 404);
    server.stop();
}
