//! The administrative API: who may ask, what it tells, what it changes, and that nobody waits for it.

mod api;
mod changes;
mod commands;
mod looks;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::{PATIENCE, Project, Server};

/// A project whose rooms store, hold themselves up, and spin.
pub(super) const SERVER: &str = r#"
export default class Server {
  constructor(room) { this.room = room; console.log("constructed", room.id); }
  get options() { return { hibernate: this.room.id.startsWith("h") }; }
  static onCron(cron) { if (cron.name === "fails") throw new Error("no"); console.log("cron", cron.name); }
  onAlarm() {}
  onConnect(connection) { connection.setState({ name: "x".repeat(20) }); connection.send("welcome"); }
  getConnectionTags() { return ["blue"]; }
  onMessage(message, connection) { connection.send(`echo ${message}`); }
  onClose(connection) { console.log("closed", connection.id); }
  async onRequest(request) {
    const { storage } = this.room;
    const { searchParams } = new URL(request.url);
    const act = searchParams.get("act");
    if (act === "values") {
      const round = { name: "round" };
      round.self = round;
      await storage.put({ map: new Map([["big", 1n], ["when", new Date(0)]]), round, list: [1, , "two"],
        bytes: new Uint16Array([1, 258]), error: new TypeError("wrong"), text: "plain \u001b[2J",
        nan: NaN, set: new Set(["x"]), nothing: null, dollar: { $date: 1 } });
      await storage.setAlarm(Date.now() + 3600_000);
    } else if (act === "deep") {
      await storage.put("deep", JSON.parse("[".repeat(400) + "]".repeat(400)));
    } else if (act === "spin") {
      for (const end = Date.now() + 6000; Date.now() < end;);
    } else if (act === "hold") {
      await storage.put("held", true);
      await storage.sync();
      storage.transaction(async () => { await fetch(`http://127.0.0.1:${searchParams.get("port")}/`); });
    } else if (act === "count") {
      // Read, wait, write: only the room's own order keeps others out.
      for (let i = 0; i < Number(searchParams.get("times")); i++) {
        await storage.transaction(async (transaction) => {
          const count = (await transaction.get("count")) ?? 0;
          await new Promise((done) => setTimeout(done, 1));
          await transaction.put("count", count + 1);
        });
      }
    } else if (act === "fail") {
      throw new Error("on purpose");
    } else if (act === "get") {
      return Response.json({ value: (await storage.get(searchParams.get("key"))) ?? null });
    }
    return new Response("done");
  }
}
"#;

pub(crate) fn project() -> Project {
    Project::new(&[
        ("server.js", SERVER),
        (
            "partykit.json",
            r#"{ "name": "admin", "main": "server.js", "parties": { "other": "server.js" }, "vars": { "KEY": "hush" },
                 "crons": { "works": "0 0 1 1 *", "fails": "0 0 1 1 *" } }"#,
        ),
    ])
}

/// The API of a server that runs in a project.
pub(crate) struct Api {
    pub(crate) port: u16,
    pub(crate) token: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.body))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_string()
    }
}

impl Api {
    pub(crate) fn of(project: &Project) -> Self {
        let text = std::fs::read_to_string(project.file(".partyrun/admin.json")).unwrap();
        let place: Value = serde_json::from_str(&text).unwrap();
        let port = place["url"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        Self { port, token: place["token"].as_str().unwrap_or_default().to_string() }
    }

    /// Asks with these header fields, and reads to the end.
    pub(crate) fn raw(&self, method: &str, path: &str, fields: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused for its length is not read to its end.
        let _refused = stream.write_all(body);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_lowercase(), body: body.to_string() }
    }

    pub(crate) fn ask_with(&self, method: &str, path: &str, fields: &str, body: &str) -> Answer {
        let fields = format!("host: localhost\r\nauthorization: Bearer {}\r\n{fields}", self.token);
        self.raw(method, path, &fields, body.as_bytes())
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(method, path, "", body)
    }

    /// The JSON of an answer that must be 200.
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// The state of a room, as its own page says.
    pub(crate) fn state(&self, room: &str) -> String {
        self.get(&format!("/v1/rooms/{room}"))["state"].as_str().unwrap().to_string()
    }

    /// Follows the log: what is read are its lines.
    pub(crate) fn follow(&self, query: &str) -> std::io::BufReader<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET /v1/logs?{query} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = std::io::BufReader::new(stream);
        assert_eq!(next_line(&mut reader)["type"], "following");
        reader
    }
}

/// The next line of JSON of a chunked answer, whatever stands around it.
pub(crate) fn next_line(reader: &mut impl std::io::BufRead) -> Value {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the log has ended");
        if line.starts_with('{') {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

/// A server of the project, with its API at a free port.
pub(crate) fn serve(project: &Project, args: &[&str]) -> (Server, Api) {
    let server = project.serve(&[&["start", "--admin", "0"], args].concat());
    let api = Api::of(project);
    (server, api)
}

/// Much longer than what is waited for a room's thread, and much shorter than what holds one up in a test.
pub(super) const AT_ONCE: Duration = Duration::from_secs(30);
