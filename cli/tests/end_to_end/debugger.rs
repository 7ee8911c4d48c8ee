//! `--inspect`: a real client of the DevTools protocol, and requests that are not from one.

use std::io::{Read, Write};

use crate::support::{Project, Server, free_port, get, node, partyrun, skip};

const TYPESCRIPT: &str = "import type * as Party from 'partykit/server';
function spin(text: string): string {
  return text.repeat(1000).split('').reverse().join('');
}

export default class Server implements Party.Server {
  constructor(readonly room: Party.Room) {}

  onMessage(message: string, connection: Party.Connection) {
    const doubled: string = message + message;
    console.log('got', doubled);
    if (message === 'spin') for (const end = Date.now() + 200; Date.now() < end; ) spin(doubled);
    connection.send(doubled);
  }

  fail() {
    throw new Error('failed');
  }
}
";

fn debugged(project: &Project, flag: &str) -> (Server, u16) {
    let (port, debugger) = (free_port(), free_port());
    let mut command = partyrun();
    command.args(["dev", "server.ts", "--persist", "false", "--port", &port.to_string()]);
    command.arg(format!("{flag}={debugger}")).current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Debugger on");
    (server, debugger)
}

#[test]
fn breakpoints_in_typescript_hit() {
    let project = Project::new(&[("server.ts", TYPESCRIPT)]);
    let (server, debugger) = debugged(&project, "--inspect");
    server.wait_for("Ready on");
    // The room exists when the client connects to it; line 11 prints.
    let Some(text) = server.client("debugger.mjs", &[&format!("127.0.0.1:{debugger}"), "11"]) else { return };
    for line in [
        "targets edge main/abc partyrun (all rooms)",
        "unknown target Unexpected server response: 404",
        "breakpoints 1",
        "paused in onMessage abab!",
        "echo abab",
        "console log abab",
        "snapshot true",
        "profile of server.ts: onMessage spin",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no `{line}` in:\n{text}");
    }
    server.wait_for("[main/abc] paused by the debugger; other rooms of its thread wait");
    // The terminal sees what the debugger's console saw.
    server.wait_for("[main/abc] got abab");
    server.stop();
}

#[test]
fn one_attach_debugs_every_room_from_its_first_message() {
    let project = Project::new(&[("server.ts", TYPESCRIPT)]);
    let (server, debugger) = debugged(&project, "--inspect");
    server.wait_for("Ready on");
    let file = project.path().canonicalize().unwrap().join("server.ts");
    let args = [&format!("127.0.0.1:{debugger}"), file.to_str().unwrap(), "11"];
    let Some(text) = server.client("vscode.mjs", &args) else { return };
    let expected = "first partyrun (all rooms)
process Cannot find context with specified id
console 23
unknown 'No.such' wasn't found
echo abab
waited true
frames onMessage file:///bundle.js
grouped startGroup g, log in, endGroup console.groupEnd, trace t
stack true
stored 5
named abc
echo cdcd 2
lost false
main/abc onMessage true 11 1 abab,abc,true,main/abc
main/abc onMessage true 11 1 cdcd,abc,true,main/abc
flat true 42
";
    assert_eq!(text, expected);
    server.stop();
}

#[test]
fn devtools_opens_what_it_shows() {
    if !std::path::Path::new(&std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".to_string())).is_file()
    {
        return skip("Chromium is not there");
    }
    let project = Project::new(&[("server.ts", TYPESCRIPT)]);
    let (server, debugger) = debugged(&project, "--inspect");
    server.wait_for("Ready on");
    let Some(text) = server.client("devtools.mjs", &[&format!("127.0.0.1:{debugger}")]) else { return };
    let expected =
        "printed at server.ts:11\nthe room answers\nframes of ours false\nthrown at server.ts:17\nopened\n";
    assert_eq!(text, expected);
    server.stop();
}

#[test]
fn rooms_that_share_an_isolate_are_one_target() {
    let project = Project::new(&[("server.ts", TYPESCRIPT), ("partykit.json", r#"{"isolation":"worker"}"#)]);
    let (port, debugger) = (free_port(), free_port());
    let mut command = partyrun();
    command.args(["dev", "server.ts", "--persist", "false", "--workers", "1", "--port", &port.to_string()]);
    command.arg(format!("--inspect={debugger}")).current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    for room in ["one", "two"] {
        let _no_handler = server.get(&format!("/party/{room}"));
    }
    let (_, list) = get(debugger, "/json/list", "localhost").unwrap();
    assert!(list.contains("\"title\":\"main/one, main/two\""), "{list}");
    server.stop();
}

#[test]
fn the_start_waits_for_a_debugger() {
    let project = Project::new(&[("server.ts", TYPESCRIPT)]);
    let (server, debugger) = debugged(&project, "--inspect-brk");
    let Some((ended, text)) = node("paused.mjs", &[&format!("127.0.0.1:{debugger}")]) else { return };
    // The first statement of the project is the function of line 2.
    assert!(ended && text == "waits edge\npaused at server.ts:2\n", "{text}");
    server.wait_for("Ready on");
    server.stop();
}

#[test]
fn a_start_that_waits_can_be_stopped() {
    let project = Project::new(&[("server.ts", TYPESCRIPT)]);
    let (server, _) = debugged(&project, "--inspect-brk");
    server.wait_for("Waiting for a debugger");
    assert!(!server.stop().contains("Ready on"));
}

#[test]
fn only_this_machine_by_its_own_name_is_answered() {
    let project = Project::new(&[("server.ts", TYPESCRIPT)]);
    let (server, debugger) = debugged(&project, "--inspect");
    server.wait_for("Ready on");
    let ask = |path: &str, host: &str| get(debugger, path, host).unwrap();
    assert!(ask("/json/version", "localhost").1.contains("\"Browser\":\"partyrun/"));
    assert_eq!(ask("/json/list", "127.0.0.1").0, 200);
    for host in ["evil.test", "localhost.evil.test"] {
        assert_eq!(ask("/json/list", host).0, 400, "{host}");
    }
    assert_eq!(ask("/nothing", "localhost").0, 404);
    // Browsers say which page opens a WebSocket, and ask nobody whether it may.
    let id = ask("/json/list", "localhost")
        .1
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_string();
    let named = |name: &str, origin: &str| {
        let lines = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        let head = format!("GET /{name} HTTP/1.1\r\nhost: localhost:{debugger}\r\n{lines}{origin}\r\n");
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", debugger)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        String::from_utf8(status.to_vec()).unwrap()
    };
    let opened = |origin: &str| named(&id, origin);
    for origin in ["", "origin: devtools://devtools\r\n", "origin: http://localhost:3000\r\n"] {
        assert_eq!(opened(origin), "HTTP/1.1 101", "{origin}");
    }
    // A room's name can be guessed, so that no page may use it.
    assert_eq!(named("edge", ""), "HTTP/1.1 101");
    assert_eq!(named("edge", "origin: devtools://devtools\r\n"), "HTTP/1.1 101");
    assert_eq!(named("edge", "origin: http://localhost:3000\r\n"), "HTTP/1.1 403");
    for origin in ["origin: http://evil.test\r\n", "origin: null\r\n", "origin: http://10.1.2.3\r\n"] {
        assert_eq!(opened(origin), "HTTP/1.1 403", "{origin}");
    }
    let mut second = partyrun();
    let (port, flag) = (free_port().to_string(), format!("--inspect={debugger}"));
    let output =
        second.args(["dev", "server.ts", "--port", &port, &flag]).current_dir(project.path()).output();
    let text = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(text.contains(&format!("The debugger's port {debugger} is in use")), "{text}");
}
