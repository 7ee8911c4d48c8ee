//! What the API tells of rooms, and that looking wakes none of them.

use serde_json::{Value, json};

use super::{Api, next_line, project, serve};
use crate::raw;
use crate::support::{Hold, until};

fn names(page: &Value) -> Vec<String> {
    let name =
        |room: &Value| format!("{}/{}", room["party"].as_str().unwrap(), room["room"].as_str().unwrap());
    page["rooms"].as_array().unwrap().iter().map(name).collect()
}

fn all_pages(api: &Api, query: &str) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/rooms?{query}{after}"));
        found.extend(names(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return found,
        }
    }
}

#[test]
fn rooms_are_found_in_all_states_and_none_is_woken() {
    let project = project();
    let (server, api) = serve(&project, &["--limit", "room_idle_max=300ms"]);
    let ids = ["a", "a%2Fb", "b", "c"];
    for id in ids {
        assert_eq!(server.get(&format!("/party/{id}?act=values")).0, 200);
    }
    assert_eq!(server.get("/parties/other/z?act=values").0, 200);
    let mut sleeper = raw::socket(&server, "/party/h1?_pk=one");
    let _awake = raw::socket(&server, "/party/live?_pk=two");
    let _second = raw::socket(&server, "/party/live?_pk=three");
    assert_eq!(raw::frame(&mut sleeper).unwrap().1, b"welcome");
    until("the sleeper hibernates", || api.state("main/h1") == "hibernated");
    let encoded = |id: &str| id.replace('%', "%25");
    until("the others rest", || {
        ids.iter().all(|id| api.state(&format!("main/{}", encoded(id))) == "resting")
    });
    let constructed = server.output().matches("constructed").count();

    let everything = ["main/a", "main/a%2Fb", "main/b", "main/c", "main/h1", "main/live", "other/z"];
    for query in ["limit=1", "limit=2", "limit=3", "limit=100"] {
        assert_eq!(all_pages(&api, query), everything, "{query}");
    }
    for sort in ["sockets", "memory", "cpu", "last_event"] {
        for limit in 1..=8 {
            let mut found = all_pages(&api, &format!("sort={sort}&limit={limit}"));
            if ["sockets", "memory"].contains(&sort) {
                assert_eq!(found[0], "main/live", "{sort}");
            }
            found.sort();
            // What these sort by can change from page to page: a room whose thread was busy for a moment comes again.
            if ["cpu", "last_event"].contains(&sort) {
                found.dedup();
            }
            assert_eq!(found, everything, "{sort} {limit}");
        }
    }
    assert_eq!(all_pages(&api, "state=live"), ["main/live"]);
    assert_eq!(all_pages(&api, "state=hibernated&sort=cpu"), ["main/h1"]);
    assert_eq!(
        all_pages(&api, "state=resting&limit=2"),
        ["main/a", "main/a%2Fb", "main/b", "main/c", "other/z"]
    );
    assert_eq!(all_pages(&api, "prefix=a"), ["main/a", "main/a%2Fb"]);
    assert_eq!(all_pages(&api, "party=other"), ["other/z"]);

    let live = api.get("/v1/rooms/main/live");
    assert_eq!((&live["state"], &live["sockets"]), (&json!("live"), &json!(2)));
    assert_eq!(
        (&live["connections"][0]["id"], &live["connections"][1]["id"]),
        (&json!("two"), &json!("three"))
    );
    assert_eq!(live["connections"][0]["tags"], json!(["blue"]));
    assert!(live["connections"][0]["uri"].as_str().unwrap().ends_with("/party/live?_pk=two"), "{live}");
    assert!(live["memory_bytes"].as_u64().unwrap() > 1 << 20, "{live}");
    let asleep = api.get("/v1/rooms/main/h1");
    assert!(asleep["connections"][0]["state_bytes"].as_u64().unwrap() > 20, "{asleep}");
    let resting = api.get("/v1/rooms/main/a%252Fb");
    assert_eq!((&resting["state"], &resting["storage"]["entries"]), (&json!("resting"), &json!(10)));
    assert!(resting["alarm_ms"].as_i64().unwrap() > partyrun_store_now(), "{resting}");
    assert_eq!(api.get("/v1/rooms/main/a/storage?limit=3")["entries"].as_array().unwrap().len(), 3);
    assert_eq!(api.get("/v1/rooms/main/h1/storage")["entries"], json!([]));
    assert_eq!(api.ask("GET", "/v1/rooms/main/a/export", "").status, 200);
    assert_eq!(api.get("/v1/alarms?limit=2")["alarms"].as_array().unwrap().len(), 2);
    assert_eq!(api.ask("GET", "/v1/rooms/main/nobody", "").status, 404);
    for (room, state) in [("main/a", "resting"), ("main/h1", "hibernated"), ("main/a%252Fb", "resting")] {
        assert_eq!(api.state(room), state, "{room}");
    }
    assert_eq!(
        server.output().matches("constructed").count(),
        constructed,
        "a room was woken:\n{}",
        server.output()
    );
    server.stop();
}

fn partyrun_store_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[test]
fn values_are_shown_as_people_read_them() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    server.get("/party/a?act=values");
    let value = |key: &str| api.get(&format!("/v1/rooms/main/a/storage/{key}"));
    let shown = [
        (
            "map",
            "Map",
            json!({ "$map": [["big", { "$bigint": "1" }], ["when", { "$date": "1970-01-01T00:00:00.000Z" }]] }),
        ),
        ("bytes", "Uint16Array", json!({ "$bytes": "AQACAQ==", "of": "Uint16Array" })),
        ("nan", "number", json!({ "$number": "NaN" })),
        ("set", "Set", json!({ "$set": ["x"] })),
        ("nothing", "null", json!(null)),
        ("dollar", "Object", json!({ "$object": [["$date", 1]] })),
    ];
    for (key, kind, json) in shown {
        let value = value(key);
        assert_eq!(
            (value["type"].as_str().unwrap(), &value["value"], &value["writable"]),
            (kind, &json, &json!(true))
        );
    }
    let round = value("round");
    assert!(round["text"].as_str().unwrap().contains("[Circular *1]"), "{round}");
    assert_eq!((&round["writable"], &round["value"]["self"]), (&json!(false), &json!({ "$circular": true })));
    server.get("/party/a?act=deep");
    let deep = value("deep");
    assert!(deep["text"].as_str().unwrap().starts_with("[\n"), "{deep}");
    assert_eq!(
        (&deep["value"], &deep["writable"], &deep["failed"]),
        (&json!(null), &json!(false), &json!(null))
    );
    let error = value("error");
    assert_eq!(error["value"]["$error"]["name"], "TypeError");
    assert!(error["text"].as_str().unwrap().starts_with("TypeError: wrong"), "{error}");
    let page = api.get("/v1/rooms/main/a/storage?prefix=m");
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
    assert!(page["entries"][0]["text"].as_str().unwrap().starts_with("Map(2) { 'big' => 1n"), "{page}");
    // A value that is no structured clone at all is an error of itself, and the others are shown.
    server.stop();
    let database = rusqlite::Connection::open(project.file(".partyrun/partyrun.sqlite")).unwrap();
    database.execute("UPDATE entries SET value = x'00ff00' WHERE key = CAST('nan' AS BLOB)", []).unwrap();
    drop(database);
    let (server, api) = serve(&project, &[]);
    let page = api.get("/v1/rooms/main/a/storage");
    assert_eq!(page["altered"], json!(["nan"]));
    assert_eq!(page["entries"].as_array().unwrap().len(), 10);
    assert_eq!(api.ask("GET", "/v1/rooms/main/a/storage/nan", "").code(), "altered");
    server.stop();
    // One whose sum is right, but which no structured clone is read from: as if a later version had written it.
    let room = partyrun_store::RoomKey::new("main", "a");
    let sum = partyrun_store::checksum(&room, b"nan", b"\x00\xff\x00");
    let database = rusqlite::Connection::open(project.file(".partyrun/partyrun.sqlite")).unwrap();
    database.execute("UPDATE entries SET checksum = ?1 WHERE key = CAST('nan' AS BLOB)", [sum]).unwrap();
    drop(database);
    let (server, api) = serve(&project, &["--limit", "value_bytes_max=2MiB"]);
    let page = api.get("/v1/rooms/main/a/storage");
    let entries = page["entries"].as_array().unwrap();
    let failed: Vec<&Value> = entries.iter().filter(|entry| entry["failed"].is_string()).collect();
    assert_eq!((entries.len(), failed.len(), &failed[0]["key"]), (11, 1, &json!("nan")), "{page}");
    let value = api.get("/v1/rooms/main/a/storage/nan");
    assert!(value["failed"].is_string() && value["writable"] == false, "{value}");
    // A value that is as long as may be: of its text as much as a page can hold.
    let long = json!({ "value": "x".repeat(2_000_000) }).to_string();
    assert_eq!(api.ask("PUT", "/v1/rooms/main/a/storage/long", &long).status, 200);
    let value = api.get("/v1/rooms/main/a/storage/long");
    assert_eq!(
        (value["bytes"].as_u64().unwrap() > 2_000_000, value["value"].as_str().unwrap().len()),
        (true, 2_000_000)
    );
    assert!(value["text"].as_str().unwrap().len() < 1_100_000);
    assert!(api.ask("GET", "/v1/rooms/main/a/storage", "").body.len() < 20_000);
    server.stop();
}

#[test]
fn a_reader_sees_what_the_room_sees_before_it_is_durable() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let hold = Hold::new();
    assert_eq!(server.get(&format!("/party/a?act=hold&port={}", hold.port)).0, 200);
    let held = hold.held();
    assert_eq!(api.get("/v1/rooms/main/a/storage/held")["value"], true);
    let room = api.get("/v1/rooms/main/a");
    assert_eq!((&room["held"], &room["state"]), (&json!(true), &json!("live")));
    held.let_go();
    until("the room goes on", || api.get("/v1/rooms/main/a")["held"] == false);
    server.stop();
}

#[test]
fn the_log_is_followed_with_filters_and_errors_are_remembered() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let mut of_room = api.follow("party=main&room=a&type=console");
    let mut requests = api.follow("type=request");
    server.get("/party/b?act=values");
    server.get("/party/a?act=fail");
    let line = next_line(&mut of_room);
    assert_eq!(
        (&line["room"], &line["text"], &line["level"]),
        (&json!("a"), &json!("constructed a"), &json!("log"))
    );
    let line = next_line(&mut of_room);
    assert_eq!(line["level"], "error");
    assert!(line["text"].as_str().unwrap().contains("on purpose"), "{line}");
    assert!(line["text"].as_str().unwrap().contains("server.js:"), "frames name the project's files: {line}");
    let line = next_line(&mut requests);
    assert!(line["text"].as_str().unwrap().starts_with("GET /party/b?act 200"), "{line}");
    let errors = &api.get("/v1/rooms/main/a")["errors"];
    assert_eq!(errors.as_array().unwrap().len(), 1);
    // Who comes late gets what is kept.
    let mut late = api.follow("level=error&tail=5");
    assert!(next_line(&mut late)["text"].as_str().unwrap().contains("on purpose"));
    assert_eq!(api.ask("GET", "/v1/logs?type=nonsense", "").status, 400);
    server.stop();
}

#[test]
fn what_happens_to_rooms_is_told_to_those_who_follow() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let act = |path: &str| api.ask("POST", &format!("/v1/rooms/main/{path}"), "").status;
    server.get("/party/a?act=none");
    let mut events = api.follow("type=room");
    let mut next = |room: &str, level: &str, text: &str| {
        let line = next_line(&mut events);
        let is_it = line["text"].as_str().unwrap().starts_with(text);
        assert!(is_it && line["room"] == room && line["level"] == level && line["party"] == "main", "{line}");
    };
    assert_eq!(act("a/evict"), 200);
    next("a", "info", "left memory (asked)");
    server.get("/party/a?act=none");
    next("a", "info", "started (");
    assert_eq!(act("a/reset"), 200);
    next("a", "warn", "was reset (asked): an operator asked for it");
    let _sleeper = raw::socket(&server, "/party/h?_pk=one");
    next("h", "info", "started (");
    until("it hibernates", || act("h/hibernate") == 200);
    next("h", "info", "hibernated (asked)");
    server.get("/party/h?act=none");
    next("h", "info", "woke (");
    server.stop();
}

#[test]
fn crons_have_their_times_and_run_by_hand() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let crons = api.get("/v1/crons");
    assert_eq!(crons["has_handler"], true);
    let cron = |name: &str, crons: &Value| {
        crons["crons"].as_array().unwrap().iter().find(|cron| cron["name"] == name).unwrap().clone()
    };
    let works = cron("works", &crons);
    assert!(works["next_ms"].as_i64().unwrap() > partyrun_store_now() && works["last"].is_null(), "{works}");
    let run = |name: &str| api.ask("POST", &format!("/v1/crons/{name}/run"), "");
    assert_eq!(run("works").json(), json!({ "succeeded": true }));
    assert_eq!(run("fails").json(), json!({ "succeeded": false }));
    assert_eq!(run("none").status, 404);
    let crons = api.get("/v1/crons");
    assert_eq!(cron("works", &crons)["last"]["succeeded"], true);
    assert_eq!(cron("fails", &crons)["last"]["succeeded"], false);
    server.wait_for("cron works");
    server.stop();
}
