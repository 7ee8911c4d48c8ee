//! Projects and rooms that take long: what is said, what is ended, and what goes on meanwhile.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;

use crate::raw::{ask, frame, say, socket};
use crate::support::{PATIENCE, Project, Server};

const CONFIG: &str = r#"{ "name": "time", "main": "server.js" }"#;

// A package that computes while it is imported, as dictionaries and parsers do; `ENDLESS` makes it never end.
const DICTIONARY: &str = r#"
const table = [];
export const word = (n) => table[n];
let x = 1;
for (let i = 0; ENDLESS || i < 6e8; i++) x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
for (let i = 0; i < 100; i++) table[i] = `word ${x + i}`;
"#;

const READER: &str = r#"
import { word } from "./dictionary.js";
export default class Reader { onRequest() { return new Response(word(7).slice(0, 4)); } }
"#;

fn reader(endless: bool) -> Project {
    let dictionary = DICTIONARY.replace("ENDLESS", if endless { "true" } else { "false" });
    Project::new(&[("server.js", READER), ("dictionary.js", &dictionary), ("partykit.json", CONFIG)])
}

// A turn's limit says nothing about an import, in development as in production.
#[test]
fn a_project_that_computes_while_it_is_imported_starts() {
    let project = reader(false);
    let limits =
        ["--limit", "turn_cpu_max=300ms", "--limit", "turn_cpu_warn=100ms", "--limit", "spares_per_worker=0"];
    for command in ["dev", "start"] {
        let server = project.serve(&[&[command, "--persist", "false"][..], &limits[..]].concat());
        assert_eq!(server.get("/party/a"), (200, "word".to_string()));
        assert_eq!(server.get("/party/b"), (200, "word".to_string()));
        let told = server.wait_for("Importing the project used ");
        assert!(told.contains(" of CPU time, most of it in `dictionary.js`. "), "{told}");
        server.stop();
    }
}

#[test]
fn an_import_that_does_not_end_is_named() {
    let project = reader(true);
    let (code, text) =
        project.run(&["start", "--persist", "false", "--port", "0", "--limit", "start_cpu_max=500ms"]);
    assert_eq!(code, Some(1), "{text}");
    let reason = "The project did not start: importing the project used more than 500 ms of CPU time \
                  (limit `start_cpu_max`), most of it in `dictionary.js`.";
    assert!(text.contains(reason), "{text}");
}

// `sort` of V8 looks at no interrupt: its thread is gone until it has ended, whatever the watchdog says.
const SORTER: &str = r#"
export default class Sorter {
  count = 0;
  onRequest(request) {
    if (new URL(request.url).searchParams.has("sort")) {
      console.log("sorting");
      const numbers = Array.from({ length: 800_000 }, (_, i) => (i * 7919) % 800_000);
      numbers.sort();
      console.log("sorted");
    }
    return new Response(String(++this.count));
  }
}
"#;

#[test]
fn a_thread_that_nothing_can_end_holds_up_only_the_rooms_that_it_has() {
    let project = Project::new(&[("server.js", SORTER), ("partykit.json", CONFIG)]);
    let server = project.serve(&[
        "start",
        "--persist",
        "false",
        "--workers",
        "1",
        // On a busy machine sorting takes longer than an idle room stays in memory.
        "--limit",
        "room_idle_max=600s",
        "--limit",
        "turn_cpu_max=300ms",
        "--limit",
        "turn_held_after=100ms",
    ]);
    assert_eq!(server.get("/party/neighbour"), (200, "1".to_string()));
    let mut sorter = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    sorter.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(sorter, "GET /party/sorter?sort HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    server.wait_for("sorting");
    assert_eq!(server.get("/party/new"), (200, "1".to_string()));
    assert_eq!(server.get("/party/other"), (200, "1".to_string()));
    let mut answer = String::new();
    sorter.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    // The neighbour has waited and is as it was; the slow room is on another thread now.
    for (room, count) in [("neighbour", "2"), ("new", "2"), ("sorter", "1")] {
        assert_eq!(server.get(&format!("/party/{room}")), (200, count.to_string()), "{room}");
    }
    let output = server.stop();
    let place = |part: &str| output.find(part).unwrap_or_else(|| panic!("no `{part}` in:\n{output}"));
    let held = place("Room `main/sorter` holds its thread up: `onRequest` has run for 100 ms.");
    assert!(
        output[held..].lines().next().unwrap().contains("Rooms that wait for it: `main/neighbour`."),
        "{output}"
    );
    let ended = place(
        "Room `main/sorter` was reset: `onRequest` ran for more than 300 ms of CPU time (limit `turn_cpu_max`)",
    );
    assert!(held < place("/party/new") && place("/party/other") < ended, "new rooms have waited:\n{output}");
}

const SLEEPERS: &str = r#"
export default class Sleeper {
  options = { hibernate: true };
  constructor(room) { this.room = room; }
  onStart() { console.log(`${this.room.id} starts`); }
  onConnect(connection) { connection.setState(0); }
  onMessage(message, connection) {
    connection.setState(connection.state + 1);
    const all = [...this.room.getConnections()].map(({ id, state }) => `${id}${state}`);
    this.room.broadcast(`${message} ${all.join(" ")}`);
  }
  onClose(connection) { this.room.broadcast(`${connection.id} left`); }
  onRequest() { return new Response(String([...this.room.getConnections()].length)); }
}
"#;

// One thread for all rooms, and rooms that hibernate on it.
fn sleepers(args: &[&str]) -> (Project, Server) {
    let config = r#"{ "name": "time", "main": "sorter.js", "parties": { "sleeper": "sleeper.js" } }"#;
    let project = Project::new(&[("sorter.js", SORTER), ("sleeper.js", SLEEPERS), ("partykit.json", config)]);
    let common = [
        "dev",
        "--persist",
        "false",
        "--workers",
        "1",
        "--limit",
        "room_idle_max=600s",
        "--limit",
        "turn_held_after=100ms",
        // The thread stays what it is for others when the sorter has ended.
        "--limit",
        "slow_workers_max=0",
    ];
    let server = project.serve(&[&common[..], args].concat());
    (project, server)
}

fn hibernate(server: &Server, room: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = format!("/__partyrun__/rooms/{room}/hibernate");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

fn heard(stream: &mut TcpStream) -> String {
    String::from_utf8(frame(stream).expect("a message").1).unwrap()
}

// Rooms that hibernate need nothing of the thread that is held up: their next life is on another one, with their sockets.
#[test]
fn a_room_that_hibernates_with_sockets_does_not_wait_for_a_thread_that_is_held_up() {
    let (_project, server) = sleepers(&[]);
    let connect = |id: &str| socket(&server, &format!("/parties/sleeper/quiet?_pk={id}"));
    let (mut a, mut b) = (connect("a"), connect("b"));
    // Nothing of a whole message waits in a socket that is half way into the next one.
    let mut torn = socket(&server, "/parties/sleeper/torn?_pk=c");
    say(&mut torn, "whole");
    assert_eq!(heard(&mut torn), "whole c1");
    hibernate(&server, "sleeper/quiet");
    hibernate(&server, "sleeper/torn");
    torn.write_all(&[0x81]).unwrap();
    for round in 1..=2 {
        // A new room, on the thread that names lead to: the second time that is the one to which the sleeper has moved.
        let sorter = format!("/party/sorter{round}?sort");
        let mut sorter = ask(server.port, &sorter, "Connection: close\r\n");
        server.wait_for_times("sorting", round);
        say(&mut a, "during");
        let said = format!("during b{} a{}", round - 1, 2 * round - 1);
        assert_eq!([heard(&mut a), heard(&mut b)], [said.clone(), said]);
        let released = server.output().matches("no longer holds its thread up").count();
        assert_eq!(released, round - 1, "{}", server.output());
        // A half message is read again where it was begun.
        if round == 1 {
            torn.write_all(&[0x82, 0, 0, 0, 0]).unwrap();
            torn.write_all(b"up").unwrap();
        }
        let mut answer = String::new();
        sorter.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        server.wait_for_times("no longer holds its thread up", round);
        say(&mut a, "after");
        let said = format!("after b{} a{}", round - 1, 2 * round);
        assert_eq!([heard(&mut a), heard(&mut b)], [said.clone(), said]);
        say(&mut b, "too");
        let said = format!("too b{round} a{}", 2 * round);
        assert_eq!([heard(&mut a), heard(&mut b)], [said.clone(), said]);
        assert_eq!(server.get("/parties/sleeper/quiet"), (200, "2".to_string()));
        hibernate(&server, "sleeper/quiet");
    }
    assert_eq!(heard(&mut torn), "up c2");
    drop(a);
    assert_eq!(heard(&mut b), "a left");
    assert_eq!(server.get("/parties/sleeper/quiet"), (200, "1".to_string()));
    let output = server.stop();
    // The room has had one life for each time that it woke, and none beside another one.
    assert_eq!(output.matches("quiet starts").count(), 4, "{output}");
}

// Each connection that moves needs a second descriptor for a moment.
#[test]
fn a_room_with_more_sockets_than_may_move_waits_for_its_thread() {
    let (_project, server) = sleepers(&["--limit", "moved_sockets_max=1"]);
    let connect = |id: &str| socket(&server, &format!("/parties/sleeper/quiet?_pk={id}"));
    let (mut a, _b) = (connect("a"), connect("b"));
    hibernate(&server, "sleeper/quiet");
    let _sorter = ask(server.port, "/party/sorter?sort", "Connection: close\r\n");
    server.wait_for("sorting");
    say(&mut a, "during");
    assert_eq!(heard(&mut a), "during b0 a1");
    server.wait_for_times("quiet starts", 2);
    let output = server.stop();
    assert!(output.find("sorted") < output.rfind("quiet starts"), "{output}");
}
