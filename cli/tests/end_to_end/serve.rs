//! `build` and `start`: one file that is served without its project, production limits, an orderly shutdown, and a
//! supervisor that restarts a crashed server.

use std::time::{Duration, Instant};

use crate::support::{Hold, Project, SERVER, Server, free_port, get, partyrun, until};

fn project() -> Project {
    Project::new(&[
        ("server.js", SERVER),
        ("public/index.html", "<h1>hello</h1>"),
        ("public/.secret", "no"),
        (
            "partykit.json",
            r#"{ "name": "demo", "main": "server.js", "serve": "public", "vars": { "A": "file" } }"#,
        ),
        (".env", "SECRET=of-the-builder\n"),
    ])
}

#[test]
fn a_built_file_is_served_elsewhere() {
    let project = project();
    let (code, text) = project.run(&["build", "--var", "B=flag"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Wrote demo.partyrun"), "{text}");
    let bytes = std::fs::read(project.file("demo.partyrun")).unwrap();
    let (code, _) = project.run(&["build", "--var", "B=flag", "--out", "again.partyrun"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        bytes,
        std::fs::read(project.file("again.partyrun")).unwrap(),
        "equal projects give equal files"
    );

    let elsewhere = Project::new(&[(".env", "SECRET=of-the-server\n")]);
    std::fs::copy(project.file("demo.partyrun"), elsewhere.file("demo.partyrun")).unwrap();
    drop(project);
    let server = elsewhere.serve(&["start", "demo.partyrun", "--host", "127.0.0.1"]);
    let expected =
        r#"{"count":1,"env":{"A":"file","B":"flag","SECRET":"of-the-server"},"secret":"of-the-server"}"#;
    assert_eq!(server.get("/party/a"), (200, expected.to_string()));
    assert_eq!(server.get("/").1, "<h1>hello</h1>");
    assert_eq!(server.get("/.secret").0, 404);
    assert_eq!(server.get("/__scheduled__").0, 404);
    assert_eq!(get(server.port, "/__partyrun__/rooms/main/a/hibernate", "localhost").unwrap().0, 404);
    // Nobody reads along, so that lines are JSON objects.
    let line: serde_json::Value = serde_json::from_str(&server.wait_for("/party/a")).unwrap();
    assert_eq!((&line["type"], &line["status"]), (&"request".into(), &200.into()));
    server.stop();
    let server = elsewhere.serve(&["start", "demo.partyrun"]);
    assert!(server.get("/party/a").1.contains("\"count\":2"), "storage stays");
}

#[test]
fn files_that_are_no_releases_are_refused() {
    let project = Project::new(&[("a.txt", "hello"), ("b.partyrun", "hello")]);
    std::fs::write(project.file("c.partyrun"), [0x1f, 0x8b, 8, 0, 0, 0]).unwrap();
    let (code, text) = project.run(&["start", "missing.partyrun"]);
    assert!(code == Some(1) && text.contains("missing.partyrun does not exist"), "{text}");
    // As all lines of `start` are where it has no terminal.
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["type"], "error", "{text}");
    let (code, text) = project.run(&["start", "c.partyrun"]);
    assert!(code == Some(1) && text.contains("damaged"), "{text}");
    let (code, _) = project.run(&["start", "b.partyrun"]);
    assert_eq!(code, Some(1));
}

#[test]
fn development_urls_are_no_matter_of_web_pages() {
    let project = project();
    let server = project.serve(&["dev", "--persist", "false"]);
    server.get("/party/a");
    let path = "/__partyrun__/rooms/main/a/hibernate";
    assert_eq!(get(server.port, path, "evil.test").unwrap().0, 403);
    assert_eq!(get(server.port, path, "localhost").unwrap().0, 405, "only the method is wrong");
}

#[test]
fn a_folder_is_served_in_production() {
    let project = project();
    let folder = project.path().to_string_lossy().into_owned();
    let port = free_port();
    let mut command = partyrun();
    command.args(["start", &folder, "--persist", "false", "--port", &port.to_string()]).current_dir("/");
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    assert_eq!(server.get("/party/a").0, 200);
    assert_eq!(server.get("/").1, "<h1>hello</h1>");
    // A change is not looked at.
    project.write("server.js", "broken(");
    assert_eq!(server.get("/party/a").0, 200);
    let output = server.stop();
    assert!(!output.contains("Updated"), "{output}");
}

#[test]
fn events_in_progress_finish_at_the_end() {
    let project = project();
    let server = project.serve(&["start"]);
    let port = server.port;
    server.get("/party/a");
    let hold = Hold::new();
    let path = format!("/party/a?held={}", hold.port);
    let asking = std::thread::spawn(move || get(port, &path, "localhost"));
    let held = hold.held();
    server.terminate();
    server.wait_for("Stopping.");
    held.let_go();
    let (status, body) = asking.join().unwrap().unwrap();
    assert_eq!((status, body.contains("\"count\":2")), (200, true), "{body}");
    let mut server = server;
    assert_eq!(server.wait_end().code(), Some(0), "{}", server.output());
}

#[test]
fn sockets_hear_of_a_restart_and_a_second_signal_does_not_wait() {
    let project = project();
    let mut server = project.serve(&["start"]);
    let port = server.port;
    let client =
        std::thread::spawn(move || crate::support::node("closes.mjs", &[&format!("127.0.0.1:{port}")]));
    if crate::support::node("closes.mjs", &["--probe"]).is_some() {
        server.wait_for("\"status\":101");
        server.terminate();
        let (ended, text) = client.join().unwrap().unwrap();
        assert!(ended && text.contains("closed 1012"), "{text}");
        assert_eq!(server.wait_end().code(), Some(0));
    }
    // The event never ends, and no limit ends it while this test has patience: only the second request to stop does.
    let limits = ["stop_time_max=1000s", "stop_again_time_max=1000s", "wait_until_max=1000s"];
    let limits = limits.iter().flat_map(|limit| ["--limit", limit]);
    let mut server = project.serve(&["start"].into_iter().chain(limits).collect::<Vec<_>>());
    let port = server.port;
    let hold = Hold::new();
    let path = format!("/party/b?held={}", hold.port);
    let asking = std::thread::spawn(move || get(port, &path, "localhost"));
    let _held = hold.held();
    server.terminate();
    server.wait_for("Stopping.");
    server.terminate();
    assert_eq!(server.wait_end().code(), Some(130), "{}", server.output());
    // Its connection is closed without the room's answer.
    let answer = asking.join().unwrap();
    assert!(!answer.is_ok_and(|(status, _)| status == 200), "nobody let the room go");
}

#[test]
fn a_server_that_dies_is_started_again_within_a_second() {
    let project = project();
    for command in ["start", "dev"] {
        let server = project.serve(&[command, "--var", "X=1"]);
        let before = server.get("/party/a").1;
        for (round, signal) in [libc::SIGABRT, libc::SIGKILL].into_iter().enumerate() {
            let begun = Instant::now();
            server.signal(server.served_by(), signal);
            let answer = loop {
                assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.output());
                match server.try_get("/party/a") {
                    Ok((200, body)) => break body,
                    _ => std::thread::sleep(Duration::from_millis(10)), // Polls.
                }
            };
            // Loaded machines get more; the line says what it took.
            eprintln!("{command}, death {}: back after {:?}", round + 1, begun.elapsed());
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
            assert_ne!(answer, before, "what was stored is there");
            server.wait_for_times("it is started again", round + 1);
        }
        server.stop();
    }
}

#[test]
fn a_server_without_its_supervisor_ends_in_order() {
    let project = project();
    let server = project.serve(&["start"]);
    server.get("/party/a");
    let port = server.port;
    let hold = Hold::new();
    let path = format!("/party/a?held={}", hold.port);
    let asking = std::thread::spawn(move || get(port, &path, "localhost"));
    let held = hold.held();
    let child = server.served_by();
    server.signal(i32::try_from(server.pid()).unwrap(), libc::SIGKILL);
    server.wait_for("Stopping.");
    held.let_go();
    assert_eq!(asking.join().unwrap().unwrap().0, 200, "an event in progress finishes");
    // SAFETY: signal 0 only asks whether the process is there.
    until("the server ends", || unsafe { libc::kill(child, 0) } != 0 || is_zombie(child));
}

// One whose new parent has not asked for it yet.
fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_server_that_cannot_start_is_not_tried_again() {
    let project = Project::new(&[("server.js", "throw new Error('not today');")]);
    let (code, text) = project.run(&["start", "server.js", "--port", &free_port().to_string()]);
    assert!(code == Some(1) && text.contains("not today"), "{text}");
    assert!(!text.contains("started again"), "{text}");
}
