//! What the terminal shows, as whole texts: the banner, an error with its code, escaped strings, levels, JSON lines.

use crate::support::{Project, SERVER, Server, free_port, partyrun, until};

const FAILING: &str = "export default class Server {
  onRequest(request) {
    const { pathname } = new URL(request.url);
    if (pathname.endsWith('/log')) {
      console.log('plain', { a: [1, 2] }, 'esc \\x1b[2J');
      console.warn('careful');
      console.debug('details');
      return new Response('ok');
    }
    throw new Error('it failed', { cause: new TypeError('the reason') });
  }
}
";

fn started(args: &[&str], log: Option<&str>) -> (Project, Server) {
    let project = Project::new(&[("server.ts", FAILING)]);
    let port = free_port();
    let mut command = partyrun();
    command.args([
        "dev",
        "server.ts",
        "--persist",
        "false",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    command.args(args).current_dir(project.path());
    if let Some(log) = log {
        command.env("PARTYKIT_LOG", log);
    }
    let server = Server::start(command, port);
    (project, server)
}

#[test]
fn the_banner_and_an_error() {
    let (project, server) = started(&[], None);
    let ready = server.wait_for("Ready on");
    assert!(ready.starts_with(&format!("Ready on http://127.0.0.1:{} in ", server.port)), "{ready}");
    assert_eq!(server.get("/party/lobby"), (500, "it failed".to_string()));
    server.wait_for("GET /party/lobby 500");
    let name = project.path().file_name().unwrap().to_string_lossy().into_owned();
    let shown = server.output().replace(&server.port.to_string(), "PORT").replace(&name, "NAME");
    // The administrative port and its token are new each time.
    let stays = |line: &&str| !line.starts_with("Ready") && !line.starts_with("  admin ");
    let shown: Vec<&str> = shown.lines().filter(stays).collect();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "partyrun {version} NAME
  local    http://127.0.0.1:PORT
[main/lobby] onRequest error Error: it failed
[main/lobby]     at Server.onRequest (server.ts:10:11) {{
[main/lobby]   [cause]: TypeError: the reason
[main/lobby]       at Server.onRequest (server.ts:10:43)
[main/lobby] }}
[main/lobby] 
[main/lobby]    8 |       return new Response('ok');
[main/lobby]    9 |     }}
[main/lobby]   10 |     throw new Error('it failed', {{ cause: new TypeError('the reason') }});
[main/lobby]      |           ^"
    );
    let shown = shown.join("\n");
    assert!(shown.starts_with(&expected), "{shown}\n--- is not\n{expected}");
}

#[test]
fn strings_of_users_do_not_drive_the_terminal() {
    let (_project, server) = started(&[], None);
    server.wait_for("Ready on");
    server.get("/party/lobby/log");
    server.wait_for("[main/lobby] plain { a: [ 1, 2 ] } esc \\u{1b}[2J");
    server.wait_for("[main/lobby] careful");
    server.wait_for("[main/lobby] details");
    assert!(!server.output().contains('\u{1b}'));
}

#[test]
fn levels_hide_what_is_less_urgent() {
    let (_project, server) = started(&[], Some("warn"));
    until("it serves", || server.try_get("/party/lobby/log").is_ok());
    server.wait_for("careful");
    let output = server.output();
    assert!(
        ["plain", "details", "GET /party", "Ready"].iter().all(|quiet| !output.contains(quiet)),
        "{output}"
    );
    let (_project, server) = started(&[], Some("loud"));
    server.wait_for("Unrecognised PARTYKIT_LOG value `loud`");
}

#[test]
fn json_lines_hold_one_object_each() {
    let (_project, server) = started(&["--json"], None);
    server.wait_for("Ready on");
    server.get("/party/lobby/log");
    server.get("/party/lobby");
    server.wait_for("\"status\":500");
    let output = server.output();
    let lines: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(lines.iter().all(|line| line["time"].is_string() && line["type"].is_string()));
    let plain = lines.iter().find(|line| line["level"] == "log").unwrap();
    assert_eq!((&plain["from"], &plain["type"]), (&"main/lobby".into(), &"console".into()));
    assert!(plain["text"].as_str().unwrap().contains("\u{1b}[2J"), "JSON escapes by itself");
}

#[test]
fn a_busy_port_is_named_and_another_one_found_when_none_was_asked_for() {
    let project = Project::new(&[("server.js", SERVER)]);
    let first = project.serve(&["dev", "server.js", "--persist", "false"]);
    let args = ["dev", "server.js", "--persist", "false", "--port", &first.port.to_string()];
    let (code, text) = project.run(&args);
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("Port {} is in use.", first.port)), "{text}");
    // Whether or not 1999 is free here, two of them cannot have it.
    let start = || {
        let mut command = partyrun();
        command.args(["dev", "server.js", "--persist", "false", "--host", "127.0.0.1"]);
        command.current_dir(project.path());
        Server::start(command, 0)
    };
    let (one, two) = (start(), start());
    let (one, two) = (one.wait_for("Ready on"), two.wait_for("Ready on"));
    let address = |line: &str| line.split(' ').nth(2).unwrap().to_string();
    assert_ne!(address(&one), address(&two));
}

#[test]
fn help_tells_commands_and_examples() {
    let project = Project::new(&[]);
    let (code, text) = project.run(&["--help"]);
    assert_eq!(code, Some(0));
    for command in ["dev", "start", "build", "init", "import", "completions"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {text}");
        let (code, help) = project.run(&[command, "--help"]);
        assert_eq!(code, Some(0), "{command}");
        assert!(command == "completions" || help.contains("Examples:"), "{command}: {help}");
    }
    assert_eq!(project.run(&["nonsense"]).0, Some(1));
    let (code, page) = project.run(&["completions", "man"]);
    assert!(code == Some(0) && page.contains(".TH") && page.contains("PARTYRUN DEV"), "{page}");
}

#[test]
fn check_loads_the_modules_and_names_the_one_that_is_wrong() {
    let config = r#"{ "main": "server.js", "parties": { "other": "src/other.js" } }"#;
    let project = Project::new(&[
        ("partykit.json", config),
        ("server.js", "console.log('loading'); export default class { onRequest() {} }"),
        ("src/other.js", "throw new Error('at the top');"),
    ]);
    let (code, text) = project.run(&["check"]);
    assert_eq!(code, Some(1), "{text}");
    for part in ["src/other.js failed while it was loaded.", "at src/other.js:1:7", "  1 | throw new Error"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("ext:"), "{text}");
    project.write("src/other.js", "export const x = 1;");
    let (code, text) = project.run(&["check"]);
    let told = "src/other.js (party other): The module has no default export";
    assert!(code == Some(1) && text.contains(told), "{text}");
    project.write("src/other.js", "import 'node:fz'; export default {};");
    let (code, text) = project.run(&["check"]);
    assert!(code == Some(1) && text.contains("Node.js has no module \"node:fz\""), "{text}");
    assert!(text.contains("help: did you mean \"node:fs\"?"), "{text}");
    project.write("src/other.js", "export default {};");
    let (code, text) = project.run(&["check"]);
    assert!(
        code == Some(0) && text.contains("loading") && text.contains("The project builds and loads"),
        "{text}"
    );
}

#[test]
fn json_has_no_frames_of_ours_and_paths_that_exist() {
    let logs = "export default class { onRequest() { console.log({ e: new Error('inside'), a: 1 }); throw new Error('x') } }";
    let project = Project::new(&[("src/server.js", logs)]);
    let server = project.serve(&["dev", "src/server.js", "--persist", "false", "--json"]);
    server.get("/party/a");
    server.wait_for("\"status\":500");
    let output = server.output();
    assert!(!output.contains("ext:") && !output.contains("file:///"), "{output}");
    assert_eq!(output.matches("src/server.js:1:").count(), 2, "{output}");
}

#[test]
fn what_was_probably_meant_is_said() {
    let project = Project::new(&[
        ("server.ts", SERVER),
        ("text.partyrun", "hello"),
        ("jsx.ts", "export default () => <b/>;\n"),
    ]);
    let cases: [(&[&str], &str); 7] = [
        (&["dve", "server.ts"], "Did you mean `partyrun dev`?"),
        (&["server.ts"], "To run a file, write `partyrun dev server.ts`."),
        (&["dev", "--inspect", "9300"], "write `--inspect=9300`"),
        (&["dev", "--port", "abc"], "write a number up to 65535"),
        (&["start", "text.partyrun"], "was not written by `partyrun build`"),
        (&["start", "server.ts", "--limit", "heap_bytes_max=64MB"], "a size such as `64MiB`"),
        (&["check", "jsx.ts"], "rename it to jsx.tsx"),
    ];
    for (args, told) in cases {
        let (code, text) = project.run(args);
        assert!(code == Some(1) && text.contains(told), "{args:?}: {text}");
        assert!(text.matches("Expression expected").count() < 2, "the same mistake once: {text}");
    }
}

#[test]
fn a_browser_sees_the_project_where_it_has_no_page() {
    let project = Project::new(&[("server.js", SERVER)]);
    let server = project.serve(&["dev", "server.js", "--persist", "false"]);
    assert_eq!(server.get("/"), (404, "Not found".to_string()), "a program gets what the original says");
    let Some(text) = server.client("welcome.mjs", &[]) else { return };
    if !text.starts_with("skipped") {
        let lines = ["Your project runs.", r#"room ["main","lobby","1","live"]"#, "problems []"];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines, "{text}");
    }
}
