//! Values that were altered on disk: they are never served, and cost nothing but themselves.

use crate::support::Project;

const SERVER: &str = r#"
const told = (work) => work.catch((error) => error.message);
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const { storage } = this.room;
    switch (new URL(request.url).search) {
      case "?write":
        await storage.put({ first: "first", second: "altered on disk", third: "third" });
        return new Response("written");
      case "?mend":
        await storage.put("second", "mended");
        return Response.json([...await storage.list()]);
      case "?delete":
        return Response.json([await storage.delete("second"), [...(await storage.list()).keys()]]);
    }
    const entries = async (found) => [...await found];
    return Response.json([
      await told(storage.get("first")), await told(storage.get("second")),
      await told(entries(storage.get(["second", "third"]))), await told(entries(storage.list())),
      await told(entries(storage.list({ limit: 2 }))),
    ]);
  }
}
"#;

// Writes another letter where the value is, in a file that no server has open.
fn alter(project: &Project) {
    let path = project.file(".partyrun/partyrun.sqlite");
    // What the log holds goes into the database first.
    let database = rusqlite::Connection::open(&path).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(database);
    let mut bytes = std::fs::read(&path).unwrap();
    let text = b"altered on disk";
    let found: Vec<usize> =
        bytes.windows(text.len()).enumerate().filter(|(_, part)| part == text).map(|(at, _)| at).collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at] = b'b';
    }
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_value_that_was_altered_on_disk_is_named_and_costs_no_other() {
    let project = Project::new(&[("server.js", SERVER)]);
    for room in ["a", "b"] {
        let server = project.serve(&["dev", "server.js"]);
        assert_eq!(server.get(&format!("/party/{room}?write")).1, "written");
        server.stop();
        alter(&project);
    }
    let server = project.serve(&["dev", "server.js"]);
    for room in ["a", "b"] {
        let error =
            format!("The value of \\\"second\\\" cannot be read: it was altered on disk (room main/{room}).");
        let others = r#"["first","first"],["third","third"]"#;
        assert_eq!(
            server.get(&format!("/party/{room}")),
            (200, format!(r#"["first","{error}",[["third","third"]],[{others}],[{others}]]"#))
        );
        server.wait_for(&format!("{} It was left out.", error.replace('\\', "")));
    }
    let mended = r#"[["first","first"],["second","mended"],["third","third"]]"#;
    assert_eq!(server.get("/party/a?mend").1, mended);
    assert_eq!(server.get("/party/b?delete").1, r#"[true,["first","third"]]"#);
    server.stop();
}
