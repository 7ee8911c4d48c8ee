//! A small server over the crate's public surface, for the loopback tests and for the measuring example.
//!
//! Rooms live on worker threads of their own, as in the product: requests come through a channel, sockets are handed
//! over. What a room does depends on its path; what happens to its sockets is told through a channel to the test.

#![allow(dead_code, reason = "each user takes another part")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "not part of the library")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use partyrun_limits::Limits;
use partyrun_net::{
    Body, BodyStream, CloseFrame, Front, FrontOptions, Handler, Request, Response, Route, SharedFrame,
    Socket, SocketEvent, SocketSink, bind,
};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot};

type Job = (Request, oneshot::Sender<Response>);

/// Hands requests to the worker of their room.
pub(crate) struct Workers {
    senders: Vec<mpsc::UnboundedSender<Job>>,
    log: std_mpsc::Sender<String>,
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

impl Handler for Workers {
    async fn call(&self, request: Request) -> Response {
        let room = match Route::parse(request.path(), 100) {
            Ok(Route::Room { room, .. }) => room,
            Ok(Route::Other) => return Response::text(404, "Not found"),
            Err(error) => return Response::text(414, error.to_string()),
        };
        let hash = room.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let (sender, receiver) = oneshot::channel();
        self.senders[hash % self.senders.len()].send((request, sender)).unwrap();
        let mut abandoned = Abandoned(Some(self.log.clone()));
        let response = receiver.await;
        abandoned.0 = None;
        response.unwrap_or_else(|_| Response::text(500, "The room is gone"))
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) log: std_mpsc::Receiver<String>,
    pub(crate) front: Front,
}

/// Starts a server with as many threads as said.
pub(crate) fn start(limits: Limits, options: FrontOptions, workers: usize, address: &str) -> Server {
    let (log, receiver) = std_mpsc::channel();
    let mut senders = Vec::new();
    for _ in 0..workers {
        let (sender, jobs) = mpsc::unbounded_channel();
        senders.push(sender);
        let (limits, log) = (limits.clone(), log.clone());
        std::thread::spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
            runtime.block_on(work(Rc::new(limits), log, jobs));
        });
    }
    let listener = bind(address.parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let front = Front::start(vec![listener], Arc::new(Workers { senders, log }), limits, options).unwrap();
    Server { address, log: receiver, front }
}

/// A server on a free port with one worker.
pub(crate) fn server(limits: Limits) -> Server {
    start(limits, FrontOptions { threads: 1, ..FrontOptions::default() }, 1, "127.0.0.1:0")
}

/// The sockets of a room.
type Rooms = Rc<RefCell<HashMap<String, Vec<Weak<Peer>>>>>;

async fn work(limits: Rc<Limits>, log: std_mpsc::Sender<String>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let rooms = Rooms::default();
    let released = Rc::new(Notify::new());
    while let Some((mut request, answer)) = jobs.recv().await {
        let upgrade = request.upgrade.take().filter(|_| !request.path().ends_with("/refused"));
        if let Some(upgrade) = upgrade {
            let room = request.path().to_owned();
            let peer = Peer::start(Rc::clone(&limits), room.clone(), Rc::clone(&rooms), log.clone());
            let _gone = answer.send(Response::switching_protocols());
            tokio::task::spawn_local(async move {
                if let Ok(transport) = upgrade.transport().await {
                    peer.socket().attach(transport).unwrap();
                }
            });
            continue;
        }
        match request.path().rsplit('/').next().unwrap_or_default() {
            "silent" => {
                tokio::task::spawn_local(async move {
                    let mut answer = answer;
                    answer.closed().await;
                });
            }
            "unread" => {
                let released = Rc::clone(&released);
                tokio::task::spawn_local(async move {
                    // Kept until somebody asks for `release`.
                    let (kept, mut answer) = (request, answer);
                    tokio::select! {
                        () = answer.closed() => {}
                        () = released.notified() => {}
                    }
                    drop(kept);
                    let _gone = answer.send(json());
                });
            }
            "release" => {
                released.notify_waiters();
                let _gone = answer.send(json());
            }
            "swallow" => {
                let log = log.clone();
                tokio::task::spawn_local(async move {
                    let Body::Stream(mut stream) = request.body else {
                        return;
                    };
                    let mut end = Ok(());
                    while let Some(piece) = stream.next().await {
                        end = piece.map(drop);
                    }
                    let _closed = log.send(format!("swallowed {end:?}"));
                    let _gone = answer.send(Response::text(200, "swallowed"));
                });
            }
            "mirror" => {
                tokio::task::spawn_local(async move {
                    let _gone = answer.send(mirror(request));
                });
            }
            _ => {
                let _gone = answer.send(json());
            }
        }
    }
}

fn json() -> Response {
    let mut response = Response::new(200, Body::Full(Bytes::from_static(b"{\"room\":\"a\",\"users\":3}")));
    response.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Gives the body back as it came, with headers that must not get through.
fn mirror(request: Request) -> Response {
    let kind = match &request.body {
        Body::Empty => "empty",
        Body::Full(_) => "full",
        Body::Stream(_) => "stream",
    };
    let body = match request.body {
        Body::Stream(mut stream) => {
            let (writer, copy) = BodyStream::channel(2, None);
            tokio::task::spawn_local(async move {
                while let Some(piece) = stream.next().await {
                    match piece {
                        Ok(piece) => writer.write(piece).await.unwrap_or_default(),
                        Err(error) => return writer.fail(error).await,
                    }
                }
                let _gone = writer.finish().await;
            });
            Body::Stream(copy)
        }
        body => body,
    };
    let mut response = Response::new(200, body);
    response.headers.insert("x-body", HeaderValue::from_static(kind));
    response.headers.insert("connection", HeaderValue::from_static("x-evil"));
    response.headers.insert("transfer-encoding", HeaderValue::from_static("gzip"));
    response.headers.insert("content-length", HeaderValue::from_static("7"));
    if let Some(host) = request.headers.get("host") {
        response.headers.insert("x-host", host.clone());
    }
    if let Some(cookie) = request.headers.get("cookie") {
        response.headers.insert("x-cookie", cookie.clone());
    }
    response.headers.insert("x-url", HeaderValue::from_str(request.url.as_str()).unwrap());
    response
}

/// The sink of one socket.
pub(crate) struct Peer {
    socket: RefCell<Option<Socket>>,
    room: String,
    rooms: Rooms,
    log: std_mpsc::Sender<String>,
    quiet: bool,
}

impl Peer {
    fn start(limits: Rc<Limits>, room: String, rooms: Rooms, log: std_mpsc::Sender<String>) -> Rc<Self> {
        let quiet = room.ends_with("/echo");
        let peer = Rc::new(Self {
            socket: RefCell::default(),
            room: room.clone(),
            rooms: Rc::clone(&rooms),
            log,
            quiet,
        });
        let socket = Socket::new(limits, Rc::clone(&peer) as Rc<dyn SocketSink>);
        if room.ends_with("/early") {
            socket.send_text("early").unwrap();
            socket.flush();
        }
        *peer.socket.borrow_mut() = Some(socket);
        rooms.borrow_mut().entry(room).or_default().push(Rc::downgrade(&peer));
        peer
    }

    fn socket(&self) -> Socket {
        self.socket.borrow().clone().unwrap()
    }

    fn tell(&self, text: String) {
        let _closed = self.log.send(text);
    }

    fn command(&self, text: &str) {
        let socket = self.socket();
        match text.split_once(':') {
            Some(("close", rest)) => {
                let (code, reason) = rest.split_once(':').unwrap();
                socket.close(Some(CloseFrame { code: code.parse().unwrap(), reason: reason.to_owned() }));
                self.tell(format!("after close: {:?}", socket.send_text("x")));
            }
            Some(("flood", count)) => {
                let frame = SharedFrame::binary(&vec![7; 1 << 20]);
                for _ in 0..count.parse::<usize>().unwrap() {
                    let sent = socket.send_shared(&frame);
                    socket.flush();
                    if let Err(error) = sent {
                        return self.tell(format!("flood: {error:?}"));
                    }
                }
                self.tell("flood: all".to_owned());
            }
            Some(("all", text)) => {
                let frame = SharedFrame::text(text);
                let mut rooms = self.rooms.borrow_mut();
                let members = rooms.entry(self.room.clone()).or_default();
                members.retain(|peer| peer.upgrade().is_some());
                for peer in members.iter().filter_map(Weak::upgrade) {
                    let socket = peer.socket();
                    let _closed = socket.send_shared(&frame);
                    socket.flush();
                }
            }
            _ => {
                let _closed = socket.send_text(text);
            }
        }
    }
}

impl SocketSink for Peer {
    fn event(&self, event: SocketEvent<'_>) {
        match event {
            SocketEvent::Text(text) if self.quiet => {
                let _closed = self.socket().send_text(&text);
            }
            SocketEvent::Text(text) => self.command(&text),
            SocketEvent::Binary(bytes) => {
                let _closed = self.socket().send_binary(&bytes);
            }
            last => {
                self.tell(match last {
                    SocketEvent::Close(Some(close)) => format!("close {} {}", close.code, close.reason),
                    SocketEvent::Close(None) => "close".to_owned(),
                    SocketEvent::Failed(close) => format!("failed {} {}", close.code, close.reason),
                    _ => "lost".to_owned(),
                });
                // The circle of socket and sink ends here.
                *self.socket.borrow_mut() = None;
            }
        }
    }

    fn drained(&self) {
        if let Some(socket) = &*self.socket.borrow() {
            socket.flush();
        }
    }
}

/// Limits short enough for a test.
pub(crate) fn short() -> Limits {
    Limits {
        header_time_max: Duration::from_millis(200),
        body_idle_max: Duration::from_millis(300),
        keep_alive_idle_max: Duration::from_millis(300),
        socket_ping_after: Duration::from_millis(100),
        socket_pong_max: Duration::from_millis(100),
        socket_close_max: Duration::from_millis(200),
        ..Limits::default()
    }
}
