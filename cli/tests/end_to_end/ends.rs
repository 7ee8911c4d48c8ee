//! Bad ends, and what is said of them: a server that does not stop, files that go from under it, more rejections than anybody
//! reads.

use crate::support::{Project, until};

const SERVER: &str = "export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const { pathname } = new URL(request.url);
    if (pathname.endsWith('/put')) {
      await this.room.storage.put('a', 1);
      return new Response('stored');
    }
    const count = Number(pathname.split('/').pop());
    for (let number = 1; number <= count; number++) Promise.reject(new Error('reason ' + number));
    return new Response('made');
  }
}
";

#[test]
fn a_server_that_does_not_stop_is_killed() {
    let project = Project::new(&[("server.js", SERVER)]);
    let limit = ["--limit", "stop_time_max=200ms", "--persist", "false"];
    let mut server = project.serve(&[&["start", "server.js"], &limit[..]].concat());
    server.wait_for("Ready on");
    // It hears nothing any more.
    server.signal(server.served_by(), libc::SIGSTOP);
    server.terminate();
    let line = server.wait_for("did not stop in time (limit `stop_time_max`: 200ms)");
    assert!(line.contains("\"type\":\"error\"") && line.contains("was killed"), "{line}");
    assert_eq!(server.wait_end().code(), Some(1));
    // One that stops in time is left alone.
    let server = project.serve(&[&["dev", "server.js"], &limit[2..]].concat());
    server.wait_for("Ready on");
    assert!(!server.stop().contains("killed"));
}

#[test]
fn files_of_the_database_that_go_are_missed() {
    let project = Project::new(&[("server.js", SERVER)]);
    let server = project.serve(&["start", "server.js", "--persist", "data"]);
    server.wait_for("Ready on");
    assert_eq!(server.get("/party/a/put"), (200, "stored".to_string()));
    std::fs::rename(project.file("data"), project.file("aside")).unwrap();
    // Commits look once a second at most.
    until("the database is missed", || server.get("/party/b/put").0 != 200);
    let line = server.wait_for("was removed while the server runs");
    assert!(line.contains("partyrun.sqlite") && line.contains("put the file back"), "{line}");
    std::fs::rename(project.file("aside"), project.file("data")).unwrap();
    assert_eq!(server.get("/party/b/put"), (200, "stored".to_string()));
    server.stop();
}

#[test]
fn of_many_rejections_the_first_reason_and_their_number_are_printed() {
    let project = Project::new(&[("server.js", SERVER)]);
    let server = project.serve(&["start", "server.js", "--persist", "false", "--limit", "turn_cpu_max=60s"]);
    server.wait_for("Ready on");
    assert_eq!(server.get("/party/a/100000"), (200, "made".to_string()));
    let last = server.wait_for("100000 rejections by now");
    assert!(last.contains("reason 1\\n") && server.output().contains("reason 10\\n"), "{last}");
    let output = server.stop();
    assert!(output.lines().filter(|line| line.contains("Uncaught (in promise)")).count() <= 15, "{output}");
}
