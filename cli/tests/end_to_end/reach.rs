//! What `--outbound` allows: every way out of a room, to every spelling of an address that is not public. Nothing of it leaves
//! this machine: what is refused is refused before a connection is made, and a listener that hears nothing shows it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Project, Server, free_port, partyrun, skip};

const ROOM: &str = r#"
import http from "node:http";
import net from "node:net";
import tls from "node:tls";
import { connect } from "cloudflare:sockets";

const reason = (error) => `${error.message} ${error.cause?.code ?? error.code ?? ""} ${error.cause?.message ?? ""}`;
const stream = (open) => new Promise((resolve) => {
  const socket = open(() => { resolve("connected"); socket.destroy(); });
  socket.on("error", (error) => resolve(reason(error)));
});
const ways = {
  fetch: ({ url }) => fetch(url).then((answer) => answer.text(), reason),
  redirect: ({ url, own }) => fetch(`${own}/party/moved?to=${encodeURIComponent(url)}`).then((answer) => answer.text(), reason),
  upgrade: ({ url }) => fetch(url, { headers: { upgrade: "websocket" } }).then((answer) => answer.text(), reason),
  socket: ({ url }) => new Promise((resolve) => {
    const socket = new WebSocket(url.replace("http", "ws"));
    socket.onopen = () => resolve("connected");
    socket.onerror = (event) => resolve(event.message);
  }),
  events: ({ url }) => new Promise((resolve) => {
    const source = new EventSource(url);
    source.onopen = () => (source.close(), resolve("connected"));
    // It has no reason to tell.
    source.onerror = () => (source.close(), resolve("--outbound"));
  }),
  http: ({ url }) => new Promise((resolve) => {
    http.get(url, () => resolve("connected")).on("error", (error) => resolve(reason(error)));
  }),
  net: ({ host, port }) => stream((then) => net.connect(port, host, then)),
  tls: ({ host, port }) => stream((then) => tls.connect({ port, host }, then)),
  workers: async ({ host, port }) => {
    try {
      await connect({ hostname: host, port }).opened;
      return "connected";
    } catch (error) {
      return reason(error);
    }
  },
};
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const { origin: own, searchParams } = new URL(request.url);
    if (searchParams.has("to")) return Response.redirect(searchParams.get("to"));
    if (searchParams.has("stub")) return this.room.context.parties.main.get("other").fetch();
    if (!searchParams.has("hosts")) return new Response("this server");
    const port = Number(searchParams.get("port"));
    const seen = {};
    for (const host of JSON.parse(searchParams.get("hosts"))) {
      const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
      for (const [name, way] of Object.entries(ways)) seen[`${name} ${host}`] = await way({ url, host, port, own });
    }
    return Response.json(seen);
  }
}
"#;

// A server of this machine that counts who comes.
struct Heard {
    port: u16,
    count: Arc<AtomicUsize>,
}

impl Heard {
    // At both loopback addresses, as far as there are two.
    fn new() -> Self {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
        let count = Arc::new(AtomicUsize::new(0));
        for listener in [Some(first), second].into_iter().flatten() {
            let count = count.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    count.fetch_add(1, Ordering::SeqCst);
                    // Whatever is asked, this is the answer, also as one of a proxy.
                    let _asked = stream.read(&mut [0; 4096]);
                    let _gone = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nheard");
                }
            });
        }
        Self { port, count }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn ask(server: &Server, hosts: &[&str], port: u16) -> serde_json::Map<String, serde_json::Value> {
    let hosts = serde_json::to_string(hosts).unwrap();
    let encoded: String = hosts.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (status, text) = server.get(&format!("/party/asks?port={port}&hosts={encoded}"));
    assert_eq!(status, 200, "{text}\n{}", server.output());
    serde_json::from_str(&text).unwrap()
}

const WAYS: usize = 9;

#[test]
fn only_public_addresses_are_reached() {
    let project = Project::new(&[("server.js", ROOM)]);
    let heard = Heard::new();
    let server = project.serve(&["start", "server.js", "--persist", "false", "--outbound", "public"]);
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.255.255.254",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "0.0.0.0",
        "0",
        "::",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "::ffff:a9fe:a9fe",
        "fd00:ec2::254",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ];
    let seen = ask(&server, &hosts, heard.port);
    assert_eq!(seen.len(), WAYS * hosts.len());
    for (what, found) in &seen {
        let found = found.as_str().unwrap();
        assert!(found.contains("--outbound"), "{what}: {found}");
    }
    let text = seen["fetch 127.0.0.1"].as_str().unwrap();
    let told =
        format!("127.0.0.1:{} is a loopback address that `--outbound public` does not allow.", heard.port);
    assert!(text.contains(&told) && text.contains("EACCES"), "{text}");
    assert_eq!(heard.count(), 0, "a connection was made");
    // This server itself, and other rooms.
    let own = ask(&server, &["127.0.0.1", "localhost"], server.port);
    for what in ["fetch 127.0.0.1", "fetch localhost", "redirect localhost"] {
        // The path `/` is nobody's.
        assert_eq!(own[what], "Not found", "{what}");
    }
    assert_eq!(own["net localhost"], "connected");
    assert_eq!(server.get("/party/asks?stub").1, "this server");
    server.stop();
}

#[test]
fn what_a_list_names_is_reached() {
    let project = Project::new(&[("server.js", ROOM)]);
    let (heard, other) = (Heard::new(), Heard::new());
    let list = format!("localhost:{},10.0.0.0/8", heard.port);
    let server = project.serve(&["start", "server.js", "--persist", "false", "--outbound", &list]);
    let seen = ask(&server, &["localhost"], heard.port);
    assert_eq!((&seen["fetch localhost"], &seen["redirect localhost"]), (&"heard".into(), &"heard".into()));
    assert_eq!(
        (&seen["net localhost"], &seen["workers localhost"]),
        (&"connected".into(), &"connected".into())
    );
    let heard_before = heard.count();
    // Neither under another name, nor at another port.
    for (host, port) in [("127.0.0.1", heard.port), ("localhost", other.port), ("8.8.8.8", other.port)] {
        for (what, found) in ask(&server, &[host], port) {
            assert!(found.as_str().unwrap().contains("--outbound"), "{what} at {port}: {found}");
        }
    }
    assert_eq!((heard.count(), other.count()), (heard_before, 0));
    server.stop();
}

#[test]
fn names_are_judged_by_where_they_lead() {
    // A table of hosts that only this server sees.
    let project = Project::new(&[("server.js", ROOM)]);
    project.write("hosts", "127.0.0.1 localhost\n127.0.0.1 loop.test\n::1 loop6.test\n10.1.2.3 private.test\n169.254.169.254 meta.test\n");
    let own = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/hosts && exec \"$@\"",
        ]);
        command.arg(project.file("hosts")).args(words);
        command
    };
    if !own(&["true"]).output().is_ok_and(|output| output.status.success()) {
        return skip("this machine gives no mount namespace (unshare)");
    }
    let heard = Heard::new();
    let port = free_port();
    let program = partyrun();
    let mut command = own(&[&program.get_program().to_string_lossy()]);
    program.get_envs().for_each(|(name, value)| {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    });
    command.args([
        "start",
        "server.js",
        "--persist",
        "false",
        "--outbound",
        "public",
        "--port",
        &port.to_string(),
    ]);
    command.current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    let hosts = ["loop.test", "LOOP.test", "loop6.test", "private.test", "meta.test"];
    for (what, found) in ask(&server, &hosts, heard.port) {
        let found = found.as_str().unwrap();
        assert!(found.contains("--outbound"), "{what}: {found}");
    }
    assert_eq!(heard.count(), 0, "a connection was made");
}

#[test]
fn a_proxy_gets_only_what_is_allowed() {
    let project = Project::new(&[("server.js", ROOM)]);
    let (heard, proxy) = (Heard::new(), Heard::new());
    let port = free_port();
    let mut command = partyrun();
    command.args(["start", "server.js", "--persist", "false", "--outbound", "public,origin.test"]);
    command.args(["--port", &port.to_string()]).current_dir(project.path());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.port));
    command.env("HTTP_PROXY", format!("http://{address}")).env("NO_PROXY", "none.test");
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    for host in ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"] {
        let seen = ask(&server, &[host], heard.port);
        for way in ["fetch", "socket", "http", "upgrade", "net"] {
            let found = seen[&format!("{way} {host}")].as_str().unwrap();
            assert!(found.contains("--outbound"), "{way} {host}: {found}");
        }
    }
    assert_eq!(heard.count(), 0);
    let asked = proxy.count();
    // The proxy knows the name, and the list allows it wherever it leads.
    let seen = ask(&server, &["origin.test"], 80);
    assert_eq!(seen["fetch origin.test"], "heard");
    assert!(proxy.count() > asked);
    server.stop();
}

#[test]
fn what_is_no_list_is_refused_at_the_start() {
    let project = Project::new(&[("server.js", ROOM)]);
    for (list, why) in
        [("publik", "is not `public`"), ("http://example.com", "is a URL"), ("10.0.0.0/99", "network")]
    {
        let (code, text) = project.run(&["start", "server.js", "--outbound", list]);
        assert!(code != Some(0) && text.contains("--outbound") && text.contains(why), "{list}: {text}");
    }
}
