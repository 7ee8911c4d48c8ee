//! Proxies from the environment: a room's requests go through them, except to the hosts that are exempt.

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
