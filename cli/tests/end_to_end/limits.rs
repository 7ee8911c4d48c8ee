//! Limits that a room's code or its clients meet, each set so low that it is met at once. Others have tests of their own;
//! tidy knows that none is left out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;

use crate::raw::{HANDSHAKE, ask, head, socket};
use crate::support::{Hold, Project, SERVER, Server, free_port, get, partyrun, until};

const ROOM: &str = "
import { createPublicKey } from 'node:crypto';
const text = (count) => 'x'.repeat(count);
const actions = {
  timers: () => { for (let count = 0; ; count++) setTimeout(() => {}, 1e6); },
  key: ({ storage }) => storage.put(text(11), 1),
  value: ({ storage }) => storage.put('a', text(1100)),
  keys: ({ storage }) => storage.get(['a', 'b', 'c', 'd']),
  html: () => new HTMLRewriter().on('p', {}).transform(new Response('<p ' + text(5000))).text(),
  cache: async () => {
    for (const name of ['one', 'two', 'three']) {
      await caches.default.put(`http://cache.test/${name}`, new Response(text(900), { headers: { 'cache-control': 'max-age=60' } }));
    }
    return Promise.all(['one', 'two', 'three'].map(async (name) => !!(await caches.default.match(`http://cache.test/${name}`))));
  },
  kvKey: ({ context }) => context.bindings.kv.words.put(text(11), 'a'),
  kvValue: ({ context }) => context.bindings.kv.words.put('a', text(101)),
  kvMetadata: ({ context }) => context.bindings.kv.words.put('a', 'b', { metadata: text(30) }),
  r2Key: ({ context }) => context.bindings.r2.files.put(text(11), 'a'),
  r2Value: ({ context }) => context.bindings.r2.files.put('a', text(101)),
  vectors: ({ context }) => context.vectorize.points.insert(['a', 'b', 'c'].map((id) => ({ id, values: [1, 2] }))),
  rsaImport: () => crypto.subtle.importKey('jwk', { kty: 'RSA', n: text(400), e: 'AQAB' }, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
    false, ['verify']),
  rsaRead: () => createPublicKey({ key: { kty: 'RSA', n: text(400), e: 'AQAB' }, format: 'jwk' }),
  refusal: async (_, argument) => (await fetch(argument, { headers: { upgrade: 'websocket' } })).text(),
};
export default class Server {
  options = { hibernate: true };
  constructor(room) { this.room = room; }
  onConnect(connection) {
    try { connection.send(text(1001)); } catch (error) { console.log(`send: ${error}`); }
    try { this.room.broadcast(text(1001)); } catch (error) { console.log(`broadcast: ${error}`); }
    try { connection.setState(text(60)); } catch (error) { console.log(`state: ${error}`); }
  }
  async onRequest(request) {
    const [[name, argument]] = new URL(request.url).searchParams;
    try {
      return Response.json((await actions[name](this.room, argument)) ?? 'nothing');
    } catch (error) {
      return new Response(`${error}`);
    }
  }
}
";

const CONFIG: &str = r#"{ "name": "limits", "main": "server.js", "bindings": { "kv": { "words": "w" }, "r2": { "files": "f" } },
  "vectorize": { "points": "p" } }"#;

fn start(limits: &[&str]) -> (Project, Server) {
    let project = Project::new(&[("server.js", ROOM), ("partykit.json", CONFIG)]);
    let limits = limits.iter().flat_map(|limit| ["--limit", limit]);
    let args: Vec<&str> = ["dev", "--persist", "false"].into_iter().chain(limits).collect();
    let server = project.serve(&args);
    (project, server)
}

#[test]
fn what_a_room_asks_for_is_bounded() {
    let (_project, server) = start(&[
        "timers_max=5",
        "key_bytes_max=10",
        "value_bytes_max=1000",
        "keys_per_call_max=3",
        "html_bytes_max=1000",
        "cache_bytes_max=2000",
        "kv_key_bytes_max=10",
        "kv_value_bytes_max=100",
        "kv_metadata_bytes_max=20",
        "r2_key_bytes_max=10",
        "r2_value_bytes_max=100",
        "vectors_per_call_max=2",
        "rsa_bits_max=2000",
    ]);
    let expected = [
        ("timers", "RangeError: A room cannot have more than 5 timers waiting (limit `timers_max`)."),
        ("key", "RangeError: Keys cannot be larger than 10 bytes. A key of size 11 was provided."),
        ("value", "RangeError: Values cannot be larger than 1000 bytes. A value of size "),
        ("keys", "RangeError: Maximum number of key value pairs is 3. 4 pairs were provided."),
        (
            "html",
            "TypeError: Parser error: The memory limit has been exceeded. (limit `html_bytes_max`: 1000 bytes)",
        ),
        // The first made way for the third.
        ("cache", "[false,true,true]"),
        ("kvKey", "Error: KV PUT failed: 414 UTF-8 encoded length of 11 exceeds key length limit of 10."),
        ("kvValue", "Error: KV PUT failed: 413 Value length of 101 exceeds limit of 100."),
        ("kvMetadata", "Error: KV PUT failed: 413 Metadata length of 32 exceeds limit of 20."),
        ("r2Key", "Error: put: The specified object name is not valid. (10020)"),
        (
            "r2Value",
            "Error: put: Your proposed upload exceeds the maximum allowed object size of 100 bytes. (10024)",
        ),
        ("vectors", "Error: insert takes at most 2 vectors in one call; 3 were given"),
        ("rsaImport", "OperationError: The RSA key has 2400 bits; the limit is 2000 (rsa_bits_max)."),
        ("rsaRead", "RangeError: The length of the key in bits is 2400; the limit is 2000 (rsa_bits_max)."),
    ];
    for (action, text) in expected {
        let (status, found) = server.get(&format!("/party/a?{action}"));
        assert!(status == 200 && found.starts_with(text), "{action}: {found}");
    }
    server.stop();
}

#[test]
fn what_a_connection_may_be_is_bounded() {
    let (_project, server) = start(&[
        "message_out_bytes_max=1000",
        "attachment_bytes_max=50",
        "connections_per_room_max=1",
        "room_id_bytes_max=10",
    ]);
    let _only = socket(&server, "/party/a");
    let too_long =
        "RangeError: A WebSocket message cannot be longer than 1000 bytes (limit `message_out_bytes_max`).";
    server.wait_for(&format!("send: {too_long}"));
    server.wait_for(&format!("broadcast: {too_long}"));
    server.wait_for("state: Error: A WebSocket 'attachment' cannot be larger than 50 bytes.");
    let refused = head(&mut ask(server.port, "/party/a", HANDSHAKE));
    assert!(refused.starts_with("http/1.1 503"), "{refused}");
    let _other = socket(&server, "/party/b");
    assert_eq!(server.get(&format!("/party/{}?timers", "x".repeat(11))).0, 414);
    assert_eq!(server.get(&format!("/party/{}?value", "x".repeat(10))).0, 200);
    server.stop();
}

#[test]
fn servers_that_a_room_asks_for_a_socket_are_waited_for_and_read_within_limits() {
    let (_project, server) = start(&["socket_connect_max=200ms", "socket_refusal_bytes_max=10"]);
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let answer = server.get(&format!("/party/a?refusal=http://127.0.0.1:{port}/"));
    assert_eq!(
        answer,
        (
            200,
            format!("TypeError: 127.0.0.1:{port} did not answer in time (limit `socket_connect_max`: 200ms)")
        )
    );
    let refusing = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = refusing.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = refusing.accept().unwrap();
        let _request = stream.read(&mut [0; 4096]).unwrap();
        let body = "no entry today";
        write!(stream, "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        // Closes when the other side has read.
        let _end = stream.read(&mut [0; 1]);
    });
    let answer = server.get(&format!("/party/a?refusal=http://127.0.0.1:{port}/"));
    assert_eq!(answer, (200, "\"no entry t\"".to_string()));
    answering.join().unwrap();
    server.stop();
}

#[test]
fn work_behind_an_answer_ends_with_its_time() {
    let code = "export default class { static onFetch(request, lobby, ctx) {
        ctx.waitUntil(new Promise(() => {}));
        return new Response('answered');
      } onRequest() { return new Response('room'); } }";
    let project = Project::new(&[("server.js", code)]);
    // The supervisor kills what takes longer, and the server's exit code says so.
    let limits = ["--limit", "wait_until_max=50ms", "--limit", "stop_time_max=8s"];
    let server = project.serve(&[&["start", "server.js", "--persist", "false"], &limits[..]].concat());
    assert_eq!(server.get("/"), (200, "answered".to_string()));
    assert!(!server.stop().contains("was killed"));
}

#[test]
fn a_second_request_to_stop_has_a_time_too() {
    let project = Project::new(&[("server.js", SERVER)]);
    let limits = ["--limit", "stop_time_max=1000s", "--limit", "stop_again_time_max=200ms"];
    let mut server = project.serve(&[&["start", "server.js", "--persist", "false"], &limits[..]].concat());
    server.get("/party/a");
    let hold = Hold::new();
    let (port, path) = (server.port, format!("/party/a?held={}", hold.port));
    let asking = std::thread::spawn(move || get(port, &path, "localhost"));
    let _held = hold.held();
    server.terminate();
    server.wait_for("Stopping.");
    // Now it hears nothing any more, not even the second request.
    server.signal(server.served_by(), libc::SIGSTOP);
    server.terminate();
    server.wait_for("did not stop in time (limit `stop_again_time_max`: 200ms)");
    assert_eq!(server.wait_end().code(), Some(1), "{}", server.output());
    let _lost = asking.join().unwrap();
}

/// A server whose output nobody reads yet, killed when dropped.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn lines_that_nobody_reads_are_left_out_and_counted() {
    let code = "export default class {
      onRequest(request) {
        if (request.url.endsWith('loud')) for (let n = 0; n < 300; n++) console.log(`${n} ` + 'x'.repeat(10_000));
        return new Response('said');
      } }";
    let project = Project::new(&[("server.js", code)]);
    let port = free_port();
    let mut command = partyrun();
    command.args(["dev", "server.js", "--persist", "false", "--port", &port.to_string()]);
    command.args(["--limit", "console_bytes_max=50000"]).current_dir(project.path());
    command.env("PARTYRUN_SUPERVISOR", "off").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Unread(command.spawn().unwrap());
    let said =
        |path: &str| get(port, path, "localhost").is_ok_and(|answer| answer == (200, "said".to_string()));
    until("it serves", || said("/party/a"));
    assert!(said("/party/a?loud"));
    let mut stdout = BufReader::new(server.0.stdout.take().unwrap());
    let (lines, read) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok_and(|length| length > 0) {
            let _gone = lines.send(std::mem::take(&mut line));
        }
    });
    // The next line for which there is room says how many were dropped; requests make lines.
    let (mut shown, mut dropped) = (0, 0);
    until("the lines are counted", || {
        assert!(said("/party/a"));
        for line in read.try_iter() {
            shown += usize::from(line.contains("xxxx"));
            let count = line.split_once('(').and_then(|(_, rest)| rest.split_once(" lines were dropped"));
            dropped += count.map_or(0, |(count, _)| count.parse::<usize>().unwrap());
        }
        shown + dropped >= 300
    });
    assert!(shown > 0 && dropped > 100, "{shown} shown, {dropped} dropped");
}

#[test]
fn rejections_beyond_the_limit_are_only_counted() {
    let code = "export default class {
      onRequest() { for (let n = 1; n <= 50; n++) Promise.reject(new Error(`reason ${n}`)); return new Response('made'); } }";
    let project = Project::new(&[("server.js", code)]);
    let server =
        project.serve(&["dev", "server.js", "--persist", "false", "--limit", "rejections_printed_max=3"]);
    assert_eq!(server.get("/party/a"), (200, "made".to_string()));
    server.get("/party/b");
    server.wait_for("reason 3");
    let output = server.stop();
    assert!(output.contains("reason 2") && !output.contains("Error: reason 4"), "{output}");
}
