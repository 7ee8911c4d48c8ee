//! The front and the sockets against clients that behave well and clients that do not, over loopback.
//!
//! No test sleeps: each waits for an answer, an event or the end of the connection. Time limits are shortened.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "support/client.rs"]
mod client;
mod support;

use std::time::{Duration, Instant};

use client::{Client, close_frame, frame};
use partyrun_limits::Limits;
use partyrun_net::FrontOptions;
use support::{Server, server, short, start};

fn event(server: &Server) -> String {
    server.log.recv_timeout(Duration::from_secs(20)).expect("an event")
}

/// Two events that two threads tell, in whatever order.
fn two_events(server: &Server) -> [String; 2] {
    let mut events = [event(server), event(server)];
    events.sort();
    events
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.test:81\r\n\r\n")
}

#[test]
fn requests_and_answers() {
    let server = server(Limits::default());
    let mut client = Client::connect(server.address);
    for _ in 0..3 {
        let answer = client.say(get("/party/a")).answer();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{\"room\":\"a\",\"users\":3}"[..]));
        assert!(answer.head.contains("content-length: 22\r\n") && answer.head.contains("date: "));
    }
    let answer = client.say(get("/x")).answer();
    assert_eq!((answer.status, &answer.body[..]), (404, &b"Not found"[..]));
    let long = format!("/party/{}", "x".repeat(101));
    assert_eq!(client.say(get(&long)).answer().status, 414);
    let answer = client.say(get("/a/../party/%2e/./mirror?q='")).answer();
    assert!(answer.head.contains("x-url: http://a.test:81/party/mirror?q=%27\r\n"), "{}", answer.head);
    client.say("HEAD /party/a HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = client.answer_to("HEAD").unwrap();
    assert!(answer.head.contains("content-length: 22\r\n"));
    client.say([get("/party/a"), get("/party/mirror"), get("/party/a")].concat());
    assert_eq!([client.answer().status, client.answer().status, client.answer().status], [200; 3]);
    client.say("GET /party/a HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert!(client.is_closed());
}

#[test]
fn bodies() {
    let limits = Limits { body_bytes_max: 300_000, ..Limits::default() };
    let server = server(limits);
    let mut client = Client::connect(server.address);
    let post =
        |length: usize| format!("POST /party/mirror HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    for (length, kind) in [(0, "empty"), (5, "full"), (60_000, "full"), (200_000, "stream")] {
        let body = vec![b'x'; length];
        let answer = client.say(post(length)).say(&body).answer();
        assert_eq!(answer.body, body);
        assert!(answer.head.contains(&format!("x-body: {kind}\r\n")), "{}", answer.head);
        assert!(
            !answer.head.contains("x-evil")
                && !answer.head.contains("gzip")
                && !answer.head.contains(": 7\r")
        );
    }
    let chunked = "POST /party/mirror HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = client.say(chunked).say("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").answer();
    assert_eq!(&answer.body[..], b"abcde");
    client.say("POST /party/mirror HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").unwrap().status, 100);
    assert_eq!(&client.say("ok").answer().body[..], b"ok");
    assert_eq!(client.say(post(300_001)).answer().status, 413);
    assert!(client.is_closed());
    let mut client = Client::connect(server.address);
    client.say(chunked.replace("mirror", "swallow"));
    for _ in 0..4 {
        client.say("186a0\r\n").say(vec![b'x'; 100_000]).say("\r\n");
    }
    assert_eq!(client.answer().status, 413);
    assert_eq!(two_events(&server), ["abandoned", "swallowed Err(TooLarge(300000))"]);
    let mut client = Client::connect(server.address);
    client.say(chunked.replace("mirror", "swallow")).say("3\r\nabc\r\n");
    drop(client);
    assert_eq!(event(&server), "swallowed Err(Gone)");
}

#[test]
fn heads_that_are_refused() {
    let server = server(Limits::default());
    let cases = [
        ("GET /party/a HTTP/1.1\r\n\r\n", 400),
        ("GET /party/a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /party/a HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET /party/a HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET /party/a HTTP/1.1\r\nhost: a\r\nx: 1\r\n folded\r\n\r\n", 400),
        ("GET /party/a HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", 400),
        ("GET /party/a HTTP/1.1\r\nhost: a\r\nx : 1\r\n\r\n", 400),
        ("GET /pa rty/a HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("G\x01T / HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("POST /party/a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400),
        ("POST /party/a HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400),
        ("POST /party/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST /party/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        (
            "POST /party/a HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /party/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            400,
        ),
    ];
    for (request, status) in cases {
        let mut client = Client::connect(server.address);
        // A second request in the same bytes must never be seen as one.
        let answer = client.say([request, &get("/party/smuggled")].concat()).answer_to("GET");
        assert_eq!(answer.map_or(0, |answer| answer.status), status, "{request}");
        assert!(client.is_closed(), "{request}");
    }
    // The limits `header_bytes_max` and `header_count_max`.
    for head in [
        format!("GET /party/a HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(70_000)),
        format!("GET /party/a HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101)),
    ] {
        let mut client = Client::connect(server.address);
        assert_eq!(client.say(head).answer().status, 431);
        assert!(client.is_closed());
    }
}

#[test]
fn time_limits() {
    let server = server(Limits { request_time_max: Duration::from_millis(200), ..short() });
    let mut slow = Client::connect(server.address);
    slow.say("GET /party/a HT");
    let mut mute = Client::connect(server.address);
    let mut stalled = Client::connect(server.address);
    stalled.say("POST /party/mirror HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    let mut late = Client::connect(server.address);
    late.say(get("/party/silent"));
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.say(get("/party/a")).answer().status, 200);
    assert!(slow.is_closed() && mute.is_closed() && idle.is_closed());
    assert_eq!(stalled.answer().status, 408);
    assert!(stalled.is_closed());
    assert_eq!(late.answer().status, 504);
    assert_eq!(event(&server), "abandoned");
}

#[test]
fn an_abandoned_request_is_dropped() {
    let server = server(Limits::default());
    Client::connect(server.address).say(get("/party/silent"));
    assert_eq!(event(&server), "abandoned");
}

#[test]
fn silent_connections_make_room_for_others() {
    let options = FrontOptions { threads: 1, pending_heads_max: 8, ..FrontOptions::default() };
    let server = start(Limits { connections_max: 64, ..Limits::default() }, options, 1, "127.0.0.1:0");
    let mut mute: Vec<_> = (0..40).map(|_| Client::connect(server.address)).collect();
    assert_eq!(Client::connect(server.address).say(get("/party/a")).answer().status, 200);
    assert!(mute[0].is_closed());
}

#[test]
fn too_many_connections() {
    let server = server(Limits { connections_max: 3, ..Limits::default() });
    let mut open: Vec<_> = (0..2).map(|_| Client::connect(server.address)).collect();
    // A WebSocket keeps its place after it left the front.
    open.push(Client::socket(server.address, "/party/a"));
    let mut client = Client::connect(server.address);
    assert_eq!(client.answer().status, 503);
    assert!(client.is_closed());
    drop(open.pop());
    assert_eq!(event(&server), "lost");
    // The place is given back right after the event, on the worker's thread.
    let began = Instant::now();
    while Client::connect(server.address)
        .say(get("/party/a"))
        .answer_to("GET")
        .is_none_or(|it| it.status != 200)
    {
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn stopping_lets_requests_finish() {
    let server = server(Limits { request_time_max: Duration::from_millis(300), ..short() });
    let mut waiting = Client::connect(server.address);
    waiting.say(get("/party/silent"));
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.say(get("/party/a")).answer().status, 200);
    server.front.stop(Duration::from_secs(10));
    assert!(idle.is_closed());
    assert_eq!(waiting.answer().status, 504);
    server.front.join();
}

#[test]
fn handshakes() {
    let server = server(Limits::default());
    let good = client::handshake("/party/a");
    let cases = [
        (good.replace("13", "8"), 426),
        (good.replace("dGhl", ""), 400),
        (good.replace("sec-websocket-key", "x"), 400),
        (good.replace("GET", "POST"), 405),
        (good.replace("connection: Upgrade", "connection: close"), 400),
        (good.replace("host: a.test", "host: a.test\r\ncontent-length: 3"), 400),
        (good.replace("upgrade: websocket", "upgrade: h2c"), 200),
        (client::handshake("/nowhere"), 404),
    ];
    for (request, status) in cases {
        let mut client = Client::connect(server.address);
        let answer = client.say(&request).answer();
        assert_eq!(answer.status, status, "{request}");
        assert!(status != 426 || answer.head.contains("sec-websocket-version: 13\r\n"));
    }
    let mut client = Client::connect(server.address);
    // Frames that come along with the handshake are not lost.
    let answer = client.say([good.as_bytes(), &frame(0x81, b"at once")].concat()).answer();
    assert!(answer.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"));
    assert!(!answer.head.contains("sec-websocket-protocol") && !answer.head.contains("content-length"));
    assert_eq!(client.text(), "at once");
    assert_eq!(Client::socket(server.address, "/party/early").text(), "early");
}

#[test]
fn messages() {
    let server = server(Limits::default());
    let mut client = Client::socket(server.address, "/party/a");
    client.say([frame(0x81, "one".as_bytes()), frame(0x89, b"p"), frame(0x82, &[1; 70_000])].concat());
    assert_eq!(client.text(), "one");
    assert_eq!(client.frame(), Some((0x8a, b"p".to_vec())));
    assert_eq!(client.frame(), Some((0x82, vec![1; 70_000])));
    let whole = "é".repeat(100_000);
    for byte in frame(0x81, "slow é".as_bytes()) {
        client.say([byte]);
    }
    assert_eq!(client.text(), "slow é");
    client
        .say(frame(0x01, &whole.as_bytes()[..99_999]))
        .say(frame(0x8a, b""))
        .say(frame(0x80, &whole.as_bytes()[99_999..]));
    assert_eq!(client.text(), whole);
    let big = vec![b'z'; 1 << 20];
    client.say(frame(0x82, &big));
    assert_eq!(client.frame(), Some((0x82, big)));
    let mut other = Client::socket(server.address, "/party/a");
    client.say(frame(0x81, b"all:hello"));
    assert_eq!((client.text(), other.text()), ("hello".to_owned(), "hello".to_owned()));
}

#[test]
fn peers_that_break_the_rules() {
    let server = server(Limits::default());
    let huge = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4].to_vec();
    let too_large = "Message is too large: 1048577 > 1048576";
    // Among them what is beyond `message_in_bytes_max`, `message_fragments_max` and `control_frames_per_second_max`.
    let cases = [
        (huge, 1009, "Message is too large: 9223372036854775808 > 1048576"),
        (frame(0x82, &vec![0; 1_048_577]), 1009, too_large),
        ([frame(0x01, &vec![b'a'; 1 << 20]), frame(0x80, b"b")].concat(), 1009, too_large),
        (
            [frame(0x01, b""), frame(0x00, b"").repeat(2000)].concat(),
            1008,
            "More than 1024 fragments (limit `message_fragments_max`)",
        ),
        (
            frame(0x89, b"").repeat(5000),
            1008,
            "More than 1000 control frames in a second (limit `control_frames_per_second_max`)",
        ),
        (frame(0x81, &[0xc3, 0x28]), 1007, "Invalid UTF-8"),
        (vec![0x81, 1, b'a'], 1002, "Frames from a client must be masked"),
        (frame(0xf1, b"a"), 1002, "Reserved bits are set"),
        (frame(0x83, b"a"), 1002, "Unknown opcode"),
        (frame(0x80, b"a"), 1002, "A continuation continues nothing"),
    ];
    for (bytes, code, reason) in cases {
        let mut client = Client::socket(server.address, "/party/a");
        client.say(bytes);
        assert_eq!(client.closing(), (code, reason.to_owned()));
        assert!(client.is_closed(), "{reason}");
        assert_eq!(event(&server), format!("failed {code} {reason}"));
    }
    let mut client = Client::socket(server.address, "/party/a");
    client.say(frame(0x81, b"alive"));
    assert_eq!(client.text(), "alive");
}

#[test]
fn broken_close_frames_close() {
    let server = server(Limits::default());
    let cases = [
        (frame(0x88, &1005_u16.to_be_bytes()), 1002, "Invalid close code", "close 1005 "),
        (frame(0x88, &[3]), 1002, "A close frame has one byte", "close"),
        (frame(0x88, &[3, 232, 0xff]), 1007, "Invalid UTF-8", "close 1000 \u{fffd}"),
        // As a proxy sends it that takes this server for a client.
        (vec![0x88, 4, 3, 233, b'b', b'y'], 1001, "by", "close 1001 by"),
    ];
    for (bytes, code, reason, told) in cases {
        let mut client = Client::socket(server.address, "/party/a");
        client.say(bytes);
        assert_eq!(client.closing(), (code, reason.to_owned()));
        assert!(client.is_closed(), "{reason}");
        assert_eq!(event(&server), told);
    }
}

#[test]
fn closing() {
    let server = server(short());
    let mut client = Client::socket(server.address, "/party/a");
    client.say(close_frame(4001, "bye"));
    assert_eq!(client.closing(), (4001, "bye".to_owned()));
    assert!(client.is_closed());
    assert_eq!(event(&server), "close 4001 bye");

    let mut client = Client::socket(server.address, "/party/a");
    client.say(frame(0x88, b""));
    assert_eq!(client.closing().0, 1005);
    assert_eq!(event(&server), "close");

    let mut client = Client::socket(server.address, "/party/a");
    client.say(frame(0x81, b"close:4002:see you"));
    assert_eq!(client.closing(), (4002, "see you".to_owned()));
    assert_eq!(event(&server), "after close: Err(Closed)");
    client.say(close_frame(4002, "see you"));
    assert!(client.is_closed());
    assert_eq!(event(&server), "close 4002 see you");

    // A peer that never answers our close frame, one that vanishes, one that says nothing to pings.
    let mut client = Client::socket(server.address, "/party/a");
    client.say(frame(0x81, b"close:4003:"));
    assert_eq!(client.closing().0, 4003);
    assert_eq!(event(&server), "after close: Err(Closed)");
    assert!(client.is_closed());
    assert_eq!(event(&server), "lost");
    drop(Client::socket(server.address, "/party/a"));
    assert_eq!(event(&server), "lost");
    let mut client = Client::socket(server.address, "/party/a");
    assert_eq!(client.frame(), Some((0x89, Vec::new())));
    client.say(frame(0x8a, b""));
    assert_eq!(client.frame(), Some((0x89, Vec::new())));
    assert!(client.is_closed());
    assert_eq!(event(&server), "lost");
}

#[test]
fn a_slow_reader_is_closed_with_1013() {
    let limits = Limits { send_queue_bytes_max: 4 << 20, ..Limits::default() };
    let server = server(limits);
    let mut client = Client::socket(server.address, "/party/a");
    client.say(frame(0x81, b"flood:1000"));
    assert_eq!(event(&server), "flood: QueueFull");
    assert_eq!(
        event(&server),
        "failed 1013 The peer does not read what it is sent (limit `send_queue_bytes_max`: 4 MiB)"
    );
    // Who reads at last finds whole frames and the reason.
    assert_eq!(client.closing().0, 1013);
    let mut client = Client::socket(server.address, "/party/b");
    client.say(frame(0x81, b"flood:4"));
    for _ in 0..4 {
        assert_eq!(client.frame().map(|(_, payload)| payload.len()), Some(1 << 20));
    }
}
