//! Queues that a client, or a room, could fill: each is bounded in bytes, and what is bounded answers or waits.
//!
//! The limits are small, so that what is sent is many times what may be kept; the memory of the server tells which it was.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::raw::{ask, close_code, frame, frame_head, head, say, socket};
use crate::support::{PATIENCE, Project, Server};

const MIB: usize = 1 << 20;

fn start(code: &str, limits: &[&str]) -> (Project, Server) {
    let project = Project::new(&[("server.js", code)]);
    let limits = limits.iter().flat_map(|limit| ["--limit", limit]);
    let args: Vec<&str> = ["dev", "server.js", "--persist", "false"].into_iter().chain(limits).collect();
    let server = project.serve(&args);
    (project, server)
}

// What the process that serves has in memory.
fn memory(server: &Server) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.served_by())).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn stays_within(server: &Server, before: usize, bytes: usize) {
    let grown = memory(server).saturating_sub(before);
    assert!(grown < bytes, "{} MiB more than before:\n{}", grown / MIB, server.output());
}

#[test]
fn sockets_of_a_room_that_is_held_are_not_read_beyond_its_inbox() {
    let code = "let open;
        export default class Server {
          constructor(room) { this.room = room; this.bytes = 0; }
          onMessage(message) {
            if (message === 'hold') this.room.blockConcurrencyWhile(() => new Promise((go) => { open = go; setTimeout(go, 3000); }));
            else this.bytes += message.length;
          }
          onRequest() { return new Response(String(this.bytes)); }
        }";
    let (_project, server) = start(code, &["inbox_bytes_max=1048576"]);
    let mut holder = socket(&server, "/party/a");
    let sockets: Vec<_> = (0..8).map(|_| socket(&server, "/party/a")).collect();
    let before = memory(&server);
    say(&mut holder, "hold");
    let message = [frame_head(1, 100_000), vec![b'x'; 100_000]].concat();
    let sending: Vec<_> = sockets
        .into_iter()
        .map(|mut socket| {
            let message = message.clone();
            // Each has more to say than the kernel takes: it waits until the room goes on.
            std::thread::spawn(move || {
                (0..200).for_each(|_| socket.write_all(&message).unwrap());
                socket
            })
        })
        .collect();
    let mut refused = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !refused.starts_with("http/1.1 503") {
        assert!(Instant::now() < deadline, "no request was refused: {refused}");
        let mut asking = ask(server.port, "/party/a", "Connection: close\r\n");
        asking.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut first = [0; 1];
        if asking.peek(&mut first).is_ok() {
            refused = head(&mut asking);
        }
    }
    assert!(refused.contains("retry-after: 5\r\n"), "{refused}");
    stays_within(&server, before, 48 * MIB);
    let _open: Vec<_> = sending.into_iter().map(|sending| sending.join().unwrap()).collect();
    while server.get("/party/a").1 != (8 * 200 * 100_000).to_string() {
        assert!(Instant::now() < deadline, "{:?}\n{}", server.get("/party/a"), server.output());
    }
    server.stop();
}

const ECHO: &str = "export default class Server {
  constructor(room) { this.room = room; }
  onMessage(message, connection) {
    const [what, count, bytes] = message.split(' ');
    try {
      if (what === 'put') this.room.storage.put('key', 1);
      if (what === 'echo') return connection.send(message);
      for (let i = 0; i < +count; i++) {
        if (what === 'broadcast') this.room.broadcast('x'.repeat(+bytes));
        else connection.send('x'.repeat(+bytes));
      }
    } catch (error) {
      console.log(`${error}`);
    }
  }
  async onRequest(request) {
    const ask = new URL(request.url).searchParams;
    const writes = [];
    for (let i = 0; i < +(ask.get('writes') ?? 0); i++) {
      const write = this.room.storage.put(`key ${i}`, 'x'.repeat(100_000));
      if (ask.has('await')) await write;
      writes.push(write);
    }
    return new Response('x'.repeat(+(ask.get('bytes') ?? 1)));
  }
}
";

#[test]
fn messages_that_do_not_become_whole_make_way() {
    let (_project, server) = start(ECHO, &["unfinished_bytes_max=4194304", "unfinished_time_max=1s"]);
    let mut good = socket(&server, "/party/a");
    let before = memory(&server);
    let part = [frame_head(1, MIB), vec![b'x'; 900_000]].concat();
    let mut bad: Vec<_> = (0..120).map(|_| socket(&server, "/party/a")).collect();
    for socket in &mut bad {
        socket.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        // Those that are not read any more take no more.
        let _blocked = socket.write_all(&part);
    }
    say(&mut good, "echo small");
    assert_eq!(frame(&mut good), Some((1, b"echo small".to_vec())));
    stays_within(&server, before, 64 * MIB);
    bad.iter().for_each(|socket| socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap());
    let closed = bad.iter_mut().map(close_code).filter(|code| *code == Some(1013)).take(10).count();
    assert_eq!(closed, 10, "{}", server.output());
    server.stop();
}

#[test]
fn the_longest_queues_of_readers_that_have_stopped_are_closed() {
    let (_project, server) = start(ECHO, &["send_queues_bytes_max=8388608"]);
    let mut good = socket(&server, "/party/a");
    let before = memory(&server);
    let mut stopped: Vec<_> = (0..20).map(|_| socket(&server, "/party/a")).collect();
    for socket in &mut stopped {
        say(socket, "send 160 100000");
    }
    say(&mut good, "echo small");
    assert_eq!(frame(&mut good), Some((1, b"echo small".to_vec())));
    // Less than half of what they were sent.
    stays_within(&server, before, 150 * MIB);
    let closed = stopped.iter_mut().map(close_code).filter(|code| *code == Some(1013)).count();
    assert!(closed >= 5, "{closed} were closed:\n{}", server.output());
    say(&mut good, "echo again");
    assert_eq!(frame(&mut good), Some((1, b"echo again".to_vec())));
    server.stop();
}

#[test]
fn a_broadcast_counts_once() {
    let (_project, server) = start(ECHO, &["send_queues_bytes_max=8388608"]);
    let mut all: Vec<_> = (0..30).map(|_| socket(&server, "/party/a")).collect();
    say(&mut all[0], "broadcast 20 100000");
    for socket in &mut all {
        for _ in 0..20 {
            assert_eq!(frame(socket).map(|(_, payload)| payload.len()), Some(100_000));
        }
    }
    server.stop();
}

#[test]
fn words_behind_an_undurable_write_are_bounded() {
    let (_project, server) = start(ECHO, &["held_bytes_max=4194304"]);
    let mut talker = socket(&server, "/party/a");
    let before = memory(&server);
    say(&mut talker, "put 500 100000");
    let mut said = 0;
    // What was within the limit is said, the rest threw.
    while said < 4 * MIB - 100_000 {
        said += frame(&mut talker).unwrap().1.len();
    }
    server.wait_for("RangeError: Too many messages wait for writes to be stored");
    stays_within(&server, before, 48 * MIB);
    say(&mut talker, "echo small");
    loop {
        let (_, payload) = frame(&mut talker).unwrap();
        if payload == b"echo small" {
            break;
        }
    }
    // A socket whose queue alone would be too long is closed, as without a write.
    let mut stopped = socket(&server, "/party/b");
    say(&mut stopped, "put 2 1");
    assert_eq!(frame(&mut stopped), Some((1, b"x".to_vec())));
    server.stop();
}

#[test]
fn a_room_that_awaits_its_writes_waits_for_the_disk() {
    let limits = ["undurable_bytes_max=1048576", "unawaited_bytes_max=8388608"];
    let (_project, server) = start(ECHO, &limits);
    assert_eq!(server.get("/party/a?writes=400&await").0, 200, "{}", server.output());
    let (status, text) = server.get("/party/b?writes=400");
    assert_eq!(status, 500, "{text}");
    let line = server.wait_for("Room `main/b` was reset: ");
    assert!(line.contains("more than 8 MiB") && line.contains("(limit `unawaited_bytes_max`)"), "{line}");
    assert_eq!(server.get("/party/b").0, 200);
    server.stop();
}

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let (_project, server) = start(ECHO, &["answers_bytes_max=16777216"]);
    let before = memory(&server);
    let mut lazy: Vec<_> =
        (0..20).map(|_| ask(server.port, "/party/a?bytes=8388608", "Connection: close\r\n")).collect();
    let heads: Vec<String> = lazy.iter_mut().map(head).collect();
    let refused = heads.iter().filter(|head| head.starts_with("http/1.1 503")).count();
    assert!(refused >= 10, "{refused} were refused:\n{}", server.output());
    stays_within(&server, before, 150 * MIB);
    drop(lazy);
    let deadline = Instant::now() + PATIENCE;
    while server.get("/party/a?bytes=8388608").0 != 200 {
        assert!(Instant::now() < deadline, "{}", server.output());
    }
    server.stop();
}
