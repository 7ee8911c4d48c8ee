//! `partyrun tail`: requests and what the project prints, as people and programs read them, and only what was asked for.

use std::process::Stdio;

use super::{Platform, chat};
use crate::support::{Project, Server};

fn tail(platform: &Platform, project: &Project, args: &[&str]) -> Server {
    let mut command = platform.command(project, &platform.token);
    command.arg("tail").args(args).stdin(Stdio::null());
    let tail = Server::start(command, 0);
    if !args.contains(&"json") {
        tail.wait_for("waiting for logs...");
    }
    tail
}

#[test]
fn a_log_is_followed_as_people_read_it() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    let shown = tail(&platform, &project, &[]);
    assert!(shown.output().contains("Connected to chat, waiting for logs..."));
    platform.json("chat", "/party/lobby?say=hello%1b%5B2J&token=secret");
    let line = shown.wait_for("GET http://chat.party.test/party/lobby?say&token - Ok 200 @ 20");
    assert!(!line.contains("secret"));
    let line = shown.wait_for("  (log) [main/lobby] hello");
    assert!(!line.contains('\u{1b}'), "{line:?}");
    drop(platform.socket("chat", "/party/lobby"));
    shown.wait_for("WebSocket /party/lobby closed with");
    drop(platform);
    shown.wait_for("The log of chat ended");
}

#[test]
fn lines_are_filtered_where_they_are() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    let posts = tail(&platform, &project, &["--method", "POST", "--method", "PUT"]);
    let errors = tail(&platform, &project, &["--status", "error"]);
    let headers = tail(&platform, &project, &["--header", "x-id:abc"]);
    let texts = tail(&platform, &project, &["--search", "needle"]);
    let mine = tail(&platform, &project, &["--ip", "self"]);
    let others = tail(&platform, &project, &["--ip", "10.9.8.7"]);
    let host = "chat.party.test";
    platform.ask("GET", host, "/party/a?first", "x-id: 1abc2\r\n", b"");
    platform.ask("POST", host, "/party/a?second", "authorization: Bearer x\r\n", b"");
    platform.ask("GET", host, "/party/a?say=a-needle-here", "", b"");
    project.write(
        "server.js",
        "export default class { onRequest() { console.error('it broke'); throw new Error('broken'); } }",
    );
    platform.done(&project, &["deploy"]);
    platform.ask("GET", host, "/party/a?fourth", "", b"");
    assert!(posts.wait_for("POST").contains("?second"));
    assert!(headers.wait_for("GET").contains("?first"));
    texts.wait_for("a-needle-here");
    errors.wait_for("?fourth - Error 500");
    errors.wait_for("it broke");
    mine.wait_for("?fourth");
    let count = |shown: &Server| shown.output().lines().filter(|line| line.contains(" @ 20")).count();
    assert_eq!((count(&posts), count(&headers), count(&texts), count(&errors)), (1, 1, 0, 1));
    assert_eq!((count(&mine), count(&others)), (4, 0));
}

#[test]
fn programs_read_lines_of_json_without_secrets() {
    let platform = Platform::start(&["--limit", "host_tails_max=1"]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    let shown = tail(&platform, &project, &["--format", "json", "--last", "5"]);
    // Until it follows, the next one is refused for another reason or not at all.
    crate::support::until("as many follow as may", || {
        let (code, text) = platform.run(&project, &["tail", "--status", "ok", "--sampling-rate", "0"]);
        assert_eq!(code, Some(1), "{text}");
        platform.api("GET", "/v1/projects/chat/tail?status=wrong", b"").0 == 400
            && platform.ask("GET", "party.test", "/v1/projects/chat", "", b"").0 == 401
            && {
                platform.ask(
                    "GET",
                    "chat.party.test",
                    "/party/a",
                    "authorization: Bearer x\r\ncookie: a=b\r\n",
                    b"",
                );
                shown.output().contains("/party/a")
            }
    });
    let line: serde_json::Value = serde_json::from_str(&shown.wait_for("/party/a")).unwrap();
    assert_eq!((line["type"].as_str(), line["status"].as_u64()), (Some("request"), Some(200)));
    assert_eq!(line["headers"]["authorization"], "REDACTED");
    assert_eq!(line["headers"]["cookie"], "REDACTED");
    let (code, text) = platform.run(&project, &["tail"]);
    assert!(code == Some(1) && text.contains("limit `host_tails_max`"), "{text}");
    let (code, text) = platform.run(&project, &["tail", "--name", "nothing"]);
    assert!(code == Some(1) && text.contains("There is no project `nothing`"), "{text}");
}
