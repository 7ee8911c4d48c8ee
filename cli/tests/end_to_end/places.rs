//! More rooms than the process may have: new ones are refused with a time to come again, those that live go on.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::raw::{HANDSHAKE, ask, head};
use crate::support::{PATIENCE, Project, free_port, partyrun};

const ROOM: &str = "export default class Server {
  constructor(room) { this.room = room; }
  onMessage(message, connection) { connection.send(`${this.room.id} ${message}`); }
  async onRequest(request) {
    const url = new URL(request.url);
    if (url.searchParams.has('alarm')) await this.room.storage.setAlarm(Date.now() + 1500);
    return new Response(`room ${this.room.id}`);
  }
  onAlarm() { console.log(`alarm in ${this.room.id}`); }
}
";

#[test]
fn rooms_beyond_the_limit_are_refused_until_one_leaves() {
    let project = Project::new(&[("server.js", ROOM)]);
    let limits = ["--limit", "rooms_max=2", "--limit", "room_place_wait_max=1s", "--limit", "retry_after=7s"];
    let server = project.serve(&[&["dev", "server.js", "--persist", "false"][..], &limits[..]].concat());
    // Idle rooms make way at once.
    for room in ["a", "b", "c", "d"] {
        assert_eq!(server.get(&format!("/party/{room}")), (200, format!("room {room}")));
    }
    // Rooms with connections stay.
    let mut sockets: Vec<TcpStream> =
        ["e", "f"].iter().map(|room| ask(server.port, &format!("/party/{room}"), HANDSHAKE)).collect();
    for socket in &mut sockets {
        assert!(head(socket).starts_with("http/1.1 101"), "{}", server.output());
    }
    for fields in ["Connection: close\r\n", HANDSHAKE] {
        let refused = head(&mut ask(server.port, "/party/g", fields));
        assert!(refused.starts_with("http/1.1 503") && refused.contains("retry-after: 7\r\n"), "{refused}");
    }
    assert_eq!(server.get("/party/e"), (200, "room e".to_string()));
    server.wait_for("No more rooms are started: 2 are live (limit `rooms_max`: 2).");
    drop(sockets);
    let deadline = Instant::now() + PATIENCE;
    while server.get("/party/g").0 != 200 {
        assert!(Instant::now() < deadline, "{}", server.output());
    }
    server.wait_for("Rooms are started again; ");
    server.stop();
}

#[test]
fn an_alarm_waits_for_a_place() {
    let project = Project::new(&[("server.js", ROOM)]);
    let limits = ["--limit", "rooms_max=1", "--limit", "room_place_wait_max=1s"];
    let server = project.serve(&[&["dev", "server.js", "--persist", "false"][..], &limits[..]].concat());
    assert_eq!(server.get("/party/sleeper?alarm").0, 200);
    let due = Instant::now() + Duration::from_millis(1500);
    // A room with a connection takes the only place and stays.
    let mut holder = ask(server.port, "/party/holder", HANDSHAKE);
    assert!(head(&mut holder).starts_with("http/1.1 101"), "{}", server.output());
    while Instant::now() < due + Duration::from_millis(500) {
        assert_eq!(server.get("/party/other").0, 503, "{}", server.output());
        assert!(!server.output().contains("alarm in"), "{}", server.output());
    }
    drop(holder);
    server.wait_for("alarm in sleeper");
    server.stop();
}

#[test]
fn memory_beyond_its_share_refuses_new_rooms() {
    let project = Project::new(&[("server.js", ROOM)]);
    let limits = ["--limit", "memory_share_max=0", "--limit", "room_place_wait_max=1s"];
    let server = project.serve(&[&["start", "server.js", "--persist", "false"][..], &limits[..]].concat());
    let refused = head(&mut ask(server.port, "/party/a", "Connection: close\r\n"));
    assert!(refused.starts_with("http/1.1 503") && refused.contains("retry-after: 5\r\n"), "{refused}");
    let line = server.wait_for("No more rooms are started: this process has ");
    assert!(line.contains("limit `memory_share_max`: 0"), "{line}");
    server.stop();
}

#[test]
fn a_limit_above_its_ceiling_is_refused() {
    let project = Project::new(&[("server.js", ROOM)]);
    for (limit, reason) in [
        ("value_bytes_max=2097153", "`value_bytes_max` may be 2 MiB at most (`value_bytes_ceiling`)"),
        (
            "message_in_bytes_max=33554433",
            "`message_in_bytes_max` may be 32 MiB at most (`message_in_bytes_ceiling`)",
        ),
        ("value_bytes_ceiling=1", "`value_bytes_ceiling` is a ceiling, which cannot be changed"),
    ] {
        let port = free_port().to_string();
        let mut command = partyrun();
        command.args(["start", "server.js", "--port", &port, "--limit", limit]).current_dir(project.path());
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && text.contains(reason), "{limit}: {text}");
    }
}
