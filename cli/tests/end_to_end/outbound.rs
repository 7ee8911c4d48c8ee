//! Proxies from the environment: a room's requests go through them, except to the hosts that are exempt.
//! Name look-ups don't wait for threads that other rooms keep busy.

use crate::support::{Project, Server, free_port, partyrun};

const ASKING: &str = "export default class Server {
  async onRequest(request) {
    const seen = [];
    for (const url of new URL(request.url).searchParams.getAll('ask')) {
      seen.push(await (url.startsWith('ws') ? hear(url) : read(url)));
    }
    return Response.json(seen);
  }
}
const read = (url) => fetch(url).then((answer) => answer.text(), (error) => error.name);
const hear = (url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onmessage = (event) => resolve(event.data);
  socket.onerror = (event) => resolve(event.message);
});
";

fn authority() -> String {
    format!("{}/../fixtures/tls/certs/ca.pem", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn what_a_room_asks_goes_through_the_proxies_of_the_environment() {
    let project = Project::new(&[("server.ts", ASKING)]);
    let (port, proxy) = (free_port(), free_port());
    let mut command = partyrun();
    command.args(["dev", "server.ts", "--persist", "false", "--port", &port.to_string()]);
    let address = format!("http://me:secret@127.0.0.1:{proxy}");
    command.env("HTTP_PROXY", &address).env("HTTPS_PROXY", &address).env("NO_PROXY", "127.0.0.1,exempt.test");
    command.env("SSL_CERT_FILE", authority()).current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    let Some(text) = server.client("proxy.mjs", &[&proxy.to_string()]) else { return };
    let refused = format!(
        "Connecting to refused.test:80 failed: tunnel error: unsuccessful (through the proxy 127.0.0.1:{proxy} of the \
         environment)"
    );
    let heard = format!("heard [\"{refused}\",\"plain words\",\"secure words\"]");
    let wanted = [
        // Named nowhere but at the proxy.
        "proxied GET http://origin.test/path?q=1 me:secret",
        "tunnelled localhost me:secret",
        "saw [\"by the proxy\",\"direct\",\"TypeError\",\"secure\"]",
        "tunnelled refused.test me:secret",
        "tunnelled plain.test me:secret",
        &heard,
    ];
    for line in wanted {
        assert!(text.lines().any(|shown| shown == line), "no `{line}` in:\n{text}");
    }
    assert!(!text.contains("exempt.test "), "an exempt host was asked for at the proxy:\n{text}");
    server.stop();
}

const REWRITING: &str = "export default class Server {
  constructor(room) { this.room = room; }
  kept = [];
  async onRequest(request) {
    const { searchParams } = new URL(request.url);
    if (searchParams.has('file')) return (await this.room.context.assets.fetch('/file.txt')) ?? new Response('none');
    if (searchParams.has('end')) return Response.json(await this.end());
    const begun = [];
    for (let left = Number(searchParams.get('begin')); left > 0; left--) begun.push(this.begin());
    return Response.json(await Promise.all(begun));
  }
  // Begins a transformation whose handler never ends: true, or why it cannot begin.
  begin() {
    return new Promise((resolve) => {
      const element = () => (resolve(true), new Promise(() => {}));
      const { body } = new HTMLRewriter().on('p', { element }).transform(new Response('<p>text</p>'));
      this.kept.push(body.getReader());
      this.kept.at(-1).read().catch((error) => resolve(`${error}`));
    });
  }
  async end() {
    for (const reader of this.kept.splice(0)) await reader.cancel().catch(() => {});
    return this.begin();
  }
}
";

#[test]
fn unfinished_rewriters_hold_up_nobody_else() {
    let config = r#"{ "name": "demo", "main": "server.js", "serve": "public" }"#;
    let project =
        Project::new(&[("server.js", REWRITING), ("public/file.txt", "a file"), ("partykit.json", config)]);
    let limits = ["html_rewriters_per_room_max=100", "html_rewriters_max=560"];
    let mut args = vec!["start", "--persist", "false", "--workers", "1"];
    limits.iter().for_each(|limit| args.extend(["--limit", limit]));
    let server = project.serve(&args);
    let refused = |what: &str, limit: &str, max: usize| {
        format!(
            "TypeError: HTMLRewriter: {what} has {max} transformations that are not finished, and there may be no more \
             ({limit}). Read or cancel their bodies."
        )
    };
    let begin = |room: &str, count: usize| -> Vec<serde_json::Value> {
        serde_json::from_str(&server.get(&format!("/party/{room}?begin={count}")).1).unwrap()
    };
    // More than the worker's pool has threads.
    for room in ["a", "b", "c", "d", "e"] {
        assert!(begin(room, 100).iter().all(|begun| begun == true), "{room}: {}", server.output());
    }
    assert_eq!(begin("a", 1), [refused("this room", "html_rewriters_per_room_max", 100)]);
    assert!(begin("f", 60).iter().all(|begun| begun == true));
    assert_eq!(begin("g", 1), [refused("this server", "html_rewriters_max", 560)]);
    assert_eq!(server.get("/party/h?file").1, "a file");
    assert_eq!(server.get("/party/a?end").1, "true");
    server.stop();
}
