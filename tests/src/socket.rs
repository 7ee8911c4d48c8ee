//! A strict WebSocket client that hides nothing.
//!
//! A task reads the connection and files what comes: messages in order (closes, violations and the end of the stream
//! among them), pongs apart. Pings and close frames are answered as the RFC wants, unless the case asks otherwise.

use crate::frame::{self, Decoder, Message};
use crate::matcher::differs;
use crate::request::{self, Answer, Ask};
use base64::Engine;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;

/// What a socket brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A message or close frame.
    Message(Message),
    /// The stream ended, cleanly or not; never followed by anything.
    End,
}

/// How a handshake ended.
pub enum Opened {
    /// 101: the socket and the head of the answer.
    Socket(Rc<Socket>, Answer),
    /// Any other answer.
    Refused(Answer),
}

/// An open connection.
pub struct Socket {
    events: RefCell<VecDeque<Event>>,
    pongs: RefCell<VecDeque<Vec<u8>>>,
    ended: Cell<bool>,
    closed: Cell<bool>,
    arrived: Notify,
    writer: Mutex<Option<OwnedWriteHalf>>,
    reader: RefCell<Option<AbortHandle>>,
}

/// Opens a connection.
pub async fn open(
    port: u16,
    target: &str,
    headers: &[(String, String)],
    protocols: &[String],
) -> Result<Opened, String> {
    let nonce = format!("{:016x}", target.len() as u64 ^ 0x5bd1_e995_97f4_a7c1);
    let key = base64::engine::general_purpose::STANDARD.encode(nonce.as_bytes());
    let mut all: Vec<(String, String)> = vec![
        ("connection".into(), "Upgrade".into()),
        ("upgrade".into(), "websocket".into()),
        ("sec-websocket-version".into(), "13".into()),
        ("sec-websocket-key".into(), key.clone()),
    ];
    if !protocols.is_empty() {
        all.push(("sec-websocket-protocol".into(), protocols.join(", ")));
    }
    all.retain(|(name, _)| !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
    all.extend(headers.iter().cloned());
    let ask = Ask { method: "GET".into(), target: target.into(), headers: all, body: Default::default() };
    let started = Instant::now();
    let response = request::send(port, &ask).await?;
    if response.status() != 101 {
        return Ok(Opened::Refused(request::answer(response, started).await?));
    }
    let head = Answer {
        status: 101,
        headers: response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: Default::default(),
        took: started.elapsed(),
    };
    check_handshake(&head, &key)?;
    let upgraded =
        hyper::upgrade::on(response).await.map_err(|error| format!("the upgrade broke off: {error}"))?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| "the upgraded connection is not a TCP stream".to_owned())?;
    Ok(Opened::Socket(Socket::start(parts.io.into_inner(), &parts.read_buf), head))
}

/// RFC 6455 section 4.1: what a client must check in the 101.
fn check_handshake(head: &Answer, key: &str) -> Result<(), String> {
    let header = |name: &str| {
        let found = head.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let accept = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let wanted = base64::engine::general_purpose::STANDARD.encode(accept);
    if header("sec-websocket-accept") != wanted {
        return Err(differs(&format!("sec-websocket-accept {wanted}"), header("sec-websocket-accept")));
    }
    if !header("upgrade").eq_ignore_ascii_case("websocket") {
        return Err(differs("upgrade: websocket", header("upgrade")));
    }
    if !header("connection").to_ascii_lowercase().contains("upgrade") {
        return Err(differs("connection: upgrade", header("connection")));
    }
    Ok(())
}

impl Socket {
    fn start(stream: TcpStream, already_read: &[u8]) -> Rc<Self> {
        let (reader, writer) = stream.into_split();
        let socket = Rc::new(Self {
            events: RefCell::default(),
            pongs: RefCell::default(),
            ended: Cell::new(false),
            closed: Cell::new(false),
            arrived: Notify::new(),
            writer: Mutex::new(Some(writer)),
            reader: RefCell::default(),
        });
        let mut decoder = Decoder::default();
        decoder.feed(already_read);
        let task = tokio::task::spawn_local(read(socket.clone(), reader, decoder));
        *socket.reader.borrow_mut() = Some(task.abort_handle());
        socket
    }

    fn push(&self, event: Event) {
        self.events.borrow_mut().push_back(event);
        self.arrived.notify_waiters();
    }

    /// Writes bytes as they are.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), String> {
        let mut writer = self.writer.lock().await;
        let Some(stream) = writer.as_mut() else { return Err("this socket was dropped by the case".into()) };
        stream.write_all(bytes).await.map_err(|error| format!("could not send: {error}"))
    }

    /// Sends one frame.
    pub async fn send(&self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        if opcode == frame::CLOSE {
            self.closed.set(true);
        }
        self.write(&frame::encode(opcode, payload)).await
    }

    /// Ends the connection without a word, as a lost network does.
    pub async fn abort(&self) {
        self.closed.set(true);
        if let Some(writer) = self.writer.lock().await.take() {
            // A reset instead of an orderly end: pending data is given up.
            let _ = writer.as_ref().set_zero_linger();
            writer.forget();
        }
        self.release();
    }

    /// Gives up the reading half; the connection ends when the last user of this socket is gone.
    pub fn release(&self) {
        if let Some(task) = self.reader.borrow_mut().take() {
            task.abort();
        }
        self.ended.set(true);
        self.arrived.notify_waiters();
    }

    /// The next event, or `None` when the time is over.
    pub async fn next(&self, within: Duration) -> Option<Event> {
        self.wait(within, || self.events.borrow_mut().pop_front()).await
    }

    /// The next pong's payload.
    pub async fn next_pong(&self, within: Duration) -> Option<Vec<u8>> {
        self.wait(within, || self.pongs.borrow_mut().pop_front()).await
    }

    /// True once the server has ended the stream.
    pub async fn stream_end(&self, within: Duration) -> bool {
        self.wait(within, || self.ended.get().then_some(())).await.is_some()
    }

    async fn wait<T>(&self, within: Duration, mut take: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let arrived = self.arrived.notified();
            if let Some(value) = take() {
                return Some(value);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return take();
            }
        }
    }
}

async fn read(socket: Rc<Socket>, mut reader: OwnedReadHalf, mut decoder: Decoder) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some(message) = decoder.next_message() {
            match message {
                Message::Pong(payload) => {
                    socket.pongs.borrow_mut().push_back(payload);
                    socket.arrived.notify_waiters();
                }
                Message::Ping(payload) => {
                    // The server may be gone already; then the end of the stream is what the case sees.
                    let _ = socket.send(frame::PONG, &payload).await;
                }
                Message::Close { code, ref reason } => {
                    if !socket.closed.get() {
                        let echo = frame::close_payload(code, reason);
                        let _ = socket.send(frame::CLOSE, &echo).await;
                    }
                    socket.push(Event::Message(message));
                }
                Message::Violation(_) => {
                    socket.push(Event::Message(message));
                    socket.ended.set(true);
                    return;
                }
                other => socket.push(Event::Message(other)),
            }
        }
        match reader.read(&mut buffer).await {
            Ok(count) if count > 0 => decoder.feed(&buffer[..count]),
            _ => break,
        }
    }
    if !decoder.at_boundary() {
        socket.push(Event::Message(Message::Violation("the stream ended inside a message".into())));
    }
    socket.ended.set(true);
    socket.push(Event::End);
}
