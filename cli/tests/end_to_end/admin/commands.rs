//! The commands on the API: `rooms`, `room`, `storage`, `logs`, `crons`, `top`, for the server of this folder and for others.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::{Api, project, serve};
use crate::raw;
use crate::support::{Project, partyrun};

fn ok(project: &Project, args: &[&str]) -> String {
    let (code, text) = project.run(args);
    assert_eq!(code, Some(0), "{args:?}: {text}");
    text
}

fn as_json(project: &Project, args: &[&str]) -> Value {
    let text = ok(project, &[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
}

fn refused(project: &Project, args: &[&str], part: &str) {
    let (code, text) = project.run(args);
    assert!(code == Some(1) && text.contains(part), "{args:?}: {text}");
}

#[test]
fn commands_find_the_server_of_their_folder() {
    let project = project();
    refused(&project, &["rooms"], "No server with an administrative API runs in this folder");
    refused(&project, &["storage", "put", "a", "key", "1"], "No server with an administrative API");
    let (server, api) = serve(&project, &[]);
    server.get("/party/a?act=values");
    server.get("/parties/other/b");
    let _socket = raw::socket(&server, "/party/live?_pk=one");

    let text = ok(&project, &["rooms"]);
    assert!(text.starts_with("ROOM ") && text.contains("main/live") && text.contains("other/b"), "{text}");
    let rooms = as_json(&project, &["rooms", "l", "--sort", "sockets"]);
    assert_eq!((&rooms["rooms"][0]["room"], &rooms["rooms"][0]["sockets"]), (&json!("live"), &json!(1)));
    assert!(ok(&project, &["rooms", "nobody"]).contains("No room was found"));
    let text = ok(&project, &["rooms", "--limit", "1"]);
    assert!(text.contains("There are more") && !text.contains("other/b"), "{text}");

    let text = ok(&project, &["room", "live"]);
    assert!(text.contains("main/live: live") && text.contains("one") && text.contains("[blue]"), "{text}");
    assert_eq!(as_json(&project, &["room", "other/b"])["party"], "other");
    assert!(ok(&project, &["room", "live", "--send", "hello"]).contains("Sent to 1 connection."));
    assert!(ok(&project, &["room", "live", "--close", "one"]).contains("Closed 1 connection."));
    refused(&project, &["room", "live", "--close", "none"], "no connection `none`");
    refused(&project, &["room", "nobody"], "not in memory and has stored nothing");
    assert!(
        ok(&project, &["room", "a", "--alarm", "2100-01-01T00:00:00Z"]).contains("2100-01-01 00:00:00 UTC")
    );
    assert_eq!(as_json(&project, &["room", "a"])["alarm_ms"], 4_102_444_800_000_i64);
    assert!(ok(&project, &["room", "a", "--alarm", "none"]).contains("no alarm"));
    assert!(ok(&project, &["room", "other/b", "--reset"]).contains("was reset"));

    assert!(ok(&project, &["room", "a", "--export", "a.room"]).contains("10 values"));
    assert!(ok(&project, &["room", "copy", "--import", "a.room"]).contains("10 values"));
    project.write("cut.room", &std::fs::read_to_string(project.file("a.room")).unwrap()[..99]);
    refused(&project, &["room", "copy", "--import", "cut.room"], "Nothing was changed");

    assert_eq!(ok(&project, &["storage", "get", "copy", "nan"]), "NaN\n");
    assert_eq!(ok(&project, &["storage", "get", "copy", "set", "--json"]), "{\"$set\":[\"x\"]}\n");
    let text = ok(&project, &["storage", "list", "copy"]);
    assert!(text.lines().count() == 10 && text.contains("\\x1b[2J") && !text.contains('\u{1b}'), "{text}");
    ok(&project, &["storage", "put", "a", "number", "-1"]);
    assert_eq!(api.get("/v1/rooms/main/a/storage/number")["value"], -1);
    refused(&project, &["storage", "put", "a", "number", "text"], "A text is written in quotes");
    ok(&project, &["storage", "delete", "a", "number"]);
    refused(&project, &["storage", "get", "a", "number"], "no value under");
    refused(&project, &["storage", "delete", "a"], "required arguments");
    ok(&project, &["storage", "delete", "a", "--all"]);

    assert!(ok(&project, &["crons"]).contains("works"));
    assert!(ok(&project, &["crons", "--run", "works"]).contains("ran"));
    refused(&project, &["crons", "--run", "fails"], "partyrun logs");
    server.stop();
    // Without a server the database is read as it lies there.
    assert_eq!(ok(&project, &["storage", "get", "copy", "nan"]), "NaN\n");
    refused(&project, &["storage", "put", "copy", "nan", "1"], "No server");
}

#[test]
fn commands_ask_a_server_that_they_are_told_of() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let elsewhere = Project::new(&[]);
    let to = format!("http://127.0.0.1:{}", api.port);
    let run = |token: &str, args: &[&str]| {
        let mut command = partyrun();
        command
            .args(args)
            .args(["--to", &to])
            .env("PARTYRUN_ADMIN_TOKEN", token)
            .current_dir(elsewhere.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    server.get("/party/a?act=values");
    let (code, text) = run(&api.token, &["rooms"]);
    assert!(code == Some(0) && text.contains("main/a"), "{text}");
    let (code, text) = run(&api.token, &["storage", "get", "a", "text"]);
    assert!(code == Some(0) && text.starts_with("plain "), "{text}");
    let (code, text) = run("wrong", &["rooms"]);
    assert!(code == Some(1) && text.contains("refused the token"), "{text}");
    let (code, text) = run(&api.token, &["storage", "export"]);
    assert!(code == Some(1) && text.contains("--export FILE"), "{text}");
    refused(&elsewhere, &["rooms", "--to", "https://example.com"], "ssh -L");
    server.stop();
    let (code, text) = run(&api.token, &["rooms"]);
    assert!(code == Some(1) && text.contains("Nobody answers at"), "{text}");
}

/// A command that goes on, ended when dropped.
struct Following(Child);

impl Following {
    fn start(project: &Project, args: &[&str]) -> (Self, impl Iterator<Item = String> + use<>) {
        let mut command = partyrun();
        command.args(args).current_dir(project.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        (Self(child), lines)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

#[test]
fn logs_and_top_go_on_until_they_are_ended() {
    let project = project();
    let (server, _api) = serve(&project, &[]);
    server.get("/party/early");
    let (_logs, mut lines) = Following::start(&project, &["logs", "--type", "console", "--party", "main"]);
    let line = lines.next().unwrap();
    assert!(line.ends_with("[main/early] constructed early"), "what came before comes first: {line}");
    server.get("/party/late");
    assert!(lines.next().unwrap().ends_with("[main/late] constructed late"));
    let (_top, mut lines) = Following::start(&project, &["top", "--json", "--every", "0.1"]);
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        assert_eq!(line["server"]["project"], "admin");
        assert!(line["rooms"].as_array().unwrap().len() >= 2, "{line}");
    }
    let (_top, lines) = Following::start(&project, &["top", "--every", "0.1"]);
    assert!(lines.take(20).any(|line| line.starts_with("main/early")));
    server.stop();
}

#[test]
fn the_place_of_a_server_that_was_killed_is_no_server() {
    let project = project();
    let (server, api) = serve(&project, &[]);
    let place = std::fs::read_to_string(project.file(".partyrun/admin.json")).unwrap();
    server.stop();
    project.write(".partyrun/admin.json", &place);
    refused(&project, &["rooms"], "No server with an administrative API");
    let (server, again) = serve(&project, &[]);
    assert_eq!(again.token, api.token);
    assert!(ok(&project, &["rooms"]).contains("No room was found"));
    assert_eq!(Api::of(&project).port, again.port);
    server.stop();
}
