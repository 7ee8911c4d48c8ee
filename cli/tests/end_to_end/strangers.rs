//! What strangers read of a failure: in production a constant text, and the log has the message; in development the message.

use crate::support::{Project, Server};

const FAILING: &str = "const fail = (request) => {
  const how = new URL(request.url).searchParams.get('fail');
  if (how === 'plain') throw new TypeError('secret: db.internal');
  if (how === 'code') throw Object.assign(new Error('You are too late'), { code: 410 });
  if (how === 'server') throw Object.assign(new Error('secret: db.internal'), { code: 503 });
  if (how === 'string') throw 'secret: db.internal';
};
export default class Server {
  constructor(room) { this.room = room; }
  static onBeforeRequest(request) {
    if (new URL(request.url).searchParams.has('hook')) fail(request);
    return request;
  }
  static onFetch(request) { fail(request); return new Response('fetched'); }
  onStart() { if (this.room.id === 'never') throw new Error('secret: db.internal'); }
  async onRequest(request) {
    const { searchParams } = new URL(request.url);
    if (searchParams.has('stub')) return this.room.context.parties.main.get('b').fetch(`/?fail=${searchParams.get('stub')}`);
    if (searchParams.has('block')) await this.room.blockConcurrencyWhile(() => { throw new Error('secret: db.internal'); });
    if (searchParams.has('nothing')) return 'secret: db.internal';
    fail(request);
    return new Response('fine');
  }
  onConnect(connection, { request }) { fail(request); }
}
";

fn project() -> Project {
    Project::new(&[("server.js", FAILING), ("partykit.json", r#"{ "name": "demo", "main": "server.js" }"#)])
}

// Paths, with their status and what they answer in development and in production.
const FAILURES: [(&str, u16, &str, &str); 9] = [
    ("/party/a?fail=plain", 500, "secret: db.internal", "Internal Server Error"),
    ("/party/a?fail=code", 410, "You are too late", "You are too late"),
    ("/party/a?fail=server", 503, "secret: db.internal", "Internal Server Error"),
    ("/party/a?stub=plain", 500, "secret: db.internal", "Internal Server Error"),
    ("/party/a?fail=plain&hook", 401, "secret: db.internal", "Unauthorized"),
    ("/party/a?fail=code&hook", 401, "You are too late", "You are too late"),
    ("/elsewhere?fail=plain", 500, "secret: db.internal", "Internal Server Error"),
    ("/elsewhere?fail=string", 500, "secret: db.internal", "Internal Server Error"),
    ("/party/never", 500, "secret: db.internal", "Internal Server Error"),
];

fn close_reason(server: &Server, how: &str) -> Option<String> {
    let text = server.client("closed.mjs", &[&format!("/party/a?fail={how}")])?;
    Some(text.trim().to_string())
}

#[test]
fn in_production_messages_stand_in_the_log_only() {
    let project = project();
    let server = project.serve(&["start", "--persist", "false"]);
    for (path, status, _, told) in FAILURES {
        assert_eq!(server.get(path), (status, told.to_string()), "{path}");
    }
    assert_eq!(server.get("/party/b?block"), (500, "The room was reset.".to_string()));
    assert_eq!(server.get("/party/c?nothing").1, "Internal Server Error");
    if let Some(reason) = close_reason(&server, "plain") {
        assert_eq!(reason, "1011 Internal Server Error");
        assert_eq!(close_reason(&server, "code").as_deref(), Some("1011 You are too late"));
    }
    server.wait_for("secret: db.internal");
    server.stop();
}

#[test]
fn in_development_clients_read_what_went_wrong() {
    let project = project();
    let server = project.serve(&["dev", "--persist", "false"]);
    for (path, status, told, _) in FAILURES {
        assert_eq!(server.get(path), (status, told.to_string()), "{path}");
    }
    assert_eq!(server.get("/party/b?block"), (500, "secret: db.internal".to_string()));
    if let Some(reason) = close_reason(&server, "plain") {
        assert_eq!(reason, "1011 secret: db.internal");
    }
    server.stop();
}
