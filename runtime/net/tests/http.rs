//! Requests whose frame is the question: targets and hosts, lengths and chunks, bodies that crawl, places that are all taken.
//!
//! Raw bytes over loopback; no test sleeps. Time limits are shortened.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[allow(dead_code, reason = "what is about sockets is for the other tests")]
#[path = "support/client.rs"]
mod client;
mod support;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use client::Client;
use partyrun_limits::Limits;
use partyrun_net::{Front, FrontOptions, Handler, Request, Response, bind};
use support::{Server, server, short};

fn event(server: &Server) -> String {
    server.log.recv_timeout(Duration::from_secs(20)).expect("an event")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.test:81\r\n\r\n")
}

#[test]
fn the_authority_of_an_absolute_target_is_the_host() {
    let server = server(Limits::default());
    let seen = [
        (
            "GET http://b.test:82/party/mirror?q HTTP/1.1\r\nhost: a.test\r\n\r\n",
            "http://b.test:82/party/mirror?q",
        ),
        ("GET HTTP://B.test/party/mirror HTTP/1.1\r\nhost:\r\n\r\n", "http://b.test/party/mirror"),
        ("GET http://b.test/party/mirror HTTP/1.0\r\n\r\n", "http://b.test/party/mirror"),
    ];
    for (request, url) in seen {
        let answer = Client::connect(server.address).say(request).answer();
        assert!(answer.head.contains(&format!("x-url: {url}\r\n")), "{request}: {}", answer.head);
        let host = url.split('/').nth(2).unwrap();
        assert!(
            answer.head.contains(&format!("x-host: {host}\r\n").to_lowercase()),
            "{request}: {}",
            answer.head
        );
    }
    let refused = [
        "GET http://b.test/party/a HTTP/1.1\r\n\r\n",
        "GET http://b.test/party/a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET http://b.test/party/a HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET http://me:secret@b.test/party/a HTTP/1.1\r\nhost: b.test\r\n\r\n",
        "GET ftp://b.test/party/a HTTP/1.1\r\nhost: b.test\r\n\r\n",
        "GET b.test:80 HTTP/1.1\r\nhost: b.test\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: b.test\r\n\r\n",
    ];
    for request in refused {
        let mut client = Client::connect(server.address);
        assert_eq!(client.say(request).answer().status, 400, "{request}");
        assert!(client.is_closed(), "{request}");
    }
}

#[test]
fn broken_chunks_are_the_clients_mistake() {
    let server = server(Limits::default());
    let head = "POST /party/swallow HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for chunks in
        ["xyz\r\nabc\r\n", "3\r\nabcdef\r\n", "3\r\nabc\r\n-1\r\n", "fffffffffffffffff\r\n", "3;\nabc\r\n"]
    {
        let mut client = Client::connect(server.address);
        client.say(head).say(chunks);
        assert_eq!(client.answer().status, 400, "{chunks}");
        assert!(client.is_closed(), "{chunks}");
        // The reader of the body hears of it, and nobody waits for its answer any more.
        let mut events = [event(&server), event(&server)];
        events.sort();
        assert_eq!(events, ["abandoned", "swallowed Err(Malformed)"], "{chunks}");
    }
}

#[test]
fn no_request_of_a_connection_has_two_lengths() {
    let server = server(Limits::default());
    let smuggling = "POST /party/mirror HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let chunked =
        "POST /party/mirror HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let with_length = "POST /party/mirror HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    let before = [get("/party/a"), chunked.to_owned(), with_length.to_owned()];
    for first in &before {
        for second in &before {
            let bytes = [first, second, smuggling, &get("/party/smuggled")].concat();
            for piece in [1, 7, bytes.len()] {
                let mut client = Client::connect(server.address);
                for part in bytes.as_bytes().chunks(piece) {
                    client.say(part);
                }
                let answers = [client.answer().status, client.answer().status, client.answer().status];
                assert_eq!(answers, [200, 200, 400], "{first} {second} {piece}");
                assert!(client.is_closed(), "{first} {second} {piece}");
            }
        }
    }
    // Without a length each of them is served, however many come at once.
    let mut client = Client::connect(server.address);
    client.say(chunked.repeat(5));
    for _ in 0..5 {
        assert_eq!(&client.answer().body[..], b"x");
    }
}

/// What a request may look like to one parser and not to another (RFC 9112): either it is refused and the connection closed, so
/// that nothing behind it is taken for a request, or it is read in the one right way.
#[test]
fn requests_that_two_would_read_in_two_ways() {
    let server = server(Limits::default());
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    let post = |fields: &str, body: &str| {
        format!("POST /party/mirror HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}")
    };
    let lengths = [
        "5\r\ncontent-length: 6",
        "5, 5",
        "5, 6",
        "5,",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "",
        "5.0",
        "\x0b5",
        "99999999999999999999",
        "\r\n 5",
    ];
    let codings = [
        "chunked, chunked",
        "chunked\r\ntransfer-encoding: chunked",
        "identity",
        "chunked, identity",
        "gzip, chunked",
        "identity\r\ntransfer-encoding: chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\x0bchunked",
        "\"chunked\"",
        "chunked,",
        ",chunked",
        "",
        "\r\n chunked",
        "chunked\r\ncontent-length: 5",
        "chunked\r\nContent-Length: 0",
    ];
    let fields = [
        "content-length : 5",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        " transfer-encoding: chunked",
        "x: y\r\n transfer-encoding: chunked",
        "x: y\r\n\ttransfer-encoding: chunked",
        "x: y\rtransfer-encoding: chunked",
        "x: y\r\r\ntransfer-encoding: chunked",
        "x: y\0\r\ntransfer-encoding: chunked",
        "x\0: y",
        "nocolon",
        ": x",
        "con tent: x",
        "x(y): z",
    ];
    let chunks = [
        "0x5\r\nhello",
        " 5\r\nhello",
        "+5\r\nhello",
        "-5\r\nhello",
        "5_\r\nhello",
        "\r\nhello",
        "5\nhello",
        "5\rhello",
        "5;a\nhello",
        "5;a\rb\r\nhello",
        "6\r\nhello",
        "5\r\nhelloworld",
        "10000000000000005\r\nhello",
    ];
    let ends = ["5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n0\n\n", "5\r\nhello\r\n0\r\nx y: 1\r\n\r\n"];
    let lines = [
        "GET  /party/a HTTP/1.1",
        "GET\t/party/a\tHTTP/1.1",
        "GET /party/a HTTP/1.1 ",
        "GET /party/a HTTP/1.2",
        "GET /party/a HTTP/2.0",
        "GET /party/a http/1.1",
        "GET /party/a x HTTP/1.1",
        "GET /party/a",
        " GET /party/a HTTP/1.1",
        "GET /party/\ra HTTP/1.1",
        "GET /party/\0a HTTP/1.1",
        "GET /party/a HTTP/1.1\r\n x: y",
        "PRI * HTTP/1.1",
    ];
    let coded = |body: &str| post("transfer-encoding: chunked", body);
    let refused = [
        lengths.map(|value| post(&format!("content-length: {value}"), "hello")).to_vec(),
        codings.map(|value| post(&format!("transfer-encoding: {value}"), hello)).to_vec(),
        fields.map(|field| post(field, hello)).to_vec(),
        chunks.map(|chunk| coded(&format!("{chunk}\r\n0\r\n\r\n"))).to_vec(),
        ends.map(coded).to_vec(),
        lines.map(|line| format!("{line}\r\nhost: a\r\n\r\n")).to_vec(),
        vec![coded(hello).replace("1.1", "1.0")],
    ];
    for request in refused.concat() {
        // Which reads the body before it answers.
        let request = request.replace("/party/mirror", "/party/swallow");
        let mut client = Client::connect(server.address);
        client.say([request.as_str(), &get("/party/a")].concat());
        let status = client.answer().status;
        assert!([400, 501].contains(&status), "{request:?}: {status}");
        assert!(client.is_closed(), "{request:?}: something followed");
    }
    let read = [
        (post("content-length: 5\r\ncontent-length: 5", "hello"), "hello"),
        (post("content-length:\t005\t", "hello"), "hello"),
        (post("content_length: 5", ""), ""),
        (post("Transfer-Encoding:\tChUnKeD ", hello), "hello"),
        (post("x: y\ntransfer-encoding: chunked", hello), "hello"),
        (coded("5;a=\"b;c\"\r\nhello\r\n0;d\r\n\r\n"), "hello"),
        (coded("5 ;a\r\nhello\r\n00\r\n\r\n"), "hello"),
        (coded("000000000000000000005\r\nhello\r\n0\r\ncontent-length: 50\r\nhost: b\r\n\r\n"), "hello"),
        ("\r\n\r\nPOST /party/mirror HTTP/1.1\nhost: a\ncontent-length: 5\n\nhello".to_string(), "hello"),
    ];
    for (request, body) in read {
        let mut client = Client::connect(server.address);
        client.say([request.as_str(), &get("/party/a")].concat());
        assert_eq!(client.answer().body, body.as_bytes(), "{request:?}");
        assert_eq!(client.answer().body, br#"{"room":"a","users":3}"#, "{request:?}");
    }
}

#[test]
fn a_body_that_crawls_is_given_up() {
    let limits =
        Limits { body_idle_max: Duration::from_millis(200), body_bytes_per_second_min: 1000, ..short() };
    let server = server(limits);
    for (path, length) in [("mirror", 1000), ("swallow", 100_000)] {
        let mut client = Client::connect(server.address);
        client.say(format!("POST /party/{path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"));
        let mut writer = client.stream.try_clone().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        // A byte whenever the last one has been taken is never idle, and never enough.
        let crawling = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && writer.write_all(b"x").is_ok() {
                std::thread::park_timeout(Duration::from_millis(20)); // Sleeps: the test is of a client that is slow.
            }
        });
        assert_eq!(client.answer().status, 408, "{path}");
        ended.store(true, Ordering::Relaxed);
        crawling.join().unwrap();
    }
}

#[test]
fn bodies_up_to_a_length_are_there_when_the_room_is_called() {
    let server = server(Limits { body_eager_bytes_max: 1000, ..Limits::default() });
    let mut client = Client::connect(server.address);
    for (length, kind) in [(0, "empty"), (1000, "full"), (1001, "stream")] {
        let head = format!("POST /party/mirror HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        let answer = client.say([head.into_bytes(), vec![b'x'; length]].concat()).answer();
        assert!(answer.head.contains(&format!("x-body: {kind}\r\n")), "{length}: {}", answer.head);
    }
}

#[test]
fn bodies_that_nobody_reads_hold_up_all_others() {
    let server = server(Limits { bodies_total_bytes_max: 1000, ..Limits::default() });
    let post = |path: &str, length: usize| {
        let mut client = Client::connect(server.address);
        client.say(format!("POST /party/{path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"));
        client.say(vec![b'x'; 300_000]);
        client
    };
    let _greedy = post("unread", 10_000_000);
    // Long enough for everything that would be read to be read: these are answered by the same thread.
    let look = || {
        for _ in 0..50 {
            assert_eq!(Client::connect(server.address).say(get("/party/a")).answer().status, 200);
        }
    };
    look();
    let mut other = post("swallow", 300_000);
    look();
    assert!(server.log.try_recv().is_err(), "a body was received beyond the limit");
    assert_eq!(Client::connect(server.address).say(get("/party/release")).answer().status, 200);
    assert_eq!(event(&server), "swallowed Ok(())");
    assert_eq!(other.answer().status, 200);
}

#[test]
fn idle_connections_make_way() {
    let server = server(Limits { connections_max: 3, ..Limits::default() });
    let mut socket = Client::socket(server.address, "/party/a");
    let mut idle: Vec<_> = (0..2).map(|_| Client::connect(server.address)).collect();
    for client in &mut idle {
        assert_eq!(client.say(get("/party/a")).answer().status, 200);
    }
    // One place is a WebSocket's, and both others wait for a next request.
    let mut busy = Client::connect(server.address);
    busy.say(get("/party/silent"));
    assert_eq!(Client::connect(server.address).say(get("/party/a")).answer().status, 200);
    assert!(idle.iter_mut().all(Client::is_closed));
    assert_eq!(socket.say(client::frame(0x81, b"alive")).text(), "alive");
}

/// Says which thread it is on; a request may block that one, or be answered never.
struct Threads {
    log: mpsc::Sender<String>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl Handler for Threads {
    async fn call(&self, request: Request) -> Response {
        let thread = std::thread::current().name().unwrap_or_default().to_string();
        if request.path() != "/party/where" {
            self.log.send(thread.clone()).unwrap();
        }
        match request.path() {
            "/party/block" => self.release.lock().unwrap().recv().unwrap(),
            "/party/never" => std::future::pending().await,
            _ => {}
        }
        Response::text(200, &*thread)
    }
}

#[test]
fn idle_connections_of_all_threads_make_way() {
    let (log, told) = mpsc::channel();
    let (go, release) = mpsc::channel();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { connections_max: 7, ..Limits::default() };
    let options = FrontOptions { threads: 2, ..FrontOptions::default() };
    let handler = Arc::new(Threads { log, release: Mutex::new(release) });
    let front = Front::start(vec![listener], handler, limits, options).unwrap();
    let heard = || told.recv_timeout(Duration::from_secs(20)).expect("a request");
    // While one thread is blocked, the other one accepts.
    let three_beside = |blocked: &mut Client| {
        blocked.say(get("/party/block"));
        let thread = heard();
        let others: Vec<Client> = (0..3)
            .map(|_| {
                let mut client = Client::connect(address);
                let answer = client.say(get("/party/where")).answer();
                assert_ne!(String::from_utf8(answer.body).unwrap(), thread);
                client
            })
            .collect();
        go.send(()).unwrap();
        assert_eq!(blocked.answer().status, 200);
        others
    };
    let mut first = Client::connect(address);
    let mut there = three_beside(&mut first);
    let here = three_beside(&mut there[0]);
    let mut idle: Vec<Client> = std::iter::once(first).chain(there).chain(here).collect();
    let mut busy: Vec<Client> = (0..7)
        .map(|_| {
            let mut client = Client::connect(address);
            client.say(get("/party/never"));
            heard();
            client
        })
        .collect();
    assert!(idle.iter_mut().all(Client::is_closed));
    // Now all of them have a request.
    assert_eq!(Client::connect(address).answer().status, 503);
    busy.clear();
    front.stop(Duration::ZERO);
    front.join();
}
