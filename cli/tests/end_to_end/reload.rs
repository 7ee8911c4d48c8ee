//! Saving: new code, kept storage, sockets that stay open or close with 1012, broken code, changed settings, and memory.

use crate::support::{Project, Server};

fn server(word: &str, hibernate: bool) -> String {
    format!(
        "export default class Server {{
  options = {{ hibernate: {hibernate} }};
  constructor(room) {{ this.room = room; }}
  async onRequest() {{
    const count = ((await this.room.storage.get('count')) ?? 0) + 1;
    await this.room.storage.put('count', count);
    return new Response(`{word} ${{count}} ${{this.room.env.A}}`);
  }}
  onMessage(message, connection) {{ connection.send('{word} ' + message); }}
}}
"
    )
}

fn start(hibernate: bool) -> (Project, Server) {
    let project = Project::new(&[
        ("server.js", &server("one", hibernate)),
        ("partykit.json", r#"{ "main": "server.js", "vars": { "A": "a" } }"#),
    ]);
    let server = project.serve(&["dev"]);
    (project, server)
}

#[test]
fn a_save_swaps_and_a_broken_one_does_not() {
    let (project, server_process) = start(true);
    assert_eq!(server_process.get("/party/x").1, "one 1 a");
    project.write("server.js", &server("two", true));
    server_process.wait_for_times("Updated and ready", 1);
    assert_eq!(server_process.get("/party/x").1, "two 2 a");
    project.write("server.js", "export default class {");
    server_process.wait_for("The last working version keeps running.");
    assert_eq!(server_process.get("/party/x").1, "two 3 a");
    project.write("server.js", "throw new Error('at the start');");
    server_process.wait_for_times("The last working version keeps running.", 2);
    assert!(server_process.output().contains("at the start"));
    assert_eq!(server_process.get("/party/x").1, "two 4 a");
    project.write("server.js", &server("three", true));
    server_process.wait_for_times("Updated and ready", 2);
    assert_eq!(server_process.get("/party/x").1, "three 5 a");
    server_process.stop();
}

#[test]
fn what_is_undone_is_said_and_the_same_error_is_said_once() {
    let (project, server_process) = start(true);
    let good = server("one", true);
    project.write("server.js", "export default class {");
    server_process.wait_for("The last working version keeps running.");
    project.write("server.js", "export default class {");
    server_process.wait_for("Still the same error.");
    project.write("server.js", &good);
    server_process.wait_for("Builds again; nothing else changed.");
    project.write("server.js", "throw new Error('at the top');");
    server_process.wait_for("server.js failed while it was loaded.");
    server_process.wait_for("  1 | throw new Error('at the top');");
    project.write("server.js", &good);
    server_process.wait_for_times("Builds again; nothing else changed.", 2);
    let output = server_process.output();
    assert_eq!(output.matches("error: ").count(), 2, "{output}");
    assert!(!output.contains("ext:") && !output.contains("file:///"), "{output}");
    server_process.stop();
}

#[test]
fn a_log_in_the_project_does_not_build_again() {
    let project = Project::new(&[
        ("server.js", &server("one", true)),
        ("partykit.json", r#"{ "main": "server.js" }"#),
        ("dev.log", ""),
    ]);
    let server_process = project.serve(&["dev"]);
    project.write("server.js", "export default class {");
    server_process.wait_for("The last working version keeps running.");
    for line in 0..20 {
        use std::io::Write;
        let mut log = std::fs::OpenOptions::new().append(true).open(project.file("dev.log")).unwrap();
        writeln!(log, "{line}").unwrap();
    }
    // Whatever the log had caused would have come before this.
    project.write("server.js", &server("two", true));
    server_process.wait_for("Updated and ready");
    assert!(!server_process.output().contains("Still the same error."), "{}", server_process.output());
    server_process.stop();
}

#[test]
fn sockets_of_hibernating_rooms_stay_and_others_are_closed() {
    for (hibernate, expected) in [(true, "two after"), (false, "closed 1012")] {
        let (project, server_process) = start(hibernate);
        let file = project.file("server.js").to_string_lossy().into_owned();
        let changed = server("two", hibernate);
        let Some(text) = server_process.client("survives.mjs", &[&file, &changed]) else { return };
        assert!(text.contains("one before") && text.contains(expected), "{hibernate}: {text}");
    }
}

#[test]
fn changed_settings_come_into_effect() {
    let (project, server_process) = start(true);
    assert_eq!(server_process.get("/party/x").1, "one 1 a");
    project.write("partykit.json", r#"{ "main": "server.js", "vars": { "A": "b" } }"#);
    server_process.wait_for_times("Updated and ready", 1);
    assert_eq!(server_process.get("/party/x").1, "one 2 b");
    project.write(".env", "A=from-env\n");
    server_process.wait_for_times("Updated and ready", 2);
    assert_eq!(server_process.get("/party/x").1, "one 3 from-env");
    project.write("partykit.json", r#"{ "main": "server.js", "nope": 1 }"#);
    server_process.wait_for("The last working version keeps running.");
    assert!(server_process.output().contains("nope"));
    // Static files need another server, on the same port.
    project.write("public/index.html", "<h1>files</h1>");
    project.write("partykit.json", r#"{ "main": "server.js", "serve": "public" }"#);
    server_process.wait_for("The configuration changed: restarting.");
    server_process.wait_for_times("Updated and ready", 3);
    // And back again: nothing of the former server holds the data.
    project.write(
        "partykit.json",
        r#"{ "main": "server.js", "serve": "public", "crons": { "c": "0 0 * * *" } }"#,
    );
    server_process.wait_for_times("Updated and ready", 4);
    assert_eq!(server_process.get("/").1, "<h1>files</h1>");
    assert_eq!(server_process.get("/party/x").1, "one 4 from-env");
    server_process.stop();
}

// The short form: PARTYRUN_RELOADS=500 is the long one.
#[test]
fn reloads_leave_memory_flat() {
    let rounds = std::env::var("PARTYRUN_RELOADS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let (project, server_process) = start(true);
    let pid = server_process.served_by();
    let mut early = 0;
    for round in 1..=rounds {
        project.write("server.js", &server(&format!("version{round}"), true));
        server_process.wait_for_times("Updated and ready", round);
        let body = server_process.get("/party/x").1;
        assert!(body.starts_with(&format!("version{round} ")), "{body}");
        if round == rounds / 3 {
            early = resident_kib(pid);
        }
    }
    let late = resident_kib(pid);
    eprintln!("{rounds} reloads: {early} KiB after a third, {late} KiB at the end");
    assert!(late < early + early / 4 + 20_000, "{early} KiB grew to {late} KiB");
}

fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn pages_that_nothing_builds_reload_with_live() {
    use std::io::{BufRead, BufReader, Write};
    let page = "<!doctype html><p>one</p>";
    let project = Project::new(&[
        ("server.js", &server("one", true)),
        ("public/index.html", page),
        ("public/app.css", "p {}"),
        ("partykit.json", r#"{ "main": "server.js", "serve": "public" }"#),
    ]);
    let server_process = project.serve(&["dev", "--live", "--persist", "false"]);
    let ask = |path: &str, accept: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", server_process.port)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        BufReader::new(stream).lines().map(Result::unwrap)
    };
    let all = |path: &str, accept: &str| ask(path, accept).collect::<Vec<_>>().join("\n");
    let shown = all("/", "text/html,*/*");
    assert!(shown.contains(page) && shown.contains("new EventSource(\"/__partyrun__/reload\")"), "{shown}");
    // Programs get the files as they are.
    assert!(all("/", "*/*").ends_with(page));
    assert!(all("/app.css", "text/html").ends_with("p {}"));
    let mut events = ask("/__partyrun__/reload", "text/event-stream");
    events.find(|line| line.starts_with("retry:")).unwrap();
    project.write("public/index.html", "<!doctype html><p>two</p>");
    events.find(|line| line == "event: change").unwrap();
    assert!(all("/", "text/html").contains("<p>two</p>"));
    drop(events);
    server_process.stop();
}
