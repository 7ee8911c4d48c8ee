//! Compressed messages and answers with real peers: Node's `ws`, Python's `websockets`, Chromium; and with one that is none.

use std::path::Path;
use std::process::Command;

use crate::support::{Project, Server, node, skip};

const ROOM: &str = r#"
const text = "a line of text that comes again and again\n".repeat(100);
export default class Server {
  constructor(room) { this.room = room; }
  async onStart() {
    this.lives = ((await this.room.storage.get("lives")) ?? 0) + 1;
    await this.room.storage.put("lives", this.lives);
  }
  onConnect(connection) { connection.send(text); }
  onMessage(message, sender) {
    if (message === "lives") sender.send(`${this.lives}`);
    else if (typeof message === "string" && message.startsWith("all:")) this.room.broadcast(message.slice(4));
    else sender.send(message);
  }
  onRequest() { return new Response(text); }
}
"#;

const PAGE: &str = r#"<!doctype html><title>chat</title><script>
window.chat = () => new Promise((resolve, reject) => {
  const socket = new WebSocket(`ws://${location.host}/party/page`);
  const heard = [];
  socket.onerror = reject;
  socket.onopen = () => socket.send("x".repeat(100000));
  socket.onmessage = ({ data }) => {
    heard.push(data.length);
    if (heard.length === 2) resolve({ extensions: socket.extensions.split(";")[0], heard });
  };
});
</script>"#;

fn served(configuration: &str) -> (Project, Server) {
    let files = [("server.js", ROOM), ("partykit.json", configuration), ("public/index.html", PAGE)];
    let project = Project::new(&files);
    let server = project.serve(&["start", "server.js", "--serve", "public", "--host", "127.0.0.1"]);
    (project, server)
}

// Every combination of windows and memory that a client can ask for, with messages of lengths around every bound.
fn matrix(configuration: &str) {
    let (_project, server) = served(configuration);
    let Some(text) = server.client("compressed.mjs", &["matrix"]) else { return };
    assert!(text.contains("180 sockets, all whole"), "{text}");
}

#[test]
fn every_window_can_be_read_without_context_takeover() {
    matrix("{}");
}

#[test]
fn every_window_can_be_read_with_context_takeover() {
    matrix(r#"{ "compression": { "contextTakeover": true, "minBytes": 0, "level": 6 } }"#);
}

#[test]
fn a_broadcast_reaches_sockets_with_different_windows() {
    for configuration in ["{}", r#"{ "compression": { "contextTakeover": true } }"#] {
        let (_project, server) = served(configuration);
        let Some(text) = server.client("compressed.mjs", &["broadcast"]) else { return };
        assert!(text.contains("20 sockets heard 60 messages"), "{text}");
    }
}

#[test]
fn offers_that_cannot_be_accepted_are_passed_over() {
    let (_project, server) = served("{}");
    let Some(text) = server.client("compressed.mjs", &["offers"]) else { return };
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let expected = [
        format!("permessage-deflate => {agreed}"),
        format!("x, permessage-deflate; server_max_window_bits=10 => {agreed}; server_max_window_bits=10"),
        format!("permessage-deflate; unknown, permessage-deflate => {agreed}"),
        "permessage-deflate; server_max_window_bits=7 => none".to_string(),
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover => none".to_string(),
        "x-webkit-deflate-frame => none".to_string(),
        "=;,\" => none".to_string(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn compression_can_be_switched_off() {
    let project =
        Project::new(&[("server.js", ROOM), ("partykit.json", r#"{ "compression": { "level": 1 } }"#)]);
    let server = project.serve(&["start", "server.js", "--host", "127.0.0.1", "--compression", "false"]);
    let Some(text) = server.client("compressed.mjs", &["off"]) else { return };
    assert_eq!(text.trim(), "extensions \"\", content-encoding none, whole true");
}

#[test]
fn what_is_short_is_sent_as_it_is() {
    let project = Project::new(&[("server.js", ROOM)]);
    let limits =
        ["--limit", "message_compressed_bytes_min=6000", "--limit", "answer_compressed_bytes_min=4201"];
    let server = project.serve(&[&["start", "server.js", "--host", "127.0.0.1"][..], &limits].concat());
    let Some(text) = server.client("compressed.mjs", &["short"]) else { return };
    // The answer has 4200 bytes; of messages, the first is a byte below the limit.
    assert_eq!(text.trim(), "plain 5999 true, compressed 6000 true, content-encoding none");
}

#[test]
fn only_so_many_streams_are_compressed_at_a_time() {
    let held = r#"
export default class Server {
  onRequest(request) {
    const { readable, writable } = new TransformStream();
    if (request.url.endsWith("?held")) (this.writers ??= []).push(writable.getWriter());
    else writable.close();
    return new Response(readable, { headers: { "content-type": "text/plain" } });
  }
}"#;
    let project = Project::new(&[("server.js", held)]);
    let args = ["start", "server.js", "--host", "127.0.0.1", "--limit", "answers_compressed_max=2"];
    let server = project.serve(&args);
    let Some(text) = server.client("compressed.mjs", &["streams"]) else { return };
    assert_eq!(text.trim(), "gzip gzip none none, gzip");
}

// The most memory that a process has had, in MiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.served_by())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn bombs_are_ended_and_take_no_memory() {
    let (_project, server) = served("{}");
    let Some(first) = server.client("compressed.mjs", &["bombs", "1"]) else { return };
    let before = peak(&server);
    let text = server.client("compressed.mjs", &["bombs", "50"]).unwrap();
    let reason = "1009 Message is too large: it inflates to more than 1048576";
    assert_eq!(first.trim(), format!("1 {reason}"));
    assert_eq!(text.trim(), format!("50 {reason}"));
    // Each would be 256 MiB long.
    let after = peak(&server);
    assert!(after < before + 64, "{before} MiB before, {after} MiB after");
}

#[test]
fn what_breaks_the_rules_is_told_so() {
    let (_project, server) = served("{}");
    let Some(text) = server.client("compressed.mjs", &["broken"]) else { return };
    let first = "1002 Only the first frame of a message says that it is compressed";
    let expected = [
        format!("a continuation {first}"),
        format!("a ping {first}"),
        "another bit 1002 Reserved bits are set".to_string(),
        "no deflate 1007 Invalid compressed data".to_string(),
        "cut off 1007 Invalid compressed data".to_string(),
        "no UTF-8 1007 Invalid UTF-8".to_string(),
        "of another socket 1007 Invalid compressed data".to_string(),
        "not agreed 1002 Reserved bits are set".to_string(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_hibernating_socket_goes_on_compressed() {
    let sleeper = ROOM.replace("constructor", "options = { hibernate: true };\n  constructor");
    for configuration in ["{}", r#"{ "compression": { "contextTakeover": true, "minBytes": 0 } }"#] {
        let project = Project::new(&[("server.js", &sleeper), ("partykit.json", configuration)]);
        let args = ["start", "server.js", "--host", "127.0.0.1", "--limit", "room_idle_max=200ms"];
        let server = project.serve(&args);
        let Some(text) = server.client("compressed.mjs", &["sleep"]) else { return };
        assert_eq!(text.trim(), "whole true");
    }
}

#[test]
fn python_speaks_compressed() {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools");
    let mut command = Command::new("python3");
    command.args(["-c", "import websockets.sync.client"]).env("PYTHONPATH", tools);
    let known = command.output().is_ok_and(|output| output.status.success());
    if !known {
        return skip("Python's websockets is missing: see .ci/tools.txt");
    }
    for configuration in ["{}", r#"{ "compression": { "contextTakeover": true, "minBytes": 0 } }"#] {
        let (_project, server) = served(configuration);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/compressed.py");
        let mut command = Command::new("python3");
        command.arg(program).arg(format!("127.0.0.1:{}", server.port)).env("PYTHONPATH", tools);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(text.trim(), "64 sockets, all whole", "{}", server.output());
    }
}

#[test]
fn chromium_speaks_compressed() {
    if !Path::new(&std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".to_string())).is_file() {
        return skip("Chromium is not there");
    }
    let (_project, server) = served("{}");
    let address = format!("127.0.0.1:{}", server.port);
    let Some((ended, text)) = node("compressed.mjs", &[&address, "chromium"]) else { return };
    assert!(ended, "{text}");
    assert_eq!(text.trim(), r#"permessage-deflate [4200,100000], the page in zstd or br: true"#);
}
