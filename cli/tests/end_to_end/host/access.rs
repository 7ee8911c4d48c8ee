//! Who may do what: tokens with their scopes, variables that only deployers read, domains, and the audit log.

use serde_json::json;

use super::{DOMAIN, Platform, chat};
use crate::support::Project;

#[test]
fn tokens_may_do_what_their_scope_says_until_they_are_withdrawn() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.done(&project, &["deploy", "--name", "other"]);
    let ci = platform.new_token(&project, &["--name", "ci", "--scope", "deploy", "--project", "chat"]);
    let reader = platform.new_token(&project, &["--name", "reader", "--scope", "read"]);
    let run = |token: &str, args: &[&str]| platform.run_as(&project, token, args, "");
    let refused = |token: &str, args: &[&str], why: &str| {
        let (code, text) = run(token, args);
        assert!(code == Some(1) && text.contains(why), "{args:?}: {text}");
    };
    assert_eq!(run(&ci, &["deploy"]).0, Some(0));
    assert_eq!(run(&ci, &["deploy", "--preview", "pr-1"]).0, Some(0));
    refused(&ci, &["deploy", "--name", "other"], "may not do this to `other`");
    // It cannot even tell which others there are.
    refused(&ci, &["info", "--name", "other"], "may not do this to `other`");
    refused(&ci, &["info", "--name", "nothing"], "may not do this to `nothing`");
    assert!(!run(&ci, &["list"]).1.contains("other"));
    refused(&ci, &["token", "generate"], "Only a token with the scope `admin`");
    assert!(run(&reader, &["list"]).1.contains("other"));
    refused(&reader, &["deploy"], "may not do this to `chat`");
    refused(&reader, &["delete", "--force"], "may not do this to `chat`");
    assert!(run(&ci, &["whoami"]).1.contains("Logged in as ci (deploy for chat)"));

    let listed = platform.done(&project, &["token", "list"]);
    let line = listed.lines().find(|line| line.contains("  ci ")).unwrap();
    platform.done(&project, &["token", "withdraw", line.split(' ').next().unwrap()]);
    refused(&ci, &["info"], "unknown or withdrawn");
    refused("prt_nothing", &["info"], "unknown or withdrawn");

    // Of a token only a hash is kept.
    let stored: Vec<u8> = ["host.sqlite", "host.sqlite-wal"]
        .iter()
        .flat_map(|file| std::fs::read(platform.data.path().join(file)).unwrap_or_default())
        .collect();
    let holds = |text: &str| stored.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("reader") && !holds(&reader[4..]) && !holds(&ci[4..]));

    let (_, entries) = platform.api("GET", "/v1/audit", b"");
    let did = |who: &str, action: &str, subject: &str| {
        entries.as_array().unwrap().iter().any(|entry| {
            entry["who"] == who
                && entry["action"] == action
                && entry["subject"] == subject
                && entry["ip"] == "127.0.0.1"
        })
    };
    assert!(
        did("ci", "deploy", "chat") && did("me", "token.generate", "ci") && did("me", "deploy", "other"),
        "{entries}"
    );
    assert!(!entries.to_string().contains("prt_"));
}

#[test]
fn logging_in_is_remembered_for_the_host_that_it_was_for() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    let plain = |args: &[&str], input: &str| {
        let mut command = platform.command(&project, "");
        command.env_remove("PARTYRUN_URL").env_remove("PARTYKIT_TOKEN").args(args);
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    assert!(plain(&["whoami"], "").1.contains("Not logged in"));
    let (code, text) = plain(&["list"], "");
    assert!(code == Some(1) && text.contains("partyrun login https://HOST"), "{text}");
    let (code, text) = plain(&["login", &platform.url()], "prt_wrong\n");
    assert!(code == Some(1) && text.contains("unknown or withdrawn"), "{text}");
    let (code, text) = plain(&["login", &platform.url()], &format!("{}\n", platform.token));
    assert!(code == Some(0) && text.contains("Logged in as me"), "{text}");
    assert_eq!(plain(&["deploy"], "").0, Some(0));
    let (code, text) = plain(&["list", "--to", "http://127.0.0.1:9"], "");
    assert!(code == Some(1) && text.contains("There is no token for http://127.0.0.1:9"), "{text}");
    assert!(plain(&["logout"], "").1.contains("Logged out"));
    assert!(plain(&["whoami"], "").1.contains("Not logged in"));
}

#[test]
fn variables_are_encrypted_and_reach_the_room() {
    let platform = Platform::start(&["--limit", "host_values_bytes_max=1000"]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.json("chat", "/party/a");
    let add =
        |name: &str, value: &str| platform.run_as(&project, &platform.token, &["env", "add", name], value);
    assert!(add("SECRET", "the secret value\n").1.contains("Deployed environment variable: SECRET"));
    assert_eq!(platform.json("chat", "/party/a")["env"], json!({ "SECRET": "the secret value" }));
    let (code, text) = add("not-a-name", "x");
    assert!(code == Some(1) && text.contains("is no name for a variable"), "{text}");
    let (code, text) = add("LONG", &"x".repeat(2000));
    assert!(code == Some(1) && text.contains("limit `host_values_bytes_max`"), "{text}");

    project.write(
        "partykit.json",
        r#"{ "name": "chat", "main": "server.js", "vars": { "GREETING": "hi", "LD_PRELOAD": "/x" } }"#,
    );
    assert!(
        platform
            .done(&project, &["env", "push"])
            .contains("Pushed environment variables: GREETING, LD_PRELOAD")
    );
    assert!(
        platform
            .done(&project, &["env", "list"])
            .contains("Deployed variables: GREETING, LD_PRELOAD, SECRET")
    );
    assert!(platform.done(&project, &["env", "list", "--format", "json"]).contains("\"SECRET\""));
    let reader = platform.new_token(&project, &["--scope", "read"]);
    let (code, text) = platform.run_as(&project, &reader, &["env", "pull"], "");
    assert!(code == Some(1) && text.contains("names of variables only"), "{text}");
    let other = Project::new(&[]);
    platform.done(&other, &["env", "pull", "--name", "chat"]);
    let pulled: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(other.file("partykit.json")).unwrap()).unwrap();
    assert_eq!((&pulled["name"], &pulled["vars"]["SECRET"]), (&json!("chat"), &json!("the secret value")));

    // Nowhere on the disk, in the environment, on a command line or in a log.
    let process = platform.process("chat").unwrap();
    for file in ["environ", "cmdline"] {
        let text = std::fs::read(format!("/proc/{process}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("secret value"), "{file}");
    }
    assert!(!platform.server.output().contains("secret value"));
    let found = std::process::Command::new("grep")
        .args(["-ra", "the secret value"])
        .arg(platform.data.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");

    let (code, text) = platform.run(&project, &["env", "remove"]);
    assert!(code == Some(1) && text.contains("Name the variable"), "{text}");
    assert!(
        platform
            .done(&project, &["env", "remove", "SECRET"])
            .contains("Deleted deployed environment variable: SECRET")
    );
    let (code, text) = platform.run(&project, &["env", "remove", "SECRET"]);
    assert!(code == Some(1) && text.contains("There is no variable `SECRET`"), "{text}");
    assert!(platform.json("chat", "/party/a")["env"]["SECRET"].is_null());
}

#[test]
fn a_project_is_reached_by_its_own_domain_which_only_one_can_have() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    let text = platform.done(&project, &["deploy", "--domain", "chat.example.test"]);
    assert!(text.contains("It is also at chat.example.test") && text.contains("is not in DNS yet"), "{text}");
    assert_eq!(platform.ask("GET", "Chat.Example.test", "/", "", b"").2, "edge one");
    platform.done(&project, &["deploy", "--name", "other"]);
    let add = |domain: &str| platform.run(&project, &["domains", "add", domain, "--name", "other"]);
    for (domain, why) in [
        ("chat.example.test", "belongs to another project"),
        ("CHAT.example.test", "belongs to another project"),
        ("x.party.test", "is below the host's own domain"),
        ("*.example.test", "is no domain"),
        ("127.0.0.1", "is no domain"),
    ] {
        let (code, text) = add(domain);
        assert!(code == Some(1) && text.contains(why), "{domain}: {text}");
    }
    assert_eq!(platform.done(&project, &["domains", "list"]), "chat.example.test\n");
    platform.done(&project, &["domains", "remove", "chat.example.test"]);
    assert_eq!(platform.ask("GET", "chat.example.test", "/", "", b"").0, 404);
    assert_eq!(add("chat.example.test").0, Some(0));
    assert_eq!(platform.ask("GET", "chat.example.test", "/", "", b"").0, 200);
}

#[test]
fn the_api_is_at_the_hosts_own_name_and_describes_itself() {
    let platform = Platform::start(&["--limit", "host_body_bytes_max=100"]);
    let (status, _, body) = platform.ask("GET", DOMAIN, "/v1/openapi.json", "", b"");
    assert!(status == 200 && body.contains("\"/v1/projects/{project}/releases\""));
    let (status, _, body) = platform.ask("GET", DOMAIN, "/v1/projects", "", b"");
    assert!(status == 401 && body.contains("\"code\":\"token\""), "{body}");
    assert_eq!(platform.ask("GET", DOMAIN, "/", "", b"").0, 404);
    assert_eq!(platform.api("GET", "/v1/nothing", b"").0, 404);
    assert_eq!(platform.api("POST", "/v1/tokens", b"{").0, 400);
    let (status, error) = platform.api("POST", "/v1/tokens", &[b' '; 200]);
    assert!(status == 413 && error.to_string().contains("host_body_bytes_max"), "{error}");
    assert_eq!(platform.api("GET", "/v1/projects/%ff", b"").0, 400);
}
