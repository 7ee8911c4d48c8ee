//! Deployments: what is typed becomes what is served, one after the other, and one that does not start is taken back.

use std::process::Stdio;

use serde_json::json;

use super::{DOMAIN, Platform, chat, set_version};
use crate::raw::{close_code, frame, say};
use crate::support::until;

#[test]
fn a_project_is_deployed_and_reached_by_its_name() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    let text = platform.done(&project, &["deploy", "--var", "MODE=live"]);
    let url = format!("http://chat.{DOMAIN}:{}", platform.server.port);
    assert!(
        text.contains(&format!("Deployed server.js to {url}")) && text.contains("Release 1 in"),
        "{text}"
    );
    let answer = platform.json("chat", "/party/lobby");
    assert_eq!((&answer["version"], &answer["count"]), (&json!("one"), &json!(1)));
    assert_eq!(answer["env"], json!({ "MODE": "live" }));
    assert_eq!(answer["url"], format!("http://chat.{DOMAIN}/party/lobby"));
    assert_eq!(answer["host"], format!("chat.{DOMAIN}:{}", platform.server.port));
    assert_eq!(answer["ip"], "127.0.0.1");
    assert_eq!(platform.get("chat", "/").1, "edge one");
    let mut socket = platform.socket("chat", "/party/lobby");
    say(&mut socket, "hello");
    assert_eq!(frame(&mut socket).unwrap(), (1, b"echo hello".to_vec()));
    assert_eq!(platform.get("none", "/").0, 404);
    // Names know no case.
    assert_eq!(platform.ask("GET", "CHAT.Party.TEST", "/", "", b"").2, "edge one");

    let list = platform.done(&project, &["list"]);
    assert!(list.contains("chat") && list.contains("running") && list.contains(&url), "{list}");
    let list: serde_json::Value =
        serde_json::from_str(&platform.done(&project, &["list", "--format", "json"])).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["release"]["number"]), (&json!("chat"), &json!(1)));
    let info: serde_json::Value = serde_json::from_str(&platform.done(&project, &["info"])).unwrap();
    assert_eq!((&info["state"], &info["connections"]), (&json!("running"), &json!(1)));
}

#[test]
fn a_new_release_takes_the_place_of_the_old_one_with_its_data() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.json("chat", "/party/lobby");
    let mut socket = platform.socket("chat", "/party/lobby");
    set_version(&project, "two");
    platform.done(&project, &["deploy"]);
    assert_eq!(close_code(&mut socket), Some(1012), "clients connect again");
    let answer = platform.json("chat", "/party/lobby");
    assert_eq!((&answer["version"], &answer["count"]), (&json!("two"), &json!(2)));
    let releases = platform.done(&project, &["releases"]);
    let live: Vec<&str> = releases.lines().filter(|line| line.contains("live")).collect();
    assert!(live.len() == 1 && live[0].starts_with('2') && live[0].contains("me"), "{releases}");

    assert!(platform.done(&project, &["rollback"]).contains("chat is back at release 1"));
    let answer = platform.json("chat", "/party/lobby");
    assert_eq!((&answer["version"], &answer["count"]), (&json!("one"), &json!(3)));
    platform.done(&project, &["rollback", "2"]);
    assert_eq!(platform.json("chat", "/party/lobby")["version"], "two");
    let (code, text) = platform.run(&project, &["rollback", "7"]);
    assert!(code == Some(1) && text.contains("There is no release 7 of chat"), "{text}");
}

#[test]
fn a_release_may_differ_from_the_one_before_in_its_variables_only() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    let env = |args: &[&str]| {
        platform.done(&project, &[&["deploy"], args].concat());
        platform.json("chat", "/party/lobby")["env"].clone()
    };
    assert_eq!(env(&["--var", "MODE=one"]), json!({ "MODE": "one" }));
    let process = platform.process("chat");
    assert_eq!(env(&["--var", "MODE=two"]), json!({ "MODE": "two" }));
    project.write(
        "partykit.json",
        r#"{ "name": "chat", "main": "server.js", "vars": { "MODE": "file", "MORE": "file" } }"#,
    );
    project.write(".env", "SECRET=dotenv\n");
    assert_eq!(env(&[]), json!({}), "as the original: variables are asked for");
    assert_eq!(
        env(&["--with-vars", "--var", "MODE=three"]),
        json!({ "MODE": "three", "MORE": "file", "SECRET": "dotenv" })
    );
    assert_eq!(platform.process("chat"), process, "the process is the same");
    platform.done(&project, &["rollback", "1"]);
    assert_eq!(platform.json("chat", "/party/lobby")["env"], json!({ "MODE": "one" }));
}

#[test]
fn hibernating_rooms_keep_their_sockets() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    let server = |version: &str| {
        format!(
            "export default class {{ options = {{ hibernate: true }};
          onMessage(message, connection) {{ connection.send(`{version} ${{message}}`); }} }}"
        )
    };
    project.write("server.js", &server("one"));
    platform.done(&project, &["deploy"]);
    let mut socket = platform.socket("chat", "/party/lobby");
    say(&mut socket, "a");
    assert_eq!(frame(&mut socket).unwrap().1, b"one a");
    let process = platform.process("chat");
    project.write("server.js", &server("two"));
    platform.done(&project, &["deploy"]);
    say(&mut socket, "b");
    assert_eq!(frame(&mut socket).unwrap().1, b"two b");
    platform.done(&project, &["rollback"]);
    say(&mut socket, "c");
    assert_eq!(frame(&mut socket).unwrap().1, b"one c");
    assert_eq!(platform.process("chat"), process, "the process is the same");
    // What a running process cannot change, another one does.
    project.write(
        "partykit.json",
        r#"{ "name": "chat", "main": "server.js", "bindings": { "kv": { "words": "words" } } }"#,
    );
    platform.done(&project, &["deploy"]);
    assert_eq!(close_code(&mut socket), Some(1012));
    assert_ne!(platform.process("chat"), process);
}

#[test]
fn a_release_that_does_not_start_is_taken_back() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    project.write("server.js", "throw new Error('it cannot start'); export default class {}");
    let (code, text) = platform.run(&project, &["deploy"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("The new release does not start. Release 1 still runs.")
            && text.contains("it cannot start"),
        "{text}"
    );
    assert_eq!(platform.json("chat", "/party/lobby")["version"], "one");
    assert_eq!(platform.done(&project, &["releases"]).lines().count(), 2, "nothing of it is left");
    // A first one leaves not even the name.
    let (code, text) = platform.run(&project, &["deploy", "--name", "other"]);
    assert!(code == Some(1) && text.contains("Nothing was deployed."), "{text}");
    assert!(!platform.done(&project, &["list"]).contains("other"));
    // One that cannot be built is not sent.
    project.write("server.js", "export default {");
    let (code, text) = platform.run(&project, &["deploy"]);
    assert!(code == Some(1) && !text.contains("Deploying"), "{text}");
}

#[test]
fn previews_have_data_of_their_own_and_are_promoted() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.json("chat", "/party/lobby");
    set_version(&project, "two");
    let text = platform.done(&project, &["deploy", "--preview", "pr-7"]);
    assert!(text.contains(&format!("http://pr-7.chat.{DOMAIN}")), "{text}");
    let answer = platform.json("pr-7.chat", "/party/lobby");
    assert_eq!((&answer["version"], &answer["count"]), (&json!("two"), &json!(1)));
    assert_eq!(platform.json("chat", "/party/lobby")["version"], "one");
    platform.done(&project, &["promote", "pr-7"]);
    let answer = platform.json("chat", "/party/lobby");
    assert_eq!((&answer["version"], &answer["count"]), (&json!("two"), &json!(3)));
    platform.done(&project, &["delete", "--force", "--preview", "pr-7"]);
    assert_eq!(platform.get("pr-7.chat", "/").0, 404);
    assert_eq!(platform.get("chat", "/").1, "edge two");
}

#[test]
fn only_static_files_that_the_host_lacks_are_sent() {
    let platform = Platform::start(&["--limit", "host_release_bytes_max=300000"]);
    let project = chat("chat", "one");
    project.write("partykit.json", r#"{ "name": "chat", "main": "server.js", "serve": "public" }"#);
    // Numbers that do not compress: two of these are more than may be sent at once.
    let noise = |seed: u32| -> String {
        let mut state = seed;
        (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b' ' + u8::try_from((state >> 16) % 95).unwrap())
            })
            .collect()
    };
    project.write("public/one.txt", &noise(1));
    platform.done(&project, &["deploy"]);
    project.write("public/two.txt", &noise(2));
    project.write("public/sub/copy.txt", &noise(1));
    platform.done(&project, &["deploy"]);
    for (path, seed) in [("/one.txt", 1), ("/two.txt", 2), ("/sub/copy.txt", 1)] {
        assert!(platform.get("chat", path) == (200, noise(seed)), "{path}");
    }
    // Without a release that has them, all would be sent, which is too much.
    let (code, text) = platform.run(&project, &["deploy", "--name", "other"]);
    assert!(code == Some(1) && text.contains("limit `host_release_bytes_max`"), "{text}");
}

#[test]
fn deployments_of_one_project_come_one_after_the_other() {
    let platform = Platform::start(&[]);
    let projects: Vec<_> = (1..=3).map(|number| chat("chat", &format!("v{number}"))).collect();
    let deploy = |project| {
        let mut command = platform.command(project, &platform.token);
        command.arg("deploy").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = projects.iter().map(deploy).collect();
    let text = |running: std::process::Child| {
        let output = running.wait_with_output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
        text
    };
    let texts: Vec<String> = running.into_iter().map(text).collect();
    assert!(texts.iter().any(|text| text.contains("for another deployment of this project")), "{texts:?}");
    let numbers: std::collections::BTreeSet<String> = texts
        .iter()
        .map(|text| {
            text.lines().find_map(|line| line.strip_prefix("Release ")).unwrap().chars().take(1).collect()
        })
        .collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), ["1", "2", "3"]);
    let releases = platform.done(&projects[0], &["releases"]);
    assert!(releases.lines().nth(1).unwrap().contains("live"), "the last one runs: {releases}");
}

#[test]
fn old_releases_are_removed_and_what_runs_stays() {
    let platform = Platform::start(&["--limit", "host_releases_max=2"]);
    let project = chat("chat", "one");
    for version in ["one", "two", "three"] {
        set_version(&project, version);
        platform.done(&project, &["deploy"]);
    }
    let releases = platform.done(&project, &["releases"]);
    assert_eq!(releases.lines().count(), 3, "{releases}");
    let files = std::fs::read_dir(platform.data.path().join("sites/chat/releases")).unwrap().count();
    assert_eq!(files, 2);
    assert_eq!(platform.json("chat", "/party/a")["version"], "three");
}

#[test]
fn a_host_that_dies_in_a_deployment_has_the_old_release_or_the_new_one() {
    let mut platform = Platform::start(&[]);
    let project = chat("chat", "v0");
    platform.done(&project, &["deploy"]);
    for round in 1..=4 {
        let before = platform.json("chat", "/party/lobby");
        set_version(&project, &format!("v{round}"));
        let mut deploying = platform.command(&project, &platform.token);
        deploying.arg("deploy").stdout(Stdio::null()).stderr(Stdio::null());
        let mut deploying = deploying.spawn().unwrap();
        // In each round a little later: while it is received, tried, swapped.
        let incoming = platform.data.path().join("incoming");
        until("something of it arrives", || {
            std::fs::read_dir(&incoming).unwrap().count() > 0 || deploying.try_wait().unwrap().is_some()
        });
        std::thread::sleep(std::time::Duration::from_millis(60 * (round - 1))); // Sleeps: a moment of the deployment.
        platform.restart(libc::SIGKILL);
        let _failed = deploying.wait();
        let after = platform.json("chat", "/party/lobby");
        let known = [before["version"].clone(), json!(format!("v{round}"))];
        assert!(known.contains(&after["version"]), "{before} {after}");
        assert_eq!(after["count"].as_i64(), before["count"].as_i64().map(|count| count + 1));
        assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 0, "what was received is gone");
    }
    platform.done(&project, &["deploy"]);
    assert_eq!(platform.json("chat", "/party/lobby")["version"], "v4");
}

#[test]
fn deleting_asks_and_keeps_the_data_for_a_while() {
    let platform = Platform::start(&["--limit", "host_deleted_time_max=100s"]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.done(&project, &["deploy", "--preview", "p"]);
    platform.json("chat", "/party/lobby");
    let (code, text) = platform.run(&project, &["delete"]);
    assert!(code == Some(1) && text.contains("Cannot delete without --force"), "{text}");
    let (code, text) = platform.run(&project, &["delete", "--force", "--name", "chta"]);
    assert!(code == Some(1) && text.contains("There is no project `chta`"), "{text}");
    let text = platform.done(&project, &["delete", "--force"]);
    assert!(
        text.contains(&format!("Deleted chat.{DOMAIN}")) && text.contains("kept on the host until"),
        "{text}"
    );
    assert_eq!((platform.get("chat", "/").0, platform.get("p.chat", "/").0), (404, 404));
    let kept: Vec<_> = std::fs::read_dir(platform.data.path().join("deleted")).unwrap().collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().any(|folder| folder.as_ref().unwrap().path().join("data/partyrun.sqlite").exists()));
    // The name is free, and begins anew.
    platform.done(&project, &["deploy"]);
    assert_eq!(platform.json("chat", "/party/lobby")["count"], 1);
}
