//! HTTP/2 as browsers and Node speak it: a page, its files and its sockets over one connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Project, Server, free_port, node, partyrun, skip, until};

const CHAT: &str = r#"
export default class Server {
  constructor(room) {
    this.room = room;
    this.options = { hibernate: room.id === "sleepy" };
    this.life = `${Math.random()}`;
  }
  onConnect(connection, { request }) {
    const { headers } = request;
    connection.send(["hello", headers.get("upgrade"), headers.get("sec-websocket-key"), request.method].join(" "));
  }
  async onRequest(request) {
    const { search } = new URL(request.url);
    if (search === "?length") return new Response(`${(await request.text()).length}`);
    if (search === "?live") {
      return new Response(new ReadableStream({
        pull: async (controller) => {
          controller.enqueue(new TextEncoder().encode("first"));
          await new Promise((resolve) => setTimeout(resolve, 50));
        },
        cancel: () => console.log("taken back"),
      }));
    }
    return new Response([request.method, request.url, request.headers.get("cookie")].join(" "));
  }
  onMessage(message, connection) {
    if (message === "life") connection.send(this.life);
    else if (message === "end") console.log("ready to end");
    else this.room.broadcast(`echo ${message}`);
  }
  onClose() { console.log("gone"); }
}
"#;

const PAGE: &str = r#"<!doctype html><script src="/chat.js"></script><body>chat"#;

// What the page does: it takes a large file, opens two sockets, and says something on the first.
const SCRIPT: &str = r#"
async function chat() {
  const file = await (await fetch("/large.txt")).text();
  const heard = [];
  const open = (room) => new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://${location.host}/party/${room}`);
    const lines = [];
    heard.push(lines);
    socket.onerror = () => reject(new Error("a socket failed"));
    socket.onmessage = ({ data }) => {
      lines.push(data.length > 100 ? data.length : data);
      if (lines.length === 1) resolve(socket);
      if (lines.length === 2) socket.heard();
    };
  });
  const sockets = [await open("sleepy"), await open("sleepy")];
  const all = Promise.all(sockets.map((socket) => new Promise((resolve) => (socket.heard = resolve))));
  sockets[0].send("x".repeat(100_000));
  await all;
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const names = entries.map(({ name, nextHopProtocol }) => `${new URL(name).pathname} ${nextHopProtocol}`);
  const closed = sockets.map((socket) => new Promise((resolve) => (socket.onclose = ({ code }) => resolve(code))));
  for (const socket of sockets) socket.close(4001);
  return JSON.stringify({ length: file.length, names: names.filter((name) => !name.includes("icon")), heard,
    codes: await Promise.all(closed) });
}
"#;

fn project() -> Project {
    let project = Project::new(&[
        ("server.js", CHAT),
        ("public/index.html", PAGE),
        ("public/chat.js", SCRIPT),
        ("partykit.json", r#"{ "name": "chat", "main": "server.js", "serve": "public" }"#),
    ]);
    // Nothing that compression makes small.
    let mut number = 1_u64;
    let digits = std::iter::from_fn(|| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from_digit((number >> 33) as u32 % 36, 36)
    });
    project.write(
        "public/large.txt",
        &"0123456789".chars().cycle().take(30).chain(digits.take(199_970)).collect::<String>(),
    );
    project
}

fn secured(project: &Project) -> Server {
    let server = project.serve(&["dev", "--https", "--persist", "false"]);
    server.wait_for("Ready on https://");
    server
}

/// What is between a browser and the server: it counts the bytes of each connection.
struct Relay {
    port: u16,
    carried: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
}

impl Relay {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let carried = Arc::new(Mutex::new(Vec::new()));
        let counted = Arc::clone(&carried);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
                let count = Arc::new(AtomicU64::new(0));
                counted.lock().unwrap().push(Arc::clone(&count));
                carry(&client, &server, &count);
                carry(&server, &client, &count);
            }
        });
        Self { port, carried }
    }

    /// The connections that carried more than handshakes, and what they carried.
    fn used(&self) -> Vec<u64> {
        let carried = self.carried.lock().unwrap();
        carried.iter().map(|count| count.load(Ordering::Relaxed)).filter(|bytes| *bytes > 20_000).collect()
    }
}

fn carry(from: &TcpStream, to: &TcpStream, count: &Arc<AtomicU64>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let count = Arc::clone(count);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            count.fetch_add(length as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // The other side may have gone already.
        let _gone = to.shutdown(Shutdown::Write);
    });
}

fn visit(browser: &str) {
    let project = project();
    let server = secured(&project);
    let relay = Relay::start(server.port);
    let Some((_, text)) = node("browsers.mjs", &[&format!("localhost:{}", relay.port), browser]) else {
        return;
    };
    let seen: serde_json::Value = serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(seen["length"], 200_000);
    assert_eq!(seen["names"], serde_json::json!(["/ h2", "/chat.js h2", "/large.txt h2"]));
    // Over HTTP/2 a handshake has no key; rooms see one that asks for a WebSocket all the same.
    let heard = serde_json::json!(["hello websocket  GET", 100_005]);
    assert_eq!(seen["heard"], serde_json::json!([heard, heard]), "{}", server.output());
    assert_eq!(seen["codes"], serde_json::json!([4001, 4001]));
    let used = relay.used();
    assert!(matches!(used[..], [bytes] if bytes > 100_000), "one connection carries all: {used:?}");
    server.wait_for_times("gone", 2);
    assert!(server.output().contains("GET /large.txt HTTP/2 200 OK"), "{}", server.output());
    server.stop();
}

#[test]
fn chromium_opens_a_chat_over_one_connection() {
    if !Path::new(&std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".to_string())).is_file() {
        return skip("Chromium is not there");
    }
    visit("chromium");
}

#[test]
fn firefox_opens_a_chat_over_one_connection() {
    if !Path::new(&std::env::var("FIREFOX").unwrap_or("/usr/bin/firefox-esr".to_string())).is_file() {
        return skip("Firefox is not there");
    }
    visit("firefox");
}

#[test]
fn nodes_client_has_requests_and_sockets_on_one_connection() {
    let project = project();
    let port = free_port();
    let mut command = partyrun();
    command.args(["dev", "--https", "--persist", "false", "--port", &port.to_string()]);
    // Whatever is sent goes in the smallest pieces.
    let limits = ["room_idle_max=200ms", "http2_unsent_bytes_max=4KiB", "http2_send_buffer_bytes_max=1KiB"];
    command.args(limits.iter().flat_map(|limit| ["--limit", limit])).current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on https://");
    let address = format!("localhost:{port}");
    let visiting = std::thread::spawn(move || node("http2.mjs", &[&address]));
    if node("http2.mjs", &["localhost:1"]).is_none() {
        return;
    }
    for said in ["taken back", "ready to end"] {
        server.wait_for(said);
    }
    server.stop();
    let (_, text) = visiting.join().unwrap().unwrap();
    let expected = format!(
        "sockets true
200 GET https://localhost:{port}/party/a a=1; b=2
200 3000000
404 Not found
200 012345678901234567890123456789 200000
live first
socket 200
socket 200
echo hi
echo hi
woken
"
    );
    assert!(text.starts_with(&expected), "{text}");
    for line in ["goaway 0", "closed 1012"] {
        assert!(text.contains(line), "no {line}: {text}");
    }
}

#[test]
fn haproxy_speaks_http2_to_the_server() {
    if Command::new("haproxy").arg("-v").output().is_err() {
        return skip("HAProxy is not there");
    }
    let project = project();
    let server = project.serve(&["dev", "--persist", "false"]);
    server.wait_for("Ready on");
    let port = free_port();
    let text = format!(
        "defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend browsers
  bind 127.0.0.1:{port}
  default_backend partyrun
backend partyrun
  server one 127.0.0.1:{} proto h2
",
        server.port
    );
    project.write("haproxy.cfg", &text);
    let mut proxy =
        Command::new("haproxy").args(["-db", "-f"]).arg(project.file("haproxy.cfg")).spawn().unwrap();
    until("HAProxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let said = node("through.mjs", &[&port.to_string()]);
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    let Some((_, text)) = said else { return };
    assert_eq!(text, "200\n3000000\nhello\necho\nclosed 4001\n", "{}", server.output());
    let output = server.output();
    assert!(output.contains("POST /party/a?length HTTP/2 200 OK"), "{output}");
    assert!(output.contains("GET /party/a HTTP/2 101"), "{output}");
}
