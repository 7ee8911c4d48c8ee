//! `build.command`: one that hangs is ended with everything it started, at its limit and by a request to stop.
//!
//! How: the command writes the id of a process that it leaves behind in its group, and that process must end.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::support::{PATIENCE, Project, Server, free_port, partyrun, skip};

// Ends at once, unless the file `hang` is there.
const BUILD: &str = "if [ -e hang ]; then sleep 1000 & echo $! > made/pid.part; mv made/pid.part made/pid; wait; fi; cp src/server.js made/";
const SERVER: &str = "export default class { onRequest() { return new Response('one'); } }";

fn project(hangs: bool) -> Project {
    let config =
        serde_json::json!({ "name": "demo", "main": "made/server.js", "build": { "command": BUILD } });
    let project = Project::new(&[
        ("partykit.json", &config.to_string()),
        ("src/server.js", SERVER),
        ("made/.keep", ""),
    ]);
    if hangs {
        project.write("hang", "");
    }
    project
}

fn start(project: &Project, args: &[&str]) -> Server {
    let mut command = partyrun();
    command.args(args).current_dir(project.path());
    Server::start(command, 0)
}

// The process that the command waits for.
fn sleeper(project: &Project) -> String {
    let (path, deadline) = (project.file("made/pid"), Instant::now() + PATIENCE);
    loop {
        match std::fs::read_to_string(&path) {
            Ok(pid) => return pid.trim().to_string(),
            Err(_) => assert!(Instant::now() < deadline, "the command never ran"),
        }
        std::thread::yield_now();
    }
}

fn waits_for_its_end(pid: &str) {
    let deadline = Instant::now() + PATIENCE;
    let runs = || {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        // One that nobody has waited for is a zombie, and gone all the same.
        stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
    };
    while runs() {
        assert!(Instant::now() < deadline, "the process {pid} goes on");
        std::thread::yield_now();
    }
}

#[test]
fn a_command_that_takes_too_long_fails_the_start() {
    for command in ["dev", "start"] {
        let project = project(true);
        let (code, text) = project.run(&[command, "--limit", "build_command_time_max=300ms"]);
        assert!(code == Some(1) && text.contains("did not end within 300ms and was ended"), "{text}");
        waits_for_its_end(&sleeper(&project));
    }
}

#[test]
fn a_request_to_stop_ends_a_start_that_hangs() {
    for (command, expected) in [("dev", 0), ("start", 0), ("build", 130)] {
        let project = project(true);
        let mut server = start(&project, &[command]);
        let pid = sleeper(&project);
        server.terminate();
        assert_eq!(server.wait_end().code(), Some(expected), "{command}: {}", server.output());
        waits_for_its_end(&pid);
    }
}

#[test]
fn a_hang_after_a_change_neither_stops_the_server_nor_its_end() {
    let project = project(false);
    let server = project.serve(&["dev", "--limit", "build_command_time_max=300ms", "--persist", "false"]);
    assert_eq!(server.get("/party/a").1, "one");
    project.write("hang", "");
    project.write("src/server.js", &SERVER.replace("one", "two"));
    server.wait_for("did not end within 300ms and was ended");
    server.wait_for("The last working version keeps running.");
    assert_eq!(server.get("/party/a").1, "one");
    waits_for_its_end(&sleeper(&project));
    std::fs::remove_file(project.file("hang")).unwrap();
    project.write("src/server.js", &SERVER.replace("one", "three"));
    server.wait_for("Updated and ready");
    assert_eq!(server.get("/party/a").1, "three");
    server.stop();

    let server = project.serve(&["dev", "--persist", "false"]);
    std::fs::remove_file(project.file("made/pid")).unwrap();
    project.write("hang", "");
    project.write("src/server.js", &SERVER.replace("one", "four"));
    let pid = sleeper(&project);
    assert_eq!(server.get("/party/a").1, "three", "it serves meanwhile");
    server.stop();
    waits_for_its_end(&pid);
}

#[test]
fn a_start_can_be_stopped_after_the_command_too() {
    // The command is done, but the module waits for ever.
    let project = project(false);
    project.write("src/server.js", "await new Promise(() => {});\nexport default class {}");
    let mut server = start(&project, &["dev", "--port", &free_port().to_string(), "--persist", "false"]);
    let deadline = Instant::now() + PATIENCE;
    while !project.file("made/server.js").exists() {
        assert!(Instant::now() < deadline, "{}", server.output());
        std::thread::yield_now();
    }
    server.terminate();
    assert_eq!(server.wait_end().code(), Some(0), "{}", server.output());
}

#[test]
fn where_the_system_watches_no_more_files_changes_are_looked_for() {
    let can = Command::new("unshare")
        .args(["-Ur", "sh", "-c", "echo 1 > /proc/sys/user/max_inotify_watches"])
        .status();
    if !can.is_ok_and(|status| status.success()) {
        return skip("no user namespace can be made here");
    }
    for limit in ["max_inotify_watches", "max_inotify_instances"] {
        let project = Project::new(&[
            (
                "server.js",
                "import word from './src/word.js'; export default class { onRequest() { return new Response(word); } }",
            ),
            ("src/word.js", "export default 'one';"),
        ]);
        let port = free_port();
        let mut command = Command::new("unshare");
        let count = if limit.ends_with("watches") { 1 } else { 0 };
        let script = format!(
            "echo {count} > /proc/sys/user/{limit}; exec \"$0\" dev server.js --persist false --port {port}"
        );
        command
            .args(["-Ur", "sh", "-c", &script, env!("CARGO_BIN_EXE_partyrun")])
            .current_dir(project.path());
        command.env("NO_COLOR", "1").env_remove("PARTYKIT_LOG");
        let server = Server::start(command, port);
        server.wait_for("changes are looked for once a second");
        server.wait_for("Ready on");
        assert_eq!(server.get("/party/a").1, "one");
        project.write("src/word.js", "export default 'the second';");
        server.wait_for("Updated and ready");
        assert_eq!(server.get("/party/a").1, "the second", "{limit}");
        server.stop();
    }
}
