//! The limits of each client's address: what it hears beyond them, what the log and the metrics say, and that nobody else is
//! concerned.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use tokio::net::TcpSocket;

use crate::raw::{HANDSHAKE, frame, head, say};
use crate::support::{PATIENCE, Project, Server, free_port, get, until};

const ROOM: &str = "export default class Server {
  onRequest() { return new Response('hello'); }
  onMessage(message, connection) { connection.send(message); }
}";

fn start(limits: &[&str], more: &[&str]) -> (Project, Server, u16) {
    let project = Project::new(&[("server.js", ROOM)]);
    let metrics = free_port();
    let address = metrics.to_string();
    let limits = limits.iter().flat_map(|limit| ["--limit", limit]);
    let args = ["start", "server.js", "--persist", "false", "--host", "127.0.0.1", "--metrics", &address];
    let args: Vec<&str> = args.into_iter().chain(limits).chain(more.iter().copied()).collect();
    let server = project.serve(&args);
    (project, server, metrics)
}

// A request from one of the addresses of this machine, of which there are many.
fn ask_from(last: u8, server: &Server, path: &str, fields: &str) -> (String, TcpStream) {
    let connecting = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        socket.connect(SocketAddr::from(([127, 0, 0, 1], server.port))).await?.into_std()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let mut stream = runtime.block_on(connecting).unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Whoever is refused at once may not take the request any more.
    let _refused = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    (head(&mut stream), stream)
}

fn is_refused(head: &str) -> bool {
    let refused = head.starts_with("http/1.1 429");
    assert!(refused || head.starts_with("http/1.1 200") || head.starts_with("http/1.1 101"), "{head}");
    assert!(!refused || head.contains("retry-after: "), "{head}");
    refused
}

// How often a limit was hit, as the metrics have it.
fn hits(metrics: u16, limit: &str) -> u64 {
    let (_, text) = get(metrics, "/metrics", "localhost").unwrap();
    let lines = text.lines().filter(|line| line.contains(&format!("\"{limit}\"")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).sum()
}

#[test]
fn who_asks_too_often_hears_when_to_ask_again() {
    let limits = ["client_requests_per_second_max=1", "client_burst_time=5s"];
    let (_project, server, metrics) = start(&limits, &[]);
    let refused = (0..40).filter(|_| is_refused(&ask_from(2, &server, "/party/a", "").0)).count();
    assert!((1..=35).contains(&refused), "{refused} of 40");
    assert!(!is_refused(&ask_from(3, &server, "/party/a", "").0), "another client");
    let line = server.wait_for("Too many requests from 127.0.0.2");
    assert!(line.contains("limit `client_requests_per_second_max`: 1 requests"), "{line}");
    assert_eq!(hits(metrics, "client_requests_per_second_max"), refused as u64);
    server.stop();
}

#[test]
fn the_clients_of_a_proxy_are_those_that_it_tells_of() {
    let limits = ["client_requests_per_second_max=1", "client_burst_time=5s", "client_addresses_max=1000"];
    let (_project, server, _) = start(&limits, &["--trusted-proxy", "127.0.0.2"]);
    let from = |last, client: &str| {
        let fields = format!("X-Forwarded-For: {client}\r\n");
        is_refused(&ask_from(last, &server, "/party/a", &fields).0)
    };
    assert!((0..40).filter(|_| from(2, "203.0.113.7")).count() > 0);
    assert!(!from(2, "203.0.113.8"));
    // All of a network of IPv6 are one.
    assert!((0..40).filter(|number| from(2, &format!("2001:db8::{number:x}"))).count() > 0);
    assert!(!from(2, "2001:db8:0:1::1"));
    // Who is no proxy has only one address, whatever it says.
    assert!((0..40).filter(|number| from(3, &format!("203.0.113.{number}"))).count() > 0);
    server.stop();
}

#[test]
fn connections_are_counted_until_they_end() {
    let (_project, server, metrics) = start(&["client_connections_max=2"], &["--trusted-proxy", "127.0.0.9"]);
    let open = |last, client: &str| {
        let fields = format!("{HANDSHAKE}X-Forwarded-For: {client}\r\n");
        let (head, stream) = ask_from(last, &server, "/party/a", &fields);
        (!is_refused(&head)).then_some(stream)
    };
    let mut held: Vec<TcpStream> = (0..2).map(|_| open(2, "-").unwrap()).collect();
    assert!(open(2, "-").is_none() && open(3, "-").is_some());
    assert!(hits(metrics, "client_connections_max") > 0);
    server.wait_for("Too many connections from 127.0.0.2");
    held.pop();
    until("the place is free again", || open(2, "-").is_some());
    // Behind a proxy the sockets count, and not its connections.
    let mut proxied: Vec<TcpStream> = (0..2).map(|_| open(9, "203.0.113.7").unwrap()).collect();
    assert!(open(9, "203.0.113.7").is_none());
    let others: Vec<_> = (1..5).map(|number| open(9, &format!("198.51.100.{number}"))).collect();
    assert!(others.iter().all(Option::is_some));
    proxied.pop();
    until("the place is free again", || open(9, "203.0.113.7").is_some());
    server.stop();
}

#[test]
fn handshakes_and_new_rooms_have_limits_of_their_own() {
    let limits =
        ["client_handshakes_per_second_max=1", "client_rooms_per_second_max=1", "client_burst_time=3s"];
    let (_project, server, metrics) = start(&limits, &[]);
    let shake = || is_refused(&ask_from(2, &server, "/party/a", HANDSHAKE).0);
    assert!((0..30).filter(|_| shake()).count() > 0);
    let room = |number: usize| is_refused(&ask_from(2, &server, &format!("/party/new-{number}"), "").0);
    assert!((0..40).filter(|number| room(*number)).count() > 0);
    assert!((0..40).all(|_| !is_refused(&ask_from(2, &server, "/party/a", "").0)), "the room is there");
    assert!(hits(metrics, "client_rooms_per_second_max") > 0);
    assert!(hits(metrics, "client_handshakes_per_second_max") > 0);
    server.wait_for("Too many new rooms from 127.0.0.2");
    server.stop();
}

#[test]
fn sockets_that_send_too_much_are_read_more_slowly() {
    let limits = [
        "socket_messages_per_second_max=100",
        "socket_bytes_per_second_max=64KiB",
        "client_burst_time=500ms",
    ];
    let (_project, server, metrics) = start(&limits, &[]);
    let echoes = |messages: usize, text: &str| {
        let (answer, mut stream) = ask_from(2, &server, "/party/a", HANDSHAKE);
        assert!(!is_refused(&answer));
        (0..messages).for_each(|_| say(&mut stream, text));
        for _ in 0..messages {
            let (opcode, payload) = frame(&mut stream).expect("nothing is lost");
            assert_eq!((opcode, payload.len()), (1, text.len()));
        }
    };
    echoes(200, "short");
    assert!(hits(metrics, "socket_messages_per_second_max") > 0);
    server.wait_for("Too many messages on a socket from 127.0.0.2: it is read more slowly");
    echoes(10, &"x".repeat(12 * 1024));
    assert!(hits(metrics, "socket_bytes_per_second_max") > 0);
    server.stop();
}
