//! When a project's process runs: from its first request until nobody needs it, again for its alarms and crons, and again after
//! it crashed.

use serde_json::json;

use super::{Platform, chat};
use crate::raw::{frame, say};
use crate::support::{partyrun, until};

const SOON_IDLE: [&str; 2] = ["--limit", "host_idle_max=1s"];

#[test]
fn a_project_runs_from_its_first_request_until_nobody_needs_it() {
    let mut platform = Platform::start(&SOON_IDLE);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    until("it is stopped", || platform.process("chat").is_none());
    assert_eq!(platform.json("chat", "/party/lobby")["count"], 1);
    assert!(platform.process("chat").is_some());
    let mut socket = platform.socket("chat", "/party/lobby");
    // Longer than it may be idle.
    let since = std::time::Instant::now();
    until("time has passed", || since.elapsed().as_secs() >= 3);
    say(&mut socket, "still");
    assert_eq!(frame(&mut socket).unwrap().1, b"echo still");
    drop(socket);
    until("it is stopped", || platform.process("chat").is_none());
    assert_eq!(platform.json("chat", "/party/lobby")["count"], 2);
    platform.restart(libc::SIGTERM);
    assert!(platform.process("chat").is_none(), "a host that starts starts no projects");
    assert_eq!(platform.json("chat", "/party/lobby")["count"], 3);
}

#[test]
fn an_alarm_wakes_a_project_that_was_stopped_also_after_the_host_was() {
    let mut platform = Platform::start(&SOON_IDLE);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.json("chat", "/party/lobby?alarm=4000");
    until("it is stopped", || platform.process("chat").is_none());
    until("its alarm has woken it", || platform.process("chat").is_some());
    until("its alarm has run", || platform.json("chat", "/party/lobby")["alarms"] == 1);
    platform.json("chat", "/party/lobby?alarm=6000");
    until("it is stopped", || platform.process("chat").is_none());
    platform.restart(libc::SIGTERM);
    until("its alarm has run", || {
        // Nobody asks the project before the alarm has woken it.
        platform.process("chat").is_some() && platform.json("chat", "/party/lobby")["alarms"] == 2
    });
}

#[test]
fn a_cron_is_known_to_the_host() {
    let platform = Platform::start(&SOON_IDLE);
    let project = chat("chat", "one");
    project.write(
        "partykit.json",
        r#"{ "name": "chat", "main": "server.js", "crons": { "yearly": "0 0 1 1 *" } }"#,
    );
    platform.done(&project, &["deploy"]);
    until("it is stopped", || platform.process("chat").is_none());
    until("it has told when the cron is due", || {
        platform.api("GET", "/v1/projects/chat", b"").1["due_ms"].is_i64()
    });
    let (_, info) = platform.api("GET", "/v1/projects/chat", b"");
    let due = chrono_year(info["due_ms"].as_i64().unwrap());
    assert!(due > 2025, "{info}");
}

// The year of a time, near enough.
fn chrono_year(ms: i64) -> i64 {
    1970 + ms / 1000 / 31_556_952
}

#[test]
fn a_process_that_dies_is_back_and_one_that_keeps_dying_rests() {
    let platform = Platform::start(&["--limit", "host_crash_pause_max=100s"]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.done(&project, &["deploy", "--name", "neighbour"]);
    platform.json("chat", "/party/lobby");
    let kill = || platform.process("chat").map(|process| platform.server.signal(process, libc::SIGKILL));
    let first = platform.process("chat").unwrap();
    kill();
    until("it is back", || platform.process("chat").is_some_and(|process| process != first));
    assert_eq!(platform.json("chat", "/party/lobby")["count"], 2, "with its data");
    // Each time it is there, it dies.
    until("it rests", || {
        kill();
        let (status, head, body) = platform.ask("GET", "chat.party.test", "/", "", b"");
        status == 503 && body.contains("rests for") && head.to_lowercase().contains("retry-after:")
    });
    assert!(platform.server.output().contains("chat: The project's process crashed"));
    assert_eq!(platform.get("neighbour", "/").0, 200);
    // A deployment begins anew.
    platform.done(&project, &["deploy"]);
    assert_eq!(platform.get("chat", "/").0, 200);
}

#[test]
fn a_client_that_leaves_while_a_project_starts_leaves_it_whole() {
    let platform = Platform::start(&SOON_IDLE);
    let project = chat("chat", "one");
    // It takes its time, so that the client is gone before it is ready.
    let slow = "for (const end = Date.now() + 300; Date.now() < end;);";
    project.write("server.js", &format!("{slow}{}", super::CHAT));
    platform.done(&project, &["deploy"]);
    until("it is stopped", || children(platform.server.pid()).is_empty());
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", platform.server.port)).unwrap();
    let request = format!("GET /party/lobby HTTP/1.1\r\nhost: chat.{}\r\n\r\n", super::DOMAIN);
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    until("it begins", || !children(platform.server.pid()).is_empty());
    drop(stream);
    assert_eq!(platform.get("chat", "/party/lobby").0, 200, "{}", platform.server.output());
    until("it is stopped", || children(platform.server.pid()).is_empty());
}

// The processes that a process has started, by whichever of its threads.
fn children(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.flat_map(|task| of(task).split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn no_process_outlives_its_host() {
    let mut platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.json("chat", "/party/lobby");
    let process = platform.process("chat").unwrap();
    platform.restart(libc::SIGKILL);
    let is_gone = || !std::path::Path::new(&format!("/proc/{process}")).exists();
    until("its process has ended", is_gone);
    assert_eq!(platform.json("chat", "/party/lobby")["count"], 2);
}

#[test]
fn two_hosts_do_not_share_a_data_folder() {
    let platform = Platform::start(&[]);
    let data = platform.data.path().to_string_lossy().into_owned();
    let mut other = partyrun();
    other.args(["host", "--domain", "other.test", "--host", "127.0.0.1", "--port", "0", "--data", &data]);
    let other = other.output().unwrap();
    let text = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(1) && text.contains("Another `partyrun host` uses"), "{text}");
}

#[test]
fn a_start_that_takes_too_long_has_failed() {
    let platform = Platform::start(&["--limit", "host_start_time_max=2s"]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    project
        .write("server.js", "await new Promise(() => setInterval(() => {}, 1000)); export default class {}");
    let (code, text) = platform.run(&project, &["deploy"]);
    assert!(code == Some(1) && text.contains("does not start. Release 1 still runs."), "{text}");
    assert_eq!(platform.json("chat", "/party/lobby")["version"], json!("one"));
}
