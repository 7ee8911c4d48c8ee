//! The dashboard: that it is what its sources make, and that a person gets done with it what it is for.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::admin::{Api, serve};
use crate::support::{Project, free_port, skip, until};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/admin/dashboard")
}

// A project whose client is the dashboard, with the packages of `tests/`; none where those are not installed.
fn sources() -> Option<Project> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/node_modules");
    if !packages.join("uplot").is_dir() {
        skip("the packages of the dashboard are missing: run `npm ci` in tests/");
        return None;
    }
    let build = r#""build": { "entry": "src/dashboard.tsx", "outdir": "public", "sourcemap": false }"#;
    let project = Project::new(&[
        ("server.js", "export default class Server {}"),
        ("public/.keep", ""),
        ("partykit.json", &format!(r#"{{ "main": "server.js", "serve": {{ "path": "public", {build} }} }}"#)),
    ]);
    std::fs::copy(here().join("tsconfig.json"), project.file("tsconfig.json")).unwrap();
    for file in std::fs::read_dir(here().join("src")).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        project.write(&format!("src/{}", file.file_name().to_string_lossy()), &text);
    }
    std::os::unix::fs::symlink(packages.canonicalize().unwrap(), project.file("node_modules")).unwrap();
    Some(project)
}

#[test]
fn the_page_is_what_our_own_bundler_makes_of_its_sources() {
    let Some(project) = sources() else { return };
    let (code, text) = project.run(&["build", "--out", "dashboard.partyrun"]);
    assert_eq!(code, Some(0), "{text}");
    for name in ["dashboard.js", "dashboard.css"] {
        let made = std::fs::read(project.file("public").join(name)).unwrap();
        let path = here().join("dist").join(format!("{name}.gz"));
        let mut kept = Vec::new();
        if let Ok(packed) = std::fs::read(&path) {
            GzDecoder::new(&*packed).read_to_end(&mut kept).unwrap();
        }
        if made != kept && std::env::var_os("PARTYRUN_WRITE_DOCS").is_some() {
            let mut packed = GzEncoder::new(Vec::new(), Compression::best());
            packed.write_all(&made).unwrap();
            std::fs::write(&path, packed.finish().unwrap()).unwrap();
            continue;
        }
        assert!(
            made == kept,
            "{} is old. Run PARTYRUN_WRITE_DOCS=1 cargo test --release --test end_to_end our_own_bundler",
            path.display()
        );
    }
    let licences = std::fs::read_to_string(here().join("LICENSES")).unwrap();
    for package in ["preact", "uplot"] {
        let path = project.file("node_modules").join(package).join("LICENSE");
        let licence = std::fs::read_to_string(path).unwrap();
        assert!(licences.contains(licence.trim()), "LICENSES has not the licence of {package}");
    }
}

#[test]
fn its_types_are_right() {
    let Some(project) = sources() else { return };
    let tsc = project.file("node_modules/typescript/bin/tsc");
    let output = Command::new("node").arg(tsc).current_dir(project.path()).output();
    let Ok(output) = output else {
        skip("there is no node for the compiler of TypeScript");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A room with something to mend in it.
const SERVER: &str = r#"type Sender = { send(text: string): void; setState(state: unknown): void };
export default class Game {
  constructor(readonly room: any) {}
  static async onCron(cron: { name: string }) {
    if (cron.name === "report") throw new Error("The report has no recipients");
    console.log("cleaned up");
  }
  onAlarm() { console.log("the alarm rang"); }
  getConnectionTags() { return ["player"]; }
  onConnect(connection: Sender) { connection.setState({ name: "Ada" }); connection.send("welcome"); }
  async onMessage(message: string, sender: Sender) {
    const { storage } = this.room;
    if (message === "score") return sender.send(`score ${await storage.get("score")}`);
    if (message === "fail") return this.check(message);
    if (message === "win") {
      await storage.put("score", (await storage.get("score")) + 1);
      return sender.send("won");
    }
    if (message === "flood") for (let i = 0; i < 3000; i++) console.log(`line ${i}`);
    console.log("got", message);
  }
  check(move: string) {
    throw new TypeError(`A move needs a player: ${move}`);
  }
  async onRequest() {
    const round: Record<string, unknown> = {};
    round.self = round;
    await this.room.storage.put({ score: 12, players: new Map([["ada", { wins: 3n }]]), round, "<img src=x>": "<b>bold</b>" });
    if (this.room.id === "table-1") await this.room.storage.setAlarm(Date.now() + 3600_000);
    return new Response("done");
  }
}
"#;

#[test]
fn a_person_finds_a_room_and_mends_it() {
    let project = Project::new(&[
        ("server.ts", SERVER),
        (
            "partykit.json",
            r#"{ "name": "club", "main": "server.ts", "crons": { "cleanup": "0 0 1 1 *", "report": "0 0 1 1 *" } }"#,
        ),
    ]);
    // The place stays the same when the server is started anew.
    let admin = format!("127.0.0.1:{}", free_port());
    let server = project.serve(&["start", "--admin", &admin]);
    let api = Api::of(&project);
    for room in ["table-1", "table-2", "quiet-1"] {
        assert_eq!(server.get(&format!("/party/{room}")).0, 200);
    }
    let Some(text) = server.client("dashboard.mjs", &[&admin, &api.token]) else { return };
    if text.starts_with("skipped") {
        return;
    }
    let expected = [
        r#"welcomed ["welcome","welcome"]"#,
        "the token is in the address false",
        r#"rooms that begin so ["table-1","table-2"]"#,
        r#"the search is in the address "table""#,
        r#"the reader begins at "H1""#,
        r#"connections ["one","two"]"#,
        &format!(
            r#"of one ["http://127.0.0.1:{}/party/table-1?_pk=one","player","–","0 B","Close"]"#,
            server.port
        ),
        "two was closed with 1000",
        r#"one was told "maintenance at noon""#,
        r#"an error's place "at Game.check (server.ts:23:11)\nat Game.onMessage (server.ts:14:41)""#,
        r#"the room sees "score 42""#,
        r#"the room still sees "score 43""#,
        r#"a Map as JSON {"$map":[["ada",{"wins":{"$bigint":"3"}}]]}"#,
        "the focus is back true",
        r#"the copy has ["<img src=x>","made here","players","score"]"#,
        "seen while it pauses 0",
        "lines that are kept 1000",
        "follows true",
        "elements that were texts 0",
        "what looks wrong []",
        "the token of an address stays there false",
        "the history was asked far too often false",
        "requests to others []",
        "problems []",
    ];
    assert_eq!(text.trim_end().lines().collect::<Vec<_>>(), expected);
    server.wait_for_times("Ready on", 2);
    server.stop();
}

#[test]
fn the_page_is_on_the_administrative_listener_only_and_needs_no_token() {
    let project = crate::admin::project();
    let (server, api) = serve(&project, &[]);
    for path in ["/", "/dashboard.js", "/dashboard.css", "/dashboard.svg"] {
        let answer = api.raw("GET", path, "host: localhost\r\n", b"");
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("default-src 'none'") && answer.head.contains("etag: \""), "{path}");
        assert_eq!(api.raw("HEAD", path, "host: localhost\r\n", b"").status, 200);
        assert_eq!(api.raw("GET", path, "host: evil.test\r\n", b"").status, 421, "{path}");
        assert_eq!(api.raw("POST", path, "host: localhost\r\n", b"").status, 401, "{path}");
    }
    assert_eq!(server.get("/dashboard.js").0, 404);
    server.stop();
}

#[test]
fn charts_begin_soon_and_count_what_happens() {
    let project = crate::admin::project();
    let (server, api) = serve(&project, &[]);
    let mut history = api.get("/v1/history");
    // Between two samples there must be some of these.
    until("there is a sample", || {
        server.get("/party/a?act=values");
        history = api.get("/v1/history");
        !history["at_ms"].as_array().unwrap().is_empty()
    });
    let first = |name: &str| history[name][0].as_f64();
    assert!(first("requests_per_second").unwrap() > 0.0, "{history}");
    assert!(first("memory_bytes").unwrap() > 1e6 && first("cpus").unwrap() > 0.0, "{history}");
    assert!(first("commit_ms").unwrap() > 0.0 && first("event_loop_delay_ms").is_some(), "{history}");
    let after = history["at_ms"].as_array().unwrap().last().unwrap();
    assert_eq!(api.get(&format!("/v1/history?after={after}"))["at_ms"].as_array().unwrap().len(), 0);
    server.stop();
}
