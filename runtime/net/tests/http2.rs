//! HTTP/2: requests and WebSockets of a real client, h2's, and raw frames of clients that break the rules.
//!
//! All of it by prior knowledge on a plain listener; with TLS the protocol is agreed on before, and nothing else is different. No
//! test sleeps. Time limits are shortened.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[allow(dead_code, reason = "what is about HTTP/1.1 is for the other tests")]
#[path = "support/client.rs"]
mod client;
#[path = "support/frames.rs"]
mod frames;
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use client::Client;
use frames::*;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use partyrun_limits::Limits;
use support::{Server, server, short};

fn event(server: &Server) -> String {
    server.log.recv_timeout(Duration::from_secs(20)).expect("an event")
}

/// The same while the test's own connections go on.
async fn told(server: &Server) -> String {
    loop {
        match server.log.try_recv() {
            Ok(event) => return event,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") })
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // As browsers have it: more for the connection than for a stream.
    let mut builder = h2::client::Builder::new();
    let (sender, connection) =
        builder.initial_connection_window_size(1 << 20).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://a.test:81{path}")).body(()).unwrap()
}

/// Sends a request with a body, and gives the response with its body.
async fn ask(client: &SendRequest<Bytes>, request: Request<()>, body: &[u8]) -> (Response<()>, Vec<u8>) {
    let mut client = client.clone().ready().await.unwrap();
    let (response, mut sender) = client.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        sender.send_data(Bytes::copy_from_slice(body), true).unwrap();
    }
    let (parts, mut stream) = response.await.unwrap().into_parts();
    let mut whole = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.unwrap();
        stream.flow_control().release_capacity(piece.len()).unwrap();
        whole.extend_from_slice(&piece);
    }
    (Response::from_parts(parts, ()), whole)
}

fn is_served(server: &Server) {
    run(async {
        let (response, _) = ask(&connect(server.address).await, get("/party/a"), b"").await;
        assert_eq!(response.status(), 200);
    });
    assert_eq!(Client::connect(server.address).say("GET /party/a HTTP/1.0\r\n\r\n").answer().status, 200);
}

#[test]
fn requests_and_answers() {
    let server = server(Limits::default());
    run(async {
        let client = connect(server.address).await;
        let (response, body) = ask(&client, get("/party/a"), b"").await;
        assert_eq!((response.status().as_u16(), &body[..]), (200, &b"{\"room\":\"a\",\"users\":3}"[..]));
        assert_eq!(response.headers()["content-length"], "22");
        assert!(response.headers().contains_key("date"));
        assert_eq!(ask(&client, get("/x"), b"").await.0.status(), 404);
        let head = Request::head("http://a.test/party/a").body(()).unwrap();
        let (response, body) = ask(&client, head, b"").await;
        assert_eq!((&response.headers()["content-length"], body.len()), (&"22".parse().unwrap(), 0));
        let mut mirrored = get("/a/../party/%2e/./mirror?q='");
        *mirrored.method_mut() = Method::POST;
        for cookie in ["a=1", "b=2; c=3", "d=4"] {
            mirrored.headers_mut().append("cookie", cookie.parse().unwrap());
        }
        for length in [5, 60_000, 2_000_000] {
            let body: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
            let (response, answered) = ask(&client, mirrored.clone(), &body).await;
            let headers = response.headers();
            assert!(answered == body, "{length}: {}", answered.len());
            assert_eq!(headers["x-url"], "http://a.test:81/party/mirror?q=%27");
            assert_eq!(headers["x-host"], "a.test:81");
            assert_eq!(headers["x-cookie"], "a=1; b=2; c=3; d=4");
            // The client does not say how long a body is.
            assert_eq!(headers["x-body"], "stream");
            assert!(!headers.contains_key("connection") && !headers.contains_key("transfer-encoding"));
        }
        // All at once.
        let many = (0..200).map(|_| tokio::spawn(ask_owned(client.clone(), mirrored.clone(), vec![7; 3000])));
        for answered in many.collect::<Vec<_>>() {
            assert_eq!(answered.await.unwrap(), (200, 3000));
        }
    });
}

async fn ask_owned(client: SendRequest<Bytes>, request: Request<()>, body: Vec<u8>) -> (u16, usize) {
    let (response, body) = ask(&client, request, &body).await;
    (response.status().as_u16(), body.len())
}

#[test]
fn a_request_that_is_taken_back_is_abandoned() {
    let server = server(Limits::default());
    let mut client = Raw::connect(server.address, &[]);
    client.ask(1, &request("GET", "/party/silent"), true);
    client.ask(3, &request("GET", "/party/a"), true);
    assert_eq!(client.end_of(3), "answer 88");
    client.say(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()));
    assert_eq!(event(&server), "abandoned");
    // So is one whose connection ends.
    client.ask(5, &request("GET", "/party/silent"), true);
    client.ask(7, &request("GET", "/party/a"), true);
    assert_eq!(client.end_of(7), "answer 88");
    drop(client);
    assert_eq!(event(&server), "abandoned");
}

#[test]
fn bodies_stop_at_their_limits() {
    let server = server(Limits { body_bytes_max: 1000, body_eager_bytes_max: 100, ..short() });
    let mut client = Raw::connect(server.address, &[]);
    let mut fields = request("POST", "/party/swallow");
    fields.push(("content-length", "1001"));
    // Refused by what it says, before any of it comes.
    client.ask(1, &fields, false);
    let answer = client.next(HEADERS).unwrap();
    assert!(answer.payload[0] != STATUS_200 && answer.flags & END_STREAM == 0);
    // By what comes.
    client.ask(3, &request("POST", "/party/swallow"), false).say(frame(DATA, 0, 3, &[7; 1001]));
    let events = [event(&server), event(&server)];
    assert!(events.contains(&"swallowed Err(TooLarge(1000))".to_string()), "{events:?}");
    // By what does not come.
    client.ask(5, &request("POST", "/party/swallow"), false).say(frame(DATA, 0, 5, &[7; 10]));
    let events = [event(&server), event(&server)];
    assert!(events.contains(&"swallowed Err(Idle)".to_string()), "{events:?}");
    is_served(&server);
}

#[test]
fn a_client_that_opens_no_window_loses_its_stream_only() {
    let server = server(short());
    let mut client = Raw::connect(server.address, &[(4, 0)]);
    client.ask(1, &request("GET", "/party/a"), true);
    let answer = client.next(HEADERS).unwrap();
    assert_eq!((answer.stream, answer.payload[0]), (1, STATUS_200));
    let reset = client.next(RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number(0)), (1, CANCEL));
    // One whose window is opened in time is read to its end.
    client.ask(3, &request("GET", "/party/a"), true);
    assert_eq!(client.end_of(3), "answer 88");
    client.say(frame(WINDOW_UPDATE, 0, 3, &100_u32.to_be_bytes()));
    let data = client.next(DATA).unwrap();
    assert_eq!((data.stream, data.payload.len(), data.flags), (3, 22, END_STREAM));
}

#[test]
fn connections_end_in_time() {
    let server = server(short());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = frame(SETTINGS, 0, 0, &[]);
    let head = block(&request("GET", "/party/a"));
    let begun = frame(HEADERS, END_STREAM, 1, &head);
    // In the middle of the preface, of a frame, of a head of several frames.
    for bytes in [
        &preface[..18],
        &[&preface[..], &settings[..5]].concat(),
        &[&preface[..], &settings, &begun].concat(),
    ] {
        let mut client = Client::connect(server.address);
        client.say(bytes);
        while client.more() {}
    }
    // One that has been served, and has nothing more to say, is told.
    let mut client = Raw::connect(server.address, &[]);
    client.ask(1, &request("GET", "/party/a"), true);
    assert_eq!(client.end_of(1), "answer 88");
    let away = client.next(GOAWAY).unwrap();
    assert_eq!((away.number(0), away.number(4)), (1, 0));
    assert!(client.is_closed());
    is_served(&server);
}

#[test]
fn idle_connections_make_way() {
    let server = server(Limits { connections_max: 3, ..Limits::default() });
    run(async {
        let client = connect(server.address).await;
        let mut socket = Socket::open(&client, "/party/a").await;
        let mut idle = Raw::connect(server.address, &[]);
        idle.ask(1, &request("GET", "/party/a"), true);
        assert_eq!(idle.end_of(1), "answer 88");
        // A connection, its socket, and one that waits: which ends for the next socket, too.
        let mut second = Socket::open(&client, "/party/a").await;
        assert_eq!(idle.away(), Some(0));
        let response = Socket::ask(&client, "/party/a").await.0;
        assert_eq!(response.status(), 503);
        for socket in [&mut socket, &mut second] {
            socket.say(0x81, b"alive").await;
            assert_eq!(socket.text().await, "alive");
        }
    });
}

/// What the server says at first: the settings that it sends, by their numbers.
fn settings(client: &mut Raw) -> Vec<(u16, u32)> {
    let payload = client.next(SETTINGS).unwrap().payload;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte));
    payload.chunks(6).map(|setting| (number(&setting[..2]) as u16, number(&setting[2..]))).collect()
}

#[test]
fn windows_are_as_large_as_the_limits_say() {
    let limits = Limits {
        http2_stream_window_bytes: 70_000,
        http2_connection_window_bytes: 100_000,
        bodies_total_bytes_max: 1000,
        ..Limits::default()
    };
    let server = server(limits);
    let mut client = Raw::connect(server.address, &[]);
    let settings = settings(&mut client);
    for setting in [(4, 70_000), (3, 256), (8, 1), (6, 65_536)] {
        assert!(settings.contains(&setting), "{settings:?}");
    }
    let opened = client.next(WINDOW_UPDATE).unwrap();
    assert_eq!((opened.stream, opened.number(0)), (0, 100_000 - 65_535));
    // Nobody reads it, and no more of it is received; a client that goes on all the same breaks the rules.
    client.ask(1, &request("POST", "/party/unread"), false);
    for _ in 0..6 {
        client.say(frame(DATA, 0, 1, &[7; 16_384]));
    }
    let end = client.end_of(1);
    assert!(["reset 3", "away 3"].contains(&end.as_str()), "{end}");
    is_served(&server);
}

#[test]
fn so_many_streams_at_once() {
    let server = server(Limits { http2_streams_max: 2, ..Limits::default() });
    let mut client = Raw::connect(server.address, &[]);
    for stream in [1, 3, 5] {
        client.ask(stream, &request("GET", "/party/silent"), true);
    }
    assert_eq!(client.end_of(5), format!("reset {REFUSED_STREAM}"));
    client.say(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()));
    client.ask(7, &request("GET", "/party/a"), true);
    assert_eq!(client.end_of(7), "answer 88");
}

#[test]
fn the_end_of_the_front_is_announced() {
    let server = server(Limits::default());
    let mut client = Raw::connect(server.address, &[]);
    client.ask(1, &request("GET", "/party/unread"), true);
    client.ask(3, &request("GET", "/party/a"), true);
    assert_eq!(client.end_of(3), "answer 88");
    server.front.stop(Duration::from_secs(20));
    // Streams that are open may still be opened until the client knows, and end in peace.
    let away = client.next(GOAWAY).unwrap();
    assert_eq!(away.number(4), 0);
    let ping = client.next(PING).unwrap();
    client.ask(5, &request("GET", "/party/release"), true);
    client.say(frame(PING, ACK, 0, &ping.payload));
    let mut answered = Vec::new();
    while let Some(frame) = client.frame() {
        if frame.kind == HEADERS {
            answered.push((frame.stream, frame.payload[0]));
        }
    }
    answered.sort();
    assert_eq!(answered, [(1, STATUS_200), (5, STATUS_200)]);
    server.front.join();
}

/// What a client sends a thousand times, and how the server ends it.
#[test]
fn floods_end_with_the_right_code_and_cost_nothing() {
    let limits = Limits {
        http2_control_frames_per_second_max: 100,
        http2_resets_per_second_max: 50,
        header_bytes_max: 16 * 1024,
        ..Limits::default()
    };
    let server = server(limits);
    let get = block(&request("GET", "/party/silent"));
    let taken_back = |stream: u32| {
        [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &get),
            frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()),
        ]
        .concat()
    };
    let all = |frame: Vec<u8>| frame.repeat(2000);
    let open = frame(HEADERS, END_HEADERS, 1, &block(&request("POST", "/party/unread")));
    let floods: [(&str, Vec<u8>); 9] = [
        ("pings", all(frame(PING, 0, 0, &[7; 8]))),
        ("settings", all(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]))),
        ("priorities", all(frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]))),
        ("unknown frames", all(frame(0xbe, 0, 0, &[7; 20]))),
        ("empty data", [open.clone(), all(frame(DATA, 0, 1, &[]))].concat()),
        ("window updates", [open, all(frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()))].concat()),
        ("rapid resets", (0..2000).flat_map(|at| taken_back(2 * at + 1)).collect()),
        (
            "empty continuations",
            [frame(HEADERS, END_STREAM, 1, &get), all(frame(CONTINUATION, 0, 1, &[]))].concat(),
        ),
        (
            "continuations",
            [
                frame(HEADERS, END_STREAM, 1, &get),
                all(frame(CONTINUATION, 0, 1, &block(&[("x", "y")]).repeat(1000))),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in &floods {
        let mut client = Raw::connect(server.address, &[]);
        let mut writer = client.stream.try_clone().unwrap();
        let bytes = bytes.clone();
        // Written by another thread: the server answers while it reads.
        let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes));
        assert_eq!(client.away(), Some(ENHANCE_YOUR_CALM), "{name}");
        assert!(client.is_closed(), "{name}");
        // Cut off, or read for a moment longer.
        let _cut = writing.join().unwrap();
        is_served(&server);
    }
    let before = resident();
    for _ in 0..5 {
        for (_, bytes) in &floods {
            let mut client = Raw::connect(server.address, &[]);
            client.say(bytes);
        }
    }
    is_served(&server);
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn heads_have_a_size() {
    let server = server(Limits { header_bytes_max: 16 * 1024, header_count_max: 20, ..Limits::default() });
    let long = "x".repeat(17_000);
    let mut fields = request("GET", "/party/a");
    fields.push(("long", &long));
    let bytes = block(&fields);
    let mut client = Raw::connect(server.address, &[]);
    let (first, rest) = bytes.split_at(16_000);
    client.say(frame(HEADERS, END_STREAM, 1, first)).say(frame(CONTINUATION, END_HEADERS, 1, rest));
    let answer = client.next(HEADERS).unwrap();
    assert!(answer.payload[0] != STATUS_200 && answer.flags & END_STREAM != 0);
    run(async {
        let client = connect(server.address).await;
        let mut many = get("/party/a");
        for at in 0..20 {
            many.headers_mut().append("x", at.to_string().parse().unwrap());
        }
        assert_eq!(ask(&client, many.clone(), b"").await.0.status(), 200);
        many.headers_mut().append("x", "21".parse().unwrap());
        let (response, text) = ask(&client, many, b"").await;
        assert_eq!(response.status(), 431);
        assert!(String::from_utf8(text).unwrap().contains("header_count_max"));
    });
}

/// What would smuggle a second request into a connection behind this one, if somebody passed it on.
#[test]
fn requests_that_two_would_read_in_two_ways_are_none() {
    let server = server(Limits::default());
    let with = |extra: &[(&'static str, &'static str)]| [&request("POST", "/party/mirror"), extra].concat();
    let bad: [(&str, Vec<(&str, &str)>); 18] = [
        ("connection", with(&[("connection", "keep-alive")])),
        ("keep-alive", with(&[("keep-alive", "1")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("te", with(&[("te", "gzip")])),
        ("upper case", with(&[("X-Upper", "1")])),
        ("a space in a name", with(&[("x y", "1")])),
        ("a colon in a name", with(&[("x:y", "1")])),
        ("a line end in a value", with(&[("x", "1\r\nhost: b")])),
        ("a NUL in a value", with(&[("x", "1\0")])),
        ("no method", request("POST", "/")[1..].to_vec()),
        ("no path", request("POST", "/")[..3].to_vec()),
        ("two methods", with(&[])[..1].iter().chain(&with(&[])).copied().collect()),
        ("a pseudo header behind others", [&[("x", "1")][..], &with(&[])].concat()),
        ("an unknown pseudo header", [&[(":x", "1")][..], &with(&[])].concat()),
        ("a status", [&[(":status", "200")][..], &with(&[])].concat()),
        ("two lengths", with(&[("content-length", "1"), ("content-length", "2")])),
    ];
    for (name, fields) in &bad {
        let mut client = Raw::connect(server.address, &[]);
        client.ask(1, fields, false);
        let end = client.end_of(1);
        assert!(
            [format!("reset {PROTOCOL_ERROR}"), format!("away {PROTOCOL_ERROR}")].contains(&end),
            "{name}: {end}"
        );
    }
    // Lengths that are not those of the body.
    for (length, body) in [("1", &b"xy"[..]), ("3", b"xy"), ("0", b"x")] {
        let mut client = Raw::connect(server.address, &[]);
        client.ask(1, &with(&[("content-length", length)]), false).say(frame(DATA, END_STREAM, 1, body));
        assert_eq!(client.end_of(1), format!("reset {PROTOCOL_ERROR}"), "{length}");
    }
    // Refused with an answer: hosts and targets that HTTP/1.1 refuses, too.
    let answered: [Vec<(&str, &str)>; 5] = [
        with(&[("host", "b.test")]),
        [&[(":method", "GET"), (":scheme", "http"), (":path", "/party/a")][..]].concat(),
        [&[(":method", "CONNECT"), (":authority", "a.test:80")][..]].concat(),
        [&[(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a.test"), (":path", "*")][..]]
            .concat(),
        [&[(":method", "GET"), (":scheme", "http"), (":authority", "me@a.test"), (":path", "/party/a")][..]]
            .concat(),
    ];
    for fields in &answered {
        let mut client = Raw::connect(server.address, &[]);
        client.ask(1, fields, true);
        // `:status: 400` stands in the table as well.
        assert_eq!(client.end_of(1), "answer 8c", "{fields:?}");
    }
    is_served(&server);
}

/// A WebSocket over one stream.
struct Socket {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    read: BytesMut,
}

impl Socket {
    async fn ask(client: &SendRequest<Bytes>, path: &str) -> (Response<RecvStream>, SendStream<Bytes>) {
        let mut client = client.clone().ready().await.unwrap();
        let request = Request::connect(format!("http://a.test{path}"))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap();
        let (response, sender) = client.send_request(request, false).unwrap();
        (response.await.unwrap(), sender)
    }

    async fn open(client: &SendRequest<Bytes>, path: &str) -> Self {
        let (response, sender) = Self::ask(client, path).await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        Self { sender, receiver: response.into_body(), read: BytesMut::new() }
    }

    async fn say(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = Bytes::from(client::frame(first, payload));
        while !bytes.is_empty() {
            self.sender.reserve_capacity(bytes.len());
            if self.sender.capacity() == 0 {
                std::future::poll_fn(|context| self.sender.poll_capacity(context)).await.unwrap().unwrap();
            }
            let piece = bytes.split_to(self.sender.capacity().min(bytes.len()));
            self.sender.send_data(piece, false).unwrap();
        }
    }

    /// Reads until so much is there; false at the end.
    async fn fill(&mut self, length: usize) -> bool {
        while self.read.len() < length {
            let Some(Ok(piece)) = self.receiver.data().await else { return false };
            self.receiver.flow_control().release_capacity(piece.len()).unwrap();
            self.read.extend_from_slice(&piece);
        }
        true
    }

    /// The first byte and the payload of the next frame; none at the end.
    async fn frame(&mut self) -> Option<(u8, BytesMut)> {
        if !self.fill(2).await {
            return None;
        }
        let (head, length) = match self.read[1] {
            126 => {
                self.fill(4).await;
                (4, usize::from(u16::from_be_bytes([self.read[2], self.read[3]])))
            }
            127 => {
                self.fill(10).await;
                (10, u64::from_be_bytes(self.read[2..10].try_into().unwrap()) as usize)
            }
            length => (2, length.into()),
        };
        self.fill(head + length).await;
        let first = self.read[0];
        let _head = self.read.split_to(head);
        Some((first, self.read.split_to(length)))
    }

    async fn text(&mut self) -> String {
        let (first, payload) = self.frame().await.expect("a frame");
        assert_eq!(first, 0x81);
        String::from_utf8(payload.to_vec()).unwrap()
    }
}

#[test]
fn sockets_over_one_connection() {
    let server = server(Limits::default());
    run(async {
        let client = connect(server.address).await;
        ask(&client, get("/party/a"), b"").await;
        assert!(client.is_extended_connect_protocol_enabled());
        let mut sockets = Vec::new();
        for _ in 0..20 {
            sockets.push(Socket::open(&client, "/party/a").await);
        }
        sockets[0].say(0x81, b"all:hello").await;
        for socket in &mut sockets {
            assert_eq!(socket.text().await, "hello");
        }
        let large = vec![7; 1 << 20];
        let mut echo = Socket::open(&client, "/party/echo").await;
        echo.say(0x82, &large).await;
        assert_eq!(echo.frame().await.unwrap(), (0x82, BytesMut::from(&large[..])));
        echo.say(0x89, b"still there?").await;
        assert_eq!(echo.frame().await.unwrap(), (0x8a, BytesMut::from(&b"still there?"[..])));
        // The room's farewell, and the client's: both sides end the stream in order.
        sockets[1].say(0x81, b"close:4001:bye").await;
        assert_eq!(told(&server).await, "after close: Err(Closed)");
        let (first, payload) = sockets[1].frame().await.unwrap();
        assert_eq!((first, &payload[..]), (0x88, &[0x0f, 0xa1, b'b', b'y', b'e'][..]));
        sockets[1].say(0x88, &4001_u16.to_be_bytes()).await;
        sockets[1].sender.send_data(Bytes::new(), true).unwrap();
        assert_eq!(sockets[1].frame().await, None);
        assert_eq!(told(&server).await, "close 4001 ");
        // A stream that is reset is a lost connection, and no other socket notices.
        sockets[2].sender.send_reset(h2::Reason::CANCEL);
        assert_eq!(told(&server).await, "lost");
        sockets[3].say(0x81, b"alive").await;
        assert_eq!(sockets[3].text().await, "alive");
        // Frames that break the rules end their socket as they do over TCP.
        sockets[4].say(0x83, b"").await;
        let (_, payload) = sockets[4].frame().await.unwrap();
        assert_eq!(&payload[..2], &1002_u16.to_be_bytes());
        assert!(told(&server).await.starts_with("failed 1002"));
    });
}

#[test]
fn a_socket_that_is_refused_with_200_is_not_open() {
    let server = server(Limits::default());
    run(async {
        let client = connect(server.address).await;
        ask(&client, get("/party/a"), b"").await;
        let (response, _sender) = Socket::ask(&client, "/party/refused").await;
        assert_eq!(response.status(), 403);
        let text = response.into_body().data().await.unwrap().unwrap();
        assert!(text.starts_with(b"{\"room\""), "what the room says is kept: {text:?}");
    });
}

#[test]
fn a_socket_that_does_not_read_is_the_only_one_to_suffer() {
    let limits =
        Limits { send_queue_bytes_max: 4 << 20, http2_send_buffer_bytes_max: 16 << 10, ..Limits::default() };
    let server = server(limits);
    run(async {
        let client = connect(server.address).await;
        let mut slow = Socket::open(&client, "/party/slow").await;
        let mut quick = Socket::open(&client, "/party/quick").await;
        slow.say(0x81, b"flood:40").await;
        assert_eq!(told(&server).await, "flood: QueueFull");
        assert!(told(&server).await.starts_with("failed 1013"));
        quick.say(0x81, b"flood:3").await;
        for _ in 0..3 {
            assert_eq!(quick.frame().await.unwrap().1.len(), 1 << 20);
        }
        assert_eq!(told(&server).await, "flood: all");
    });
}

#[test]
fn silent_sockets_are_asked_and_dropped() {
    let server = server(short());
    let mut client = Raw::connect(server.address, &[]);
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/party/a"),
        ("sec-websocket-version", "13"),
    ];
    client.ask(1, &fields, false);
    assert_eq!(client.end_of(1), "answer 88");
    let ping = client.next(DATA).unwrap();
    assert_eq!(&ping.payload[..], &[0x89, 0]);
    assert_eq!(event(&server), "lost");
    let reset = client.next(RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.number(0)), (1, CANCEL));
    // The connection is idle now.
    assert_eq!(client.away(), Some(0));
}

#[test]
fn handshakes_that_are_none() {
    let server = server(Limits::default());
    let connect = |protocol: &'static str, version: &'static str| {
        vec![
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/party/a"),
            ("sec-websocket-version", version),
        ]
    };
    let mut client = Raw::connect(server.address, &[]);
    client.ask(1, &connect("connect-udp", "13"), false);
    client.ask(3, &connect("websocket", "8"), false);
    let mut answers = [client.next(HEADERS).unwrap(), client.next(HEADERS).unwrap()];
    answers.sort_by_key(|answer| answer.stream);
    assert!(answers[0].payload[0] != STATUS_200, "{answers:?}");
    assert_eq!(answers[1].payload[0], 0x8c);
    let other = [&connect("websocket", "13")[1..], &[][..]].concat();
    client.ask(5, &[&[(":method", "GET")][..], &other].concat(), true);
    assert_eq!(client.end_of(5), format!("reset {PROTOCOL_ERROR}"));
    is_served(&server);
}
