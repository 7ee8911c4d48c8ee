//! Sockets that are joined inside the process: the same events as over TCP, and the same back-pressure.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use partyrun_limits::Limits;
use partyrun_net::{CloseFrame, SharedFrame, Socket, SocketEvent, SocketSink, Transport, Upgrade};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

/// Notes what happens, and can refuse to take more.
#[derive(Default)]
struct Notes {
    events: RefCell<Vec<String>>,
    changed: Notify,
    room_for: Cell<usize>,
}

impl SocketSink for Notes {
    fn event(&self, event: SocketEvent<'_>) {
        let note = match event {
            SocketEvent::Text(text) => format!("text {text}"),
            SocketEvent::Binary(bytes) => format!("binary {}", bytes.len()),
            SocketEvent::Close(close) => format!("close {:?}", close.map(|close| close.code)),
            SocketEvent::Lost => "lost".to_owned(),
            SocketEvent::Failed(close) => format!("failed {} {}", close.code, close.reason),
        };
        self.events.borrow_mut().push(note);
        self.room_for.set(self.room_for.get().saturating_sub(1));
        self.changed.notify_one();
    }

    fn full(&self) -> bool {
        self.room_for.get() == 0
    }
}

impl Notes {
    fn new(room_for: usize) -> Rc<Self> {
        let notes = Self::default();
        notes.room_for.set(room_for);
        Rc::new(notes)
    }

    /// Waits for so many events and takes them.
    async fn take(&self, count: usize) -> Vec<String> {
        while self.events.borrow().len() < count {
            self.changed.notified().await;
        }
        self.events.take()
    }
}

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap().block_on(test);
}

fn socket(notes: &Rc<Notes>) -> Socket {
    let limits = Limits { message_in_bytes_max: 1000, ..Limits::default() };
    Socket::new(Rc::new(limits), Rc::clone(notes) as Rc<dyn SocketSink>)
}

/// Two joined sockets; the left one said something before it was joined.
async fn joined(left: &Rc<Notes>, right: &Rc<Notes>) -> (Socket, Socket) {
    let sockets = (socket(left), socket(right));
    sockets.0.send_text("early").unwrap();
    sockets.0.send_shared(&SharedFrame::binary(&[0; 500])).unwrap();
    sockets.0.flush();
    let (upgrade, offer) = Upgrade::offer();
    sockets.1.attach(Transport::Pipe(offer.accept())).unwrap();
    sockets.0.attach(upgrade.transport().await.unwrap()).unwrap();
    sockets
}

#[test]
fn messages_and_the_close_handshake() {
    run(async {
        let (left_notes, right_notes) = (Notes::new(1000), Notes::new(1000));
        let (left, right) = joined(&left_notes, &right_notes).await;
        assert_eq!(right_notes.take(2).await, ["text early", "binary 500"]);
        right.send_text("back").unwrap();
        right.flush();
        assert_eq!(left_notes.take(1).await, ["text back"]);
        left.send_text("held").unwrap();
        left.discard();
        left.close(Some(CloseFrame { code: 4000, reason: "bye".to_owned() }));
        assert!(left.send_text("late").is_err());
        left.flush();
        assert_eq!(right_notes.take(1).await, ["close Some(4000)"]);
        assert_eq!(left_notes.take(1).await, ["close Some(4000)"]);
        assert!(!right.is_open());
    });
}

#[test]
fn a_full_sink_holds_the_sender_back() {
    run(async {
        let (left_notes, right_notes) = (Notes::new(1000), Notes::new(5));
        let (left, right) = joined(&left_notes, &right_notes).await;
        for number in 0..100 {
            left.send_text(&number.to_string()).unwrap();
        }
        left.flush();
        assert_eq!(right_notes.take(5).await, ["text early", "binary 500", "text 0", "text 1", "text 2"]);
        assert!(left.waiting_bytes() > 0);
        // Another taker of events, as after hibernation, gets all the rest.
        let later = Notes::new(1000);
        right.set_sink(Rc::clone(&later) as Rc<dyn SocketSink>);
        let rest: Vec<String> = (3..100).map(|number| format!("text {number}")).collect();
        assert_eq!(later.take(97).await, rest);
        assert_eq!(left.waiting_bytes(), 0);
    });
}

#[test]
fn losses_and_limits() {
    run(async {
        let (left_notes, right_notes) = (Notes::new(1000), Notes::new(1000));
        let (left, _right) = joined(&left_notes, &right_notes).await;
        right_notes.take(2).await;
        left.abort();
        assert_eq!(right_notes.take(1).await, ["lost"]);
        assert!(left_notes.events.borrow().is_empty());

        let (left, _right) = joined(&left_notes, &right_notes).await;
        right_notes.take(2).await;
        left.send_binary(&[0; 1001]).unwrap();
        left.flush();
        assert_eq!(right_notes.take(1).await, ["failed 1009 Message is too large: 1001 > 1000"]);
        assert_eq!(left_notes.take(1).await, ["close Some(1009)"]);
        let (upgrade, offer) = Upgrade::offer();
        drop(offer);
        assert!(upgrade.transport().await.is_err());
    });
}
