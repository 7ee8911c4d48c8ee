//! Projects and rooms that take long: what is said, what is ended, and what goes on meanwhile.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;

use crate::support::{PATIENCE, Project};

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
