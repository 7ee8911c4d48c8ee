//! Who may ask, the bounds of the listener, health, and that answers are what the description says.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Api, next_line, project, serve};
use crate::raw;
use crate::support::{Server, free_port, partyrun, until};

#[test]
fn only_who_has_the_token_may_ask_and_no_page_of_others() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let token = format!("authorization: Bearer {}\r\n", api.token);
    let status = |path: &str, fields: &str| api.raw("GET", path, fields, b"").status;
    assert_eq!(status("/v1/rooms", &format!("host: localhost\r\n{token}")), 200);
    assert_eq!(status("/v1/rooms", "host: localhost\r\n"), 401);
    assert_eq!(status("/v1/rooms", "host: localhost\r\nauthorization: Bearer wrong\r\n"), 401);
    assert_eq!(status("/v1/nothing", "host: localhost\r\n"), 401, "who may not ask learns nothing");
    assert_eq!(status("/v1/rooms", &format!("host: evil.test\r\n{token}")), 421);
    assert_eq!(status("/v1/rooms", &format!("host: localhost\r\norigin: https://evil.test\r\n{token}")), 403);
    assert_eq!(status("/healthz", "host: evil.test\r\n"), 421);
    let wrong = api.raw("GET", "/v1/rooms", "host: localhost\r\n", b"");
    assert!(wrong.head.contains("www-authenticate: bearer") && wrong.code() == "token", "{}", wrong.body);
    for (method, path, status) in
        [("GET", "/v1/nothing", 404), ("DELETE", "/v1/rooms", 405), ("GET", "/v1/rooms?nonsense=1", 400)]
    {
        assert_eq!(api.ask(method, path, "").status, status, "{method} {path}");
    }
    assert_eq!(api.ask("GET", "/v1/rooms?after=x", "").status, 400);
    assert_eq!(api.ask("GET", "/v1/rooms?limit=100000", "").status, 400, "admin_page_max");
    // Never on the public port, whatever is sent there.
    assert_eq!(server.get("/v1/rooms").0, 404);
    assert_eq!(server.get("/healthz").0, 404);
    for name in ["admin.json", "admin.token"] {
        let mode = std::fs::metadata(project.file(".partyrun").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!server.output().contains(&api.token), "the log of a server has no secrets");
    server.stop();
    assert!(!project.file(".partyrun/admin.json").exists());
    // The token stays for the next start.
    let (server, again) = serve(&project, &[]);
    assert_eq!(again.token, api.token);
    server.stop();
}

#[test]
fn it_is_off_in_start_and_on_in_dev_and_may_be_a_socket() {
    let project = project();
    let server = project.serve(&["start"]);
    assert!(!project.file(".partyrun/admin.json").exists());
    server.stop();
    let (code, text) = project.run(&["start", "--admin", "--persist", "false", "--port", "0"]);
    assert!(code == Some(1) && text.contains("PARTYRUN_ADMIN_TOKEN"), "{text}");
    let server = project.serve(&["dev", "--admin", "off"]);
    assert!(!server.output().contains("admin    "), "{}", server.output());
    server.stop();
    let server = project.serve(&["dev"]);
    let line = server.wait_for("admin    http://127.0.0.1:");
    let api = Api::of(&project);
    assert!(line.ends_with(&format!("/#token={}", api.token)), "{line}");
    assert_eq!(api.get("/v1/server")["command"], "dev");
    // A save changes what is served, and the API goes on.
    let hash = api.get("/v1/server")["bundle_hash"].clone();
    project.write("server.js", &super::SERVER.replace("welcome", "hello"));
    until("the new code runs", || api.get("/v1/server")["bundle_hash"] != hash);
    server.stop();

    // A token of the environment is written nowhere.
    let port = free_port();
    let mut command = partyrun();
    command.args(["start", "--port", &port.to_string(), "--admin", "unix:admin.sock"]);
    command.env("PARTYRUN_ADMIN_TOKEN", "of-the-environment").current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    let place = std::fs::read_to_string(project.file(".partyrun/admin.json")).unwrap();
    assert!(!place.contains("of-the-environment") && place.contains("admin.sock"), "{place}");
    let mut stream = std::os::unix::net::UnixStream::connect(project.file("admin.sock")).unwrap();
    let head = "GET /v1/server HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer of-the-environment\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"vars\":[\"KEY\"]") && !answer.contains("hush"), "{answer}");
    server.stop();
    assert!(!project.file("admin.sock").exists());
}

#[test]
fn connections_bodies_and_readers_that_stop_are_bounded() {
    let project = project();
    let limits = [
        "admin_connections_max=3",
        "admin_body_bytes_max=64KiB",
        "admin_reader_bytes_max=16KiB",
        "admin_log_bytes_max=16KiB",
    ];
    let limits: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    let (server, api) = serve(&project, &limits);
    assert_eq!(api.ask("POST", "/v1/rooms/main/a/import", &"x".repeat(1 << 20)).status, 413);
    // A reader that reads nothing: it costs a queue, and hears how much it lost.
    let mut stopped = api.follow("type=request");
    let before = api.get("/v1/server")["memory_bytes"].as_u64().unwrap();
    for _ in 0..5000 {
        server.get("/nothing?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    }
    assert!(api.get("/v1/server")["memory_bytes"].as_u64().unwrap() < before + (64 << 20));
    let (mut last, mut lost) = (0, 0);
    while last < 4000 && lost == 0 {
        let line = next_line(&mut stopped);
        lost = line["count"].as_u64().unwrap_or(0);
        last = line["n"].as_u64().unwrap_or(last);
    }
    assert!(lost > 0 || last >= 4000, "the kernel's buffers took everything");
    // Connections that stay open leave one for who comes next, and then none.
    let idle: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(("127.0.0.1", api.port)).unwrap()).collect();
    until("there are too many", || api.ask("GET", "/v1/server", "").status == 503);
    assert_eq!(server.get("/party/a").0, 200, "clients have a listener of their own");
    drop(idle);
    until("there is a place again", || api.ask("GET", "/v1/server", "").status == 200);
    server.stop();
}

#[test]
fn readiness_follows_the_store_and_the_edge() {
    let project = project();
    let (server, api) = serve(&project, &["--health"]);
    let ready = |api: &Api| api.raw("GET", "/readyz", "host: 127.0.0.1\r\n", b"");
    assert_eq!(ready(&api).json(), json!({ "status": "ready", "checks": { "store": "ok", "edge": "ok" } }));
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.get("/healthz"), (200, r#"{"status":"ok"}"#.to_string()));
    // The database is taken away under the server: nothing that it writes would be kept.
    std::fs::rename(project.file(".partyrun/partyrun.sqlite"), project.file("taken.sqlite")).unwrap();
    until("it is not ready", || ready(&api).status == 503);
    let answer = ready(&api).json();
    assert!(answer["status"] == "not ready" && answer["checks"]["edge"] == "ok", "{answer}");
    assert!(answer["checks"]["store"].as_str().unwrap().contains("partyrun.sqlite"), "{answer}");
    assert_eq!((server.get("/readyz").0, server.get("/healthz").0), (503, 200));
    std::fs::rename(project.file("taken.sqlite"), project.file(".partyrun/partyrun.sqlite")).unwrap();
    until("it is ready", || ready(&api).status == 200);
    server.stop();
}

// Checks what this API's description uses of JSON Schema.
fn check(schema: &Value, value: &Value, all: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return check(&all["components"]["schemas"][name], value, all, at);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let fits = types.is_empty() || types.contains(&kind) || kind == "integer" && types.contains(&"number");
    assert!(fits, "{at}: {value} is no {types:?}");
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{at}: {value} is none of {choices:?}");
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        values
            .iter()
            .enumerate()
            .for_each(|(number, value)| check(items, value, all, &format!("{at}[{number}]")));
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(fields.contains_key(name), "{at}: `{name}` is missing in {value}");
        }
        for (name, value) in fields {
            let at = format!("{at}.{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(schema), _) => check(schema, value, all, &at),
                (None, Value::Bool(false)) => panic!("{at} is not described"),
                (None, Value::Object(_)) => check(&schema["additionalProperties"], value, all, &at),
                (None, _) => {}
            }
        }
    }
}

#[test]
fn answers_are_what_the_description_says() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    server.get("/party/a?act=values");
    server.get("/party/a?act=fail");
    let _socket = raw::socket(&server, "/party/h?_pk=one");
    let described = api.get("/v1/openapi.json");
    let file = api.ask("GET", "/v1/rooms/main/a/export", "").body;
    let mut seen = BTreeSet::new();
    let asked: &[(&str, &str, &str, &str)] = &[
        ("GET", "/healthz", "/healthz", ""),
        ("GET", "/readyz", "/readyz", ""),
        ("GET", "/v1/openapi.json", "/v1/openapi.json", ""),
        ("GET", "/v1/server", "/v1/server", ""),
        ("GET", "/v1/limits", "/v1/limits", ""),
        ("GET", "/v1/history", "/v1/history", ""),
        ("GET", "/v1/history?after=soon", "/v1/history", ""),
        ("GET", "/v1/alarms", "/v1/alarms", ""),
        ("GET", "/v1/clock", "/v1/clock", ""),
        ("POST", "/v1/clock", "/v1/clock", r#"{"advance_ms": 1000}"#),
        ("POST", "/v1/clock", "/v1/clock", "nonsense"),
        ("GET", "/v1/crons", "/v1/crons", ""),
        ("POST", "/v1/crons/works/run", "/v1/crons/{cron}/run", ""),
        ("POST", "/v1/crons/none/run", "/v1/crons/{cron}/run", ""),
        ("GET", "/v1/crons", "/v1/crons", ""),
        ("GET", "/v1/rooms", "/v1/rooms", ""),
        ("GET", "/v1/rooms?sort=no", "/v1/rooms", ""),
        ("GET", "/v1/rooms/main/a", "/v1/rooms/{party}/{room}", ""),
        ("GET", "/v1/rooms/main/h", "/v1/rooms/{party}/{room}", ""),
        ("GET", "/v1/rooms/main/none", "/v1/rooms/{party}/{room}", ""),
        ("PUT", "/v1/rooms/main/a/alarm", "/v1/rooms/{party}/{room}/alarm", r#"{"at_ms":null}"#),
        ("GET", "/v1/rooms/main/a/storage", "/v1/rooms/{party}/{room}/storage", ""),
        ("GET", "/v1/rooms/main/a/storage/map", "/v1/rooms/{party}/{room}/storage/{key}", ""),
        ("PUT", "/v1/rooms/main/a/storage/x", "/v1/rooms/{party}/{room}/storage/{key}", r#"{"value":1}"#),
        (
            "PUT",
            "/v1/rooms/main/a/storage/x",
            "/v1/rooms/{party}/{room}/storage/{key}",
            r#"{"value":{"$x":1}}"#,
        ),
        ("DELETE", "/v1/rooms/main/a/storage/x", "/v1/rooms/{party}/{room}/storage/{key}", ""),
        ("DELETE", "/v1/rooms/main/a/storage/x", "/v1/rooms/{party}/{room}/storage/{key}", ""),
        ("POST", "/v1/rooms/main/b/import", "/v1/rooms/{party}/{room}/import", &file),
        ("POST", "/v1/rooms/main/b/import", "/v1/rooms/{party}/{room}/import", "{}"),
        ("DELETE", "/v1/rooms/main/a/storage", "/v1/rooms/{party}/{room}/storage", ""),
        ("GET", "/v1/rooms/main/a/export", "/v1/rooms/{party}/{room}/export", ""),
        ("POST", "/v1/rooms/main/h/broadcast", "/v1/rooms/{party}/{room}/broadcast", r#"{"text":"x"}"#),
        (
            "DELETE",
            "/v1/rooms/main/h/connections/one",
            "/v1/rooms/{party}/{room}/connections/{connection}",
            "",
        ),
        ("POST", "/v1/rooms/main/none/hibernate", "/v1/rooms/{party}/{room}/hibernate", ""),
        ("POST", "/v1/rooms/main/none/evict", "/v1/rooms/{party}/{room}/evict", ""),
        ("POST", "/v1/rooms/main/a/reset", "/v1/rooms/{party}/{room}/reset", ""),
        ("POST", "/v1/release", "/v1/release", ""),
        ("POST", "/v1/upgrade", "/v1/upgrade", ""),
    ];
    for (method, path, template, body) in asked {
        let answer = api.ask(method, path, body);
        seen.insert(((*method).to_string(), (*template).to_string()));
        let responses = &described["paths"][template][method.to_lowercase()]["responses"];
        let response = &responses[answer.status.to_string()];
        assert!(response.is_object(), "{method} {path}: {} is not described: {}", answer.status, answer.body);
        let Some(content) = response["content"].as_object() else { continue };
        let (kind, described_as) = content.iter().next().unwrap();
        assert!(answer.head.contains(&format!("content-type: {kind}")), "{path}: {}", answer.head);
        if kind == "application/json" {
            check(&described_as["schema"], &answer.json(), &described, path);
        }
    }
    let mut log = api.follow("tail=20");
    seen.insert(("GET".to_string(), "/v1/logs".to_string()));
    for _ in 0..3 {
        check(&json!({ "$ref": "LogLine" }), &next_line(&mut log), &described, "/v1/logs");
    }
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            assert!(seen.contains(&(method.to_uppercase(), path.clone())), "{method} {path} was not asked");
        }
    }
    let limits = api.get("/v1/limits");
    let used: Vec<&Value> =
        limits["limits"].as_array().unwrap().iter().filter(|limit| limit.get("used").is_some()).collect();
    assert!(used.len() >= 15, "{used:?}");
    server.stop();
}

#[test]
fn a_server_that_was_killed_leaves_a_place_that_nobody_takes_for_its_own() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let killed = server.served_by();
    server.signal(killed, libc::SIGKILL);
    // The supervisor starts another, which writes its own place.
    server.wait_for_times("Ready on", 2);
    assert_eq!(Api::of(&project).token, api.token);
    assert_eq!(Api::of(&project).get("/v1/server")["command"], "start");
    server.stop();
}
