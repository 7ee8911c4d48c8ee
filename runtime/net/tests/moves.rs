//! Connections that move to the thread of the room they ask, and back. Every answer says which thread served the
//! connection, so each test sees where it was. No test sleeps.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[allow(dead_code, reason = "what is about sockets is for the other tests")]
#[path = "support/client.rs"]
mod client;

use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use client::Client;
use http::HeaderValue;
use partyrun_limits::Limits;
use partyrun_net::{
    Body, BodyStream, Front, FrontOptions, Guest, Guests, Handler, Request, Response, Route, Seats, Socket,
    SocketEvent, SocketSink, bind,
};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

// Asks until a condition holds; the time is for a busy machine.
fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited for too long");
        std::thread::yield_now();
    }
}

/// What a thread of rooms is sent.
enum Job {
    Ask(Request, oneshot::Sender<Response>),
    Guest(Guest),
    /// The thread says that it is held up, and is until the channel ends.
    Hold(std_mpsc::Sender<()>, std_mpsc::Receiver<()>),
}

/// A thread of rooms.
#[derive(Clone)]
struct Worker {
    jobs: mpsc::UnboundedSender<Job>,
    seats: Arc<Seats>,
}

/// Rooms whose names begin with `a` are on the first thread, all others on the second.
struct Rooms {
    workers: [Worker; 2],
    log: std_mpsc::Sender<String>,
}

impl Rooms {
    fn worker(&self, room: &str) -> &Worker {
        &self.workers[usize::from(!room.starts_with('a'))]
    }
}

/// Says so when a request is abandoned.
struct Abandoned(Option<std_mpsc::Sender<String>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(log) = &self.0 {
            let _closed = log.send("abandoned".to_owned());
        }
    }
}

impl Handler for Rooms {
    async fn call(&self, request: Request) -> Response {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let Ok(Route::Room { room, .. }) = Route::parse(request.path(), 100) else {
            return Response::text(404, thread);
        };
        let (sender, receiver) = oneshot::channel();
        assert!(self.worker(room).jobs.send(Job::Ask(request, sender)).is_ok());
        let mut abandoned = Abandoned(Some(self.log.clone()));
        let response = receiver.await;
        abandoned.0 = None;
        let mut response = response.unwrap_or_else(|_| Response::text(500, "The room is gone"));
        response.headers.insert("x-thread", HeaderValue::from_str(&thread).unwrap());
        response
    }

    fn lodges(&self, party: &str, _room: &str) -> bool {
        party == "main"
    }

    fn lodge(&self, _party: &str, room: &str, guest: Guest) -> Result<(), Guest> {
        if room == "a-refuses" {
            return Err(guest);
        }
        assert!(self.worker(room).jobs.send(Job::Guest(guest)).is_ok());
        Ok(())
    }
}

async fn work(seats: Arc<Seats>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let guests = Guests::new(seats);
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Ask(request, answer) => drop(tokio::task::spawn_local(respond(request, answer))),
            Job::Guest(guest) => guests.seat(guest),
            Job::Hold(held, release) => {
                held.send(()).unwrap();
                let _ended = release.recv();
            }
        }
    }
}

/// The room `.../silent` never answers; all others say their path, or give the body back as it comes.
async fn respond(mut request: Request, mut answer: oneshot::Sender<Response>) {
    if let Some(upgrade) = request.upgrade.take() {
        let socket = Socket::new(Rc::new(Limits::default()), Rc::new(Deaf));
        socket.send_text("welcome").unwrap();
        socket.flush();
        let _gone = answer.send(Response::switching_protocols());
        if let Ok(transport) = upgrade.transport().await {
            socket.attach(transport).unwrap();
        }
        return;
    }
    if request.path().ends_with("/silent") {
        return answer.closed().await;
    }
    let body = match request.body {
        Body::Empty => return drop(answer.send(Response::text(200, request.path()))),
        Body::Stream(mut stream) => {
            let (writer, copy) = BodyStream::channel(2, None);
            tokio::task::spawn_local(async move {
                while let Some(Ok(piece)) = stream.next().await {
                    writer.write(piece).await.unwrap_or_default();
                }
                let _gone = writer.finish().await;
            });
            Body::Stream(copy)
        }
        whole => whole,
    };
    let _gone = answer.send(Response::new(200, body));
}

struct Deaf;

impl SocketSink for Deaf {
    fn event(&self, _event: SocketEvent<'_>) {}
    fn drained(&self) {}
}

struct Server {
    address: SocketAddr,
    front: Front,
    workers: [Worker; 2],
    log: std_mpsc::Receiver<String>,
}

fn server(limits: Limits) -> Server {
    let workers = ["worker-a", "worker-b"].map(|name| {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let seats: Arc<Seats> = Arc::default();
        let worker = Worker { jobs, seats: Arc::clone(&seats) };
        let body = move || {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
            runtime.block_on(work(seats, receiver));
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).unwrap();
        worker
    });
    let (log, events) = std_mpsc::channel();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let rooms = Arc::new(Rooms { workers: workers.clone(), log });
    let options = FrontOptions { threads: 1, ..FrontOptions::default() };
    let front = Front::start(vec![listener], rooms, limits, options).unwrap();
    Server { address, front, workers, log: events }
}

impl Server {
    /// A connection that has moved to the thread of the room `a`.
    fn guest(&self) -> Client {
        let mut client = Client::connect(self.address);
        assert_eq!(threads(&mut client, &["a", "a"]), ["front-0", "worker-a"]);
        client
    }

    /// Holds a thread up until what this answers is dropped.
    fn hold(&self, worker: usize) -> std_mpsc::Sender<()> {
        let ((held, is_held), (release, until)) = (std_mpsc::channel(), std_mpsc::channel());
        assert!(self.workers[worker].jobs.send(Job::Hold(held, until)).is_ok());
        is_held.recv_timeout(Duration::from_secs(20)).expect("the thread is held up");
        release
    }
}

fn get(room: &str) -> String {
    format!("GET /party/{room} HTTP/1.1\r\nhost: a.test\r\n\r\n")
}

/// The thread that served the answer which comes next; it must be the answer of this room.
fn thread_of(client: &mut Client, room: &str) -> String {
    let answer = client.answer();
    assert_eq!(String::from_utf8(answer.body).unwrap(), format!("/party/{room}"), "{}", answer.head);
    let (_, rest) = answer.head.split_once("x-thread: ").expect("a thread");
    rest.split("\r\n").next().unwrap().to_owned()
}

/// The threads that served requests for these rooms, one after the other.
fn threads(client: &mut Client, rooms: &[&str]) -> Vec<String> {
    let ask = |room: &&str| {
        client.say(get(room));
        thread_of(client, room)
    };
    rooms.iter().map(ask).collect()
}

#[test]
fn a_connection_moves_to_its_room_and_back() {
    let server = server(Limits::default());
    let mut client = Client::connect(server.address);
    let (front, a, b) = ("front-0", "worker-a", "worker-b");
    assert_eq!(threads(&mut client, &["a", "a", "a/x", "b", "b", "b"]), [front, a, a, front, front, b]);
    // Each time it comes back it needs more requests to move again.
    assert_eq!(
        threads(&mut client, &["a", "a", "a", "a", "a", "b", "a"]),
        [front, front, front, front, a, front, front]
    );
    // What is no room's is answered at the front.
    let mut client = server.guest();
    assert_eq!(client.say("GET /file HTTP/1.1\r\nhost: a.test\r\n\r\n").answer().body, b"front-0");
}

#[test]
fn a_target_that_only_looks_like_the_room_leads_to_the_front() {
    let server = server(Limits::default());
    for target in ["/party/a/../b", "http://a.test/party/b", "/party/./b", "/party/a/%2E%2e/b"] {
        let mut client = server.guest();
        client.say(format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        assert_eq!(thread_of(&mut client, "b"), "front-0", "{target}");
    }
}

#[test]
fn a_refused_connection_stays_where_it_was() {
    let server = server(Limits::default());
    let mut client = Client::connect(server.address);
    let all = threads(&mut client, &["a-refuses"; 9]);
    assert!(all.iter().all(|thread| thread == "front-0"), "{all:?}");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let server = server(Limits::default());
    let mut client = Client::connect(server.address);
    let rooms = ["a", "a", "b", "a", "b", "b", "b", "b", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a"];
    client.say(rooms.map(get).concat());
    let seen: Vec<_> = rooms.iter().map(|room| thread_of(&mut client, room)).collect();
    assert_eq!(seen[..3], ["front-0", "worker-a", "front-0"]);
    assert!(seen.contains(&"worker-b".to_owned()) && seen.last().unwrap() == "worker-a", "{seen:?}");
    // In pieces that end anywhere, the same answers.
    let mut client = Client::connect(server.address);
    let bytes = rooms.map(get).concat().into_bytes();
    for piece in bytes.chunks(7) {
        client.say(piece);
    }
    rooms.iter().for_each(|room| drop(thread_of(&mut client, room)));
}

#[test]
fn bodies_stream_both_ways_on_a_guest() {
    let server = server(Limits::default());
    let mut client = server.guest();
    let body = "0123456789abcdef".repeat(64 * 1024);
    let mut writing = client.stream.try_clone().unwrap();
    for head in [format!("content-length: {}", body.len()), "transfer-encoding: chunked".to_owned()] {
        let chunked = head.contains("chunked");
        let mut sent = format!("POST /party/a HTTP/1.1\r\nhost: a.test\r\n{head}\r\n\r\n").into_bytes();
        if chunked {
            for chunk in body.as_bytes().chunks(5000) {
                sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                sent.extend_from_slice(chunk);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\n");
        } else {
            sent.extend_from_slice(body.as_bytes());
        }
        // The next request comes right behind the body.
        sent.extend_from_slice(get("a/next").as_bytes());
        let sending = std::thread::spawn(move || {
            std::io::Write::write_all(&mut writing, &sent).unwrap();
            writing
        });
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert!(
            answer.body == body.as_bytes() && answer.head.contains("x-thread: worker-a"),
            "{}",
            answer.head
        );
        assert_eq!(thread_of(&mut client, "a/next"), "worker-a");
        writing = sending.join().unwrap();
    }
}

#[test]
fn a_guest_that_leaves_abandons_its_request() {
    let server = server(Limits::default());
    let event = || server.log.recv_timeout(Duration::from_secs(20)).expect("an event");
    for how in [Shutdown::Write, Shutdown::Both] {
        let mut client = server.guest();
        client.say(get("a/silent")).stream.shutdown(how).unwrap();
        assert_eq!(event(), "abandoned", "{how:?}");
        assert!(client.is_closed());
    }
    let mut client = server.guest();
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.is_closed());
}

#[test]
fn a_thread_that_is_held_up_keeps_no_idle_connection() {
    let server = server(Limits::default());
    let mut idle: Vec<_> = (0..3).map(|_| server.guest()).collect();
    let release = server.hold(0);
    server.workers[0].seats.rescue();
    for client in &mut idle {
        assert_eq!(threads(client, &["b", "b"]), ["front-0"; 2]);
    }
    // A request of the room that is held up waits for it, and is answered in its turn.
    idle[0].say(get("a"));
    drop(release);
    assert_eq!(thread_of(&mut idle[0], "a"), "front-0");
    assert_eq!(threads(&mut idle[1], &["a", "a", "a"]), ["front-0", "front-0", "worker-a"]);
}

#[test]
fn guests_of_a_room_are_dismissed() {
    let server = server(Limits::default());
    let (mut client, mut other) = (server.guest(), Client::connect(server.address));
    assert_eq!(threads(&mut other, &["az", "az"]), ["front-0", "worker-a"]);
    server.workers[0].seats.dismiss(Some(("main", "a")));
    assert_eq!(threads(&mut client, &["a", "a", "a"]), ["front-0", "front-0", "worker-a"]);
    assert_eq!(threads(&mut other, &["az"]), ["worker-a"]);
    server.workers[0].seats.dismiss(None);
    assert!(threads(&mut client, &["a"]) == ["front-0"] && threads(&mut other, &["az"]) == ["front-0"]);
    assert!(!server.workers[1].seats.is_empty() || server.workers[0].seats.is_empty());
}

#[test]
fn stopping_lets_requests_of_guests_finish() {
    let limits = Limits { request_time_max: Duration::from_millis(300), ..Limits::default() };
    let server = server(limits);
    let (mut waiting, mut idle) = (server.guest(), server.guest());
    waiting.say(get("a/silent"));
    // The worker has the request before the stop when it has answered a later one.
    assert_eq!(threads(&mut server.guest(), &["a"]), ["worker-a"]);
    server.front.stop(Duration::from_secs(10));
    assert!(idle.is_closed());
    let answer = waiting.answer();
    assert!(answer.status == 504 && answer.head.contains("connection: close"), "{}", answer.head);
    assert!(waiting.is_closed());
    server.front.join();
    // A seat is given back a moment after its connection has ended.
    until(|| server.workers[0].seats.is_empty());
}

#[test]
fn idle_guests_make_way() {
    let server = server(Limits { connections_max: 1, ..Limits::default() });
    let mut idle = server.guest();
    // A guest is idle a moment after its client has the answer; until then there is no place.
    until(|| Client::connect(server.address).say(get("b")).answer().status == 200);
    assert!(idle.is_closed());
}

#[test]
fn time_limits_hold_for_guests() {
    let limits = Limits {
        keep_alive_idle_max: Duration::from_millis(200),
        header_time_max: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = server(limits);
    assert!(server.guest().is_closed());
    let mut crawling = server.guest();
    crawling.say("GET /party/a HTTP/1.1\r\nhost:");
    assert!(crawling.is_closed());
}

#[test]
fn a_guest_becomes_a_socket() {
    let server = server(Limits::default());
    let mut client = server.guest();
    assert_eq!(client.say(client::handshake("/party/a")).answer().status, 101);
    assert_eq!(client.text(), "welcome");
}
