//! Data at rest: what a clean stop leaves, `partyrun storage`, and where data and secrets are looked for.

use crate::support::{Project, free_port, partyrun};

const SERVER: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const { storage } = this.room;
    if (request.url.includes("many")) {
      for (let i = 0; i < 150; i++) await storage.put(`key-${String(i).padStart(3, "0")}`, i);
    }
    await storage.put("value", { list: [1, , "two"], at: new Date(0), map: new Map([["big", 1n]]), nan: NaN,
      bytes: new Uint8Array([1, 2, 3]), set: new Set(["x"]), escape: "\u001b[2J" });
    await storage.put("nothing", null);
    await storage.setAlarm(Date.now() + 3600_000);
    await this.room.context.bindings.kv.cache.put("k", "kept");
    return Response.json({ env: this.room.env, process: { ...process.env } });
  }
  async onAlarm() { await this.room.storage.deleteAll(); }
}
"#;

fn project() -> Project {
    Project::new(&[
        ("server.js", SERVER),
        (
            "partykit.json",
            r#"{ "name": "kept", "main": "server.js", "parties": { "other": "server.js" },
                 "bindings": { "kv": { "cache": "cache" } } }"#,
        ),
    ])
}

#[test]
fn a_clean_stop_leaves_files_that_can_be_copied_alone() {
    let project = project();
    let server = project.serve(&["start"]);
    assert_eq!(server.get("/party/a").0, 200);
    assert_eq!(server.get("/parties/other/b?many").0, 200);
    // The copy of a running server.
    let (code, text) = project.run(&["storage", "backup", "live"]);
    assert_eq!(code, Some(0), "{text}");
    server.stop();
    let mut names: Vec<_> = std::fs::read_dir(project.file(".partyrun"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".sqlite"))
        .collect();
    names.sort();
    assert_eq!(names, ["bindings.sqlite", "partyrun.sqlite"]);
    std::fs::create_dir(project.file("stopped")).unwrap();
    for name in names {
        std::fs::copy(project.file(".partyrun").join(&name), project.file("stopped").join(&name)).unwrap();
    }
    let (_, original) = project.run(&["storage", "export"]);
    assert_eq!(original.lines().count(), 156, "{original}");
    for copy in ["stopped", "live"] {
        assert_eq!(project.run(&["storage", "export", "--persist", copy]).1, original, "{copy}");
        let bindings = rusqlite::Connection::open(project.file(copy).join("bindings.sqlite")).unwrap();
        let kept: Vec<u8> = bindings.query_row("SELECT value FROM kv", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, b"kept");
    }
    let (code, text) = project.run(&["storage", "backup", "live"]);
    assert!(code == Some(1) && text.contains("exists already"), "{text}");
}

#[test]
fn storage_is_shown_as_people_read_it_and_nothing_is_changed() {
    let project = project();
    let (code, text) = project.run(&["storage", "list"]);
    assert!(code == Some(1) && text.contains("There is no storage in"), "{text}");
    let server = project.serve(&["start"]);
    server.get("/party/a");
    server.get("/parties/other/b?many");
    // While the server runs, and after it.
    let shown = |args: &[&str]| project.run(&[&["storage"], args].concat());
    let rooms = shown(&["list"]).1;
    assert!(rooms.contains("main/a ") && rooms.contains("2 values") && rooms.contains("alarm 20"), "{rooms}");
    assert!(rooms.contains("other/b ") && rooms.contains("152 values"), "{rooms}");
    server.stop();
    let lines = shown(&["list", "other/b"]).1;
    assert_eq!(lines.lines().count(), 152);
    assert!(lines.starts_with("key-000                   0\n"), "{lines}");
    let value = shown(&["get", "a", "value"]).1;
    for part in ["1970-01-01T00:00:00.000Z", "'big' => 1n", "Uint8Array(3) [ 1, 2, 3 ]", "\\x1b[2J"] {
        assert!(value.contains(part), "{part}: {value}");
    }
    assert!(!value.contains('\u{1b}'), "{value}");
    assert_eq!(shown(&["get", "main/a", "nothing"]), (Some(0), "null\n".to_string()));
    let (code, text) = shown(&["get", "a", "none"]);
    assert!(code == Some(1) && text.contains("main/a has no value under \"none\""), "{text}");
    let (code, text) = shown(&["get", "nobody", "value"]);
    assert!(code == Some(1) && text.contains("`partyrun storage list`"), "{text}");
    let exported = shown(&["export", "a"]).1;
    assert!(exported.starts_with(r#"{"party":"main","room":"a","alarm":"#), "{exported}");
    let mut line: serde_json::Value = serde_json::from_str(exported.lines().nth(2).unwrap()).unwrap();
    // A hole in an array is more than JSON says.
    assert!(line.as_object_mut().unwrap().remove("clone").is_some_and(|clone| clone.is_string()), "{line}");
    let expected = serde_json::json!({ "party": "main", "room": "a", "key": "value", "value": {
        "list": [1, { "$undefined": true }, "two"], "at": { "$date": "1970-01-01T00:00:00.000Z" },
        "map": { "$map": [["big", { "$bigint": "1" }]] }, "nan": { "$number": "NaN" },
        "bytes": { "$bytes": "AQID", "of": "Uint8Array" }, "set": { "$set": ["x"] }, "escape": "\u{1b}[2J" } });
    assert_eq!(line, expected);
    assert!(shown(&["list"]).1.contains("alarm 20"), "the alarm is still there");
}

#[test]
fn a_value_that_cannot_be_read_costs_no_other() {
    let project = project();
    let server = project.serve(&["start"]);
    assert_eq!(server.get("/party/a").0, 200);
    server.stop();
    // Bytes of no value with the right sum: as if a later version had written it.
    let room = partyrun_store::RoomKey::new("main", "a");
    let (key, bytes) = (b"nothing", b"\x00\xff\x00");
    let sum = partyrun_store::checksum(&room, key, bytes);
    let database = rusqlite::Connection::open(project.file(".partyrun/partyrun.sqlite")).unwrap();
    let sql = "UPDATE entries SET value = ?1, checksum = ?2 WHERE key = ?3";
    assert_eq!(database.execute(sql, (&bytes[..], sum, &key[..])).unwrap(), 1);
    drop(database);
    let (code, text) = project.run(&["storage", "list", "a"]);
    assert!(code == Some(0) && text.contains("(cannot be shown: ") && text.contains("value    "), "{text}");
    let (code, text) = project.run(&["storage", "get", "a", "nothing"]);
    assert!(code == Some(1) && text.contains("The values of main/a cannot be read: \"nothing\""), "{text}");
    let output = partyrun().args(["storage", "export"]).current_dir(project.path()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("main/a \"nothing\" is exported as stored bytes only"), "{told}");
    project.write("all.jsonl", std::str::from_utf8(&output.stdout).unwrap());
    let (code, text) = project.run(&["storage", "import", "all.jsonl", "--persist", "moved"]);
    assert!(code == Some(0) && text.contains("main/a \"nothing\" is left out: it cannot be read"), "{text}");
    assert!(text.contains("Imported 1 room, 1 value, 1 alarm"), "{text}");
}

#[test]
fn lists_and_values_are_json_on_request() {
    let project = project();
    let server = project.serve(&["start"]);
    assert_eq!(server.get("/party/a").0, 200);
    // Whether a server is asked or the database is read.
    let json = |args: &[&str]| -> serde_json::Value {
        let (code, text) = project.run(&[&["storage"], args, &["--json"]].concat());
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    };
    let room = json(&["list"]);
    assert_eq!((&room["party"], &room["room"], &room["values"]), (&"main".into(), &"a".into(), &2.into()));
    assert!(room["alarm_ms"].is_i64() && room["bytes"].is_u64(), "{room}");
    server.stop();
    let entry = json(&["list", "a"]);
    assert_eq!(
        (&entry["key"], &entry["type"], &entry["text"]),
        (&"nothing".into(), &"null".into(), &"null".into())
    );
    let value = json(&["get", "a", "value"]);
    assert_eq!(value["map"], serde_json::json!({ "$map": [["big", { "$bigint": "1" }]] }));
}

#[test]
fn an_export_is_imported_without_loss() {
    let project = Project::new(&[(
        "server.js",
        r#"export default class {
            constructor(room) { this.room = room; }
            async onRequest() {
              const { storage } = this.room;
              const cycle = { name: "cycle", error: new RangeError("no", { cause: 1 }) };
              cycle.self = cycle;
              await storage.put({ cycle, plain: { $date: 1, text: "\u{1f600}" }, nothing: null, big: new Uint8Array(70_000).fill(7),
                map: new Map([[1n, new Date(0)]]), holes: [1, , 2], "k\n": -0 });
              await storage.setAlarm(4_000_000_000_000);
              return new Response("stored");
            }
          }"#,
    )]);
    let server = project.serve(&["start", "server.js"]);
    for room in ["a", "b%20c"] {
        assert_eq!(server.get(&format!("/party/{room}")).0, 200);
    }
    server.stop();
    let (code, exported) = project.run(&["storage", "export"]);
    assert!(code == Some(0) && exported.lines().count() == 16, "{exported}");
    project.write("values.jsonl", &exported);
    let import = |file: &str| project.run(&["storage", "import", file, "--persist", "moved"]);
    // Nothing is written of a file that is not whole.
    for (wrong, why) in [
        (&exported[..exported.len() - 4], "Line 16 of the file"),
        ("{\"party\":\"main\",\"room\":\"a\",\"key\":\"k\"}", "neither a key with a value"),
        (
            "{\"party\":\"main\",\"room\":\"a\",\"key\":\"k\",\"value\":1,\"later\":2}",
            "unknown field `later`",
        ),
    ] {
        project.write("wrong.jsonl", wrong);
        let (code, text) = import("wrong.jsonl");
        assert!(code == Some(1) && text.contains(why), "{text}");
        assert!(!project.file("moved").exists(), "{why}");
    }
    let (code, text) = import("values.jsonl");
    assert!(code == Some(0) && text.contains("Imported 2 rooms, 14 values, 2 alarms"), "{text}");
    assert_eq!(project.run(&["storage", "export", "--persist", "moved"]).1, exported);
    let (code, text) = import("values.jsonl");
    assert!(
        code == Some(0) && text.contains("main/a is left alone") && text.contains("Imported 0 rooms"),
        "{text}"
    );
    let server = project.serve(&["start", "server.js", "--persist", "moved"]);
    let (code, text) = import("values.jsonl");
    assert!(code == Some(1) && text.contains("is in use by process"), "{text}");
    server.stop();
}

#[test]
fn paths_of_flags_are_relative_to_the_shell() {
    let project = project();
    let outside = Project::new(&[("new.env", "FROM=file\n")]);
    let folder = project.path().to_string_lossy().into_owned();
    let server = outside.serve(&["start", &folder, "--persist", "data", "--env-file", "new.env"]);
    server.wait_for(&format!("Storage is kept in {}", outside.file("data").display()));
    server.wait_for("Loading environment variables from");
    assert!(server.get("/party/a").1.contains(r#""FROM":"file""#));
    server.stop();
    assert!(outside.file("data/partyrun.sqlite").exists());
}

#[test]
fn secrets_come_from_the_environment_and_from_beside_the_release() {
    let project = project();
    std::fs::create_dir(project.file("srv")).unwrap();
    let (code, text) = project.run(&["build", "--out", "srv/kept.partyrun"]);
    assert_eq!(code, Some(0), "{text}");
    project.write("srv/.env", "FILE=beside\nAPP_B=of-the-file\n");
    let outside = Project::new(&[(".env", "FILE=of-the-working-folder\n")]);
    let port = free_port();
    let mut command = partyrun();
    command.args(["start", &project.file("srv/kept.partyrun").to_string_lossy(), "--persist", "data"]);
    command.args(["--port", &port.to_string(), "--var", "TOKEN", "--env-pass", "APP_*"]);
    command.envs([("TOKEN", "t"), ("APP_A", "1"), ("APP_B", "2"), ("OTHER", "no")]);
    command.current_dir(outside.path());
    let server = crate::support::Server::start(command, port);
    server.wait_for("Ready on");
    let (_, text) = server.get("/party/a");
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    let file = [("FILE", "beside"), ("APP_A", "1"), ("APP_B", "2")];
    let expected: serde_json::Value =
        file.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
    assert_eq!(seen["process"], expected);
    assert_eq!((&seen["env"]["TOKEN"], &seen["env"]["APP_A"]), (&"t".into(), &"1".into()));
    assert!(seen["env"]["OTHER"].is_null());
    server.wait_for("srv/.env");
    let told = server.wait_for("From the environment: APP_A, APP_B");
    assert!(!told.contains("of-the-file"), "names only");
    server.stop();
    let (code, text) = project.run(&["start", "--var", "PARTYRUN_NO_SUCH"]);
    assert!(code == Some(1) && text.contains("the environment has no `PARTYRUN_NO_SUCH`"), "{text}");
}

#[test]
fn start_wants_the_port_that_a_proxy_knows() {
    let taken = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let project = project();
    let text = std::fs::read_to_string(project.file("partykit.json")).unwrap();
    project.write("partykit.json", &text.replace("\"name\"", &format!("\"port\": {port}, \"name\"")));
    let (code, text) = project.run(&["start", "--persist", "false"]);
    assert!(code == Some(1) && text.contains(&format!("Port {port} is in use")), "{text}");
    assert!(text.contains("`--port 0`"), "{text}");
}

#[test]
fn the_log_of_a_server_has_no_secrets_and_says_who_came_and_left() {
    let project = project();
    let server = project.serve(&["start", "--persist", "false"]);
    let ready: serde_json::Value = serde_json::from_str(&server.wait_for("\"type\":\"ready\"")).unwrap();
    assert_eq!(ready["port"], server.port);
    server.get("/party/a?token=secret&x");
    let line: serde_json::Value = serde_json::from_str(&server.wait_for("/party/a")).unwrap();
    assert_eq!((&line["path"], &line["ip"]), (&"/party/a?token&x".into(), &"127.0.0.1".into()));
    let ask = |name: &str, value: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let head =
            format!("GET /party/a HTTP/1.1\r\nhost: x\r\n{name}: {value}\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        std::io::Read::read_to_end(&mut stream, &mut Vec::new()).unwrap();
    };
    for _ in 0..2 {
        ask("x-forwarded-for", "6.6.6.6");
        ask("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    server.wait_for("`--trusted-proxy 127.0.0.1`");
    server.wait_for("proxy_set_header Upgrade $http_upgrade");
    // A handshake, and a close frame with 4001.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let head = "GET /party/a?token=secret HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    std::io::Write::write_all(&mut stream, &[0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa1]).unwrap();
    std::io::Read::read_to_end(&mut stream, &mut Vec::new()).unwrap();
    drop(stream);
    let line: serde_json::Value = serde_json::from_str(&server.wait_for("\"type\":\"close\"")).unwrap();
    assert_eq!(
        (&line["code"], &line["path"], &line["ip"]),
        (&4001.into(), &"/party/a?token".into(), &"127.0.0.1".into())
    );
    assert!(line["lasted_ms"].is_u64(), "{line}");
    let output = server.output();
    assert!(!output.contains("secret"), "{output}");
    for once in ["--trusted-proxy", "proxy_set_header Upgrade"] {
        assert_eq!(output.matches(once).count(), 1, "{once}: {output}");
    }
}
