//! A connection goes from one socket to another as it does from process to process: between two messages, with what was read of it
//! and not looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use partyrun_limits::Limits;
use partyrun_net::{Socket, SocketEvent, SocketSink, Transport};
use tokio::runtime::{Builder, LocalOptions};

/// Hears texts, and no more than it has room for.
#[derive(Default)]
struct Ear {
    heard: RefCell<Vec<String>>,
    room_for: Cell<usize>,
}

impl SocketSink for Ear {
    fn event(&self, event: SocketEvent<'_>) {
        let text = match event {
            SocketEvent::Text(text) => text.into_owned(),
            other => format!("{other:?}"),
        };
        self.heard.borrow_mut().push(text);
    }

    fn full(&self) -> bool {
        self.heard.borrow().len() >= self.room_for.get()
    }
}

fn ear(room_for: usize) -> Rc<Ear> {
    Rc::new(Ear { room_for: Cell::new(room_for), ..Ear::default() })
}

/// The client's end, and the transport of the server's.
fn pair() -> (TcpStream, Transport) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    (client, Transport::Tcp { stream, session: None, read: Bytes::new(), place: None, agreed: None })
}

/// A text whose mask changes nothing.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

async fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited for too long");
        tokio::task::yield_now().await;
    }
}

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap().block_on(test);
}

fn socket(ear: &Rc<Ear>, transport: Transport) -> Socket {
    let socket = Socket::new(Rc::new(Limits::default()), ear.clone());
    socket.attach(transport).unwrap();
    socket
}

#[test]
fn what_comes_after_it_stands_still_is_the_next_ones() {
    run(async {
        let (mut client, transport) = pair();
        let (first, second) = (ear(100), ear(100));
        let socket_before = socket(&first, transport);
        client.write_all(&frame("one")).unwrap();
        until(|| first.heard.borrow().len() == 1).await;
        assert!(socket_before.lift().is_none(), "nobody has held it");
        socket_before.hold_still();
        until(|| socket_before.is_still()).await;
        client.write_all(&[frame("two"), frame("three")].concat()).unwrap();
        let lifted = socket_before.lift().unwrap();
        socket_before.abandon();
        let socket_after = socket(&second, lifted);
        until(|| second.heard.borrow().len() == 2).await;
        assert_eq!(*second.heard.borrow(), ["two", "three"]);
        assert_eq!(*first.heard.borrow(), ["one"]);
        socket_after.send_text("answer").unwrap();
        socket_after.flush();
        let mut answer = [0; 8];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer[2..], b"answer");
    });
}

#[test]
fn what_was_read_and_not_looked_at_goes_with_it() {
    run(async {
        let (mut client, transport) = pair();
        let (first, second) = (ear(1), ear(100));
        let socket_before = socket(&first, transport);
        client.write_all(&[frame("one"), frame("two"), frame("three")].concat()).unwrap();
        until(|| first.heard.borrow().len() == 1).await;
        socket_before.hold_still();
        until(|| socket_before.is_still()).await;
        let lifted = socket_before.lift().unwrap();
        socket_before.abandon();
        let _socket_after = socket(&second, lifted);
        until(|| second.heard.borrow().len() == 2).await;
        assert_eq!(*second.heard.borrow(), ["two", "three"]);
    });
}

#[test]
fn in_the_middle_of_a_message_it_is_not_still_and_goes_on_when_it_is_let() {
    run(async {
        let (mut client, transport) = pair();
        let ear = ear(100);
        let socket = socket(&ear, transport);
        let message = frame("whole");
        let (begin, end) = message.split_at(8);
        client.write_all(&[frame("one"), begin.to_vec()].concat()).unwrap();
        until(|| ear.heard.borrow().len() == 1).await;
        socket.hold_still();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert!(!socket.is_still() && socket.lift().is_none());
        // The message comes whole, and only then it stands still.
        client.write_all(&[end.to_vec(), frame("three")].concat()).unwrap();
        until(|| socket.is_still()).await;
        assert_eq!(*ear.heard.borrow(), ["one", "whole"]);
        socket.release();
        until(|| ear.heard.borrow().len() == 3).await;
        assert_eq!(ear.heard.borrow()[2], "three");
    });
}
