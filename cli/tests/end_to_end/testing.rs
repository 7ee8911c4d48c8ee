//! `partyrun/test`, the testing library of the npm package: its page's example under Node's runner and vitest, and all that it
//! can do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Project, skip};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Puts the library and the packages of `tests/` into a project, as `npm install` would. `None` if they are not there.
fn install(project: &Project, needs: &str) -> Option<()> {
    let packages = here().join("../tests/node_modules");
    let Ok(packages) = packages.canonicalize() else {
        skip("the packages of tests/ are missing: run `npm ci` there");
        return None;
    };
    if !packages.join(needs).is_dir() || Command::new("node").arg("--version").output().is_err() {
        skip(&format!("Node or its package {needs} is missing: run `npm ci` in tests/"));
        return None;
    }
    let installed = project.file("node_modules");
    std::fs::create_dir_all(installed.join("partyrun")).unwrap();
    for entry in std::fs::read_dir(packages).unwrap() {
        let entry: PathBuf = entry.unwrap().path();
        std::os::unix::fs::symlink(&entry, installed.join(entry.file_name().unwrap())).unwrap();
    }
    for name in ["package.json", "test.js", "test.d.ts"] {
        std::fs::copy(here().join("npm").join(name), installed.join("partyrun").join(name)).unwrap();
    }
    Some(())
}

fn passes(project: &Project, program: &str, args: &[&str], passed: &str) {
    let mut command = Command::new(program);
    command.args(args).current_dir(project.path()).env("PARTYRUN", env!("CARGO_BIN_EXE_partyrun"));
    command
        .env("NO_COLOR", "1")
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env_remove("PARTYKIT_LOG");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains(passed), "{text}");
}

/// The project of the page: its server and its test.
fn of_the_docs() -> (Project, String) {
    let page = std::fs::read_to_string(here().join("../docs/testing.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```js\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let config = r#"{ "name": "tested", "main": "server.js" }"#;
    (Project::new(&[("server.js", blocks[1]), ("partykit.json", config)]), blocks[0].to_owned())
}

#[test]
fn the_test_of_the_docs_passes_with_the_runner_of_node() {
    let (project, program) = of_the_docs();
    if install(&project, "ws").is_some() {
        project.write("party.test.mjs", &program);
        passes(&project, "node", &["--test", "party.test.mjs"], "pass 3");
    }
}

#[test]
fn the_test_of_the_docs_passes_with_vitest() {
    let (project, program) = of_the_docs();
    let (own, of_vitest) = (
        r#"import { after, before, test } from "node:test";"#,
        r#"import { afterAll as after, beforeAll as before, test } from "vitest";"#,
    );
    assert!(program.contains(own));
    if install(&project, "vitest").is_some() {
        project.write("party.test.mjs", &program.replace(own, of_vitest));
        passes(&project, "node", &["node_modules/vitest/vitest.mjs", "run"], "3 passed");
    }
}

#[test]
fn the_library_does_what_it_promises() {
    let files = ["server.js", "partykit.json", "library.test.mjs"];
    let texts =
        files.map(|name| std::fs::read_to_string(here().join("npm/test/library").join(name)).unwrap());
    let project = Project::new(&[(files[0], &texts[0]), (files[1], &texts[1]), (files[2], &texts[2])]);
    if install(&project, "partysocket").is_some() {
        passes(&project, "node", &["--test", "library.test.mjs"], "fail 0");
    }
}

#[test]
fn a_server_ends_with_the_test_that_was_killed() {
    let (project, _) = of_the_docs();
    let program = r#"import { start } from "partyrun/test"; const party = await start(); console.log(party.port); setInterval(() => {}, 1000);"#;
    if install(&project, "ws").is_none() {
        return;
    }
    project.write("killed.mjs", program);
    let mut command = Command::new("node");
    command.arg("killed.mjs").current_dir(project.path()).env("PARTYRUN", env!("CARGO_BIN_EXE_partyrun"));
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR")).stdout(std::process::Stdio::piped());
    let mut test = command.spawn().unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(test.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    test.kill().unwrap();
    test.wait().unwrap();
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the server is still there");
        std::thread::sleep(std::time::Duration::from_millis(50)); // Polls.
    }
}

#[test]
fn no_clock_is_moved_unless_that_was_asked_for() {
    let project = Project::new(&[("server.js", "export default class {}")]);
    let admin = project.file("admin").to_string_lossy().into_owned();
    let server = project.serve(&["dev", "server.js", "--admin", &format!("unix:{admin}")]);
    let ask = |method: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--unix-socket", &admin, "-X", method, "-d", r#"{"advance_ms":1000}"#]);
        let file = std::fs::read_to_string(project.file(".partyrun/admin.json")).unwrap();
        let file: serde_json::Value = serde_json::from_str(&file).unwrap();
        let token = format!("authorization: Bearer {}", file["token"].as_str().unwrap());
        let output = curl.args(["-H", &token, "http://localhost/v1/clock"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(ask("POST").contains("--test-clock"), "{}", ask("POST"));
    assert!(ask("GET").contains(r#""ahead_ms":0"#), "{}", ask("GET"));
    server.stop();
}
