//! Kept-alive connections, which the thread of a room serves while they ask that room again and again: what they are
//! answered when they ask others, when their room is reset, when its thread is held up, and when the server stops.
//!
//! Which thread serves a connection cannot be seen from outside; `runtime/net/tests/moves.rs` looks at that.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::raw::head;
use crate::support::{PATIENCE, Project, Server};

const CONFIG: &str = r#"{ "name": "moves", "main": "server.js" }"#;

// Counts its requests, sorts for long, waits, gives bodies back.
const SERVER: &str = r#"
export default class Room {
  count = 0;
  async onRequest(request) {
    const { searchParams } = new URL(request.url);
    if (searchParams.has("sort")) {
      console.log("sorting");
      Array.from({ length: 800_000 }, (_, i) => (i * 7919) % 800_000).sort();
    }
    if (searchParams.has("slow")) {
      console.log("waiting");
      await new Promise((go) => setTimeout(go, 1000));
    }
    if (request.method === "POST") return new Response(request.body);
    return new Response(String(++this.count));
  }
}
"#;

/// A connection that is kept alive.
struct Kept(TcpStream);

impl Kept {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn say(&mut self, targets: &[&str]) -> &mut Self {
        let request = |target: &&str| format!("GET /party/{target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let requests: Vec<String> = targets.iter().map(request).collect();
        self.0.write_all(requests.concat().as_bytes()).unwrap();
        self
    }

    /// The status and the body of the next answer.
    fn answer(&mut self) -> (u16, String) {
        let head = head(&mut self.0);
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let (_, rest) =
            head.split_once("content-length: ").unwrap_or_else(|| panic!("no length in:\n{head}"));
        let mut body = vec![0; rest.split("\r\n").next().unwrap().parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (status.unwrap(), String::from_utf8(body).unwrap())
    }

    fn ask(&mut self, target: &str) -> (u16, String) {
        self.say(&[target]).answer()
    }
}

fn serve(more: &[&str]) -> (Project, Server) {
    let project = Project::new(&[("server.js", SERVER), ("partykit.json", CONFIG)]);
    // On a busy machine sorting takes longer than an idle room stays in memory.
    let args = ["start", "--persist", "false", "--limit", "room_idle_max=600s"];
    let server = project.serve(&[&args[..], more].concat());
    (project, server)
}

fn ok(count: u32) -> (u16, String) {
    (200, count.to_string())
}

#[test]
fn one_connection_asks_many_rooms() {
    let (_project, server) = serve(&[]);
    let mut kept = Kept::new(&server);
    let (mut a, mut b) = (0, 0);
    for target in ["a", "a", "b", "a", "a", "a", "a", "b", "b", "b", "b", "b", "a", "a/x", "a?y", "b"] {
        let count = if target.starts_with('a') { &mut a } else { &mut b };
        *count += 1;
        assert_eq!(kept.ask(target), ok(*count), "{target}");
    }
    // The same in one write, and what is no room's among them.
    let targets = ["a", "a", "b", "../nothing", "a", "b", "b", "b", "b", "b", "b", "b", "b", "b", "a"];
    kept.say(&targets);
    for target in targets {
        let expected = match target {
            "../nothing" => (404, "Not found".to_string()),
            "a" => {
                a += 1;
                ok(a)
            }
            _ => {
                b += 1;
                ok(b)
            }
        };
        assert_eq!(kept.answer(), expected, "{target}");
    }
    // Short enough to be read before the room is called: its answer has a length then.
    let body = "body".repeat(10_000);
    let length = body.len();
    write!(kept.0, "POST /party/b HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    assert!(kept.answer() == (200, body));
    assert_eq!(kept.ask("b"), ok(b + 1));
    server.stop();
}

#[test]
fn a_connection_outlives_its_rooms_reset_and_move() {
    let (_project, server) = serve(&["--workers", "1", "--limit", "turn_cpu_max=300ms"]);
    let (mut kept, mut other) = (Kept::new(&server), Kept::new(&server));
    for count in 1..4 {
        assert_eq!(kept.ask("a"), ok(count));
    }
    // The room begins anew, on a thread for slow rooms.
    assert_eq!(other.ask("a?sort").0, 500);
    for count in 1..6 {
        assert_eq!(kept.ask("a"), ok(count));
    }
    // A connection whose own request resets its room.
    assert_eq!(kept.ask("a?sort").0, 500);
    assert_eq!(kept.ask("a"), ok(1));
    assert_eq!(kept.ask("b"), ok(1));
    server.stop();
}

#[test]
fn a_connection_is_not_held_up_with_the_thread_of_its_room() {
    let (_project, server) =
        serve(&["--workers", "1", "--limit", "turn_held_after=100ms", "--limit", "turn_cpu_max=300ms"]);
    let (mut kept, mut sorter) = (Kept::new(&server), Kept::new(&server));
    for count in 1..4 {
        assert_eq!(kept.ask("a"), ok(count));
    }
    sorter.say(&["a?sort"]);
    server.wait_for("sorting");
    // Asked of another room while its room's thread sorts.
    assert_eq!(kept.ask("new"), ok(1));
    assert_eq!(sorter.answer().0, 500);
    assert_eq!(kept.ask("a"), ok(1));
    let output = server.stop();
    let place = |part: &str| output.find(part).unwrap_or_else(|| panic!("no `{part}` in:\n{output}"));
    assert!(place("/party/new") < place("Room `main/a` was reset"), "the connection has waited:\n{output}");
}

#[test]
fn a_stop_lets_the_request_of_a_kept_connection_finish() {
    let (_project, server) = serve(&[]);
    let (mut kept, mut idle) = (Kept::new(&server), Kept::new(&server));
    for count in [1, 3, 5] {
        assert_eq!((kept.ask("a"), idle.ask("a")), (ok(count), ok(count + 1)));
    }
    kept.say(&["a?slow"]);
    server.wait_for("waiting");
    let waiting = std::thread::spawn(move || {
        let head = head(&mut kept.0);
        let mut body = String::new();
        kept.0.read_to_string(&mut body).unwrap();
        (head, body)
    });
    server.stop();
    let (head, body) = waiting.join().unwrap();
    assert!(head.starts_with("http/1.1 200 ") && head.contains("connection: close"), "{head}");
    assert_eq!(body, "7");
    assert_eq!(idle.0.read(&mut [0]).unwrap(), 0);
}
